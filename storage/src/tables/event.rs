//! The audit log: one row a decision, append-only, each linked to the one before by a hash, so
//! that a changed, removed or inserted row shows.
//!
//! Rows of the message path are the most frequent records there are; they hold numbers and are
//! given their public form when read.

use bincode::{Decode, Encode};

use sha2::{Digest, Sha256};

use super::sequence::{self, Sequence};
use super::{AgentNo, FleetNo, TimeMs, meta, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, encode};

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
    /// Id of the operator's request that did it; empty for none.
    pub request_id: String,
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
    /// message.redriven
    MessageRedriven,
    /// dead_letter.purged
    DeadLetterPurged,
    /// message.policy_would_deny
    MessagePolicyWouldDeny,
    /// operator.created
    OperatorCreated,
    /// operator.updated
    OperatorUpdated,
    /// operator.deleted
    OperatorDeleted,
    /// operator.password_changed
    OperatorPasswordChanged,
    /// operator.login_failed
    OperatorLoginFailed,
    /// operator.locked_out
    OperatorLockedOut,
    /// session.revoked
    SessionRevoked,
    /// api_token.created
    ApiTokenCreated,
    /// approval.first_approved
    ApprovalFirstApproved,
    /// approval.expired
    ApprovalExpired,
    /// message.redirected
    MessageRedirected,
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
            EventKind::MessageRedriven => "message.redriven",
            EventKind::DeadLetterPurged => "dead_letter.purged",
            EventKind::MessagePolicyWouldDeny => "message.policy_would_deny",
            EventKind::OperatorCreated => "operator.created",
            EventKind::OperatorUpdated => "operator.updated",
            EventKind::OperatorDeleted => "operator.deleted",
            EventKind::OperatorPasswordChanged => "operator.password_changed",
            EventKind::OperatorLoginFailed => "operator.login_failed",
            EventKind::OperatorLockedOut => "operator.locked_out",
            EventKind::SessionRevoked => "session.revoked",
            EventKind::ApiTokenCreated => "api_token.created",
            EventKind::ApprovalFirstApproved => "approval.first_approved",
            EventKind::ApprovalExpired => "approval.expired",
            EventKind::MessageRedirected => "message.redirected",
        }
    }
}

/// What links an event to all before it: SHA-256 of the hash of the one before, the number, and
/// the record as stored. The first one follows [`GENESIS`].
pub type Hash = [u8; 32];

/// The hash before the first event.
pub const GENESIS: Hash = [0; 32];

/// The hash of the event with this number and record.
pub fn link(before: &Hash, seq: u64, record: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(before)
        .chain_update(seq.to_be_bytes())
        .chain_update(record)
        .finalize()
        .into()
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// Its link in the chain.
    pub hash: Hash,
    /// The encoded [`Event`].
    pub record: Vec<u8>,
}

impl Stored {
    /// The event.
    pub fn event(&self) -> Result<Event, StorageError> {
        decode(&self.record)
    }
}

fn key(fleet: FleetNo, seq: u64) -> Key {
    Key::new().u32(fleet).u64(seq)
}

fn head_key(fleet: FleetNo) -> Key {
    Key::table(meta::EVENT_HEAD).u32(fleet)
}

/// The hash of the newest event.
pub fn head(read: &impl Read, fleet: FleetNo) -> Result<Hash, StorageError> {
    let found = read.get(Cf::Meta, head_key(fleet).bytes())?;
    found.map_or(Ok(GENESIS), |bytes| hash(&bytes))
}

/// The newest event that was removed after its time, with its hash: what is left follows it.
/// Number 0 before anything was removed.
pub fn anchor(read: &impl Read, fleet: FleetNo) -> Result<(u64, Hash), StorageError> {
    let key = Key::table(meta::EVENT_ANCHOR).u32(fleet);
    let Some(bytes) = read.get(Cf::Meta, key.bytes())? else {
        return Ok((0, GENESIS));
    };
    let mut reader = KeyReader::new("event anchor", &bytes);
    Ok((reader.u64()?, hash(reader.rest())?))
}

/// Removes the oldest events, which these must be. The chain goes on from the last of them.
pub fn remove(txn: &mut Txn, fleet: FleetNo, oldest: &[Stored]) {
    let Some(last) = oldest.last() else { return };
    for stored in oldest {
        txn.delete(Cf::Event, key(fleet, stored.seq));
    }
    let anchor = [last.seq.to_be_bytes().as_slice(), &last.hash].concat();
    txn.put(Cf::Meta, Key::table(meta::EVENT_ANCHOR).u32(fleet), anchor);
}

/// Appends an event and returns its number.
pub fn append(txn: &mut Txn, fleet: FleetNo, event: &Event) -> Result<u64, StorageError> {
    let seq = sequence::next(txn, fleet, Sequence::Event)?;
    let record = encode(event);
    let hash = link(&head(txn, fleet)?, seq, &record);
    txn.put(Cf::Meta, head_key(fleet), hash.to_vec());
    txn.put(
        Cf::Event,
        key(fleet, seq),
        [&hash, record.as_slice()].concat(),
    );
    Ok(seq)
}

/// Events of a fleet with a number below `before`, newest first, at most `limit`.
pub fn list_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u64,
    limit: usize,
) -> Result<Vec<(u64, Event)>, StorageError> {
    stored_rev(read, fleet, before, limit)?
        .iter()
        .map(|stored| Ok((stored.seq, stored.event()?)))
        .collect()
}

/// The same, as they are stored.
pub fn stored_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u64,
    limit: usize,
) -> Result<Vec<Stored>, StorageError> {
    let (lower, upper) = (key(fleet, 0), key(fleet, before));
    read.scan_rev(Cf::Event, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(stored)
        .collect()
}

/// Events of a fleet from number `from` on, oldest first, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    from: u64,
    limit: usize,
) -> Result<Vec<Stored>, StorageError> {
    let (lower, upper) = (key(fleet, from), key(fleet, u64::MAX));
    read.scan(Cf::Event, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(stored)
        .collect()
}

/// The event with this number.
pub fn get(read: &impl Read, fleet: FleetNo, seq: u64) -> Result<Option<Stored>, StorageError> {
    Ok(list(read, fleet, seq, 1)?
        .into_iter()
        .find(|stored| stored.seq == seq))
}

fn stored((key, value): &crate::Row) -> Result<Stored, StorageError> {
    let mut reader = KeyReader::new("event", key);
    let _ = reader.u32()?;
    let seq = reader.u64()?;
    let split = value.split_at_checked(GENESIS.len());
    let (linked, record) = split.ok_or_else(|| too_short(value.len()))?;
    Ok(Stored {
        seq,
        hash: hash(linked)?,
        record: record.to_vec(),
    })
}

fn hash(bytes: &[u8]) -> Result<Hash, StorageError> {
    bytes.try_into().map_err(|_| too_short(bytes.len()))
}

fn too_short(bytes: usize) -> StorageError {
    StorageError::Corrupt {
        table: "event",
        detail: format!("{bytes} bytes where a hash of 32 should be"),
    }
}
