//! Floors: who may speak in a conversation for now.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// A held floor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Floor {
    /// Who holds it.
    pub holder: AgentNo,
    /// Until when.
    pub expires_ms: TimeMs,
}
record!(Floor, "floor");

fn key(fleet: FleetNo, conversation: &str) -> Key {
    Key::table(registry::FLOOR).u32(fleet).text(conversation)
}

/// The floor of a conversation.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    conversation: &str,
) -> Result<Option<Floor>, StorageError> {
    read.record(Cf::Registry, key(fleet, conversation).bytes())
}

/// Writes a floor.
pub fn put(txn: &mut Txn, fleet: FleetNo, conversation: &str, floor: &Floor) {
    txn.put_record(Cf::Registry, key(fleet, conversation), floor);
}

/// Frees a floor.
pub fn delete(txn: &mut Txn, fleet: FleetNo, conversation: &str) {
    txn.delete(Cf::Registry, key(fleet, conversation));
}
