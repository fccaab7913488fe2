//! Bearer and enrolment tokens: stored only as keyed hashes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Hashes tokens under the session secret, so that a copy of the state alone does not even allow
/// guessing at them.
pub struct TokenHasher {
    key: Zeroizing<Vec<u8>>,
}

impl TokenHasher {
    /// A hasher under the operator session secret.
    pub fn new(session_secret: &[u8]) -> Self {
        TokenHasher {
            key: Zeroizing::new(session_secret.to_vec()),
        }
    }

    /// The hash under which a token is stored.
    pub fn hash(&self, token: &str) -> [u8; 32] {
        self.keyed(&[token.as_bytes()])
    }

    /// The hash under which a token is stored of which another relay knew only the SHA-256. Nobody
    /// can show that in place of the token: no text has such a hash, because none has this byte.
    pub fn hash_sha256(&self, digest: &[u8; 32]) -> [u8; 32] {
        const IN_NO_TEXT: u8 = 0xff;
        self.keyed(&[&[IN_NO_TEXT], digest])
    }

    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        match Hmac::<Sha256>::new_from_slice(&self.key) {
            Ok(mac) => {
                let mac = parts.iter().fold(mac, |mac, part| mac.chain_update(part));
                mac.finalize().into_bytes().into()
            }
            // HMAC takes keys of any length.
            Err(error) => unreachable!("hmac key: {error}"),
        }
    }
}
