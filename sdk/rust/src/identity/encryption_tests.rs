//! Encryption against the vectors that every language shares.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::tests::{cases, vectors};
use super::{
    AgentIdentity, DecryptionFailure, EncryptionKey, KeyRing, KeyRingData, PublicEncryptionKey,
    Reader, RoutedMessage, chosen_key, decrypt_body, encrypt_body, encryption_context,
    encryption_key_statement, hpke, is_encrypted, sign_encryption_key,
};
use crate::types::{EncryptionKeyEntry, InboxMessage};

fn all() -> Value {
    vectors("encryption.json")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[test]
fn hpke_of_the_rfc() {
    for case in cases(&all(), "hpke") {
        let bytes = |field: &str| hex::decode(text(case, field)).unwrap();
        let fixed = |field: &str| <[u8; 32]>::try_from(bytes(field)).unwrap();
        let (private, public) = hpke::key_pair(&fixed("ikmR"));
        assert_eq!(public, fixed("pkRm"));
        let (info, aad) = (bytes("info"), bytes("aad"));
        let sealed = hpke::seal(&public, &info, &aad, &bytes("pt"), fixed("ikmE")).unwrap();
        assert_eq!((sealed.0.to_vec(), sealed.1), (bytes("enc"), bytes("ct")));
        let opened = hpke::open(&private, &bytes("enc"), &info, &aad, &bytes("ct")).unwrap();
        assert_eq!(opened, bytes("pt"));
        assert!(hpke::open(&private, &bytes("enc"), &aad, &aad, &bytes("ct")).is_err());
    }
}

#[test]
fn keys_with_which_nothing_would_be_secret_are_refused() {
    for weak in cases(&all(), "weak_public_keys") {
        let key = PublicEncryptionKey::parse(weak.as_str().unwrap()).unwrap();
        assert!(
            hpke::seal(&key.raw, &[], &[], &[], [0; 32]).is_err(),
            "{weak}"
        );
    }
}

#[test]
fn a_key_and_its_id() {
    for case in cases(&all(), "keys") {
        let key = EncryptionKey::from_seed(text(case, "seed")).unwrap();
        assert_eq!(key.public_key().to_string(), text(case, "public_key"));
        assert_eq!(key.key_id(), text(case, "key_id"));
        assert!(!format!("{key:?}").contains(text(case, "seed")));
    }
    let (key, seed) = EncryptionKey::generate();
    assert_eq!(
        EncryptionKey::from_seed(&seed).unwrap().key_id(),
        key.key_id()
    );
    for text in ["", "AAAA", "!!"] {
        assert!(EncryptionKey::from_seed(text).is_err());
        assert!(PublicEncryptionKey::parse(text).is_err());
    }
}

#[test]
fn an_identity_key_vouches_for_one() {
    let case = &all()["key_statement"];
    let identity = AgentIdentity::from_seed(text(case, "identity_seed")).unwrap();
    let key = PublicEncryptionKey::parse(text(case, "public_key")).unwrap();
    let (fleet, agent) = (text(case, "fleet_id"), text(case, "agent_id"));
    let statement = encryption_key_statement(fleet, agent, &identity.public_key().key_id(), &key);
    assert_eq!(statement, text(case, "statement"));
    let (by_key_id, signature) = sign_encryption_key(&key, fleet, agent, &identity);
    assert_eq!(by_key_id, text(case, "signed_by_key_id"));
    assert_eq!(signature, text(case, "signature"));
}

#[test]
fn which_key_to_encrypt_to() {
    let all = all();
    let data: KeyRingData = serde_json::from_value(all["key_ring"].clone()).unwrap();
    for case in cases(&all, "choosing") {
        let ring = KeyRing::from_data(&data).unwrap();
        for key_id in case["revoked"].as_array().into_iter().flatten() {
            ring.revoke(key_id.as_str().unwrap(), None);
        }
        let ring = (case["no_ring"] != true).then_some(&ring);
        let keys: Vec<EncryptionKeyEntry> = serde_json::from_value(case["keys"].clone()).unwrap();
        let (key_id, code) = match chosen_key(text(case, "agent_id"), &keys, ring) {
            Ok(key) => (json!(key.key_id()), Value::Null),
            Err(error) => (Value::Null, json!(error.code())),
        };
        assert_eq!((&key_id, &code), (&case["key_id"], &case["code"]), "{case}");
    }
}

fn routed(message: &Value) -> RoutedMessage<'_> {
    RoutedMessage {
        recipient: &message["recipient"],
        message_type: text(message, "message_type"),
        conversation_id: text(message, "conversation_id"),
        correlation_id: text(message, "correlation_id"),
    }
}

fn readers(case: &Value) -> Vec<Reader> {
    let readers = case["readers"].as_array().unwrap().iter();
    let readers = readers.map(|reader| Reader {
        agent_id: text(reader, "agent_id").to_owned(),
        key: PublicEncryptionKey::parse(text(reader, "public_key")).unwrap(),
    });
    readers.collect()
}

#[test]
fn encrypting() {
    for case in cases(&all(), "encrypting") {
        let (message, sender) = (routed(&case["message"]), text(case, "sender_id"));
        let body = &case["message"]["body"];
        assert_eq!(
            encryption_context(message, sender).unwrap(),
            text(case, "context")
        );
        let key = EncryptionKey::from_seed(text(case, "seed")).unwrap();
        let to = readers(case);
        let sealed = |nonce| encrypt_body(message, body, sender, &key, &to, nonce).unwrap();
        assert_eq!(sealed(case["nonce"].as_str()), case["encrypted"], "{case}");
        assert_ne!(
            sealed(None),
            sealed(None),
            "without a nonce no two are the same"
        );
    }
}

#[test]
fn what_cannot_be_encrypted_is_refused() {
    let case = &all()["encrypting"][0];
    let key = EncryptionKey::from_seed(text(case, "seed")).unwrap();
    let to = readers(case);
    let many = vec![to[0].clone(); 65];
    let body = &case["message"]["body"];
    let deep = (0..110).fold(json!({}), |inner, _| json!({ "a": inner }));
    for (body, to) in [
        (body, &[][..]),
        (body, &many[..]),
        (&json!("text"), &to[..]),
        (&deep, &to[..]),
    ] {
        let message = routed(&case["message"]);
        assert!(encrypt_body(message, body, "agent_a", &key, to, None).is_err());
    }
}

#[test]
fn decrypting() {
    let all = all();
    let own = EncryptionKey::from_seed(text(&all, "self_seed")).unwrap();
    for case in cases(&all, "decrypting") {
        let message: InboxMessage = serde_json::from_value(case["message"].clone()).unwrap();
        assert_eq!(
            is_encrypted(&message.body),
            case["status"] != "none",
            "{case}"
        );
        if case["status"] == "none" {
            continue;
        }
        let own = std::slice::from_ref(&own);
        let (found, expected) = match decrypt_body(&message, text(&all, "self_agent_id"), own) {
            Ok((body, key_id)) => (json!([body, key_id]), json!([case["body"], case["key_id"]])),
            Err(reason) => (json!(reason), case["reason"].clone()),
        };
        assert_eq!(found, expected, "{}", case["name"]);
    }
}

#[test]
fn an_older_key_still_opens_what_was_encrypted_to_it() {
    let all = all();
    let case = &all["decrypting"][0];
    let message: InboxMessage = serde_json::from_value(case["message"].clone()).unwrap();
    let older = EncryptionKey::from_seed(text(&all, "self_seed")).unwrap();
    let (newer, _) = EncryptionKey::generate();
    let open = |keys: &[EncryptionKey]| decrypt_body(&message, "agent_b", keys);
    assert_eq!(open(&[newer.clone(), older]).unwrap().0, case["body"]);
    assert_eq!(open(&[newer]), Err(DecryptionFailure::UnknownKey));
    assert_eq!(open(&[]), Err(DecryptionFailure::NoKey));
}
