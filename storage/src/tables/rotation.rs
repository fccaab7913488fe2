//! The latest change of the master secret, under way or done; no row before the first one.
//!
//! What is sealed before there is a row does not say under which key: there was one only. Since
//! then it does, so that apply can tell without opening it what is sealed under another key.

use bincode::{Decode, Encode};

use super::{TimeMs, meta, record, system};
use crate::{Cf, Key, Read, StorageError, Txn};

/// First byte of what is sealed and says under which key, which follows.
pub const NAMED: u8 = 2;
/// Bytes of a key's id.
pub const KEY_ID_BYTES: usize = 8;

/// A change of the master secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rotation {
    /// Id of the key that was in force before.
    pub from_key_id: String,
    /// Id of the key that everything is to be sealed under.
    pub to_key_id: String,
    /// Public id of the operator who began it.
    pub began_by: String,
    /// When.
    pub began_ms: TimeMs,
    /// Secrets that were sealed anew.
    pub resealed: u64,
    /// Since when the new key is in force; none while that is under way.
    pub done_ms: Option<TimeMs>,
}
record!(Rotation, "rotation");

/// The latest one.
pub fn get(read: &impl Read) -> Result<Option<Rotation>, StorageError> {
    read.record(Cf::Meta, Key::table(meta::ROTATION).bytes())
}

/// The one that is under way.
pub fn under_way(read: &impl Read) -> Result<Option<Rotation>, StorageError> {
    Ok(get(read)?.filter(|rotation| rotation.done_ms.is_none()))
}

/// Writes the row.
pub fn put(txn: &mut Txn, rotation: &Rotation) {
    txn.put_record(Cf::Meta, Key::table(meta::ROTATION), rotation);
}

/// Ids of the keys that a node cannot do without: of the one in force, and of the next one while
/// that is under way. None before set-up.
pub fn needed_keys(read: &impl Read) -> Result<Vec<String>, StorageError> {
    let in_force = system::get(read)?.sealing_key_id;
    let next = under_way(read)?.map(|rotation| rotation.to_key_id);
    let in_force = Some(in_force).filter(|id| !id.is_empty());
    Ok(in_force.into_iter().chain(next).collect())
}

/// Id of the key that this is sealed under, where it says.
pub fn key_id(sealed: &[u8]) -> Option<String> {
    let rest = sealed.strip_prefix(&[NAMED])?;
    let id = rest.first_chunk::<KEY_ID_BYTES>()?;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}
