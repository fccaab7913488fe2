//! Rooms: named groups of agents.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn, decode, prefix_end};

/// A room.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Room {
    /// Public id, `room_…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who made it; always a member.
    pub created_by: AgentNo,
    /// When it was made.
    pub created_ms: TimeMs,
    /// Members in the order of their numbers.
    pub members: Vec<AgentNo>,
}
record!(Room, "room");

fn key(fleet: FleetNo, id: &str) -> Key {
    Key::table(registry::ROOM).u32(fleet).text(id)
}

/// The room with this id.
pub fn get(read: &impl Read, fleet: FleetNo, id: &str) -> Result<Option<Room>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, id).bytes())
}

/// Writes a room.
pub fn put(txn: &mut Txn, fleet: FleetNo, room: &Room) {
    txn.put_record(Cf::Registry, key(fleet, &room.id), room);
}

/// Rooms with an id after this one, in the order of their ids, which is that of their making; at
/// most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    after: &str,
    limit: usize,
) -> Result<Vec<Room>, StorageError> {
    let prefix = Key::table(registry::ROOM).u32(fleet);
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
