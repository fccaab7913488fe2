//! Secrets at rest, such as agents' keys and operators' second factors: XChaCha20-Poly1305 under a
//! key derived from the master secret.
//!
//! A sealed secret is a version byte, in version 2 the id of the key, then the 24-byte nonce, and
//! the ciphertext with its tag; whose it is, is authenticated with it, so that a sealed secret moved
//! to another agent does not open. A key's id is a hash of a value derived beside the key. The id of
//! the key in force is kept in the state: a node started with another master secret refuses at once
//! instead of refusing every agent.
//!
//! While the master secret is changed a node holds two of them, and opens what is sealed under
//! either.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ekho_storage::tables::rotation::{self, KEY_ID_BYTES, NAMED};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secrets::Secrets;

/// First byte of what does not say under which key it is sealed.
const UNNAMED: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets.
pub struct Sealer {
    /// That of the master secret, then that of the next one.
    keys: Vec<SealingKey>,
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
    /// The key that is to be used is not that of a secret which this node holds.
    #[error("this node does not hold the master secret of key {0}")]
    NotHeld(String),
}

/// What is derived from one master secret.
struct SealingKey {
    derive: Hkdf<Sha256>,
    cipher: XChaCha20Poly1305,
    id: [u8; KEY_ID_BYTES],
    /// The same in hex.
    name: String,
}

impl SealingKey {
    fn new(master: &[u8]) -> Result<Self, SealError> {
        let derive = Hkdf::<Sha256>::new(Some(b"ekho"), master);
        let mut key = Zeroizing::new([0u8; 32]);
        derive
            .expand(b"agent secrets v1", key.as_mut())
            .map_err(|_| SealError::Key)?;
        let mut id = [0u8; KEY_ID_BYTES];
        derive
            .expand(b"key id v1", &mut id)
            .map_err(|_| SealError::Key)?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.as_ref()).map_err(|_| SealError::Key)?;
        Ok(SealingKey {
            derive,
            cipher,
            id,
            name: hex::encode(id),
        })
    }

    fn seed(&self, info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        self.derive
            .expand_multi_info(info, seed.as_mut())
            .map_err(|_| SealError::Key)?;
        Ok(seed)
    }

    /// Puts the nonce and the ciphertext behind `head`.
    fn seal(&self, head: &[u8], owner: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: secret,
            aad: owner.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Key)?;
        Ok([head, &nonce, &sealed].concat())
    }

    fn open(&self, owner: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: ciphertext,
            aad: owner.as_bytes(),
        };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).ok()
    }
}

impl Sealer {
    /// A sealer under the keys derived from the secrets.
    pub fn new(secrets: &Secrets) -> Result<Self, SealError> {
        let masters = [Some(&secrets.master), secrets.next_master.as_ref()];
        let masters = masters.into_iter().flatten();
        let keys = masters.map(|master| SealingKey::new(master.as_bytes()));
        Ok(Sealer {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// The id of a master secret's key, which tells nothing about it.
    pub fn key_id_of(master: &str) -> Result<String, SealError> {
        Ok(SealingKey::new(master.as_bytes())?.name)
    }

    /// Ids of the keys: that of the master secret, then that of the next one where there is one.
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.name.clone()).collect()
    }

    /// Whether it has this key.
    pub fn holds(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.name == key_id)
    }

    fn key(&self, key_id: &str) -> Result<&SealingKey, SealError> {
        let found = self.keys.iter().find(|key| key.name == key_id);
        found.ok_or_else(|| SealError::NotHeld(key_id.into()))
    }

    /// Seeds of the authorities of the cluster's nodes, in the order of the keys. Every node that
    /// holds a secret makes the same of it.
    pub fn node_seeds(&self) -> Result<Vec<Zeroizing<[u8; 32]>>, SealError> {
        let seeds = self
            .keys
            .iter()
            .map(|key| key.seed(&[b"node authority v1"]));
        seeds.collect()
    }

    /// The seed of the key that signs the A2A cards of a fleet.
    pub fn card_seed(
        &self,
        key_id: &str,
        fleet_id: &str,
    ) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let key = self.key(key_id)?;
        key.seed(&[b"agent cards v1 ", fleet_id.as_bytes()])
    }

    /// Seals `secret` for `owner`: an agent's id, or a name that no agent has. The key is named in
    /// what it gives.
    pub fn seal(&self, key_id: &str, owner: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.key(key_id)?;
        key.seal(&[&[NAMED], key.id.as_slice()].concat(), owner, secret)
    }

    /// The same without naming the key, as long as there was never another.
    pub fn seal_unnamed(
        &self,
        key_id: &str,
        owner: &str,
        secret: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.key(key_id)?.seal(&[UNNAMED], owner, secret)
    }

    /// Opens what was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if let Some(key_id) = rotation::key_id(sealed) {
            let rest = &sealed[1 + KEY_ID_BYTES..];
            return self.key(&key_id)?.open(owner, rest).ok_or(SealError::Open);
        }
        let rest = sealed.strip_prefix(&[UNNAMED]).ok_or(SealError::Open)?;
        let mut opened = self.keys.iter().filter_map(|key| key.open(owner, rest));
        opened.next().ok_or(SealError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sealer {
        /// That of a node with these secrets.
        pub fn of(master: &str, next: Option<&str>) -> Result<Self, SealError> {
            Sealer::new(&Secrets {
                master: Zeroizing::new(master.into()),
                next_master: next.map(|next| Zeroizing::new(next.into())),
                session: Zeroizing::new("session".into()),
            })
        }
    }

    #[test]
    fn opens_for_the_same_key_and_agent_only() -> Result<(), SealError> {
        let sealer = Sealer::of("master", None)?;
        let key_id = Sealer::key_id_of("master")?;
        let other = Sealer::of("other", None)?;
        assert_ne!(sealer.key_ids(), other.key_ids());
        for sealed in [
            sealer.seal(&key_id, "agent_1", b"secret")?,
            sealer.seal_unnamed(&key_id, "agent_1", b"secret")?,
        ] {
            assert_eq!(sealer.open("agent_1", &sealed)?.as_slice(), b"secret");
            assert!(sealer.open("agent_2", &sealed).is_err());
            assert!(other.open("agent_1", &sealed).is_err());
            for position in 0..sealed.len() {
                let mut flipped = sealed.clone();
                flipped[position] ^= 1;
                assert!(sealer.open("agent_1", &flipped).is_err(), "byte {position}");
            }
            for length in 0..sealed.len() {
                assert!(sealer.open("agent_1", &sealed[..length]).is_err());
            }
        }
        Ok(())
    }

    #[test]
    fn with_two_secrets_it_opens_what_is_sealed_under_either() -> Result<(), SealError> {
        let (old, new) = (Sealer::key_id_of("old")?, Sealer::key_id_of("new")?);
        let both = Sealer::of("old", Some("new"))?;
        assert_eq!(both.key_ids(), [old.clone(), new.clone()]);
        let before = Sealer::of("old", None)?;
        let after = Sealer::of("new", None)?;
        let first = before.seal_unnamed(&old, "agent_1", b"secret")?;
        let under_old = both.seal(&old, "agent_1", b"secret")?;
        let under_new = both.seal(&new, "agent_1", b"secret")?;
        for sealed in [&first, &under_old, &under_new] {
            assert_eq!(both.open("agent_1", sealed)?.as_slice(), b"secret");
        }
        assert_eq!(rotation::key_id(&first), None);
        assert_eq!(rotation::key_id(&under_new), Some(new.clone()));
        assert!(before.open("agent_1", &under_new).is_err());
        assert!(after.open("agent_1", &under_old).is_err());
        assert!(after.open("agent_1", &first).is_err());
        assert_eq!(after.open("agent_1", &under_new)?.as_slice(), b"secret");
        assert!(before.seal(&new, "agent_1", b"secret").is_err());
        Ok(())
    }
}
