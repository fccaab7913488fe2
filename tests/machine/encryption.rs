//! Keys that agents publish for others to encrypt to.
//!
//! Signatures are checked at the ingress; here any 64 bytes stand for one.

use ekho::machine::command::{AgentRequest, Command, NewEncryptionKey, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::encryption_key::{
    self, ENCRYPTION_KEYS_MAX, EncryptionKeys, KeySignature,
};
use ekho_storage::tables::event::EventKind;

use crate::rig::{FLEET, Peer, Relay};

fn key(id: &str, signed_by: Option<&str>) -> NewEncryptionKey {
    NewEncryptionKey {
        key_id: id.into(),
        public_key: [id.len() as u8; 32],
        signed: signed_by.map(|key_id| KeySignature {
            key_id: key_id.into(),
            signature: [7; 64],
        }),
    }
}

fn publish(relay: &mut Relay, agent: &Peer, id: &str) -> Outcome {
    relay.sign(agent, AgentRequest::PublishEncryptionKey(key(id, None)))
}

fn revoke_of(relay: &mut Relay, agent: &Peer, id: &str) -> Outcome {
    relay.operator(OperatorRequest::RevokeAgentKey {
        agent_id: agent.id.clone(),
        key_id: id.into(),
        reason: "leaked".into(),
    })
}

fn all(relay: &Relay, agent: &Peer) -> EncryptionKeys {
    encryption_key::of_agent(&relay.txn, FLEET, agent.no).unwrap()
}

fn current(relay: &Relay, agent: &Peer) -> Option<String> {
    all(relay, agent).current().map(|key| key.key_id.clone())
}

fn named(id: &str) -> Outcome {
    Outcome::EncryptionKey(Some(id.into()))
}

const GONE: Outcome = Outcome::Refused(Refusal::KeyRevoked);

#[test]
fn the_key_published_last_is_the_one_to_encrypt_to() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    assert_eq!(current(&relay, &writer), None);
    assert_eq!(publish(&mut relay, &writer, "x1"), named("x1"));
    assert_eq!(relay.events(1), [EventKind::AgentEncryptionKey]);
    assert_eq!(publish(&mut relay, &writer, "x2"), named("x2"));
    assert_eq!(current(&relay, &writer).as_deref(), Some("x2"));
    assert_eq!(current(&relay, &reviewer), None);

    let events = relay.events(1000).len();
    assert_eq!(publish(&mut relay, &writer, "x2"), named("x2"), "again");
    assert_eq!(relay.events(1000).len(), events, "nothing changed");
    assert_eq!(publish(&mut relay, &writer, "x1"), named("x1"), "back");
    let ids: Vec<String> = all(&relay, &writer)
        .keys
        .into_iter()
        .map(|key| key.key_id)
        .collect();
    assert_eq!(ids, ["x1", "x2"]);
}

#[test]
fn only_the_present_identity_key_vouches_for_it() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    let publish = |relay: &mut Relay, by: &str| {
        let request = AgentRequest::PublishEncryptionKey(key("x1", Some(by)));
        relay.sign(&writer, request)
    };
    let is_conflict = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::Conflict(_)));
    assert!(is_conflict(&publish(&mut relay, "k1")), "none registered");
    for id in ["k1", "k2"] {
        let request = AgentRequest::IdentityKey {
            key_id: id.into(),
            public_key: id.into(),
        };
        relay.sign(&writer, request);
    }
    assert!(is_conflict(&publish(&mut relay, "k1")), "replaced");
    assert_eq!(publish(&mut relay, "k2"), named("x1"));
    let kept = all(&relay, &writer);
    let signed = kept.current().unwrap().signed.as_ref().unwrap();
    assert_eq!((signed.key_id.as_str(), signed.signature), ("k2", [7; 64]));
}

#[test]
fn a_revoked_key_stays_so() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let revoke = AgentRequest::RevokeEncryptionKey;
    let none = Outcome::EncryptionKey(None);
    assert_eq!(
        relay.sign(&writer, revoke.clone()),
        none,
        "nothing to revoke"
    );
    publish(&mut relay, &writer, "x1");
    publish(&mut relay, &writer, "x2");
    assert_eq!(relay.sign(&writer, revoke.clone()), named("x2"));
    assert_eq!(relay.events(1), [EventKind::AgentEncryptionKeyRevoked]);
    assert_eq!(current(&relay, &writer), None, "not the one before either");
    assert_eq!(relay.sign(&writer, revoke), none, "once");
    assert_eq!(publish(&mut relay, &writer, "x2"), GONE);
    assert_eq!(revoke_of(&mut relay, &writer, "x2"), GONE);
    assert_eq!(revoke_of(&mut relay, &writer, "x1"), Outcome::Done);
    assert_eq!(publish(&mut relay, &writer, "x1"), GONE);
    let by: Vec<String> = all(&relay, &writer)
        .keys
        .into_iter()
        .filter_map(|key| Some(key.revoked?.by))
        .collect();
    assert_eq!(by, [writer.id.as_str(), crate::rig::OPERATOR_ID]);
    // Whoever else has the same key is not shut out by that.
    assert_eq!(publish(&mut relay, &reviewer, "x2"), named("x2"));
    let unknown = Outcome::Refused(Refusal::NotFound);
    assert_eq!(revoke_of(&mut relay, &writer, "x3"), unknown);
}

#[test]
fn so_many_keys_are_remembered_and_revoked_ones_make_no_room() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    publish(&mut relay, &writer, "revoked");
    revoke_of(&mut relay, &writer, "revoked");
    for number in 0..ENCRYPTION_KEYS_MAX + 5 {
        publish(&mut relay, &writer, &format!("x{number:02}"));
    }
    let kept = all(&relay, &writer).keys;
    assert_eq!(kept.len(), ENCRYPTION_KEYS_MAX);
    assert_eq!(kept[0].key_id, "x54");
    assert_eq!(kept[48].key_id, "x06", "the oldest made room");
    assert_eq!(publish(&mut relay, &writer, "revoked"), GONE);
    for key in kept {
        revoke_of(&mut relay, &writer, &key.key_id);
    }
    let limit = ENCRYPTION_KEYS_MAX as u64;
    let full = Outcome::Refused(Refusal::LimitReached { limit });
    assert_eq!(publish(&mut relay, &writer, "one more"), full);
}

#[test]
fn what_older_releases_cannot_read_needs_the_fifth_level() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    let auth = relay.auth(writer.no);
    for request in [
        AgentRequest::PublishEncryptionKey(key("x1", None)),
        AgentRequest::RevokeEncryptionKey,
    ] {
        let auth = auth.clone();
        assert_eq!(Command::Signed { auth, request }.feature_level(), 5);
    }
}
