//! Fleets: the tenants of a relay.

use bincode::{Decode, Encode};

use super::counter::{self, Counter};
use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode};

/// The number of the fleet that set-up makes. Its owners administer the relay.
pub const FIRST: FleetNo = 1;

/// What belongs to no fleet is kept under this number.
const SYSTEM: FleetNo = 0;

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
    /// Since when nobody gets in; none while it is in use.
    pub archived_ms: Option<TimeMs>,
}
record!(Fleet, "fleet");

fn key(no: FleetNo) -> Key {
    Key::table(registry::FLEET).u32(no)
}

fn name_key(name: &str) -> Key {
    Key::table(registry::FLEET_BY_NAME).text(name)
}

fn archived_key(no: FleetNo) -> Key {
    Key::table(registry::FLEET_ARCHIVED).u32(no)
}

/// The fleet with this number.
pub fn get(read: &impl Read, no: FleetNo) -> Result<Option<Fleet>, StorageError> {
    read.record(Cf::Registry, key(no).bytes())
}

/// The fleet with this public id.
pub fn by_id(read: &impl Read, id: &str) -> Result<Option<Fleet>, StorageError> {
    by_index(read, registry::FLEET_BY_ID, id)
}

/// The fleet with this name.
pub fn by_name(read: &impl Read, name: &str) -> Result<Option<Fleet>, StorageError> {
    by_index(read, registry::FLEET_BY_NAME, name)
}

/// Whether nobody gets into this fleet. Asked for every request, so it costs one look at a key.
pub fn is_archived(read: &impl Read, no: FleetNo) -> Result<bool, StorageError> {
    read.exists(Cf::Registry, archived_key(no).bytes())
}

/// How many are in use.
pub fn in_use(read: &impl Read) -> Result<u64, StorageError> {
    counter::get(read, SYSTEM, Counter::FleetsInUse)
}

fn by_index(read: &impl Read, index: u8, text: &str) -> Result<Option<Fleet>, StorageError> {
    if text.len() > 255 {
        return Ok(None);
    }
    match read.get(Cf::Registry, Key::table(index).text(text).bytes())? {
        Some(bytes) => get(read, KeyReader::new("fleet index", &bytes).u32()?),
        None => Ok(None),
    }
}

/// All fleets, in the order of their numbers, at most `limit`.
pub fn list(read: &impl Read, limit: usize) -> Result<Vec<Fleet>, StorageError> {
    list_after(read, 0, limit)
}

/// Fleets with a number above `after`, in the order of their numbers, at most `limit`.
pub fn list_after(
    read: &impl Read,
    after: FleetNo,
    limit: usize,
) -> Result<Vec<Fleet>, StorageError> {
    let lower = key(after.saturating_add(1));
    let upper = key(FleetNo::MAX);
    read.scan(Cf::Registry, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Writes a fleet with its indexes, in place of what it was before.
pub fn put(txn: &mut Txn, fleet: &Fleet) -> Result<(), StorageError> {
    let before = get(txn, fleet.no)?;
    if let Some(before) = before.as_ref().filter(|before| before.name != fleet.name) {
        txn.delete(Cf::Registry, name_key(&before.name));
    }
    let was_in_use = before.is_some_and(|before| before.archived_ms.is_none());
    let is_in_use = fleet.archived_ms.is_none();
    if was_in_use != is_in_use {
        let by = if is_in_use { 1 } else { -1 };
        counter::add(txn, SYSTEM, Counter::FleetsInUse, by)?;
    }
    match is_in_use {
        true => txn.delete(Cf::Registry, archived_key(fleet.no)),
        false => txn.put(Cf::Registry, archived_key(fleet.no), Vec::new()),
    }
    txn.put_record(Cf::Registry, key(fleet.no), fleet);
    let no = fleet.no.to_be_bytes().to_vec();
    let id_key = Key::table(registry::FLEET_BY_ID).text(&fleet.id);
    txn.put(Cf::Registry, id_key, no.clone());
    txn.put(Cf::Registry, name_key(&fleet.name), no);
    Ok(())
}
