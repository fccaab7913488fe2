//! Keys that agents published for others to encrypt to: one record an agent, with all that are
//! remembered of it.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// Keys of an agent that are remembered; one that was replaced makes room, a revoked one does not.
pub const ENCRYPTION_KEYS_MAX: usize = 50;

/// The encryption keys of an agent, the one published last first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct EncryptionKeys {
    /// The keys.
    pub keys: Vec<EncryptionKey>,
}
record!(EncryptionKeys, "encryption_keys");

/// An X25519 key that others encrypt to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EncryptionKey {
    /// Public id, `xkey_…`: a hash of the key.
    pub key_id: String,
    /// The key.
    pub public_key: [u8; 32],
    /// The agent's own word that it is its key.
    pub signed: Option<KeySignature>,
    /// When it was published last.
    pub published_ms: TimeMs,
    /// Never to be used again.
    pub revoked: Option<KeyRevoked>,
}

/// The signature of an encryption key by an identity key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeySignature {
    /// The identity key.
    pub key_id: String,
    /// Its signature of the statement.
    pub signature: [u8; 64],
}

/// That an encryption key was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyRevoked {
    /// Public id of the operator, or of the agent itself.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at_ms: TimeMs,
}

impl EncryptionKeys {
    /// The key to encrypt to: the one published last, unless it is revoked.
    pub fn current(&self) -> Option<&EncryptionKey> {
        self.keys.first().filter(|key| key.revoked.is_none())
    }
}

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::ENCRYPTION_KEYS).u32(fleet).u32(agent)
}

/// The encryption keys of an agent.
pub fn of_agent(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<EncryptionKeys, StorageError> {
    let found = read.record(Cf::Registry, key(fleet, agent).bytes())?;
    Ok(found.unwrap_or_default())
}

/// Writes them.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, keys: &EncryptionKeys) {
    txn.put_record(Cf::Registry, key(fleet, agent), keys);
}
