//! Policies: rules that decide about messages, and the versions they had.

use bincode::{Decode, Encode};

use super::message::Priority;
use super::{FleetNo, TimeMs, meta, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

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
    /// Lower ones are looked at first, within what is looked at together.
    pub priority: u32,
}

/// What follows from a match.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// The message is refused.
    Deny,
    /// The message is accepted.
    Allow,
    /// The message waits until an operator agrees.
    RequireApproval,
    /// The agent with this public id receives it instead.
    Redirect(String),
    /// The message is refused, and its sender quarantined.
    Quarantine,
    /// The message gets these tags; decides nothing else.
    Tag(Vec<String>),
}

impl Action {
    /// The word used on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::Deny => "deny",
            Action::Allow => "allow",
            Action::RequireApproval => "require_approval",
            Action::Redirect(_) => "redirect",
            Action::Quarantine => "quarantine",
            Action::Tag(_) => "tag",
        }
    }

    /// Whether it keeps the message from being accepted.
    pub fn refuses(&self) -> bool {
        matches!(self, Action::Deny | Action::Quarantine)
    }
}

/// Each given one holds when the message has one of its values; all of them must hold.
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
    /// Conversations.
    pub conversation_id: Option<Vec<String>>,
    /// Labels of senders.
    pub sender_labels: Option<Vec<String>>,
    /// Capabilities of senders.
    pub sender_capabilities: Option<Vec<String>>,
    /// Labels of recipients.
    pub recipient_labels: Option<Vec<String>>,
    /// Capabilities of recipients.
    pub recipient_capabilities: Option<Vec<String>>,
    /// What the body must be like: all of these.
    pub body: Vec<BodyTest>,
    /// When.
    pub time: Option<TimeWindows>,
    /// How much the sender has sent the recipient already.
    pub rate: Option<PairRate>,
}

/// Something about one place of a message's body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BodyTest {
    /// JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What must be there.
    pub test: BodyRule,
}

/// What must be at a place of the body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BodyRule {
    /// This JSON value.
    Equals(String),
    /// A text in which this regular expression is found.
    Matches(String),
    /// Something, or nothing.
    Exists(bool),
}

/// Times of the week in a time zone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimeWindows {
    /// The zone's name in the IANA database.
    pub time_zone: String,
    /// Offsets from UTC in seconds and since when they hold, worked out when the policy was
    /// written: what decides must not depend on the zone data of a node.
    pub offsets: Vec<(TimeMs, i32)>,
    /// Any of these will do.
    pub windows: Vec<TimeWindow>,
}

/// A time of day on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimeWindow {
    /// Days on which it begins, Monday the lowest bit.
    pub days: u8,
    /// First minute of the day.
    pub from_minute: u16,
    /// First minute after it; not later than the first one where it ends on the next day.
    pub to_minute: u16,
}

/// A number of messages from one agent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PairRate {
    /// The condition holds once that many were accepted in the window.
    pub max_messages: u64,
    /// Length of the window.
    pub window_ms: u64,
}

impl Draft {
    /// Whether it says more than the basic policies of the wire contract.
    pub fn is_advanced(&self) -> bool {
        let Conditions {
            sender_agent_id: _,
            recipient_agent_id: _,
            message_type: _,
            priority: _,
            conversation_id,
            sender_labels,
            sender_capabilities,
            recipient_labels,
            recipient_capabilities,
            body,
            time,
            rate,
        } = &self.conditions;
        !matches!(self.action, Action::Deny | Action::Allow)
            || conversation_id.is_some()
            || sender_labels.is_some()
            || sender_capabilities.is_some()
            || recipient_labels.is_some()
            || recipient_capabilities.is_some()
            || !body.is_empty()
            || time.is_some()
            || rate.is_some()
    }
}

fn key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::POLICY).u32(fleet).text(id)
}

fn versions_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::POLICY_VERSION).u32(fleet).text(id)
}

fn changes_key(fleet: FleetNo) -> Key {
    Key::table(meta::POLICIES).u32(fleet)
}

/// The policy with this id.
pub fn get(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Option<Policy>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

/// How often policies of the fleet were changed; 0 where there never was one. One cheap read, for
/// every batch of messages.
pub fn changes(read: &impl Read, fleet: FleetNo) -> Result<u64, StorageError> {
    match read.get(Cf::Meta, changes_key(fleet).bytes())? {
        Some(bytes) => KeyReader::new("policies", &bytes).u64(),
        None => Ok(0),
    }
}

fn changed(txn: &mut Txn, fleet: FleetNo) -> Result<(), StorageError> {
    let count = changes(txn, fleet)? + 1;
    let value = Key::new().u64(count).into_bytes();
    txn.put(Cf::Meta, changes_key(fleet), value);
    Ok(())
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
    changed(txn, fleet)?;
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
    changed(txn, fleet)
}
