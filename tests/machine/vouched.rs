//! Sign-in on somebody else's word: an OpenID provider's, a tailnet's.

use ekho::machine::command::{Command, CreateSession, LoginFailed, OperatorRequest, Proof};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, Actor, Event, EventKind};
use ekho_storage::tables::operator::{self, Operator, Role};
use ekho_storage::tables::session::{self, Method, Origin};
use ekho_storage::tables::totp;

use crate::rig::{FLEET, OPERATOR_ID, Relay};

const OWNER: &str = "owner@example.org";

fn sign_in(relay: &mut Relay, proof: Proof) -> Outcome {
    let number = u8::try_from(relay.next_id()).unwrap();
    relay.apply(Command::CreateSession(CreateSession {
        fleet: FLEET,
        proof,
        token_hash: [number; 32],
        session_id: format!("ses_{number}"),
        address: "192.0.2.7".into(),
        user_agent: "test".into(),
    }))
}

fn by_oidc(email: &str, role: Option<Role>, first: Option<(&str, Role)>) -> Proof {
    Proof::Oidc {
        email: email.into(),
        subject: "subject-1".into(),
        role,
        first: first.map(|(id, role)| (id.into(), role)),
    }
}

fn by_tailnet(email: &str) -> Proof {
    Proof::Tailnet {
        email: email.into(),
    }
}

fn is_in(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::SessionCreated { .. })
}

fn found(relay: &Relay, email: &str) -> Option<Operator> {
    operator::by_email(&relay.txn, FLEET, email).unwrap()
}

fn newest(relay: &Relay, limit: usize) -> Vec<Event> {
    let events = event::list_rev(&relay.txn, FLEET, u64::MAX, limit).unwrap();
    events.into_iter().map(|(_, event)| event).collect()
}

#[test]
fn an_operator_comes_in_as_the_one_who_is_there() {
    for (proof, method) in [
        (by_oidc(OWNER, None, None), Method::Oidc),
        (
            by_oidc(OWNER, None, Some(("opr_9", Role::Viewer))),
            Method::Oidc,
        ),
        (by_tailnet(OWNER), Method::Tailnet),
    ] {
        let mut relay = Relay::new();
        let outcome = sign_in(&mut relay, proof);
        assert!(is_in(&outcome), "{outcome:?}");
        let session = session::get(&relay.txn, &[1; 32]).unwrap().unwrap();
        assert_eq!(session.operator_id, OPERATOR_ID);
        let Origin::Login { method: kept, .. } = session.origin else {
            panic!("{session:?}")
        };
        assert_eq!(kept, method);
        let events = newest(&relay, 1);
        assert_eq!(events[0].kind, EventKind::OperatorLogin);
        let expected = format!(r#""method":"{}""#, method.as_str());
        assert!(events[0].payload.contains(&expected), "{events:?}");
        assert_eq!(found(&relay, OWNER).unwrap().role, Role::Owner);
    }
}

#[test]
fn whoever_is_not_there_is_added_or_refused() {
    let mut relay = Relay::new();
    for proof in [
        by_oidc("new@example.org", None, None),
        by_oidc("new@example.org", Some(Role::Owner), None),
        by_tailnet("new@example.org"),
    ] {
        let outcome = sign_in(&mut relay, proof);
        assert_eq!(outcome, Outcome::Refused(Refusal::NoOperator));
    }
    assert_eq!(found(&relay, "new@example.org"), None);

    let first = Some(("opr_2", Role::Operator));
    let outcome = sign_in(&mut relay, by_oidc("new@example.org", None, first));
    assert!(is_in(&outcome), "{outcome:?}");
    let added = found(&relay, "new@example.org").unwrap();
    assert_eq!((added.id.as_str(), added.role), ("opr_2", Role::Operator));
    assert_eq!(added.password_hash, "", "no password opens the account");
    let created = newest(&relay, 2).remove(1);
    assert_eq!(
        (created.kind, created.actor),
        (EventKind::OperatorCreated, Actor::System)
    );
    assert!(created.payload.contains("subject-1"), "{}", created.payload);
    // The next time they are there.
    let first = Some(("opr_3", Role::Viewer));
    let outcome = sign_in(&mut relay, by_oidc("new@example.org", None, first));
    assert!(is_in(&outcome), "{outcome:?}");
    assert_eq!(found(&relay, "new@example.org"), Some(added));
}

#[test]
fn the_provider_sets_the_role_where_it_says_one() {
    let mut relay = Relay::new();
    let email = "new@example.org";
    for (role, expected) in [
        (Some(Role::Viewer), Role::Viewer),
        (Some(Role::Owner), Role::Owner),
        (None, Role::Owner),
        (Some(Role::Operator), Role::Operator),
    ] {
        let first = role.map(|role| ("opr_2", role));
        let outcome = sign_in(&mut relay, by_oidc(email, role, first));
        assert!(is_in(&outcome), "{outcome:?}");
        assert_eq!(found(&relay, email).unwrap().role, expected);
    }
    let changed = newest(&relay, 2).remove(1);
    assert_eq!(
        (changed.kind, changed.actor),
        (EventKind::OperatorUpdated, Actor::System)
    );
    let payload: serde_json::Value = serde_json::from_str(&changed.payload).unwrap();
    assert_eq!(payload["before"]["role"], "owner");
    assert_eq!(payload["after"]["role"], "operator");
    // The last owner stays one, and comes in all the same.
    let outcome = sign_in(&mut relay, by_oidc(OWNER, Some(Role::Viewer), None));
    assert!(is_in(&outcome), "{outcome:?}");
    assert_eq!(found(&relay, OWNER).unwrap().role, Role::Owner);
}

#[test]
fn no_more_operators_are_added_than_a_fleet_holds() {
    let mut relay = Relay::new();
    relay.recount = false;
    for number in 1..1000 {
        let made = relay.operator(OperatorRequest::CreateOperator {
            operator_id: format!("opr_{number}"),
            email: format!("{number}@example.org"),
            password_hash: "hash".into(),
            role: Role::Viewer,
        });
        assert_eq!(made, Outcome::Done);
    }
    let first = Some(("opr_new", Role::Viewer));
    let outcome = sign_in(&mut relay, by_oidc("new@example.org", None, first));
    assert_eq!(
        outcome,
        Outcome::Refused(Refusal::LimitReached { limit: 1000 })
    );
    let outcome = sign_in(&mut relay, by_oidc("1@example.org", None, first));
    assert!(is_in(&outcome), "{outcome:?}");
}

#[test]
fn neither_a_lock_nor_a_second_factor_is_theirs() {
    let mut relay = Relay::new();
    for _ in 0..10 {
        relay.apply(Command::LoginFailed(LoginFailed {
            fleet: Some(FLEET),
            email: OWNER.into(),
            address: "192.0.2.7".into(),
        }));
    }
    let stored = totp::Totp {
        secret_id: "otp_1".into(),
        sealed_secret: vec![],
        confirmed_ms: Some(1),
        last_step: 1,
        recovery_hashes: vec![],
    };
    totp::put(&mut relay.txn, FLEET, OPERATOR_ID, &stored);
    let by_password = |second| Proof::Password {
        operator_id: OPERATOR_ID.into(),
        password_hash: "$argon2id$first".into(),
        second,
    };
    let locked = sign_in(&mut relay, by_password(None));
    assert!(
        matches!(locked, Outcome::Refused(Refusal::LockedOut { .. })),
        "{locked:?}"
    );
    for proof in [by_oidc(OWNER, None, None), by_tailnet(OWNER)] {
        let outcome = sign_in(&mut relay, proof);
        assert!(is_in(&outcome), "{outcome:?}");
    }
    // The account stays locked for who guesses.
    let locked = sign_in(&mut relay, by_password(None));
    assert!(
        matches!(locked, Outcome::Refused(Refusal::LockedOut { .. })),
        "{locked:?}"
    );
}
