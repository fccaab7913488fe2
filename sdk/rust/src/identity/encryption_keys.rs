//! X25519 keys that agents encrypt to: what their ids are, how an identity key vouches for one, and
//! which one of an agent to believe (docs/encryption.md).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use super::hpke;
use super::keyring::KeyRing;
use super::keys::{AgentIdentity, from_base64};
use crate::error::EkhoError;
use crate::types::EncryptionKeyEntry;

const FORM: &str = "ekho-encryption-key-v1";
/// Salt of what else is derived of a seed; see `encrypt`.
const DERIVATION_SALT: &[u8] = b"ekho-encrypted-v1";

/// The public half of an encryption key: base64 of 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicEncryptionKey {
    pub(super) raw: [u8; 32],
}

impl PublicEncryptionKey {
    /// Reads a key.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where the text is none.
    pub fn parse(text: &str) -> Result<Self, EkhoError> {
        let raw = from_base64(text).and_then(|raw| raw.try_into().ok());
        let raw = raw.ok_or_else(|| EkhoError::invalid("no X25519 public key in base64"))?;
        Ok(Self { raw })
    }

    /// `xkey_` and the first 16 bytes of SHA-256 of the 32 bytes, in hex.
    pub fn key_id(&self) -> String {
        let digest = Sha256::digest(self.raw);
        format!("xkey_{}", hex::encode(&digest[..16]))
    }
}

/// Base64 of the 32 bytes.
impl std::fmt::Display for PublicEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(self.raw))
    }
}

/// An agent's key pair to encrypt to, whose public half is published through the relay.
#[derive(Clone)]
pub struct EncryptionKey {
    pub(super) private: hpke::PrivateKey,
    public: PublicEncryptionKey,
    /// What keys are derived of that only this agent can derive.
    pub(super) derivation: Hkdf<Sha256>,
}

impl EncryptionKey {
    /// A new key, and the seed to keep: whoever has it can read what is encrypted to it.
    pub fn generate() -> (Self, String) {
        let seed: [u8; 32] = rand::random();
        (Self::of_seed(seed), STANDARD.encode(seed))
    }

    /// The key of a seed: 32 bytes in base64.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where it is none.
    pub fn from_seed(seed: &str) -> Result<Self, EkhoError> {
        let seed = from_base64(seed).and_then(|seed| seed.try_into().ok());
        let why = "the seed of an encryption key is 32 bytes in base64";
        let seed = seed.ok_or_else(|| EkhoError::invalid(why))?;
        Ok(Self::of_seed(seed))
    }

    fn of_seed(seed: [u8; 32]) -> Self {
        let (private, raw) = hpke::key_pair(&seed);
        Self {
            private,
            public: PublicEncryptionKey { raw },
            derivation: Hkdf::new(Some(DERIVATION_SALT), &seed),
        }
    }

    /// The half that others know.
    pub fn public_key(&self) -> &PublicEncryptionKey {
        &self.public
    }

    /// Its id.
    pub fn key_id(&self) -> String {
        self.public.key_id()
    }
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EncryptionKey")
            .field(&self.key_id())
            .finish()
    }
}

/// What an agent signs with its identity key to say that this key is its own.
pub fn encryption_key_statement(
    fleet_id: &str,
    agent_id: &str,
    by_key_id: &str,
    key: &PublicEncryptionKey,
) -> String {
    let key_id = key.key_id();
    format!("{FORM}\n{fleet_id}\n{agent_id}\n{by_key_id}\n{key_id}\n{key}")
}

/// The id of the identity key, and its signature of the statement about the encryption key.
pub fn sign_encryption_key(
    key: &PublicEncryptionKey,
    fleet_id: &str,
    agent_id: &str,
    identity: &AgentIdentity,
) -> (String, String) {
    let by_key_id = identity.public_key().key_id();
    let statement = encryption_key_statement(fleet_id, agent_id, &by_key_id, key);
    (by_key_id, identity.sign(statement.as_bytes()))
}

/// The key to encrypt to, of those that the relay names. With a ring, one of the agent's identity
/// keys in it has to vouch for the key; without one, the relay's word counts.
///
/// Errors: [`EkhoError::NoEncryptionKey`], [`EkhoError::EncryptionKeyNotTrusted`];
/// [`EkhoError::InvalidArgument`] where what the relay names is no key.
pub fn chosen_key(
    agent_id: &str,
    entries: &[EncryptionKeyEntry],
    ring: Option<&KeyRing>,
) -> Result<PublicEncryptionKey, EkhoError> {
    let current = entries.iter().find(|entry| entry.current);
    let current = current
        .filter(|entry| entry.revoked_at.is_none())
        .ok_or_else(|| EkhoError::NoEncryptionKey(agent_id.to_owned()))?;
    let key = PublicEncryptionKey::parse(&current.public_key)?;
    if ring.is_some_and(|ring| !vouched_for(agent_id, &key, current, ring)) {
        return Err(EkhoError::EncryptionKeyNotTrusted(agent_id.to_owned()));
    }
    Ok(key)
}

fn vouched_for(
    agent_id: &str,
    key: &PublicEncryptionKey,
    entry: &EncryptionKeyEntry,
    ring: &KeyRing,
) -> bool {
    let (Some(by_key_id), Some(signature)) = (&entry.signed_by_key_id, &entry.signature) else {
        return false;
    };
    let Some(by) = ring.agent_key(agent_id, by_key_id) else {
        return false;
    };
    let statement = encryption_key_statement(ring.fleet_id(), agent_id, by_key_id, key);
    !ring.is_revoked(by_key_id, None) && by.verify(signature, statement.as_bytes())
}
