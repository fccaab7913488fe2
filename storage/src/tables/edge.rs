//! What a fleet allows nodes at the edge, and how far their outboxes were emptied. Written from
//! feature level 2 on.

use bincode::{Decode, Encode};

use super::counter::{self, Counter};
use super::{AgentNo, FleetNo, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// What belongs to no fleet is kept under this number.
const SYSTEM: FleetNo = 0;

/// Settings that a fleet has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct FleetSettings {
    /// Whether an edge node that is cut off may store sends, and show inboxes as it knows them.
    pub edge_outbox: bool,
}
record!(FleetSettings, "fleet_settings");

/// The newest entry of an edge node's outbox that was decided, of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EdgeDone {
    /// Which outbox; a node that lost its data begins another one.
    pub outbox: u128,
    /// The entry's number there.
    pub seq: u64,
}
record!(EdgeDone, "edge_done");

fn settings_key(fleet: FleetNo) -> Key {
    Key::table(registry::FLEET_SETTINGS).u32(fleet)
}

fn done_key(fleet: FleetNo, agent: AgentNo, node_id: u64) -> Key {
    Key::table(registry::EDGE_DONE)
        .u32(fleet)
        .u32(agent)
        .u64(node_id)
}

/// A fleet's own settings.
pub fn settings(read: &impl Read, fleet: FleetNo) -> Result<FleetSettings, StorageError> {
    let stored = read.record(Cf::Registry, settings_key(fleet).bytes())?;
    Ok(stored.unwrap_or_default())
}

/// Whether edge nodes may store sends of any fleet at all.
pub fn is_used(read: &impl Read) -> Result<bool, StorageError> {
    Ok(counter::get(read, SYSTEM, Counter::FleetsAtEdge)? > 0)
}

/// Writes a fleet's own settings.
pub fn put_settings(
    txn: &mut Txn,
    fleet: FleetNo,
    after: &FleetSettings,
) -> Result<(), StorageError> {
    let before = settings(txn, fleet)?;
    let by = i64::from(after.edge_outbox) - i64::from(before.edge_outbox);
    if by != 0 {
        counter::add(txn, SYSTEM, Counter::FleetsAtEdge, by)?;
    }
    txn.put_record(Cf::Registry, settings_key(fleet), after);
    Ok(())
}

/// How far a node's outbox was emptied of one sender's messages.
pub fn done(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    node_id: u64,
) -> Result<Option<EdgeDone>, StorageError> {
    read.record(Cf::Registry, done_key(fleet, agent, node_id).bytes())
}

/// Takes note of how far that is.
pub fn put_done(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, node_id: u64, done: &EdgeDone) {
    txn.put_record(Cf::Registry, done_key(fleet, agent, node_id), done);
}
