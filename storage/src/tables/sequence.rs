//! Gapless numbers, given out in apply.

use super::{FleetNo, meta};
use crate::{Cf, Key, Read, StorageError, Txn};

/// What is numbered, per fleet (fleets themselves under fleet 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sequence {
    /// Fleets.
    Fleet = 1,
    /// Agents.
    Agent = 2,
    /// Accepted messages.
    Message = 3,
    /// Audit events.
    Event = 4,
    /// Controls.
    Control = 5,
    /// Dead letters.
    DeadLetter = 6,
    /// Rate violations.
    Violation = 7,
}

/// The number given last; 0 before the first.
pub fn last(read: &impl Read, fleet: FleetNo, sequence: Sequence) -> Result<u64, StorageError> {
    let key = Key::table(meta::SEQUENCE).u32(fleet).u8(sequence as u8);
    let Some(bytes) = read.get(Cf::Meta, key.bytes())? else {
        return Ok(0);
    };
    let bytes: [u8; 8] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| StorageError::Corrupt {
            table: "sequence",
            detail: format!("{} bytes instead of 8", bytes.len()),
        })?;
    Ok(u64::from_le_bytes(bytes))
}

/// The next number, from 1.
pub fn next(txn: &mut Txn, fleet: FleetNo, sequence: Sequence) -> Result<u64, StorageError> {
    let value = last(txn, fleet, sequence)? + 1;
    let key = Key::table(meta::SEQUENCE).u32(fleet).u8(sequence as u8);
    txn.put(Cf::Meta, key, value.to_le_bytes().to_vec());
    Ok(value)
}
