//! Public keys as texts, their ids, and the statements that are signed about them. Private keys never
//! come here.
//!
//! A statement is lines joined by a line feed, with none at the end; the signature is Ed25519 over
//! its UTF-8 bytes (RFC 8032), in base64. `sdk/vectors/operator-keys.json` and
//! `sdk/vectors/encryption.json` have examples.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// First line of every statement about an operator's key.
const FORM: &str = "ekho-operator-key-v1";

/// First line of the statement about an encryption key.
const ENCRYPTION_FORM: &str = "ekho-encryption-key-v1";

/// What stands before the 32 bytes of an Ed25519 key as a SubjectPublicKeyInfo (RFC 8410,
/// section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Base64 with or without padding; it is written with.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The 32 bytes of an Ed25519 key given as base64 of them or of its SubjectPublicKeyInfo, also in
/// PEM form. Any other text is none.
pub fn ed25519(text: &str) -> Option<[u8; 32]> {
    let lines = text.trim().lines().map(str::trim);
    let joined: String = lines.filter(|line| !line.starts_with("-----")).collect();
    let bytes = BASE64
        .decode(joined.replace('-', "+").replace('_', "/"))
        .ok()?;
    let key = match bytes.strip_prefix(&SPKI_PREFIX) {
        Some(key) => key,
        None => &bytes,
    };
    key.try_into().ok()
}

/// The 32 bytes of an X25519 key in base64.
pub fn x25519(text: &str) -> Option<[u8; 32]> {
    let text = text.replace('-', "+").replace('_', "/");
    BASE64.decode(text).ok()?.try_into().ok()
}

/// An X25519 key as answers show it.
pub fn encryption_key_shown(public_key: &[u8; 32]) -> String {
    BASE64.encode(public_key)
}

/// The id of an X25519 key: a hash of it.
pub fn encryption_key_id(public_key: &[u8; 32]) -> String {
    format!("x{}", hashed(public_key))
}

/// What an agent signs with its identity key to say that others may encrypt to this key.
pub fn encryption_key_statement(
    fleet_id: &str,
    agent_id: &str,
    by_key_id: &str,
    public_key: &[u8; 32],
) -> String {
    let (id, key) = (
        encryption_key_id(public_key),
        encryption_key_shown(public_key),
    );
    [ENCRYPTION_FORM, fleet_id, agent_id, by_key_id, &id, &key].join("\n")
}

/// A key as answers show it: base64 of its SubjectPublicKeyInfo.
pub fn shown(public_key: &[u8; 32]) -> String {
    BASE64.encode([SPKI_PREFIX.as_slice(), public_key].concat())
}

/// A signature as answers show it.
pub fn signature_shown(signature: &[u8; 64]) -> String {
    BASE64.encode(signature)
}

/// The 64 bytes of a signature in base64.
pub fn signature(text: &str) -> Option<[u8; 64]> {
    BASE64.decode(text.trim()).ok()?.try_into().ok()
}

/// The id of a key: a hash of it, however it was written.
pub fn key_id(public_key: &[u8; 32]) -> String {
    hashed(public_key)
}

/// The id of a key that an agent registered. What is no Ed25519 key has one too: what agents agree
/// upon among themselves is their own affair.
pub fn key_id_of_text(public_key: &str) -> String {
    match ed25519(public_key) {
        Some(key) => key_id(&key),
        None => hashed(public_key.as_bytes()),
    }
}

fn hashed(bytes: &[u8]) -> String {
    format!("key_{}", hex::encode(&Sha256::digest(bytes)[..16]))
}

/// What the owner of a key signs with it to register it.
pub fn register_statement(fleet_id: &str, operator_id: &str, public_key: &[u8; 32]) -> String {
    let key = shown(public_key);
    [FORM, "register", fleet_id, operator_id, &key].join("\n")
}

/// What the owner of a trusted key signs with it to vouch for another key.
pub fn endorse_statement(fleet_id: &str, by_key_id: &str, public_key: &[u8; 32]) -> String {
    let (id, key) = (key_id(public_key), shown(public_key));
    [FORM, "endorse", fleet_id, by_key_id, &id, &key].join("\n")
}

/// Whether this is the key's signature of this statement. Keys and signatures that fit more than
/// one text or key are refused.
pub fn signs(public_key: &[u8; 32], statement: &str, signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public_key) else {
        return false;
    };
    let signature = Signature::from_bytes(signature);
    key.verify_strict(statement.as_bytes(), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Vec<Value> {
        let text = include_str!("../../sdk/vectors/operator-keys.json");
        let all: Value = serde_json::from_str(text).unwrap_or_default();
        all["cases"].as_array().cloned().unwrap_or_default()
    }

    #[test]
    fn statements_and_signatures_are_those_of_the_vectors() {
        let cases = vectors();
        assert_eq!(cases.len(), 3);
        for case in &cases {
            let text = |name: &str| case[name].as_str().unwrap_or_default();
            let key = ed25519(text("public_key")).unwrap_or_default();
            assert_eq!(key_id(&key), text("key_id"));
            assert_eq!(shown(&key), text("public_key"));
            let (statement, signer) = match text("kind") {
                "register" => {
                    let operator = text("operator_id");
                    (register_statement(text("fleet_id"), operator, &key), key)
                }
                _ => {
                    let by = ed25519(text("by_public_key")).unwrap_or_default();
                    let id = key_id(&by);
                    (endorse_statement(text("fleet_id"), &id, &key), by)
                }
            };
            assert_eq!(statement, text("statement"));
            let bytes = signature(text("signature")).unwrap_or([0; 64]);
            assert_eq!(signature_shown(&bytes), text("signature"));
            let holds = case["holds"] == true;
            assert_eq!(signs(&signer, &statement, &bytes), holds, "{case}");
        }
    }

    #[test]
    fn encryption_keys_are_those_of_the_vectors() {
        let text = include_str!("../../sdk/vectors/encryption.json");
        let all: Value = serde_json::from_str(text).unwrap_or_default();
        let keys = all["keys"].as_array().cloned().unwrap_or_default();
        assert_eq!(keys.len(), 3);
        for case in &keys {
            let key = x25519(case["public_key"].as_str().unwrap_or_default()).unwrap_or_default();
            assert_eq!(encryption_key_id(&key), case["key_id"]);
            assert_eq!(encryption_key_shown(&key), case["public_key"]);
        }
        let case = &all["key_statement"];
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let (fleet, agent) = (text("fleet_id"), text("agent_id"));
        let key = x25519(text("public_key")).unwrap_or_default();
        let by = text("signed_by_key_id");
        let statement = encryption_key_statement(fleet, agent, by, &key);
        assert_eq!(statement, text("statement"));
        let identity = ed25519(text("identity_public_key")).unwrap_or_default();
        assert_eq!(key_id(&identity), by);
        let signed = signature(text("signature")).unwrap_or([0; 64]);
        assert!(signs(&identity, &statement, &signed));
        assert_eq!(x25519("AAAA"), None);
    }

    #[test]
    fn a_key_has_one_id_however_it_is_written() {
        let key = [7; 32];
        let spki = shown(&key);
        assert_eq!(spki.len(), 60);
        let raw = BASE64.encode(key);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
        for text in [
            &spki,
            &raw,
            raw.trim_end_matches('='),
            &pem,
            &raw.replace('/', "_"),
        ] {
            assert_eq!(ed25519(text), Some(key), "{text}");
            assert_eq!(key_id_of_text(text), key_id(&key));
        }
        for text in ["", "another", "AAAA", &BASE64.encode([1; 33])] {
            assert_eq!(ed25519(text), None, "{text}");
        }
        assert_ne!(key_id_of_text("another"), key_id_of_text("others"));
    }

    #[test]
    fn weak_keys_sign_nothing() {
        // The neutral element, for which a signature of anything can be made up.
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut made_up = [0; 64];
        made_up[0] = 1;
        assert!(!signs(&weak, "anything", &made_up));
    }
}
