//! The signature of agent requests, scheme `ekho-hmac-sha256`.
//!
//! ```text
//! canonical = METHOD "\n" PATH "\n" TIMESTAMP "\n" NONCE "\n" hex(sha256(BODY))
//! signature = hex(hmac_sha256(secret as UTF-8, canonical))          lower case
//! ```
//!
//! PATH is the request target without its query, percent-encoding as sent; BODY the exact bytes.

use axum::http::{HeaderMap, Method};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The headers of a signed request, as sent.
#[derive(Clone, Copy, Debug)]
pub struct SignatureHeaders<'a> {
    /// `x-ekho-agent-id`
    pub agent_id: &'a str,
    /// `x-ekho-timestamp`
    pub timestamp: &'a str,
    /// `x-ekho-nonce`
    pub nonce: &'a str,
    /// `x-ekho-signature`
    pub signature: &'a str,
    /// `x-ekho-agent-secret`, which old clients send; looked at only while an imported agent has to
    /// show it.
    pub secret: Option<&'a str>,
}

/// Longest nonce remembered; SDKs send 36 bytes.
pub const NONCE_MAX_BYTES: usize = 200;

impl<'a> SignatureHeaders<'a> {
    /// Reads the headers; none when one is missing, empty or not text, or the nonce is longer
    /// than can be remembered.
    pub fn read(headers: &'a HeaderMap) -> Option<Self> {
        let text = |name: &str| {
            headers
                .get(name)?
                .to_str()
                .ok()
                .filter(|text| !text.is_empty())
        };
        let found = SignatureHeaders {
            agent_id: text("x-ekho-agent-id")?,
            timestamp: text("x-ekho-timestamp")?,
            nonce: text("x-ekho-nonce")?,
            signature: text("x-ekho-signature")?,
            secret: text("x-ekho-agent-secret"),
        };
        (found.nonce.len() <= NONCE_MAX_BYTES).then_some(found)
    }
}

/// What a signature covers besides the headers.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target without its query, as sent.
    pub path: &'a str,
    /// SHA-256 of the body.
    pub body_hash: &'a [u8; 32],
}

impl<'a> Signable<'a> {
    /// Whether `signature` was made with `secret`, in constant time.
    pub fn verify(&self, headers: &SignatureHeaders<'_>, secret: &[u8]) -> bool {
        let mut given = [0u8; 32];
        // Upper-case hex is another text than the one the scheme names.
        let lower = headers
            .signature
            .bytes()
            .all(|byte| !byte.is_ascii_uppercase());
        if !lower || hex::decode_to_slice(headers.signature, &mut given).is_err() {
            return false;
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return false;
        };
        let mut body_hex = [0u8; 64];
        if hex::encode_to_slice(self.body_hash, &mut body_hex).is_err() {
            return false;
        }
        mac.update(self.method.as_str().as_bytes());
        for part in [
            self.path.as_bytes(),
            headers.timestamp.as_bytes(),
            headers.nonce.as_bytes(),
            &body_hex,
        ] {
            mac.update(b"\n");
            mac.update(part);
        }
        mac.verify_slice(&given).is_ok()
    }
}

/// SHA-256 of a body.
pub fn hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_shared_vectors_and_nothing_near_them() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../sdk/vectors/signing.json"))
                .unwrap_or_default();
        let cases = vectors["cases"].as_array().cloned().unwrap_or_default();
        assert!(cases.len() >= 9);
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap_or_default().to_string();
            let (target, body, secret) = (text("target"), text("body_utf8"), text("secret"));
            let (timestamp, nonce, signature) =
                (text("timestamp"), text("nonce"), text("signature"));
            let method: Method = text("method").parse().unwrap_or_default();
            let path = target.split('?').next().unwrap_or_default();
            let body_hash = hash(body.as_bytes());
            let headers = SignatureHeaders {
                agent_id: "agent",
                timestamp: &timestamp,
                nonce: &nonce,
                signature: &signature,
                secret: None,
            };
            let signable = Signable {
                method: &method,
                path,
                body_hash: &body_hash,
            };
            let name = text("name");
            assert!(signable.verify(&headers, secret.as_bytes()), "{name}");
            assert!(
                !signable.verify(&headers, format!("{secret}x").as_bytes()),
                "{name}: secret"
            );
            let upper = signature.to_uppercase();
            assert!(!signable.verify(
                &SignatureHeaders {
                    signature: &upper,
                    ..headers
                },
                secret.as_bytes()
            ));
            assert!(!signable.verify(
                &SignatureHeaders {
                    nonce: "other",
                    ..headers
                },
                secret.as_bytes()
            ));
            let other = hash(format!("{body} ").as_bytes());
            let changed = Signable {
                body_hash: &other,
                ..signable
            };
            assert!(!changed.verify(&headers, secret.as_bytes()), "{name}: body");
            let changed = Signable {
                path: "/v1/other",
                ..signable
            };
            assert!(!changed.verify(&headers, secret.as_bytes()), "{name}: path");
            let changed = Signable {
                method: &Method::PUT,
                ..signable
            };
            assert!(
                !changed.verify(&headers, secret.as_bytes()),
                "{name}: method"
            );
        }
    }
}
