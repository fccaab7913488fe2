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
        match Hmac::<Sha256>::new_from_slice(&self.key) {
            Ok(mac) => mac
                .chain_update(token.as_bytes())
                .finalize()
                .into_bytes()
                .into(),
            // HMAC takes keys of any length.
            Err(error) => unreachable!("hmac key: {error}"),
        }
    }
}
