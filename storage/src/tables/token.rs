//! Enrolment tokens: each admits one agent, once.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// An enrolment token. The key is a hash of it; the token itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EnrollmentToken {
    /// The fleet it admits to.
    pub fleet: FleetNo,
    /// The operator who made it.
    pub created_by: String,
    /// When it stops working.
    pub expires_ms: TimeMs,
}
record!(EnrollmentToken, "enrollment_token");

fn key(hash: &[u8; 32]) -> Key {
    Key::table(registry::ENROLLMENT_TOKEN).raw(hash)
}

/// The token with this hash, used and expired ones excepted.
pub fn get(read: &impl Read, hash: &[u8; 32]) -> Result<Option<EnrollmentToken>, StorageError> {
    read.record(Cf::Registry, key(hash).bytes())
}

/// Writes a token.
pub fn put(txn: &mut Txn, hash: &[u8; 32], token: &EnrollmentToken) {
    txn.put_record(Cf::Registry, key(hash), token);
}

/// Removes a token: it was used or its time is over.
pub fn delete(txn: &mut Txn, hash: &[u8; 32]) {
    txn.delete(Cf::Registry, key(hash));
}
