//! The one row about the state machine itself.

use bincode::{Decode, Encode};

use super::{TimeMs, meta, record};
use crate::{Cf, Key, Read, StorageError, Txn};

/// State of the state machine that belongs to no fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct System {
    /// The newest time any command carried; it never goes back.
    pub now_ms: TimeMs,
    /// Nothing is due before this time that has not been handled.
    pub due_low_ms: TimeMs,
    /// When the present leader began; silence before that is not held against an agent.
    pub leader_since_ms: TimeMs,
    /// Nonce buckets below this one are gone.
    pub nonce_floor_bucket: u32,
    /// Timestamps up to this one are refused for ever: nonces that old may have been forgotten
    /// under a narrower skew.
    pub timestamp_floor_ms: TimeMs,
    /// A wider skew that was in force until lately, and until when nonces are remembered as long
    /// as it needs.
    pub wide_skew_ms: u64,
    /// See [`System::wide_skew_ms`].
    pub wide_until_ms: TimeMs,
    /// Identity of the key that seals secrets at rest, set by setup.
    pub sealing_key_id: String,
}
record!(System, "system");

impl System {
    /// How long ago a nonce may have been used that can still come back: twice the skew under
    /// which it may have been accepted.
    pub fn nonce_memory_ms(&self, skew_ms: u64) -> u64 {
        let widest_ms = if self.now_ms < self.wide_until_ms {
            self.wide_skew_ms
        } else {
            0
        };
        2 * skew_ms.max(widest_ms)
    }

    /// Refuses for ever what may have been accepted up to `lost_ms` and is not remembered here. A
    /// clock ahead may have been accepted with a timestamp whose time is yet to come.
    pub fn memory_lost(&mut self, lost_ms: TimeMs, skew_ms: u64) {
        let floor_ms = lost_ms.saturating_add(self.nonce_memory_ms(skew_ms) / 2);
        self.timestamp_floor_ms = self.timestamp_floor_ms.max(floor_ms);
    }

    /// Takes note that the skew changes now.
    pub fn skew_changes(&mut self, from_ms: u64, to_ms: u64) {
        let memory_ms = self.nonce_memory_ms(from_ms);
        if to_ms > from_ms {
            // What the narrower skew refused, and therefore let be forgotten, stays refused.
            let floor_ms = self.now_ms.saturating_sub(memory_ms / 2);
            self.timestamp_floor_ms = self.timestamp_floor_ms.max(floor_ms);
        } else if to_ms < from_ms {
            // A clock ahead may have used a nonce with a timestamp whose time is yet to come.
            self.wide_skew_ms = memory_ms / 2;
            self.wide_until_ms = self.now_ms + memory_ms;
        }
    }
}

/// Reads the row; a new state has the default.
pub fn get(read: &impl Read) -> Result<System, StorageError> {
    Ok(read
        .record(Cf::Meta, Key::table(meta::SYSTEM).bytes())?
        .unwrap_or_default())
}

/// Writes the row.
pub fn put(txn: &mut Txn, system: &System) {
    txn.put_record(Cf::Meta, Key::table(meta::SYSTEM), system);
}
