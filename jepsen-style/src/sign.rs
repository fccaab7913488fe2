//! Requests of agents and operators, and the signature of agents, written after the contract and not
//! after the product's code, so that a mistake in one is not in the other.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// An agent as it is after enrolment.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Public id.
    pub id: String,
    /// HMAC key.
    pub secret: String,
}

/// A request as it goes out; to be rendered, see [`crate::wire::render`].
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query, as they go over the wire.
    pub target: String,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// Headers but those that follow from the body.
    pub headers: Vec<(String, String)>,
    /// The nonce of a signed request.
    pub nonce: String,
}

impl Request {
    /// Of somebody who shows a bearer token.
    pub fn of_operator(token: &str, method: &str, target: &str, body: &str) -> Self {
        Request {
            method: method.into(),
            target: target.into(),
            body: body.into(),
            headers: vec![("authorization".into(), format!("Bearer {token}"))],
            nonce: String::new(),
        }
    }

    /// Of nobody in particular.
    pub fn unsigned(method: &str, target: &str, body: &str) -> Self {
        Request {
            method: method.into(),
            target: target.into(),
            body: body.into(),
            headers: Vec::new(),
            nonce: String::new(),
        }
    }

    /// With a further header, which is not signed.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Agent {
    /// A request by this agent, signed now, with a nonce of its own.
    pub fn request(&self, method: &str, target: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let (timestamp, nonce) = (now_iso(), uuid::Uuid::new_v4().to_string());
        let path = target.split('?').next().unwrap_or_default();
        let digest = hex::encode(Sha256::digest(&body));
        let canonical = format!("{method}\n{path}\n{timestamp}\n{nonce}\n{digest}");
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any key will do");
        let signature = mac.chain_update(canonical).finalize().into_bytes();
        Request {
            method: method.into(),
            target: target.into(),
            body,
            headers: vec![
                ("x-ekho-agent-id".into(), self.id.clone()),
                ("x-ekho-timestamp".into(), timestamp),
                ("x-ekho-nonce".into(), nonce.clone()),
                ("x-ekho-signature".into(), hex::encode(signature)),
            ],
            nonce,
        }
    }
}

/// The time now as it stands on the wire: ISO 8601, UTC, milliseconds, `Z`.
pub fn now_iso() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_the_path_and_not_the_query() {
        let agent = Agent {
            id: "agent_1".into(),
            secret: "key".into(),
        };
        let request = agent.request("GET", "/v1/inbox?limit=3", "");
        let value = |name: &str| {
            let found = request.headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let canonical = format!(
            "GET\n/v1/inbox\n{}\n{}\n{}",
            value("x-ekho-timestamp"),
            value("x-ekho-nonce"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        let right = hex::encode(mac.chain_update(canonical).finalize().into_bytes());
        assert_eq!(value("x-ekho-signature"), right);
        assert!(value("x-ekho-timestamp").ends_with('Z'));
    }
}
