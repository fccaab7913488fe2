//! Against the vectors that every language shares.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use super::{
    AgentIdentity, KeyLearner, KeyRing, KeyRingData, PublicKey, SignedMessage, Verifier,
    canonical_json, envelope_text, sign_message,
};
use crate::types::{InboxMessage, OperatorKey, Recipient};

pub(super) fn vectors(name: &str) -> Value {
    let path = format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The cases of a kind; a test of none would pass whatever is wrong.
pub(super) fn cases<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    let cases = vectors[name].as_array().unwrap();
    assert!(!cases.is_empty(), "there are no vectors: {name}");
    cases
}

#[test]
fn canonical_json_of_the_vectors() {
    for case in cases(&vectors("envelopes.json"), "canonical_json") {
        let value: Value = serde_json::from_str(case["json"].as_str().unwrap()).unwrap();
        assert_eq!(
            canonical_json(&value).unwrap(),
            case["canonical"],
            "{}",
            case["name"]
        );
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    assert!(canonical_json(&deep).is_err());
}

#[test]
fn signing() {
    for case in cases(&vectors("envelopes.json"), "signing") {
        let text = |field: &str| case[field].as_str().unwrap();
        let identity = AgentIdentity::from_seed(text("seed")).unwrap();
        assert_eq!(identity.public_key().to_string(), text("public_key"));
        assert_eq!(identity.public_key().key_id(), text("key_id"));
        let sent = &case["message"];
        let recipient: Recipient = serde_json::from_value(sent["recipient"].clone()).unwrap();
        let message = SignedMessage {
            recipient: &recipient,
            message_type: sent["message_type"].as_str().unwrap(),
            conversation_id: sent["conversation_id"].as_str().unwrap(),
            correlation_id: sent["correlation_id"].as_str().unwrap(),
            body: &sent["body"],
        };
        let (fleet, sender, nonce) = (text("fleet_id"), text("sender_id"), text("nonce"));
        let signed = envelope_text(message, fleet, sender, text("key_id"), nonce).unwrap();
        assert_eq!(signed, text("sig_canonical"), "{}", case["name"]);
        let envelope = sign_message(message, fleet, sender, &identity, nonce).unwrap();
        assert_eq!(envelope.signature, text("agent_sig"), "{}", case["name"]);
    }
}

#[test]
fn verifying() {
    let vectors = vectors("envelopes.json");
    let data: KeyRingData = serde_json::from_value(vectors["key_ring"].clone()).unwrap();
    let ring = KeyRing::from_data(&data).unwrap();
    assert_eq!(ring.to_data(), data);
    let verifier = Verifier::new(ring, vectors["self_agent_id"].as_str().unwrap());
    for case in cases(&vectors, "verifying") {
        let message: InboxMessage = serde_json::from_value(case["message"].clone()).unwrap();
        let found = serde_json::to_value(verifier.verify(&message)).unwrap();
        assert_eq!(found["status"], case["status"], "{}", case["name"]);
        assert_eq!(found["reason"], case["reason"], "{}", case["name"]);
    }
}

#[test]
fn a_key_is_the_same_however_it_is_written() {
    let seed = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let key = AgentIdentity::from_seed(seed).unwrap().public_key();
    for text in [
        "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    ] {
        assert_eq!(PublicKey::parse(text).unwrap(), key);
    }
    for text in ["", "AAAA", "!!", "MCowBQYDK2VwAyEA"] {
        assert!(PublicKey::parse(text).is_err(), "{text}");
    }
}

#[test]
fn operators_are_believed_along_endorsements_and_revoked_keys_stay_revoked() {
    let vectors = vectors("operator-keys.json");
    let endorsement = |holds: bool| {
        let mut cases = cases(&vectors, "cases").iter();
        cases
            .find(|case| case["kind"] == "endorse" && case["holds"] == holds)
            .unwrap()
    };
    let good = endorsement(true);
    let ring = KeyRing::new(good["fleet_id"].as_str().unwrap());
    let root = ring
        .trust_operator(good["by_public_key"].as_str().unwrap())
        .unwrap();
    let entry = |case: &Value, by: Option<&str>| -> OperatorKey {
        serde_json::from_value(json!({
            "key_id": case["key_id"],
            "public_key": case["public_key"],
            "endorsed_by_key_id": by,
            "endorsement_sig": by.map(|_| &case["signature"]),
        }))
        .unwrap()
    };
    let nobody: [String; 0] = [];
    assert_eq!(
        ring.take_endorsed(&[entry(endorsement(false), Some(&root))]),
        nobody
    );
    assert_eq!(
        ring.take_endorsed(&[entry(good, None)]),
        nobody,
        "a root is pinned, not told"
    );
    let revoked = KeyRing::from_data(&ring.to_data()).unwrap();
    let key_id = good["key_id"].as_str().unwrap();
    revoked.revoke(key_id, None);
    assert_eq!(revoked.take_endorsed(&[entry(good, Some(&root))]), nobody);
    assert_eq!(ring.take_endorsed(&[entry(good, Some(&root))]), [key_id]);
}

#[test]
fn keys_of_another_kind_are_passed_over() {
    let key = AgentIdentity::generate().0.public_key();
    let since = "2026-01-02T00:00:00.000Z";
    let found = json!({"agent_id": "agent_a", "keys": [
        {"key_id": "key_0", "public_key": "another kind", "revoked_at": since},
        {"key_id": key.key_id(), "public_key": key.to_string(), "revoked_at": since},
    ]});
    let ring = KeyRing::new("flt_1");
    KeyLearner::new(ring.clone()).take_agent(&serde_json::from_value(found).unwrap());
    assert!(ring.agent_key("agent_a", &key.key_id()).is_some());
    for key_id in ["key_0", &key.key_id()] {
        assert!(ring.is_revoked(key_id, None), "{key_id}");
    }
}

#[test]
fn a_revocation_only_ever_reaches_further_back() {
    let ring = KeyRing::new("flt_1");
    ring.revoke("key_1", Some("2026-01-02T00:00:00.000Z"));
    ring.revoke("key_1", Some("2026-01-03T00:00:00.000Z"));
    assert!(ring.is_revoked("key_1", Some("2026-01-02T12:00:00.000Z")));
    assert!(!ring.is_revoked("key_1", Some("2026-01-01T00:00:00.000Z")));
    ring.revoke("key_1", None);
    assert!(ring.is_revoked("key_1", Some("2026-01-01T00:00:00.000Z")));
    assert!(ring.is_revoked("key_1", Some("no time")));
}

#[test]
fn a_seed_does_not_show() {
    let (identity, seed) = AgentIdentity::generate();
    assert!(!format!("{identity:?}").contains(&seed));
}
