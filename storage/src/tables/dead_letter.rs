//! Dead letters: deliveries nobody took.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, page};

const TABLE: u8 = 3;

/// A delivery that was given up. Its message and body stay as long as it does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeadLetter {
    /// The message.
    pub message: u128,
    /// The recipient.
    pub recipient: AgentNo,
    /// The delivery's place in the recipient's inbox.
    pub seq: u64,
    /// The sender.
    pub sender: AgentNo,
    /// How often it was put back.
    pub retry_count: u32,
    /// Why it was given up.
    pub failure_reason: String,
    /// When.
    pub at_ms: TimeMs,
    /// When it is removed.
    pub until_ms: TimeMs,
}
record!(DeadLetter, "dead_letter");

fn key(fleet: FleetNo, seq: u64) -> Key {
    Key::table(TABLE).u32(fleet).u64(seq)
}

/// The dead letter with this number.
pub fn get(read: &impl Read, fleet: FleetNo, seq: u64) -> Result<Option<DeadLetter>, StorageError> {
    read.record(Cf::Delivery, key(fleet, seq).bytes())
}

/// Dead letters with their numbers, at most `limit`; behind `from` where it is given.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    descending: bool,
    from: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, DeadLetter)>, StorageError> {
    let prefix = Key::table(TABLE).u32(fleet);
    let from = from.map(u64::to_be_bytes);
    let from = from.as_ref().map(<[u8; 8]>::as_slice);
    page(read, Cf::Delivery, prefix.bytes(), descending, from, limit)?
        .iter()
        .map(|(place, value)| Ok((KeyReader::new("dead letter", place).u64()?, decode(value)?)))
        .collect()
}

/// Writes a dead letter.
pub fn put(txn: &mut Txn, fleet: FleetNo, seq: u64, letter: &DeadLetter) {
    txn.put_record(Cf::Delivery, key(fleet, seq), letter);
}

/// Removes a dead letter.
pub fn delete(txn: &mut Txn, fleet: FleetNo, seq: u64) {
    txn.delete(Cf::Delivery, key(fleet, seq));
}
