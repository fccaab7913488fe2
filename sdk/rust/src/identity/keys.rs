//! Ed25519 keys of agents and operators: how they are written, what their ids are, and signing with
//! one (RFC 8032).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::error::EkhoError;

const KEY_BYTES: usize = 32;
/// What stands before the 32 bytes in a SubjectPublicKeyInfo.
const SPKI_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Base64 or base64url, padded or not; None where it is neither.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain = text.replace('-', "+").replace('_', "/");
    STANDARD_NO_PAD.decode(plain.trim_end_matches('=')).ok()
}

/// A public key, however it was written: base64 of its SubjectPublicKeyInfo or of the 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    raw: [u8; KEY_BYTES],
}

impl PublicKey {
    /// Reads a key.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where the text is none.
    pub fn parse(text: &str) -> Result<Self, EkhoError> {
        let bytes = from_base64(text).unwrap_or_default();
        let raw = bytes.strip_prefix(&SPKI_HEAD[..]).unwrap_or(&bytes);
        let raw = raw
            .try_into()
            .map_err(|_| EkhoError::invalid("no Ed25519 public key in base64"))?;
        Ok(Self { raw })
    }

    /// `key_` and the first 16 bytes of SHA-256 of the 32 bytes, in hex.
    pub fn key_id(&self) -> String {
        let digest = Sha256::digest(self.raw);
        format!("key_{}", hex::encode(&digest[..16]))
    }

    /// Whether the signature, in base64, is this key's of these bytes.
    pub fn verify(&self, signature: &str, bytes: &[u8]) -> bool {
        let signature = from_base64(signature).and_then(|raw| Signature::from_slice(&raw).ok());
        match (VerifyingKey::from_bytes(&self.raw), signature) {
            (Ok(key), Some(signature)) => key.verify(bytes, &signature).is_ok(),
            _ => false,
        }
    }
}

/// Base64 of the SubjectPublicKeyInfo.
impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode([&SPKI_HEAD[..], &self.raw[..]].concat()))
    }
}

/// An agent's identity: a key pair whose public half is registered with the relay.
#[derive(Clone)]
pub struct AgentIdentity {
    key: SigningKey,
}

impl AgentIdentity {
    /// A new identity, and the seed to keep: whoever has it can sign as this agent.
    pub fn generate() -> (Self, String) {
        let seed: [u8; KEY_BYTES] = rand::random();
        let key = SigningKey::from_bytes(&seed);
        (Self { key }, STANDARD.encode(seed))
    }

    /// The identity of a seed: 32 bytes in base64.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where it is none.
    pub fn from_seed(seed: &str) -> Result<Self, EkhoError> {
        let seed = from_base64(seed).and_then(|seed| seed.try_into().ok());
        let seed: [u8; KEY_BYTES] = seed
            .ok_or_else(|| EkhoError::invalid("the seed of an identity is 32 bytes in base64"))?;
        let key = SigningKey::from_bytes(&seed);
        Ok(Self { key })
    }

    /// The half that others know.
    pub fn public_key(&self) -> PublicKey {
        let raw = self.key.verifying_key().to_bytes();
        PublicKey { raw }
    }

    /// The signature of these bytes, in base64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.key.sign(bytes).to_bytes())
    }
}

impl std::fmt::Debug for AgentIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AgentIdentity")
            .field(&self.public_key().key_id())
            .finish()
    }
}
