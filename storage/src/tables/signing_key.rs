//! Public keys: those operators sign with, with their endorsements; those agents registered; and
//! those that were revoked, which never come back. A key's id is a hash of the key, so that a key
//! has one id and an id one key.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, Record, StorageError, Txn, decode, prefix_end};

/// Operators' keys of a fleet that are not revoked.
pub const OPERATOR_KEYS_MAX: usize = 500;
/// Keys of an agent that are remembered; the one registered first makes room.
pub const AGENT_KEYS_MAX: usize = 20;

/// An Ed25519 key that an operator signs with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OperatorKey {
    /// Public id, `key_…`.
    pub key_id: String,
    /// The key itself.
    pub public_key: [u8; 32],
    /// A name for people.
    pub name: String,
    /// Who registered it, and has its private half.
    pub operator_id: String,
    /// Trusted by itself; others are by a chain of endorsements from such a one.
    pub is_root: bool,
    /// When it was registered.
    pub created_ms: TimeMs,
    /// Who vouches for it, in the order in which they did.
    pub endorsements: Vec<Endorsement>,
}
record!(OperatorKey, "operator_key");

/// One key vouches for another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Endorsement {
    /// The key that vouches.
    pub by_key_id: String,
    /// Its signature over the canonical statement.
    pub signature: [u8; 64],
    /// Who brought it.
    pub operator_id: String,
    /// When.
    pub at_ms: TimeMs,
}

/// A key that an agent registered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AgentKey {
    /// Public id.
    pub key_id: String,
    /// The key as registered.
    pub public_key: String,
    /// When it was registered last.
    pub registered_ms: TimeMs,
}
record!(AgentKey, "agent_key");

/// A key that is not to be used any more, by anybody, ever.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RevokedKey {
    /// Public id.
    pub key_id: String,
    /// Whose it was, and the key itself.
    pub owner: KeyOwner,
    /// Who revoked it.
    pub revoked_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at_ms: TimeMs,
}
record!(RevokedKey, "revoked_key");

/// Whose a key was.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KeyOwner {
    /// An operator's, by public id.
    Operator(String, [u8; 32]),
    /// An agent's, as it registered it.
    Agent(AgentNo, String),
}

fn operator_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::OPERATOR_KEY).u32(fleet).text(id)
}

fn agent_key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::AGENT_KEY).u32(fleet).u32(agent)
}

fn revoked_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::REVOKED_KEY).u32(fleet).text(id)
}

/// An operator's key that is not revoked.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    id: &str,
) -> Result<Option<OperatorKey>, StorageError> {
    one(read, operator_key, fleet, id)
}

/// Operators' keys with an id after this one, in the order of their ids, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    after: &str,
    limit: usize,
) -> Result<Vec<OperatorKey>, StorageError> {
    many(
        read,
        operator_key,
        registry::OPERATOR_KEY,
        fleet,
        after,
        limit,
    )
}

/// Writes an operator's key.
pub fn put(txn: &mut Txn, fleet: FleetNo, key: &OperatorKey) {
    txn.put_record(Cf::Registry, operator_key(fleet, &key.key_id), key);
}

/// A key that was revoked.
pub fn revoked(
    read: &impl Read,
    fleet: FleetNo,
    id: &str,
) -> Result<Option<RevokedKey>, StorageError> {
    one(read, revoked_key, fleet, id)
}

/// Whether a key was revoked.
pub fn is_revoked(read: &impl Read, fleet: FleetNo, id: &str) -> Result<bool, StorageError> {
    if id.len() > 255 {
        return Ok(false);
    }
    read.exists(Cf::Registry, revoked_key(fleet, id).bytes())
}

/// Revoked keys with an id after this one, in the order of their ids, at most `limit`.
pub fn list_revoked(
    read: &impl Read,
    fleet: FleetNo,
    after: &str,
    limit: usize,
) -> Result<Vec<RevokedKey>, StorageError> {
    many(
        read,
        revoked_key,
        registry::REVOKED_KEY,
        fleet,
        after,
        limit,
    )
}

/// Revokes a key: from now on it is among these, and no operator's.
pub fn revoke(txn: &mut Txn, fleet: FleetNo, key: &RevokedKey) {
    txn.delete(Cf::Registry, operator_key(fleet, &key.key_id));
    txn.put_record(Cf::Registry, revoked_key(fleet, &key.key_id), key);
}

/// Keys that an agent registered, in the order of their ids.
pub fn of_agent(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<Vec<AgentKey>, StorageError> {
    let prefix = agent_key(fleet, agent);
    let end = prefix_end(prefix.bytes());
    // One more than are kept, for the moment at which one makes room.
    read.scan(Cf::Registry, prefix.bytes(), &end, AGENT_KEYS_MAX + 1)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Writes an agent's key; the one registered first makes room.
pub fn put_of_agent(
    txn: &mut Txn,
    fleet: FleetNo,
    agent: AgentNo,
    key: &AgentKey,
) -> Result<(), StorageError> {
    txn.put_record(Cf::Registry, agent_key(fleet, agent).text(&key.key_id), key);
    let all = of_agent(txn, fleet, agent)?;
    if all.len() <= AGENT_KEYS_MAX {
        return Ok(());
    }
    let others = all.iter().filter(|one| one.key_id != key.key_id);
    if let Some(first) = others.min_by_key(|one| (one.registered_ms, &one.key_id)) {
        txn.delete(Cf::Registry, agent_key(fleet, agent).text(&first.key_id));
    }
    Ok(())
}

fn one<R: Record>(
    read: &impl Read,
    key: fn(FleetNo, &str) -> Key,
    fleet: FleetNo,
    id: &str,
) -> Result<Option<R>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

fn many<R: Record>(
    read: &impl Read,
    key: fn(FleetNo, &str) -> Key,
    table: u8,
    fleet: FleetNo,
    after: &str,
    limit: usize,
) -> Result<Vec<R>, StorageError> {
    let prefix = Key::table(table).u32(fleet);
    let end = prefix_end(prefix.bytes());
    let lower = match after {
        "" => prefix,
        // The first key after it.
        after => key(fleet, after).u8(0),
    };
    read.scan(Cf::Registry, lower.bytes(), &end, limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}
