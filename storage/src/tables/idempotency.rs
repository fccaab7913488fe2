//! Idempotency keys: what a send with this key was answered.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, Read, StorageError, Txn};

const TABLE: u8 = 3;

/// What was done under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Idempotency {
    /// SHA-256 of the request body; another body under the same key is refused.
    pub request_hash: [u8; 32],
    /// The message made.
    pub message: u128,
    /// When it was accepted.
    pub queued_ms: TimeMs,
    /// When it is handed out at the earliest.
    pub deliver_at_ms: TimeMs,
}
record!(Idempotency, "idempotency");

fn key(fleet: FleetNo, agent: AgentNo, text: &str) -> Key {
    Key::table(TABLE).u32(fleet).u32(agent).text(text)
}

/// What was done under this key.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    text: &str,
) -> Result<Option<Idempotency>, StorageError> {
    read.record(Cf::Index, key(fleet, agent, text).bytes())
}

/// Writes what was done.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, text: &str, done: &Idempotency) {
    txn.put_record(Cf::Index, key(fleet, agent, text), done);
}

/// Forgets the key.
pub fn delete(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, text: &str) {
    txn.delete(Cf::Index, key(fleet, agent, text));
}
