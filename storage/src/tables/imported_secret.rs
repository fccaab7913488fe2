//! Secrets of imported agents of which only a hash is known.
//!
//! A hash signs nothing: the agent shows the secret once, and the row goes.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// Hashes of one agent.
pub const HASHES_MAX: usize = 2;

/// What is known of an imported agent's secrets, at most [`HASHES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ImportedSecrets {
    /// Each stands for one secret.
    pub hashes: Vec<ImportedHash>,
}
record!(ImportedSecrets, "imported_secrets");

/// The hash of one secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ImportedHash {
    /// SHA-256 of the secret, sealed as a secret is.
    pub sealed_hash: Vec<u8>,
    /// When the secret stops working; none for never.
    pub expires_ms: Option<TimeMs>,
}

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::IMPORTED_SECRET).u32(fleet).u32(agent)
}

/// What is known of an agent's secrets; none where no import left anything to prove.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<Option<ImportedSecrets>, StorageError> {
    read.record(Cf::Registry, key(fleet, agent).bytes())
}

/// Writes what is known of an agent's secrets; nothing where nothing is.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, secrets: &ImportedSecrets) {
    match secrets.hashes.is_empty() {
        true => delete(txn, fleet, agent),
        false => txn.put_record(Cf::Registry, key(fleet, agent), secrets),
    }
}

/// Forgets what is known of an agent's secrets.
pub fn delete(txn: &mut Txn, fleet: FleetNo, agent: AgentNo) {
    txn.delete(Cf::Registry, key(fleet, agent));
}
