//! Secrets at rest, such as agents' keys and operators' second factors: XChaCha20-Poly1305 under a
//! key derived from the master secret.
//!
//! A sealed secret is one version byte, the 24-byte nonce, and the ciphertext with its tag; whose
//! it is, is authenticated with it, so that a sealed secret moved to another agent does not open.
//! The key's id (a hash of a value derived beside the key) is kept in the state: a node
//! started with another master secret refuses at once instead of refusing every agent.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The master secret does not give a key.
    #[error("the master secret cannot be used")]
    Key,
    /// Sealed under another key, or damaged.
    #[error("a sealed secret does not open with this master secret")]
    Open,
}

impl Sealer {
    /// A sealer under the key derived from `master`.
    pub fn new(master: &[u8]) -> Result<Self, SealError> {
        let derive = Hkdf::<Sha256>::new(Some(b"ekho"), master);
        let mut key = Zeroizing::new([0u8; 32]);
        derive
            .expand(b"agent secrets v1", key.as_mut())
            .map_err(|_| SealError::Key)?;
        let mut id = [0u8; 8];
        derive
            .expand(b"key id v1", &mut id)
            .map_err(|_| SealError::Key)?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.as_ref()).map_err(|_| SealError::Key)?;
        Ok(Sealer {
            cipher,
            key_id: hex::encode(id),
        })
    }

    /// The seed of the authority of the cluster's nodes, which every node that holds the master
    /// secret makes alike.
    pub fn node_seed(master: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        Hkdf::<Sha256>::new(Some(b"ekho"), master)
            .expand(b"node authority v1", seed.as_mut())
            .map_err(|_| SealError::Key)?;
        Ok(seed)
    }

    /// The seed of the key that signs the A2A cards of a fleet.
    pub fn card_seed(master: &[u8], fleet_id: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        Hkdf::<Sha256>::new(Some(b"ekho"), master)
            .expand_multi_info(&[b"agent cards v1 ", fleet_id.as_bytes()], seed.as_mut())
            .map_err(|_| SealError::Key)?;
        Ok(seed)
    }

    /// Names the key without telling anything about it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals `secret` for `owner`: an agent's id, or a name that no agent has.
    pub fn seal(&self, owner: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: secret,
            aad: owner.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Key)?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Opens what was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Open)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Open)?;
        if *version != VERSION {
            return Err(SealError::Open);
        }
        let payload = Payload {
            msg: ciphertext,
            aad: owner.as_bytes(),
        };
        let opened = self
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::Open)?;
        Ok(Zeroizing::new(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_for_the_same_key_and_agent_only() -> Result<(), SealError> {
        let sealer = Sealer::new(b"master")?;
        let sealed = sealer.seal("agent_1", b"secret")?;
        assert_eq!(sealer.open("agent_1", &sealed)?.as_slice(), b"secret");
        assert!(sealer.open("agent_2", &sealed).is_err());
        let other = Sealer::new(b"other")?;
        assert!(other.open("agent_1", &sealed).is_err());
        assert_ne!(sealer.key_id(), other.key_id());
        for position in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[position] ^= 1;
            assert!(sealer.open("agent_1", &flipped).is_err(), "byte {position}");
        }
        assert!(sealer.open("agent_1", &sealed[..20]).is_err());
        Ok(())
    }
}
