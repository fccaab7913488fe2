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
    /// An A2A task, by UUID.
    Task(u128),
}

/// Declares the kinds of event with their names on the wire. Their order is the format: new ones go
/// to the end.
macro_rules! kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// Kinds of event; the names are those of the wire contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        pub enum EventKind {
            $(#[doc = $name] $kind,)*
        }

        impl EventKind {
            /// All of them, in the order of their numbers.
            pub const ALL: &[EventKind] = &[$(EventKind::$kind,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    MessageQueued = "message.queued",
    MessageDelivered = "message.delivered",
    MessageAcked = "message.acked",
    MessageRetryRequeued = "message.retry_requeued",
    MessageDeadLettered = "message.dead_lettered",
    MessageExpired = "message.expired",
    MessagePolicyDenied = "message.policy_denied",
    MessageCancelled = "message.cancelled",
    AgentEnrolled = "agent.enrolled",
    AgentHeartbeat = "agent.heartbeat",
    AgentPause = "agent.pause",
    AgentResume = "agent.resume",
    AgentQuarantine = "agent.quarantine",
    AgentRevoked = "agent.revoked",
    AgentAutoQuarantined = "agent.auto_quarantined",
    AgentAutoUnquarantined = "agent.auto_unquarantined",
    AgentRateLimitExceeded = "agent.rate_limit_exceeded",
    AgentCredentialRotated = "agent.credential_rotated",
    AgentIdentityKey = "agent.identity_key",
    ApprovalRequested = "approval.requested",
    ApprovalApproved = "approval.approved",
    ApprovalRejected = "approval.rejected",
    ApprovalResult = "approval.result",
    PolicyCreated = "policy.created",
    PolicyUpdated = "policy.updated",
    PolicyDeleted = "policy.deleted",
    ConversationStalled = "conversation.stalled",
    OperatorLogin = "operator.login",
    OperatorLogout = "operator.logout",
    EnrollmentTokenCreated = "enrollment_token.created",
    SettingsChanged = "settings.changed",
    RoomCreated = "room.created",
    FleetCreated = "fleet.created",
    MessageRedriven = "message.redriven",
    DeadLetterPurged = "dead_letter.purged",
    MessagePolicyDryRun = "message.policy_dry_run",
    OperatorCreated = "operator.created",
    OperatorUpdated = "operator.updated",
    OperatorDeleted = "operator.deleted",
    OperatorPasswordChanged = "operator.password_changed",
    OperatorLoginFailed = "operator.login_failed",
    OperatorLockedOut = "operator.locked_out",
    SessionRevoked = "session.revoked",
    ApiTokenCreated = "api_token.created",
    ApprovalFirstApproved = "approval.first_approved",
    ApprovalExpired = "approval.expired",
    MessageRedirected = "message.redirected",
    LicenseChanged = "license.changed",
    LicenseExpired = "license.expired",
    FleetRenamed = "fleet.renamed",
    FleetArchived = "fleet.archived",
    FleetRestored = "fleet.restored",
    OperatorKeyRegistered = "operator_key.registered",
    OperatorKeyEndorsed = "operator_key.endorsed",
    OperatorKeyRevoked = "operator_key.revoked",
    AgentIdentityKeyRevoked = "agent.identity_key_revoked",
    MessageExtensionBlocked = "message.extension_blocked",
    HookCreated = "hook.created",
    HookUpdated = "hook.updated",
    HookDeleted = "hook.deleted",
    HookSecretRotated = "hook.secret_rotated",
    HookDeliveryFailed = "hook.delivery_failed",
    OperatorTotpBegun = "operator.totp_begun",
    OperatorTotpEnabled = "operator.totp_enabled",
    OperatorTotpDisabled = "operator.totp_disabled",
    OperatorTotpReset = "operator.totp_reset",
    AgentLabelled = "agent.labelled",
    JoinTokenCreated = "join_token.created",
    JoinTokenDeleted = "join_token.deleted",
    NodeJoined = "node.joined",
    NodeChanged = "node.changed",
    NodeRemoved = "node.removed",
    NodeDrained = "node.drained",
    LeaderTransferred = "node.leader_transferred",
    BackupTaken = "backup.taken",
    RelayRestored = "relay.restored",
    RelayRecovered = "relay.recovered",
    MessageEdgeRefused = "message.edge_refused",
    TaskStatus = "a2a_task.status",
    TaskUpdateRefused = "a2a_task.update_refused",
    AgentCardChanged = "agent.card_changed",
    A2aClientCreated = "a2a_client.created",
    A2aClientUpdated = "a2a_client.updated",
    A2aTokenCreated = "a2a_token.created",
    A2aTokenRevoked = "a2a_token.revoked",
    TaskPushGaveUp = "a2a_push.gave_up",
    TaskPushRetried = "a2a_push.retried",
    A2aRemoteCreated = "a2a_remote.created",
    A2aRemoteUpdated = "a2a_remote.updated",
    AttachmentStored = "attachment.stored",
    AttachmentRemoved = "attachment.removed",
    AgentEncryptionKey = "agent.encryption_key",
    AgentEncryptionKeyRevoked = "agent.encryption_key_revoked",
    NodeLogChanged = "node.log_changed",
    AgentImported = "agent.imported",
    AgentSecretProven = "agent.secret_proven",
    AgentSecretIssued = "agent.secret_issued",
    RowsImported = "import.rows",
    SecretRotationBegan = "master_secret.rotation_began",
    SecretRotated = "master_secret.rotated",
}

impl EventKind {
    /// What kind of thing it is about: the name before the dot.
    pub fn family(self) -> &'static str {
        let name = self.as_str();
        name.split_once('.').map_or(name, |(family, _)| family)
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
