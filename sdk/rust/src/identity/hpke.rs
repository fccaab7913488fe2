//! HPKE (RFC 9180) in the one form that is used here: base mode, DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, AES-128-GCM, one message a context.

use std::convert::Infallible;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Nonce};
use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

pub(super) const KEY_BYTES: usize = 16;
const NONCE: [u8; 12] = [0; 12];

pub(super) type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// What was to be opened is not what was sealed, or not for this key; or a key is none.
#[derive(Debug)]
pub(super) struct Unusable;

/// DeriveKeyPair (section 7.1.3).
pub(super) fn key_pair(ikm: &[u8; 32]) -> (PrivateKey, [u8; 32]) {
    let (private, public) = X25519HkdfSha256::derive_keypair(ikm);
    (private, public.to_bytes().into())
}

/// The encapsulated key and the ciphertext. The ephemeral key is made of `ephemeral_ikm`.
pub(super) fn seal(
    public: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    ephemeral_ikm: [u8; 32],
) -> Result<([u8; 32], Vec<u8>), Unusable> {
    let public = PublicKey::from_bytes(public).map_err(|_| Unusable)?;
    let (enc, ciphertext) =
        hpke::single_shot_seal_with_rng::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            info,
            plaintext,
            aad,
            &mut Given(ephemeral_ikm),
        )
        .map_err(|_| Unusable)?;
    Ok((enc.to_bytes().into(), ciphertext))
}

pub(super) fn open(
    private: &PrivateKey,
    enc: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, Unusable> {
    let enc = EncappedKey::from_bytes(enc).map_err(|_| Unusable)?;
    hpke::single_shot_open::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        private,
        &enc,
        info,
        ciphertext,
        aad,
    )
    .map_err(|_| Unusable)
}

/// AES-128-GCM under a key that seals nothing else, so that its nonce is zero.
pub(super) fn seal_once(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Unusable> {
    let payload = Payload {
        msg: plaintext,
        aad,
    };
    Aes128Gcm::new(key.into())
        .encrypt(&Nonce::from(NONCE), payload)
        .map_err(|_| Unusable)
}

pub(super) fn open_once(key: &[u8], aad: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Unusable> {
    let payload = Payload {
        msg: ciphertext,
        aad,
    };
    Aes128Gcm::new_from_slice(key)
        .map_err(|_| Unusable)?
        .decrypt(&Nonce::from(NONCE), payload)
        .map_err(|_| Unusable)
}

/// Keying material in place of randomness: the key encapsulation draws its 32 bytes once, and
/// derives its ephemeral key of them. The vectors hold it to that.
struct Given([u8; 32]);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for (byte, given) in target.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *given;
        }
        Ok(())
    }
}

impl TryCryptoRng for Given {}
