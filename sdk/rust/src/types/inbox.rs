//! Receiving: GET /v1/inbox and GET /v1/inbox/stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attachment, MessageType, Priority, null_as_default, open_enum};
use crate::identity::{Encryption, Verification};

open_enum! {
    /// What an operator wants of an agent.
    ControlAction {
        /// Stop working until resumed.
        Pause = "pause",
        /// Work on.
        Resume = "resume",
        /// Stop working; something is wrong.
        Quarantine = "quarantine",
        /// The operator agreed to the action that `approval_id` names.
        ApprovalApproved = "approval.approved",
        /// The operator did not agree.
        ApprovalRejected = "approval.rejected",
        /// Nobody decided in time.
        ApprovalExpired = "approval.expired",
        /// What an edge node stored was refused after all; the reason says which message, and why.
        SendRefused = "send.refused",
        /// What an edge node stored had been accepted before; the reason says as which message.
        SendRepeated = "send.repeated",
        /// The client called an A2A task off; the reason is the task's id.
        TaskCanceled = "a2a.task_canceled",
    }
}

/// What to ask the inbox for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxQuery {
    /// At most this many messages, 1 to 100; None: 25.
    pub limit: Option<u32>,
    /// Seconds to wait for something to come where there is nothing, 0 to 60; None: 0.
    pub wait_seconds: Option<u32>,
    /// Only messages of these types; empty: all. Controls come in any case.
    pub types: Vec<MessageType>,
}

/// What to ask the stream for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamQuery {
    /// Only messages of these types; empty: all.
    pub types: Vec<MessageType>,
    /// Continue after this event id.
    pub last_event_id: Option<String>,
}

/// What was waiting.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inbox {
    /// Oldest first. Each one has to be acked, or it comes again after the delivery timeout.
    #[serde(default, deserialize_with = "null_as_default")]
    pub messages: Vec<InboxMessage>,
    /// Controls in force, newest first; they stay listed until they expire.
    #[serde(default, deserialize_with = "null_as_default")]
    pub controls: Vec<InboxControl>,
    /// Of an edge node that is cut off: how old what it knows may be. Nothing was handed out then,
    /// and nothing can be acked; the same messages come again, for good, when it is reached by the
    /// others.
    #[serde(default)]
    pub view_age_ms: Option<u64>,
}

/// A message handed to its recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboxMessage {
    /// Its id.
    pub message_id: String,
    /// Which conversation it belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub conversation_id: String,
    /// Which exchange within the conversation it belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub correlation_id: String,
    /// Who sent it; None where it was not an agent.
    #[serde(default)]
    pub sender_agent_id: Option<String>,
    /// What for.
    pub message_type: MessageType,
    /// How urgent.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// The content as sent.
    #[serde(default)]
    pub body: Value,
    /// Data about the content; null where there is none.
    #[serde(default)]
    pub metadata: Value,
    /// When the relay accepted it.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it expires.
    #[serde(default)]
    pub deadline_at: Option<String>,
    /// "agent" or "operator".
    #[serde(default)]
    pub sender_kind: Option<String>,
    /// How often it was handed out, this time included.
    #[serde(default, deserialize_with = "null_as_default")]
    pub attempt: u32,
    /// What policies or hooks gave it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Files that go with it; see [`EkhoAgentClient::download_attachment`].
    ///
    /// [`EkhoAgentClient::download_attachment`]: crate::EkhoAgentClient::download_attachment
    #[serde(default, deserialize_with = "null_as_default")]
    pub attachments: Vec<Attachment>,
    /// The sender's end-to-end signature.
    #[serde(default)]
    pub agent_sig: Option<String>,
    /// An operator's, in its place.
    #[serde(default)]
    pub operator_sig: Option<String>,
    /// The key that is said to have made it.
    #[serde(default)]
    pub key_id: Option<String>,
    /// What was signed: a text, or an object of clients of another kind.
    #[serde(default)]
    pub sig_canonical: Option<Value>,
    /// What the client found out about the signature.
    #[serde(default, skip_deserializing)]
    pub verification: Verification,
    /// Whether the body was encrypted end to end, and what became of that.
    #[serde(default, skip_deserializing)]
    pub encryption: Encryption,
}

/// An operator's control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboxControl {
    /// Its id.
    pub control_id: String,
    /// What is wanted.
    pub action: ControlAction,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// The approval that it is about.
    #[serde(default)]
    pub approval_id: Option<String>,
}
