//! Keys that operators sign with and agents register: trust, and revocation for good.
//!
//! Signatures are checked at the ingress; here any 64 bytes stand for one.

use ekho::machine::command::{AgentRequest, Command, Enroll, OperatorRequest};
use ekho::machine::keys::{self, DEPTH_MAX, ENDORSEMENTS_MAX};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::Envelope;
use ekho_storage::tables::operator::{Role, Scope};
use ekho_storage::tables::session::{self, Origin, Session};
use ekho_storage::tables::signing_key::{self, AGENT_KEYS_MAX, OPERATOR_KEYS_MAX};

use crate::rig::{FLEET, OPERATOR_ID, Peer, Relay, enroll_with};

fn register(relay: &mut Relay, id: &str, is_root: bool) -> Outcome {
    relay.operator(OperatorRequest::RegisterKey {
        key_id: id.into(),
        public_key: [id.len() as u8; 32],
        name: id.into(),
        is_root,
    })
}

fn endorse(relay: &mut Relay, id: &str, by: &str) -> Outcome {
    relay.operator(OperatorRequest::EndorseKey {
        key_id: id.into(),
        by_key_id: by.into(),
        signature: [7; 64],
    })
}

fn revoke(relay: &mut Relay, id: &str) -> Outcome {
    relay.operator(OperatorRequest::RevokeKey {
        key_id: id.into(),
        reason: "lost".into(),
    })
}

fn revoked(others: &[&str]) -> Outcome {
    Outcome::KeysRevoked(others.iter().map(ToString::to_string).collect())
}

fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Conflict(_)))
}

/// Ids of the trusted keys.
fn trusted(relay: &Relay) -> Vec<String> {
    let all = keys::all(&relay.txn, FLEET).unwrap();
    keys::trusted(&all)
        .keys()
        .map(ToString::to_string)
        .collect()
}

/// A root and keys that it leads to: root -> a -> b, root -> c.
fn chain() -> Relay {
    let mut relay = Relay::new();
    for (id, is_root) in [("root", true), ("a", false), ("b", false), ("c", false)] {
        assert_eq!(register(&mut relay, id, is_root), Outcome::Done);
    }
    assert_eq!(trusted(&relay), ["root"]);
    for (id, by) in [("a", "root"), ("b", "a"), ("c", "root")] {
        assert_eq!(endorse(&mut relay, id, by), Outcome::Done, "{id} by {by}");
    }
    relay
}

#[test]
fn trust_comes_from_a_root_by_endorsements() {
    let mut relay = chain();
    assert_eq!(trusted(&relay), ["a", "b", "c", "root"]);
    assert_eq!(relay.events(1), [EventKind::OperatorKeyEndorsed]);
    let events = relay.events(1000).len();
    assert_eq!(endorse(&mut relay, "a", "root"), Outcome::Done);
    assert_eq!(relay.events(1000).len(), events, "twice changes nothing");
    assert!(
        is_conflict(&register(&mut relay, "a", false)),
        "registered already"
    );

    register(&mut relay, "stranger", false);
    register(&mut relay, "d", false);
    for by in ["stranger", "nobody", "d"] {
        assert!(is_conflict(&endorse(&mut relay, "d", by)), "by {by}");
    }
    assert!(
        is_conflict(&endorse(&mut relay, "root", "a")),
        "a root needs none"
    );
    let unknown = endorse(&mut relay, "nobody", "root");
    assert_eq!(unknown, Outcome::Refused(Refusal::NotFound));
}

#[test]
fn endorsements_never_go_round() {
    let mut relay = chain();
    for (id, by) in [("a", "b"), ("a", "a"), ("b", "b")] {
        assert!(is_conflict(&endorse(&mut relay, id, by)), "{id} by {by}");
    }
    // Not even where the way back is one that nobody trusts any more: root goes, a and b stay.
    assert_eq!(revoke(&mut relay, "root"), revoked(&["a", "b", "c"]));
    assert_eq!(trusted(&relay), Vec::<String>::new());
    register(&mut relay, "root2", true);
    assert_eq!(endorse(&mut relay, "b", "root2"), Outcome::Done);
    assert!(
        is_conflict(&endorse(&mut relay, "a", "b")),
        "a vouched for b"
    );
    assert_eq!(trusted(&relay), ["b", "root2"]);
}

#[test]
fn chains_and_lists_have_an_end() {
    let mut relay = Relay::new();
    register(&mut relay, "k0", true);
    for depth in 1..=DEPTH_MAX + 1 {
        let (id, by) = (format!("k{depth}"), format!("k{}", depth - 1));
        register(&mut relay, &id, false);
        let outcome = endorse(&mut relay, &id, &by);
        assert_eq!(
            is_conflict(&outcome),
            depth > DEPTH_MAX,
            "{depth}: {outcome:?}"
        );
    }
    for number in 0..=ENDORSEMENTS_MAX {
        let by = format!("other{number}");
        register(&mut relay, &by, true);
        let outcome = endorse(&mut relay, "k1", &by);
        let is_full = matches!(outcome, Outcome::Refused(Refusal::LimitReached { .. }));
        assert_eq!(
            is_full,
            number + 1 >= ENDORSEMENTS_MAX,
            "{number}: {outcome:?}"
        );
    }
    relay.recount = false;
    let mut made = keys::all(&relay.txn, FLEET).unwrap().len();
    while register(&mut relay, &format!("more{made}"), false) == Outcome::Done {
        made += 1;
    }
    assert_eq!(made, OPERATOR_KEYS_MAX);
}

#[test]
fn a_revoked_key_never_comes_back_and_takes_with_it_what_hung_on_it() {
    let mut relay = chain();
    // b hangs on a alone, c has a second endorsement.
    endorse(&mut relay, "c", "a");
    assert_eq!(revoke(&mut relay, "a"), revoked(&["b"]));
    assert_eq!(relay.events(1), [EventKind::OperatorKeyRevoked]);
    assert_eq!(trusted(&relay), ["c", "root"]);
    let gone = Outcome::Refused(Refusal::KeyRevoked);
    assert_eq!(register(&mut relay, "a", false), gone);
    assert_eq!(register(&mut relay, "a", true), gone);
    assert_eq!(revoke(&mut relay, "a"), gone);
    assert_eq!(
        endorse(&mut relay, "a", "root"),
        Outcome::Refused(Refusal::NotFound)
    );
    assert!(is_conflict(&endorse(&mut relay, "b", "a")));
    assert_eq!(
        revoke(&mut relay, "nobody"),
        Outcome::Refused(Refusal::NotFound)
    );
    // b is endorsed anew.
    assert_eq!(endorse(&mut relay, "b", "root"), Outcome::Done);
    assert_eq!(trusted(&relay), ["b", "c", "root"]);
}

/// Somebody else with a role, who acts with this token from now on.
fn other(relay: &mut Relay, role: Role, token_hash: [u8; 32]) -> String {
    let id = format!("opr_{}", token_hash[0]);
    let made = relay.operator(OperatorRequest::CreateOperator {
        operator_id: id.clone(),
        email: format!("{id}@example.org"),
        password_hash: "$argon2id$x".into(),
        role,
    });
    assert_eq!(made, Outcome::Done);
    let made = relay.apply(Command::CreateSession(
        ekho::machine::command::CreateSession {
            fleet: FLEET,
            proof: ekho::machine::command::Proof::Password {
                operator_id: id.clone(),
                password_hash: "$argon2id$x".into(),
                second: None,
            },
            token_hash,
            session_id: format!("ses_{}", token_hash[0]),
            address: "::1".into(),
            user_agent: "test".into(),
        },
    ));
    assert!(matches!(made, Outcome::SessionCreated { .. }), "{made:?}");
    id
}

fn order(relay: &mut Relay, token_hash: [u8; 32], request: OperatorRequest) -> Outcome {
    relay.apply(Command::Operator {
        token_hash,
        request_id: "req_other".into(),
        request,
    })
}

#[test]
fn everybody_registers_their_own_and_owners_decide_the_rest() {
    let mut relay = chain();
    let token = [3; 32];
    let ada = other(&mut relay, Role::Operator, token);
    let mine = |is_root| OperatorRequest::RegisterKey {
        key_id: "ada".into(),
        public_key: [9; 32],
        name: "ada".into(),
        is_root,
    };
    let forbidden = Outcome::Refused(Refusal::Forbidden(Scope::Operators));
    assert_eq!(order(&mut relay, token, mine(true)), forbidden, "a root");
    assert_eq!(order(&mut relay, token, mine(false)), Outcome::Done);
    let endorse = OperatorRequest::EndorseKey {
        key_id: "ada".into(),
        by_key_id: "root".into(),
        signature: [7; 64],
    };
    assert_eq!(order(&mut relay, token, endorse.clone()), forbidden);
    assert_eq!(relay.operator(endorse), Outcome::Done);
    let revoke = |id: &str| OperatorRequest::RevokeKey {
        key_id: id.into(),
        reason: "lost".into(),
    };
    assert_eq!(
        order(&mut relay, token, revoke("c")),
        forbidden,
        "another's"
    );
    assert_eq!(
        order(&mut relay, token, revoke("ada")),
        revoked(&[]),
        "one's own"
    );

    // An API token is not its person.
    let key = signing_key::get(&relay.txn, FLEET, "c").unwrap().unwrap();
    assert_eq!(key.operator_id, OPERATOR_ID);
    let api_token = Session {
        fleet: FLEET,
        operator_id: OPERATOR_ID.into(),
        id: "tok_1".into(),
        created_ms: relay.now_ms,
        expires_ms: None,
        origin: Origin::ApiToken {
            name: "ci".into(),
            scopes: ekho_storage::tables::operator::Scopes::of(&[Scope::Read]),
        },
    };
    session::put(&mut relay.txn, &[4; 32], &api_token);
    assert_eq!(order(&mut relay, [4; 32], revoke("c")), forbidden);
    let login_only = Outcome::Refused(Refusal::LoginOnly);
    assert_eq!(order(&mut relay, [4; 32], mine(false)), login_only);
    let _ = ada;
}

#[test]
fn an_operator_who_goes_takes_their_keys_along() {
    let mut relay = chain();
    let token = [3; 32];
    let ada = other(&mut relay, Role::Operator, token);
    let mine = OperatorRequest::RegisterKey {
        key_id: "ada".into(),
        public_key: [9; 32],
        name: "ada".into(),
        is_root: false,
    };
    order(&mut relay, token, mine);
    endorse(&mut relay, "ada", "root");
    register(&mut relay, "hers", false);
    endorse(&mut relay, "hers", "ada");
    let gone = relay.operator(OperatorRequest::DeleteOperator { operator_id: ada });
    assert_eq!(gone, Outcome::Done);
    assert_eq!(trusted(&relay), ["a", "b", "c", "root"]);
    assert!(signing_key::is_revoked(&relay.txn, FLEET, "ada").unwrap());
}

fn identify(relay: &mut Relay, agent: &Peer, id: &str) -> Outcome {
    let request = AgentRequest::IdentityKey {
        key_id: id.into(),
        public_key: format!("public {id}"),
    };
    relay.sign(agent, request)
}

fn revoke_of(relay: &mut Relay, agent: &Peer, id: &str) -> Outcome {
    relay.operator(OperatorRequest::RevokeAgentKey {
        agent_id: agent.id.clone(),
        key_id: id.into(),
        reason: "leaked".into(),
    })
}

fn keys_of(relay: &Relay, agent: &Peer) -> Vec<String> {
    let keys = signing_key::of_agent(&relay.txn, FLEET, agent.no).unwrap();
    keys.into_iter().map(|key| key.key_id).collect()
}

#[test]
fn keys_of_one_millisecond_are_kept_in_the_order_they_came_in() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    for id in ["k2", "k3", "k1"] {
        identify(&mut relay, &writer, id);
    }
    let mut keys = signing_key::of_agent(&relay.txn, FLEET, writer.no).unwrap();
    keys.sort_by_key(|key| key.registered_ms);
    let ids: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
    assert_eq!(ids, ["k2", "k3", "k1"]);
    keys.dedup_by_key(|key| key.registered_ms);
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_revoked_key_of_an_agent_is_nobodys_any_more() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    identify(&mut relay, &writer, "k1");
    identify(&mut relay, &writer, "k2");
    assert_eq!(keys_of(&relay, &writer), ["k1", "k2"]);
    let mut signed = relay.to(&reviewer);
    signed.envelope = Some(Envelope {
        agent_sig: "sig".into(),
        key_id: "k2".into(),
        sig_canonical: "text".into(),
    });
    assert!(relay.send(&writer, signed.clone()).is_ok());

    assert_eq!(revoke_of(&mut relay, &writer, "k2"), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::AgentIdentityKeyRevoked]);
    assert_eq!(relay.agent(writer.no).identity_key, None);
    let gone = Outcome::Refused(Refusal::KeyRevoked);
    assert_eq!(revoke_of(&mut relay, &writer, "k2"), gone);
    for agent in [&writer, &reviewer] {
        assert_eq!(identify(&mut relay, agent, "k2"), gone, "{agent:?}");
    }
    signed.uuid = relay.next_id();
    let events = relay.events(1000).len();
    assert_eq!(
        relay.send(&writer, signed.clone()),
        Err(Refusal::KeyRevoked)
    );
    assert_eq!(relay.events(1000).len(), events);
    signed.envelope = None;
    assert!(relay.send(&writer, signed).is_ok(), "without it");
    assert!(matches!(
        identify(&mut relay, &writer, "k1"),
        Outcome::IdentityKey(_)
    ));

    // Neither at enrolment, which keeps the token.
    let token = relay.token();
    let with = |id: &str| Enroll {
        identity_key: Some((id.into(), "public".into())),
        ..enroll_with(token, "late")
    };
    assert_eq!(relay.apply(Command::Enroll(with("k2"))), gone);
    let enrolled = relay.apply(Command::Enroll(with("k3")));
    assert!(matches!(enrolled, Outcome::Enrolled { .. }), "{enrolled:?}");

    let unknown = Outcome::Refused(Refusal::NotFound);
    assert_eq!(revoke_of(&mut relay, &writer, "k3"), unknown, "another's");
    let nobody = Peer {
        no: 99,
        id: "agent_99".into(),
    };
    assert_eq!(revoke_of(&mut relay, &nobody, "k1"), unknown);
}

#[test]
fn operators_keys_and_agents_keys_are_kept_apart() {
    let mut relay = chain();
    let writer = relay.enroll("writer");
    assert!(is_conflict(&identify(&mut relay, &writer, "root")));
    identify(&mut relay, &writer, "k1");
    register(&mut relay, "k1", true);
    assert!(is_conflict(&revoke_of(&mut relay, &writer, "k1")));
    assert_eq!(revoke(&mut relay, "k1"), revoked(&[]));
    assert_eq!(
        identify(&mut relay, &writer, "k1"),
        Outcome::Refused(Refusal::KeyRevoked)
    );
}

#[test]
fn an_agent_has_so_many_keys_and_revoked_ones_stay_so() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    identify(&mut relay, &writer, "first");
    assert_eq!(revoke_of(&mut relay, &writer, "first"), Outcome::Done);
    for number in 0..AGENT_KEYS_MAX + 5 {
        relay.wait(1);
        identify(&mut relay, &writer, &format!("k{number:02}"));
    }
    let kept = keys_of(&relay, &writer);
    assert_eq!(kept.len(), AGENT_KEYS_MAX);
    assert_eq!(
        (kept[0].as_str(), kept[19].as_str()),
        ("k05", "k24"),
        "the newest"
    );
    assert_eq!(
        identify(&mut relay, &writer, "first"),
        Outcome::Refused(Refusal::KeyRevoked)
    );
}
