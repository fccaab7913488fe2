//! Second factors: a secret shared with an operator's authenticator (TOTP, RFC 6238), and codes
//! that stand in for it once each.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

/// An operator's second factor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Totp {
    /// Names the secret, so that a code that was checked against another one does not count.
    pub secret_id: String,
    /// The shared secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Since when it is asked for; none while no code has shown that the authenticator has it.
    pub confirmed_ms: Option<TimeMs>,
    /// The newest step whose code was accepted. None of an earlier one, nor that one again, is.
    pub last_step: u64,
    /// Keyed hashes of the recovery codes that are left.
    pub recovery_hashes: Vec<[u8; 32]>,
}
record!(Totp, "totp");

fn key(fleet: FleetNo, operator_id: &str) -> Key {
    Key::table(registry::TOTP).u32(fleet).text(operator_id)
}

/// The second factor of an operator, confirmed or not.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    operator_id: &str,
) -> Result<Option<Totp>, StorageError> {
    if operator_id.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, key(fleet, operator_id).bytes())
}

/// Second factors of a fleet with whose they are, in the order of their keys, behind an operator's;
/// at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Totp)>, StorageError> {
    let prefix = Key::table(registry::TOTP).u32(fleet);
    let lower = match after {
        Some(operator_id) => key(fleet, operator_id).u8(0),
        None => prefix.clone(),
    };
    let upper = prefix_end(prefix.bytes());
    read.scan(Cf::Registry, lower.bytes(), &upper, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("totp", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            Ok((reader.text()?.to_string(), decode(value)?))
        })
        .collect()
}

/// Writes the second factor of an operator.
pub fn put(txn: &mut Txn, fleet: FleetNo, operator_id: &str, totp: &Totp) {
    txn.put_record(Cf::Registry, key(fleet, operator_id), totp);
}

/// Removes the second factor of an operator.
pub fn delete(txn: &mut Txn, fleet: FleetNo, operator_id: &str) {
    txn.delete(Cf::Registry, key(fleet, operator_id));
}
