//! Conversations: rooms, notices of a stall, and the floor.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::null_as_default;

/// POST /v1/rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRoom {
    /// 1 to 120 characters.
    pub name: String,
    /// At most 50; the creator is a member in any case.
    #[serde(default)]
    pub member_agent_ids: Vec<String>,
}

/// A room. Post to it with [`Recipient::group`](crate::Recipient::group) and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Ids of the agents that were taken in: unknown and revoked ones are left out.
    #[serde(default, rename = "members", deserialize_with = "member_ids")]
    pub member_agent_ids: Vec<String>,
}

/// Members come as ids, or as objects that carry one.
fn member_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let members: Vec<Value> = null_as_default(deserializer)?;
    let id = |member: &Value| match member {
        Value::String(id) => Some(id.clone()),
        object => ["agent_id", "id"]
            .iter()
            .find_map(|field| object.get(field)?.as_str().map(str::to_owned)),
    };
    Ok(members.iter().filter_map(id).collect())
}

/// POST /v1/notices: a conversation is stuck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Which.
    pub conversation_id: String,
    /// Why, at most 64 characters.
    #[serde(default = "stalled")]
    pub reason: String,
    /// How many messages wait.
    #[serde(default)]
    pub pending_count: u64,
    /// The budget that ran out, in the agent's own terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Value>,
}

fn stalled() -> String {
    "stalled".to_owned()
}

/// The notice was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoticeAnswer {
    /// Always true.
    #[serde(default)]
    pub ok: bool,
    /// False where this conversation's stall was known already.
    #[serde(default)]
    pub recorded: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct FloorRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<u64>,
}

/// POST /v1/conversations/{id}/floor: who may speak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FloorAnswer {
    /// Whether this agent has the floor.
    pub granted: bool,
    /// Who has it.
    #[serde(default)]
    pub holder_agent_id: Option<String>,
    /// Until when.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// The last messages of the conversation as the relay shows them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub conversation_tail: Vec<Value>,
}

/// DELETE /v1/conversations/{id}/floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FloorReleased {
    /// False where this agent did not have the floor.
    #[serde(default)]
    pub released: bool,
}
