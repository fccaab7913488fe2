//! Who may do what: roles, scopes, sessions, and tries to sign in.

use ekho::machine::access;
use ekho::machine::command::{Command, CreateSession, LoginFailed, OperatorRequest, Proof};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::operator::{self, Role, Scope, Scopes};
use ekho_storage::tables::session;
use ekho_storage::tables::settings;

use crate::rig::{FLEET, HOUR, MINUTE, OPERATOR_ID, OWNERS_TOKEN, Relay};

const ADDRESS: &str = "192.0.2.7";

fn hash(number: u8) -> [u8; 32] {
    [number; 32]
}

fn sign_in(relay: &mut Relay, operator_id: &str, number: u8) -> Outcome {
    let found = operator::get(&relay.txn, FLEET, operator_id).unwrap();
    let password_hash = found.map_or(String::new(), |operator| operator.password_hash);
    relay.apply(Command::CreateSession(CreateSession {
        fleet: FLEET,
        proof: Proof::Password {
            operator_id: operator_id.into(),
            password_hash,
            second: None,
        },
        token_hash: hash(number),
        session_id: format!("ses_{number}"),
        address: ADDRESS.into(),
        user_agent: "test".into(),
    }))
}

fn add(relay: &mut Relay, name: &str, role: Role) -> String {
    let operator_id = format!("opr_{name}");
    let made = relay.operator(OperatorRequest::CreateOperator {
        operator_id: operator_id.clone(),
        email: format!("{name}@example.org"),
        password_hash: format!("hash of {name}"),
        role,
    });
    assert_eq!(made, Outcome::Done);
    operator_id
}

fn order(relay: &mut Relay, number: u8, request: OperatorRequest) -> Outcome {
    relay.apply(Command::Operator {
        token_hash: hash(number),
        request_id: "req_1".into(),
        request,
    })
}

/// One request for every scope.
fn requests(relay: &Relay, agent: &str) -> Vec<(Scope, OperatorRequest)> {
    let settings = Box::new(settings::get(&relay.txn).unwrap());
    vec![
        (
            Scope::Agents,
            OperatorRequest::Hold {
                agent_id: agent.into(),
                kind: HoldKind::Pause,
                reason: "r".into(),
                expires_ms: None,
                redirect_agent_id: None,
            },
        ),
        (
            Scope::Approvals,
            OperatorRequest::DecideApproval {
                approval: 1,
                approve: true,
                reason: None,
            },
        ),
        (
            Scope::Settings,
            OperatorRequest::ChangeSettings {
                before: settings.clone(),
                after: settings,
            },
        ),
        (
            Scope::Operators,
            OperatorRequest::DeleteOperator {
                operator_id: "opr_nobody".into(),
            },
        ),
    ]
}

#[test]
fn a_role_allows_what_it_says_and_nothing_else() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    for (number, role) in [(1, Role::Owner), (2, Role::Operator), (3, Role::Viewer)] {
        let operator_id = add(&mut relay, &format!("the-{}", role.as_str()), role);
        sign_in(&mut relay, &operator_id, number);
        for (scope, request) in requests(&relay, &agent.id) {
            let outcome = order(&mut relay, number, request);
            let forbidden = outcome == Outcome::Refused(Refusal::Forbidden(scope));
            assert_eq!(
                forbidden,
                !role.scopes().has(scope),
                "{role:?} {scope:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn an_api_token_may_what_it_and_its_operator_may() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    let operator_id = add(&mut relay, "one", Role::Owner);
    sign_in(&mut relay, &operator_id, 1);
    let token = |scopes: &[Scope]| OperatorRequest::CreateApiToken {
        token_hash: hash(2),
        id: "tok_1".into(),
        name: "ci".into(),
        scopes: Scopes::of(scopes),
        expires_ms: None,
    };
    let made = order(&mut relay, 1, token(&[Scope::Agents, Scope::Settings]));
    assert_eq!(made, Outcome::Done);
    for (scope, request) in requests(&relay, &agent.id) {
        let outcome = order(&mut relay, 2, request);
        let forbidden = outcome == Outcome::Refused(Refusal::Forbidden(scope));
        let allowed = matches!(scope, Scope::Agents | Scope::Settings);
        assert_eq!(forbidden, !allowed, "{scope:?}: {outcome:?}");
    }
    // It cannot make itself another one, nor outlive its operator's rights.
    let more = order(&mut relay, 2, token(&[Scope::Operators]));
    assert_eq!(more, Outcome::Refused(Refusal::LoginOnly));
    relay.operator(OperatorRequest::ChangeOperator {
        operator_id: operator_id.clone(),
        role: Some(Role::Viewer),
        password_hash: None,
    });
    for (scope, request) in requests(&relay, &agent.id) {
        let outcome = order(&mut relay, 2, request);
        assert_eq!(outcome, Outcome::Refused(Refusal::Forbidden(scope)));
    }
    relay.operator(OperatorRequest::DeleteOperator { operator_id });
    for (_, request) in requests(&relay, &agent.id) {
        let outcome = order(&mut relay, 2, request);
        assert_eq!(outcome, Outcome::Refused(Refusal::NotSignedIn));
    }
    assert_eq!(
        session::get(&relay.txn, &hash(2)).unwrap(),
        None,
        "nothing is left"
    );
}

#[test]
fn an_api_token_ends_when_it_says() {
    let mut relay = Relay::new();
    let operator_id = add(&mut relay, "one", Role::Owner);
    sign_in(&mut relay, &operator_id, 1);
    let expires_ms = Some(relay.now_ms + HOUR);
    order(
        &mut relay,
        1,
        OperatorRequest::CreateApiToken {
            token_hash: hash(2),
            id: "tok_1".into(),
            name: "ci".into(),
            scopes: Scopes::of(&[Scope::Read]),
            expires_ms,
        },
    );
    let is_there = |relay: &Relay| {
        access::principal(&relay.txn, hash(2), relay.now_ms)
            .unwrap()
            .is_some()
    };
    relay.pass(HOUR - 1);
    assert!(is_there(&relay));
    // Over at once, and not only when the tick comes.
    relay.wait(1);
    assert!(!is_there(&relay));
    relay.tick();
    assert_eq!(session::get(&relay.txn, &hash(2)).unwrap(), None);
}

#[test]
fn the_last_owner_stays() {
    let mut relay = Relay::new();
    let conflict = |outcome: Outcome| {
        assert!(
            matches!(outcome, Outcome::Refused(Refusal::Conflict(_))),
            "{outcome:?}"
        );
    };
    let demote = OperatorRequest::ChangeOperator {
        operator_id: OPERATOR_ID.into(),
        role: Some(Role::Operator),
        password_hash: None,
    };
    let delete = OperatorRequest::DeleteOperator {
        operator_id: OPERATOR_ID.into(),
    };
    conflict(relay.operator(demote.clone()));
    conflict(relay.operator(delete));
    add(&mut relay, "two", Role::Owner);
    assert_eq!(relay.operator(demote), Outcome::Done);
    // And from then on the first one may no more.
    let refused = relay.operator(OperatorRequest::DeleteOperator {
        operator_id: "opr_two".into(),
    });
    assert_eq!(
        refused,
        Outcome::Refused(Refusal::Forbidden(Scope::Operators))
    );
}

#[test]
fn a_changed_password_ends_the_other_logins() {
    let mut relay = Relay::new();
    let operator_id = add(&mut relay, "one", Role::Viewer);
    for number in 1..=3 {
        sign_in(&mut relay, &operator_id, number);
    }
    let change = |current: &str| OperatorRequest::ChangePassword {
        current_hash: current.into(),
        new_hash: "a new hash".into(),
    };
    let wrong = order(&mut relay, 2, change("an old hash"));
    assert_eq!(wrong, Outcome::Refused(Refusal::InvalidCredentials));
    assert_eq!(order(&mut relay, 2, change("hash of one")), Outcome::Done);
    let left: Vec<bool> = (1..=3)
        .map(|number| session::get(&relay.txn, &hash(number)).unwrap().is_some())
        .collect();
    assert_eq!(left, [false, true, false]);
    assert_eq!(relay.events(1), [EventKind::OperatorPasswordChanged]);
}

#[test]
fn sessions_are_ended_one_by_one_or_all_others_at_once() {
    let mut relay = Relay::new();
    let (one, two) = (
        add(&mut relay, "one", Role::Operator),
        add(&mut relay, "two", Role::Operator),
    );
    for number in 1..=3 {
        sign_in(&mut relay, &one, number);
    }
    sign_in(&mut relay, &two, 9);
    let end = |operator_id: Option<&str>, number: u8| OperatorRequest::EndSession {
        operator_id: operator_id.map(str::to_string),
        session_id: format!("ses_{number}"),
    };
    assert_eq!(order(&mut relay, 1, end(None, 2)), Outcome::Done);
    assert_eq!(
        order(&mut relay, 2, end(None, 1)),
        Outcome::Refused(Refusal::NotSignedIn)
    );
    // Those of others are not there, but for who manages operators.
    assert_eq!(
        order(&mut relay, 1, end(None, 9)),
        Outcome::Refused(Refusal::NotFound)
    );
    assert_eq!(
        order(&mut relay, 1, end(Some(&two), 9)),
        Outcome::Refused(Refusal::Forbidden(Scope::Operators))
    );
    assert_eq!(relay.operator(end(Some(&two), 9)), Outcome::Done);
    assert_eq!(
        order(&mut relay, 1, OperatorRequest::EndOtherSessions),
        Outcome::Updated(1)
    );
    assert_eq!(session::list(&relay.txn, FLEET, &one, 10).unwrap().len(), 1);
}

fn fail(relay: &mut Relay, email: &str, address: &str) {
    let failed = LoginFailed {
        fleet: Some(FLEET),
        email: email.into(),
        address: address.into(),
    };
    assert_eq!(relay.apply(Command::LoginFailed(failed)), Outcome::Done);
}

#[test]
fn too_many_failures_lock_the_account_for_a_while() {
    let mut relay = Relay::new();
    let one = add(&mut relay, "one", Role::Viewer);
    let two = add(&mut relay, "two", Role::Viewer);
    for number in 0..10 {
        assert!(matches!(
            sign_in(&mut relay, &two, 2),
            Outcome::SessionCreated { .. }
        ));
        fail(&mut relay, "one@example.org", &format!("192.0.2.{number}"));
    }
    assert_eq!(relay.events(1), [EventKind::OperatorLockedOut]);
    let locked = |outcome: Outcome| matches!(outcome, Outcome::Refused(Refusal::LockedOut { .. }));
    assert!(locked(sign_in(&mut relay, &one, 1)));
    assert!(!locked(sign_in(&mut relay, &two, 2)));
    relay.pass(15 * MINUTE - 1);
    assert!(locked(sign_in(&mut relay, &one, 1)));
    relay.pass(1);
    assert!(!locked(sign_in(&mut relay, &one, 1)));
}

#[test]
fn a_success_forgets_the_failures_of_the_account_and_not_of_the_address() {
    let mut relay = Relay::new();
    relay.change_settings(|settings| settings.login_failures_per_address = 15);
    let one = add(&mut relay, "one", Role::Viewer);
    for _ in 0..9 {
        fail(&mut relay, "one@example.org", ADDRESS);
    }
    assert!(matches!(
        sign_in(&mut relay, &one, 1),
        Outcome::SessionCreated { .. }
    ));
    for _ in 0..6 {
        fail(&mut relay, "one@example.org", ADDRESS);
    }
    let refused = sign_in(&mut relay, &one, 1);
    assert!(
        matches!(refused, Outcome::Refused(Refusal::LockedOut { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_an_operator_did_names_the_request() {
    let mut relay = Relay::new();
    add(&mut relay, "one", Role::Viewer);
    let (_, event) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert_eq!(
        (event.kind, event.request_id.as_str()),
        (EventKind::OperatorCreated, "req_test")
    );
    relay.enroll("agent");
    let (_, event) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert_eq!(event.request_id, "");
}

/// Each event carries the hash of all before it; a changed one breaks the chain.
#[test]
fn events_are_chained() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.sent(&writer, &reviewer);
    relay.take(&reviewer);
    let stored = event::list(&relay.txn, FLEET, 0, 1000).unwrap();
    assert!(stored.len() > 5);
    let mut before = event::GENESIS;
    for (number, event) in stored.iter().enumerate() {
        assert_eq!(event.seq, number as u64 + 1);
        before = event::link(&before, event.seq, &event.record);
        assert_eq!(before, event.hash);
    }
    assert_eq!(event::head(&relay.txn, FLEET).unwrap(), before);
    let mut altered = stored[2].record.clone();
    altered[1] ^= 1;
    assert_ne!(event::link(&stored[1].hash, 3, &altered), stored[2].hash);
    assert_eq!(
        access::principal(&relay.txn, OWNERS_TOKEN, relay.now_ms)
            .unwrap()
            .unwrap()
            .fleet,
        FLEET
    );
}
