//! Hooks: programs that the relay asks or tells about what happens, over HTTP; and how far each
//! was told.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, meta, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

/// Hooks of a fleet.
pub const HOOKS_MAX: usize = 20;
/// Secrets of a hook that are kept: the present one, and one that is being replaced.
pub const SECRETS_MAX: usize = 2;

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hook {
    /// Public id, `hook_…`.
    pub id: String,
    /// Counts up with every change.
    pub version: u32,
    /// What it is.
    pub draft: HookDraft,
    /// What requests to it are signed with, newest first.
    pub secrets: Vec<HookSecret>,
    /// When it was made.
    pub created_ms: TimeMs,
    /// When it was last changed.
    pub updated_ms: TimeMs,
    /// Who changed it last, an operator's public id.
    pub updated_by: String,
}
record!(Hook, "hook");

/// What operators say of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HookDraft {
    /// A short name, unique in the fleet; senders of blocked messages are told it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it wants to hear of, in the order of the kinds, each once.
    pub events: Vec<HookEvent>,
    /// Whether it is called at all.
    pub enabled: bool,
    /// How long it may take to answer.
    pub timeout_ms: u64,
    /// What becomes of a message when it does not answer.
    pub on_failure: OnFailure,
    /// Lower ones are asked first, then the older one.
    pub priority: u32,
    /// How long what it was not told is tried again.
    pub retry_ms: u64,
}

/// What a hook can hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum HookEvent {
    /// A message is about to be accepted; the hook may block, tag, or rewrite its metadata.
    BeforeMessage,
    /// A message was accepted.
    AfterMessage,
    /// A fleet was made.
    FleetCreated,
    /// An operator looks at the overview; the hook may add to it.
    Overview,
}

/// What becomes of a message when a hook that is asked about it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum OnFailure {
    /// It goes on.
    Open,
    /// It is refused.
    Closed,
}

/// A secret that requests to a hook are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HookSecret {
    /// Sealed under the hook's id.
    pub sealed: Vec<u8>,
    /// When it is no longer used; none for the present one.
    pub valid_until_ms: Option<TimeMs>,
}

impl HookEvent {
    /// All of them.
    pub const ALL: [HookEvent; 4] = [
        HookEvent::BeforeMessage,
        HookEvent::AfterMessage,
        HookEvent::FleetCreated,
        HookEvent::Overview,
    ];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HookEvent::BeforeMessage => "before_message",
            HookEvent::AfterMessage => "after_message",
            HookEvent::FleetCreated => "fleet_created",
            HookEvent::Overview => "overview",
        }
    }

    /// Whether it is told from the audit log, after the fact.
    pub fn is_after(self) -> bool {
        matches!(self, HookEvent::AfterMessage | HookEvent::FleetCreated)
    }
}

impl OnFailure {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailure::Open => "open",
            OnFailure::Closed => "closed",
        }
    }
}

impl HookDraft {
    /// Whether it is called, and told of anything from the audit log.
    pub fn follows(&self) -> bool {
        self.enabled && self.events.iter().any(|event| event.is_after())
    }
}

fn key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::HOOK).u32(fleet).text(id)
}

fn changes_key(fleet: FleetNo) -> Key {
    Key::table(meta::HOOKS).u32(fleet)
}

fn position_key(fleet: FleetNo, follower: &str) -> Key {
    Key::table(meta::HOOK_POSITION).u32(fleet).text(follower)
}

fn number(read: &impl Read, key: Key) -> Result<Option<u64>, StorageError> {
    match read.get(Cf::Meta, key.bytes())? {
        Some(bytes) => Ok(Some(KeyReader::new("hook numbers", &bytes).u64()?)),
        None => Ok(None),
    }
}

/// The hook with this id.
pub fn get(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Option<Hook>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

/// All hooks of a fleet, in the order of their ids, which is that of their making.
pub fn list(read: &impl Read, fleet: FleetNo) -> Result<Vec<Hook>, StorageError> {
    let prefix = Key::table(registry::HOOK).u32(fleet);
    let end = prefix_end(prefix.bytes());
    read.scan(Cf::Registry, prefix.bytes(), &end, HOOKS_MAX)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// How often hooks of the fleet were changed; 0 where there never was one. One cheap read, for
/// every message.
pub fn changes(read: &impl Read, fleet: FleetNo) -> Result<u64, StorageError> {
    Ok(number(read, changes_key(fleet))?.unwrap_or(0))
}

fn changed(txn: &mut Txn, fleet: FleetNo) -> Result<(), StorageError> {
    let count = changes(txn, fleet)? + 1;
    let value = Key::new().u64(count).into_bytes();
    txn.put(Cf::Meta, changes_key(fleet), value);
    Ok(())
}

/// Writes a hook.
pub fn put(txn: &mut Txn, fleet: FleetNo, hook: &Hook) -> Result<(), StorageError> {
    txn.put_record(Cf::Registry, key(fleet, &hook.id), hook);
    changed(txn, fleet)
}

/// Removes a hook, and how far it was told.
pub fn delete(txn: &mut Txn, fleet: FleetNo, id: &str) -> Result<(), StorageError> {
    txn.delete(Cf::Registry, key(fleet, id));
    txn.delete(Cf::Meta, position_key(fleet, id));
    changed(txn, fleet)
}

/// The number of the last event of the audit log that a follower was told, or need not be told:
/// a hook by its id, an extension of the process by its name. None where it never was.
pub fn position(
    read: &impl Read,
    fleet: FleetNo,
    follower: &str,
) -> Result<Option<u64>, StorageError> {
    number(read, position_key(fleet, follower))
}

/// Sets how far a follower was told.
pub fn put_position(txn: &mut Txn, fleet: FleetNo, follower: &str, seq: u64) {
    let value = Key::new().u64(seq).into_bytes();
    txn.put(Cf::Meta, position_key(fleet, follower), value);
}
