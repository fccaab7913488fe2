//! The audit log: one row a decision, append-only.
//!
//! Rows of the message path are the most frequent records there are; they hold numbers and are
//! given their public form when read.

use bincode::{Decode, Encode};

use super::sequence::{self, Sequence};
use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn};

/// One audit event.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Who did it.
    pub actor: Actor,
    /// What it concerns.
    pub resource: Resource,
    /// The conversation, where it is not the message's own.
    pub conversation_id: Option<String>,
    /// More about it, JSON; empty for none.
    pub payload: String,
    /// When.
    pub at_ms: TimeMs,
}
record!(Event, "event");

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Actor {
    /// The relay itself.
    System,
    /// An agent, by number.
    Agent(AgentNo),
    /// An operator, by public id.
    Operator(String),
}

/// What an event concerns.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Resource {
    /// A message, by UUID.
    Message(u128),
    /// A message on its way to one agent.
    Delivery(u128, AgentNo),
    /// An agent, by number.
    Agent(AgentNo),
    /// An approval, by UUID.
    Approval(u128),
    /// A conversation, by id.
    Conversation(String),
    /// Another thing: its kind and public id.
    Other(String, String),
}

/// Kinds of event; the names are those of the wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EventKind {
    /// message.queued
    MessageQueued,
    /// message.delivered
    MessageDelivered,
    /// message.acked
    MessageAcked,
    /// message.retry_requeued
    MessageRetryRequeued,
    /// message.dead_lettered
    MessageDeadLettered,
    /// message.expired
    MessageExpired,
    /// message.policy_denied
    MessagePolicyDenied,
    /// message.cancelled
    MessageCancelled,
    /// agent.enrolled
    AgentEnrolled,
    /// agent.heartbeat
    AgentHeartbeat,
    /// agent.pause
    AgentPause,
    /// agent.resume
    AgentResume,
    /// agent.quarantine
    AgentQuarantine,
    /// agent.revoked
    AgentRevoked,
    /// agent.auto_quarantined
    AgentAutoQuarantined,
    /// agent.auto_unquarantined
    AgentAutoUnquarantined,
    /// agent.rate_limit_exceeded
    AgentRateLimitExceeded,
    /// agent.credential_rotated
    AgentCredentialRotated,
    /// agent.identity_key
    AgentIdentityKey,
    /// approval.requested
    ApprovalRequested,
    /// approval.approved
    ApprovalApproved,
    /// approval.rejected
    ApprovalRejected,
    /// approval.result
    ApprovalResult,
    /// policy.created
    PolicyCreated,
    /// policy.updated
    PolicyUpdated,
    /// policy.deleted
    PolicyDeleted,
    /// conversation.stalled
    ConversationStalled,
    /// operator.login
    OperatorLogin,
    /// operator.logout
    OperatorLogout,
    /// enrollment_token.created
    EnrollmentTokenCreated,
    /// settings.changed
    SettingsChanged,
    /// room.created
    RoomCreated,
    /// fleet.created
    FleetCreated,
}

impl EventKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::MessageQueued => "message.queued",
            EventKind::MessageDelivered => "message.delivered",
            EventKind::MessageAcked => "message.acked",
            EventKind::MessageRetryRequeued => "message.retry_requeued",
            EventKind::MessageDeadLettered => "message.dead_lettered",
            EventKind::MessageExpired => "message.expired",
            EventKind::MessagePolicyDenied => "message.policy_denied",
            EventKind::MessageCancelled => "message.cancelled",
            EventKind::AgentEnrolled => "agent.enrolled",
            EventKind::AgentHeartbeat => "agent.heartbeat",
            EventKind::AgentPause => "agent.pause",
            EventKind::AgentResume => "agent.resume",
            EventKind::AgentQuarantine => "agent.quarantine",
            EventKind::AgentRevoked => "agent.revoked",
            EventKind::AgentAutoQuarantined => "agent.auto_quarantined",
            EventKind::AgentAutoUnquarantined => "agent.auto_unquarantined",
            EventKind::AgentRateLimitExceeded => "agent.rate_limit_exceeded",
            EventKind::AgentCredentialRotated => "agent.credential_rotated",
            EventKind::AgentIdentityKey => "agent.identity_key",
            EventKind::ApprovalRequested => "approval.requested",
            EventKind::ApprovalApproved => "approval.approved",
            EventKind::ApprovalRejected => "approval.rejected",
            EventKind::ApprovalResult => "approval.result",
            EventKind::PolicyCreated => "policy.created",
            EventKind::PolicyUpdated => "policy.updated",
            EventKind::PolicyDeleted => "policy.deleted",
            EventKind::ConversationStalled => "conversation.stalled",
            EventKind::OperatorLogin => "operator.login",
            EventKind::OperatorLogout => "operator.logout",
            EventKind::EnrollmentTokenCreated => "enrollment_token.created",
            EventKind::SettingsChanged => "settings.changed",
            EventKind::RoomCreated => "room.created",
            EventKind::FleetCreated => "fleet.created",
        }
    }
}

/// Appends an event and returns its number.
pub fn append(txn: &mut Txn, fleet: FleetNo, event: &Event) -> Result<u64, StorageError> {
    let seq = sequence::next(txn, fleet, Sequence::Event)?;
    txn.put_record(Cf::Event, Key::new().u32(fleet).u64(seq), event);
    Ok(seq)
}

/// Events of a fleet with a number below `before`, newest first, at most `limit`.
pub fn list_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u64,
    limit: usize,
) -> Result<Vec<(u64, Event)>, StorageError> {
    let lower = Key::new().u32(fleet).u64(0);
    let upper = Key::new().u32(fleet).u64(before);
    read.scan_rev(Cf::Event, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("event", key);
            let _ = reader.u32()?;
            Ok((reader.u64()?, crate::decode(value)?))
        })
        .collect()
}
