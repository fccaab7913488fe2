//! Keys that operators sign with: statements and signatures made here, with no code of the relay's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::Operator;

/// A private key made from a number, and what the relay calls it.
pub struct Signing {
    private: SigningKey,
    /// Base64 of the SubjectPublicKeyInfo.
    pub public: String,
}

impl Signing {
    /// The key made from this number.
    pub fn new(seed: u8) -> Self {
        let private = SigningKey::from_bytes(&[seed; 32]);
        let mut spki = hex::decode("302a300506032b6570032100").unwrap();
        spki.extend(private.verifying_key().to_bytes());
        let public = STANDARD.encode(spki);
        Signing { private, public }
    }

    /// The 32 bytes of the public key.
    pub fn bytes(&self) -> [u8; 32] {
        self.private.verifying_key().to_bytes()
    }

    /// The signature of these lines.
    pub fn sign(&self, lines: &[&str]) -> String {
        STANDARD.encode(self.private.sign(lines.join("\n").as_bytes()).to_bytes())
    }

    /// A request to register it.
    pub async fn request(&self, operator: &Operator, root: bool) -> Value {
        let me = operator.get("/v1/operator/me").await.ok();
        let me = me["operator_id"].as_str().unwrap().to_string();
        let form = "ekho-operator-key-v1";
        let proof = self.sign(&[form, "register", &operator.fleet_id, &me, &self.public]);
        json!({ "name": "mine", "public_key": self.public, "proof": proof, "root": root })
    }

    /// Registers it; its id.
    pub async fn register(&self, operator: &Operator, root: bool) -> String {
        let request = self.request(operator, root).await;
        let answer = operator.post("/v1/operator/keys", &request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["key_id"]
            .as_str()
            .expect("a key id")
            .to_string();
        assert!(id.starts_with("key_"), "{id}");
        id
    }

    /// A request by which it vouches for another.
    pub fn endorsement(&self, operator: &Operator, by: &str, id: &str, other: &Signing) -> Value {
        let form = "ekho-operator-key-v1";
        let signature = self.sign(&[form, "endorse", &operator.fleet_id, by, id, &other.public]);
        json!({ "endorsed_by_key_id": by, "signature": signature })
    }
}
