//! What lies in the outbox of an edge node, which is no part of the state: see
//! [`Outbox`](crate::Outbox).

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record};

/// The one row about the outbox itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutboxHead {
    /// Tells it from every other.
    pub id: u128,
    /// The highest number of an entry that was removed.
    pub removed_seq: u64,
}
record!(OutboxHead, "outbox_head");

/// A send that was accepted here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutboxEntry {
    /// The sender's fleet.
    pub fleet: FleetNo,
    /// The sender.
    pub agent: AgentNo,
    /// The credential it signed with.
    pub credential: u32,
    /// The nonce it used.
    pub nonce: String,
    /// The time it signed.
    pub timestamp_ms: TimeMs,
    /// When the send was accepted, by this node's clock.
    pub stored_ms: TimeMs,
    /// Its idempotency key.
    pub key: String,
    /// SHA-256 of the request; another one under the same key is refused.
    pub request_hash: [u8; 32],
    /// UUID of the message.
    pub message: u128,
    /// The message, as a command holds it.
    pub content: Vec<u8>,
}
record!(OutboxEntry, "outbox_entry");
