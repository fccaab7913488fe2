//! The request signature `ekho-hmac-sha256`: what is signed, and the four headers that carry it.
//! Pure but for the clock and the random nonce in [`Signer::sign`]; no network.
//!
//! ```text
//! canonical = METHOD \n PATH \n TIMESTAMP \n NONCE \n hex(sha256(BODY))
//! signature = hex(hmac_sha256(key = secret as UTF-8 bytes, canonical))
//! ```
//!
//! PATH is the request target without its query string, percent-encoding as sent; BODY is the exact
//! bytes on the wire, none being the empty string. The relay takes a nonce once and a timestamp
//! within 300 s of its clock, so every try of a request needs a signature of its own.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::EkhoError;
use crate::time::now_iso8601;

/// Header naming the agent that signed.
pub const HEADER_AGENT_ID: &str = "x-ekho-agent-id";
/// Header with the time of signing, ISO 8601 UTC with milliseconds.
pub const HEADER_TIMESTAMP: &str = "x-ekho-timestamp";
/// Header with the value that makes the request acceptable only once.
pub const HEADER_NONCE: &str = "x-ekho-nonce";
/// Header with the signature: 64 lower-case hex digits.
pub const HEADER_SIGNATURE: &str = "x-ekho-signature";

/// The text that is signed. `target` may carry a query string, which is left out.
pub fn canonical_string(
    method: &str,
    target: &str,
    timestamp: &str,
    nonce: &str,
    body: &[u8],
) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let body_digest = hex::encode(Sha256::digest(body));
    format!("{method}\n{path}\n{timestamp}\n{nonce}\n{body_digest}")
}

/// The header values of one signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Value of [`HEADER_AGENT_ID`].
    pub agent_id: String,
    /// Value of [`HEADER_TIMESTAMP`].
    pub timestamp: String,
    /// Value of [`HEADER_NONCE`].
    pub nonce: String,
    /// Value of [`HEADER_SIGNATURE`].
    pub signature: String,
}

impl SignedHeaders {
    /// Header names with their values, ready to be put on a request.
    pub fn pairs(&self) -> [(&'static str, &str); 4] {
        [
            (HEADER_AGENT_ID, &self.agent_id),
            (HEADER_TIMESTAMP, &self.timestamp),
            (HEADER_NONCE, &self.nonce),
            (HEADER_SIGNATURE, &self.signature),
        ]
    }
}

/// Signs the requests of one agent. Cheap to share: the key is expanded once, when it is made.
pub struct Signer {
    agent_id: String,
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// A signer for `agent_id` with the secret from its enrolment.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] when either is empty or the id cannot be a header.
    pub fn new(agent_id: impl Into<String>, secret: &str) -> Result<Self, EkhoError> {
        let agent_id = agent_id.into();
        if agent_id.is_empty() || !agent_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EkhoError::invalid("agent_id must be visible ASCII"));
        }
        if secret.is_empty() {
            return Err(EkhoError::invalid("secret is empty"));
        }
        let keyed = Hmac::new_from_slice(secret.as_bytes())
            .map_err(|_| EkhoError::invalid("secret cannot be an HMAC key"))?;
        Ok(Self { agent_id, keyed })
    }

    /// The agent whose requests this signs.
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }

    /// Signs a request now, with a fresh nonce (UUID v4).
    pub fn sign(&self, method: &str, target: &str, body: &[u8]) -> SignedHeaders {
        let nonce = uuid::Uuid::new_v4().to_string();
        self.sign_at(method, target, &now_iso8601(), &nonce, body)
    }

    /// Signs with a given timestamp and nonce; for test vectors and tools that keep their own.
    pub fn sign_at(
        &self,
        method: &str,
        target: &str,
        timestamp: &str,
        nonce: &str,
        body: &[u8],
    ) -> SignedHeaders {
        let mut mac = self.keyed.clone();
        mac.update(canonical_string(method, target, timestamp, nonce, body).as_bytes());
        SignedHeaders {
            agent_id: self.agent_id.clone(),
            timestamp: timestamp.to_owned(),
            nonce: nonce.to_owned(),
            signature: hex::encode(mac.finalize().into_bytes()),
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is left out: a debug line must never carry a secret.
        f.debug_struct("Signer")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize;

    use super::{Signer, canonical_string};

    #[derive(Deserialize)]
    struct Vectors {
        scheme: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        secret: String,
        method: String,
        target: String,
        body_utf8: String,
        timestamp: String,
        nonce: String,
        canonical: String,
        signature: String,
    }

    #[test]
    fn every_shared_vector() {
        let text = include_str!("../../vectors/signing.json");
        let vectors: Vectors = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.scheme, "ekho-hmac-sha256");
        assert_eq!(vectors.cases.len(), 9, "a vector was added or lost");
        for case in vectors.cases {
            let body = case.body_utf8.as_bytes();
            assert_eq!(
                canonical_string(
                    &case.method,
                    &case.target,
                    &case.timestamp,
                    &case.nonce,
                    body
                ),
                case.canonical,
                "{}",
                case.name
            );
            let signed = Signer::new("agent_1", &case.secret).unwrap().sign_at(
                &case.method,
                &case.target,
                &case.timestamp,
                &case.nonce,
                body,
            );
            assert_eq!(signed.signature, case.signature, "{}", case.name);
        }
    }

    #[test]
    fn each_signature_has_its_own_nonce() {
        let signer = Signer::new("agent_1", "secret").unwrap();
        let first = signer.sign("GET", "/v1/inbox", b"");
        let second = signer.sign("GET", "/v1/inbox", b"");
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.signature, second.signature);
    }

    #[test]
    fn debug_output_hides_the_key() {
        let shown = format!("{:?}", Signer::new("agent_1", "very-secret").unwrap());
        assert!(shown.contains("agent_1") && !shown.contains("very-secret"));
    }

    #[test]
    fn unusable_credentials_are_refused() {
        assert!(Signer::new("", "secret").is_err());
        assert!(Signer::new("agent\n1", "secret").is_err());
        assert!(Signer::new("agent_1", "").is_err());
    }
}
