//! Fleets: the tenants of a relay.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// The number of the fleet that set-up makes. Its owners administer the relay.
pub const FIRST: FleetNo = 1;

/// A fleet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fleet {
    /// Its number in keys.
    pub no: FleetNo,
    /// Its public id, `flt_…`.
    pub id: String,
    /// Its name, unique on the relay; operators sign in with it.
    pub name: String,
    /// When it was created.
    pub created_ms: TimeMs,
}
record!(Fleet, "fleet");

/// The fleet with this number.
pub fn get(read: &impl Read, no: FleetNo) -> Result<Option<Fleet>, StorageError> {
    read.record(Cf::Registry, Key::table(registry::FLEET).u32(no).bytes())
}

/// The fleet with this public id.
pub fn by_id(read: &impl Read, id: &str) -> Result<Option<Fleet>, StorageError> {
    by_index(read, registry::FLEET_BY_ID, id)
}

/// The fleet with this name.
pub fn by_name(read: &impl Read, name: &str) -> Result<Option<Fleet>, StorageError> {
    by_index(read, registry::FLEET_BY_NAME, name)
}

fn by_index(read: &impl Read, index: u8, text: &str) -> Result<Option<Fleet>, StorageError> {
    if text.len() > 255 {
        return Ok(None);
    }
    match read.get(Cf::Registry, Key::table(index).text(text).bytes())? {
        Some(bytes) => get(read, crate::KeyReader::new("fleet index", &bytes).u32()?),
        None => Ok(None),
    }
}

/// All fleets, in the order of their numbers, at most `limit`.
pub fn list(read: &impl Read, limit: usize) -> Result<Vec<Fleet>, StorageError> {
    read.prefix(Cf::Registry, Key::table(registry::FLEET).bytes(), limit)?
        .iter()
        .map(|(_, value)| crate::decode(value))
        .collect()
}

/// Writes a fleet and its indexes.
pub fn put(txn: &mut Txn, fleet: &Fleet) {
    txn.put_record(
        Cf::Registry,
        Key::table(registry::FLEET).u32(fleet.no),
        fleet,
    );
    let no = fleet.no.to_be_bytes().to_vec();
    txn.put(
        Cf::Registry,
        Key::table(registry::FLEET_BY_ID).text(&fleet.id),
        no.clone(),
    );
    txn.put(
        Cf::Registry,
        Key::table(registry::FLEET_BY_NAME).text(&fleet.name),
        no,
    );
}
