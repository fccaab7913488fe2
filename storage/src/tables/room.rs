//! Rooms: named groups of agents.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

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
