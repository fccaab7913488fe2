//! Signatures of Standard Webhooks (standardwebhooks.com, version 1): `v1,` and the base64 of
//! HMAC-SHA256 over `ID.TIMESTAMP.BODY`, under the bytes that a secret `whsec_…` stands for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Secrets begin like this.
const PREFIX: &str = "whsec_";
/// Bytes of a new secret; the specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// A secret's bytes.
pub type Key = Zeroizing<Vec<u8>>;

/// A new secret.
pub fn new_key() -> Key {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    Zeroizing::new(bytes.to_vec())
}

/// A secret as it is told, once.
pub fn told(key: &Key) -> Zeroizing<String> {
    Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(key.as_slice())))
}

/// The header `webhook-signature`: one signature for each secret, so that a receiver that knows
/// one of them is content.
pub fn signatures(keys: &[&Key], id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let all: Vec<String> = keys
        .iter()
        .map(|key| signature(key, id, timestamp_seconds, body))
        .collect();
    all.join(" ")
}

fn signature(key: &Key, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        // HMAC takes keys of any length.
        Err(error) => unreachable!("hmac key: {error}"),
    };
    let mac = mac
        .chain_update(format!("{id}.{timestamp_seconds}."))
        .chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn agrees_with_the_published_example() -> Result<(), base64::DecodeError> {
        let secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let key = Zeroizing::new(STANDARD.decode(secret)?);
        assert_eq!(told(&key).as_str(), format!("whsec_{secret}"));
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
        let expected = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(signatures(&[&key], id, 1_649_367_553, body), expected);
        let both = signatures(&[&new_key(), &key], id, 1_649_367_553, body);
        assert_eq!(both.split(' ').nth(1), Some(expected));
        Ok(())
    }
}
