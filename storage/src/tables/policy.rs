//! Policies: rules that allow or deny messages, and the versions they had.

use bincode::{Decode, Encode};

use super::message::Priority;
use super::{FleetNo, TimeMs, meta, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn, decode, prefix_end};

/// Policies of a fleet.
pub const POLICIES_MAX: usize = 1000;
/// Versions kept of one policy.
pub const VERSIONS_MAX: usize = 50;

/// A policy in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Policy {
    /// Public id, `pol_…`.
    pub id: String,
    /// Counts up with every change.
    pub version: u32,
    /// What it says.
    pub draft: Draft,
    /// When the policy was made.
    pub created_ms: TimeMs,
    /// When this version was made.
    pub updated_ms: TimeMs,
    /// Who made this version, an operator's public id.
    pub updated_by: String,
}
record!(Policy, "policy");

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Draft {
    /// A name for people; the sender of a denied message is told it.
    pub name: String,
    /// Public id of the only agent, as sender or recipient, that it concerns; none for all.
    pub scope_agent: Option<String>,
    /// What follows from a match.
    pub action: Action,
    /// What a message must be to match: all of these.
    pub conditions: Conditions,
    /// Whether it counts at all.
    pub enabled: bool,
    /// Record what it would deny, and go on.
    pub dry_run: bool,
    /// Lower ones are looked at first, among those that deny and among those that allow.
    pub priority: u32,
}

/// What follows from a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Action {
    /// The message is refused. Looked at before those that allow.
    Deny,
    /// The message is accepted.
    Allow,
}

/// Each given one holds when the message has one of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Conditions {
    /// Public ids of senders.
    pub sender_agent_id: Option<Vec<String>>,
    /// Public ids of recipients.
    pub recipient_agent_id: Option<Vec<String>>,
    /// Types.
    pub message_type: Option<Vec<String>>,
    /// Priorities.
    pub priority: Option<Vec<Priority>>,
}

impl Action {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Deny => "deny",
            Action::Allow => "allow",
        }
    }
}

fn key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::POLICY).u32(fleet).text(id)
}

fn versions_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::POLICY_VERSION).u32(fleet).text(id)
}

fn count_key(fleet: FleetNo) -> Key {
    Key::table(meta::POLICIES).u32(fleet)
}

/// The policy with this id.
pub fn get(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Option<Policy>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

/// Whether the fleet has any policy: one cheap read, for every message.
pub fn any(read: &impl Read, fleet: FleetNo) -> Result<bool, StorageError> {
    read.exists(Cf::Meta, count_key(fleet).bytes())
}

/// All policies of a fleet, in the order of their ids, which is that of their making.
pub fn list(read: &impl Read, fleet: FleetNo) -> Result<Vec<Policy>, StorageError> {
    let prefix = Key::table(registry::POLICY).u32(fleet);
    let end = prefix_end(prefix.bytes());
    read.scan(Cf::Registry, prefix.bytes(), &end, POLICIES_MAX)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Versions of a policy, newest first; the present one is among them.
pub fn versions(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Vec<Policy>, StorageError> {
    let prefix = versions_key(fleet, id);
    let end = prefix_end(prefix.bytes());
    read.scan_rev(Cf::Registry, prefix.bytes(), &end, VERSIONS_MAX)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Writes a policy's newest version; the oldest one kept makes room.
pub fn put(txn: &mut Txn, fleet: FleetNo, policy: &Policy) -> Result<(), StorageError> {
    txn.put(Cf::Meta, count_key(fleet), vec![1]);
    txn.put_record(Cf::Registry, key(fleet, &policy.id), policy);
    let prefix = versions_key(fleet, &policy.id);
    txn.put_record(Cf::Registry, prefix.clone().u32(policy.version), policy);
    let end = prefix_end(prefix.bytes());
    let kept = txn.scan_rev(Cf::Registry, prefix.bytes(), &end, VERSIONS_MAX + 1)?;
    if let Some((oldest, _)) = kept.into_iter().nth(VERSIONS_MAX) {
        txn.delete(Cf::Registry, oldest);
    }
    Ok(())
}

/// Removes a policy with its versions.
pub fn delete(txn: &mut Txn, fleet: FleetNo, id: &str) -> Result<(), StorageError> {
    txn.delete(Cf::Registry, key(fleet, id));
    let prefix = versions_key(fleet, id);
    let end = prefix_end(prefix.bytes());
    for (key, _) in txn.scan(Cf::Registry, prefix.bytes(), &end, VERSIONS_MAX + 1)? {
        txn.delete(Cf::Registry, key);
    }
    if list(txn, fleet)?.is_empty() {
        txn.delete(Cf::Meta, count_key(fleet));
    }
    Ok(())
}
