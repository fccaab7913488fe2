//! Who else is in the fleet, and what was said: GET /v1/agents, GET /v1/conversations/{id}/messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::null_as_default;

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// Rows at most, 1 to 100; None: 20.
    pub limit: Option<u32>,
    /// The `next_cursor` of an answer, to go on behind it.
    pub cursor: Option<String>,
}

/// Agents of the fleet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Peers {
    /// By their names; the caller is one of them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub agents: Vec<Peer>,
    /// What to go on with; None at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// An agent of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Peer {
    /// Its id.
    pub id: String,
    /// How people see it.
    pub display_name: String,
    /// What runs it.
    #[serde(default)]
    pub runtime: String,
    /// What it says it can do.
    #[serde(default, deserialize_with = "null_as_default")]
    pub capabilities: Vec<String>,
    /// healthy, degraded, paused or quarantined.
    #[serde(default)]
    pub status: String,
}

/// Messages of a conversation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Said {
    /// What this agent sent and was handed out, newest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub messages: Vec<SaidMessage>,
    /// What to go on with; None at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SaidMessage {
    /// Its id.
    pub message_id: String,
    /// Who sent it: an agent or an operator.
    pub sender_agent_id: String,
    /// `agent` or `operator`.
    #[serde(default)]
    pub sender_kind: String,
    /// `agent`, `group` or `broadcast`.
    #[serde(default)]
    pub recipient_kind: String,
    /// Which agent or room.
    #[serde(default)]
    pub recipient_id: Option<String>,
    /// What for.
    pub message_type: super::MessageType,
    /// Which exchange within the conversation it belongs to.
    #[serde(default)]
    pub correlation_id: String,
    /// The content as sent.
    #[serde(default)]
    pub body: Value,
    /// When the relay accepted it.
    #[serde(default)]
    pub created_at: Option<String>,
}
