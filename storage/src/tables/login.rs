//! Failed sign-ins, per account and per address, while they count.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// What tries to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Source {
    /// An account, whether it exists or not.
    Account(FleetNo, String),
    /// A network address.
    Address(String),
}

/// Failures in a row, none longer ago than the setting says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When they are forgotten; until then, where there are too many, nobody gets in.
    pub until_ms: TimeMs,
}
record!(Failures, "login_failures");

fn key(source: &Source) -> Key {
    let key = Key::table(registry::LOGIN_FAILURES);
    match source {
        Source::Account(fleet, email) => key.u8(1).u32(*fleet).text(email),
        Source::Address(address) => key.u8(2).text(address),
    }
}

/// The failures of a source.
pub fn get(read: &impl Read, source: &Source) -> Result<Failures, StorageError> {
    Ok(read
        .record(Cf::Registry, key(source).bytes())?
        .unwrap_or_default())
}

/// Writes the failures of a source.
pub fn put(txn: &mut Txn, source: &Source, failures: &Failures) {
    txn.put_record(Cf::Registry, key(source), failures);
}

/// Forgets the failures of a source.
pub fn delete(txn: &mut Txn, source: &Source) {
    txn.delete(Cf::Registry, key(source));
}
