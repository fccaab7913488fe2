//! The second factor: asked for once confirmed, each code good once.

use ekho::machine::command::{Command, CreateSession, OperatorRequest, Proof, SecondFactor};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::operator::{Role, Scope};
use ekho_storage::tables::totp;

use crate::rig::{FLEET, MINUTE, OPERATOR_ID, Relay};

const ADDRESS: &str = "192.0.2.7";
const PASSWORD: &str = "$argon2id$first";
const WRONG: Outcome = Outcome::Refused(Refusal::InvalidCredentials);
const NEEDED: Outcome = Outcome::Refused(Refusal::TotpRequired);

fn code(secret_id: &str, step: u64) -> Option<SecondFactor> {
    Some(SecondFactor::Totp {
        secret_id: secret_id.into(),
        step,
    })
}

fn recovery(secret_id: &str, number: u8) -> Option<SecondFactor> {
    Some(SecondFactor::Recovery {
        secret_id: secret_id.into(),
        code_hash: [number; 32],
    })
}

fn sign_in(relay: &mut Relay, second: Option<SecondFactor>) -> Outcome {
    let number = u8::try_from(relay.next_id()).unwrap();
    relay.apply(Command::CreateSession(CreateSession {
        fleet: FLEET,
        proof: Proof::Password {
            operator_id: OPERATOR_ID.into(),
            password_hash: PASSWORD.into(),
            second,
        },
        token_hash: [number; 32],
        session_id: format!("ses_{number}"),
        address: ADDRESS.into(),
        user_agent: "test".into(),
    }))
}

fn assert_in(outcome: Outcome) {
    assert!(
        matches!(outcome, Outcome::SessionCreated { .. }),
        "{outcome:?}"
    );
}

fn begin(relay: &mut Relay, secret_id: &str) -> Outcome {
    relay.operator(OperatorRequest::BeginTotp {
        current_hash: PASSWORD.into(),
        secret_id: secret_id.into(),
        sealed_secret: vec![1, 2, 3],
    })
}

fn confirm(relay: &mut Relay, secret_id: &str, step: u64) -> Outcome {
    relay.operator(OperatorRequest::ConfirmTotp {
        secret_id: secret_id.into(),
        step,
        recovery_hashes: vec![[1; 32], [2; 32]],
    })
}

fn disable(relay: &mut Relay, second: Option<SecondFactor>) -> Outcome {
    relay.operator(OperatorRequest::DisableTotp {
        current_hash: PASSWORD.into(),
        second,
    })
}

/// A relay whose owner has a second factor, confirmed with the code of step 100.
fn enabled() -> Relay {
    let mut relay = Relay::new();
    assert_eq!(begin(&mut relay, "otp_1"), Outcome::Done);
    assert_eq!(confirm(&mut relay, "otp_1", 100), Outcome::Done);
    relay
}

#[test]
fn it_is_asked_for_from_when_it_is_confirmed() {
    let mut relay = Relay::new();
    assert_in(sign_in(&mut relay, None));
    assert_eq!(begin(&mut relay, "otp_1"), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::OperatorTotpBegun]);
    assert_in(sign_in(&mut relay, None));
    assert_eq!(
        confirm(&mut relay, "otp_2", 100),
        Outcome::Refused(Refusal::NotFound),
        "a code of another secret"
    );
    assert_eq!(confirm(&mut relay, "otp_1", 100), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::OperatorTotpEnabled]);
    assert_eq!(sign_in(&mut relay, None), NEEDED);
    assert_in(sign_in(&mut relay, code("otp_1", 101)));
    let (_, login) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert!(
        login.payload.contains(r#""second_factor":"totp""#),
        "{}",
        login.payload
    );
    // Twice is once too often; another one would take the place of the one that counts.
    for again in [
        confirm(&mut relay, "otp_1", 102),
        begin(&mut relay, "otp_3"),
    ] {
        assert!(
            matches!(again, Outcome::Refused(Refusal::Conflict(_))),
            "{again:?}"
        );
    }
    assert_eq!(sign_in(&mut relay, code("otp_3", 103)), WRONG);
}

#[test]
fn what_was_begun_and_not_confirmed_can_be_begun_anew() {
    let mut relay = Relay::new();
    assert_eq!(begin(&mut relay, "otp_1"), Outcome::Done);
    assert_eq!(begin(&mut relay, "otp_2"), Outcome::Done);
    assert_eq!(
        confirm(&mut relay, "otp_1", 100),
        Outcome::Refused(Refusal::NotFound)
    );
    assert_eq!(confirm(&mut relay, "otp_2", 100), Outcome::Done);
    // Not with a password that is no longer the one that was checked.
    let mut relay = Relay::new();
    let begun = relay.operator(OperatorRequest::BeginTotp {
        current_hash: "$argon2id$old".into(),
        secret_id: "otp_1".into(),
        sealed_secret: vec![],
    });
    assert_eq!(begun, WRONG);
    assert_eq!(totp::get(&relay.txn, FLEET, OPERATOR_ID).unwrap(), None);
}

#[test]
fn a_code_is_good_once() {
    let mut relay = enabled();
    assert_eq!(
        sign_in(&mut relay, code("otp_1", 100)),
        WRONG,
        "the code that confirmed it"
    );
    assert_in(sign_in(&mut relay, code("otp_1", 102)));
    for used in [102, 101, 100, 0] {
        assert_eq!(sign_in(&mut relay, code("otp_1", used)), WRONG, "{used}");
    }
    assert_in(sign_in(&mut relay, code("otp_1", 103)));
    assert_in(sign_in(&mut relay, recovery("otp_1", 1)));
    assert_eq!(sign_in(&mut relay, recovery("otp_1", 1)), WRONG);
    assert_eq!(sign_in(&mut relay, recovery("otp_1", 3)), WRONG);
    assert_eq!(
        sign_in(&mut relay, recovery("otp_9", 2)),
        WRONG,
        "of another secret"
    );
    assert_in(sign_in(&mut relay, recovery("otp_1", 2)));
    let left = totp::get(&relay.txn, FLEET, OPERATOR_ID).unwrap().unwrap();
    assert_eq!(left.recovery_hashes, Vec::<[u8; 32]>::new());
}

#[test]
fn a_used_code_is_a_failed_sign_in() {
    let mut relay = enabled();
    // A right password without a code is none.
    for _ in 0..20 {
        assert_eq!(sign_in(&mut relay, None), NEEDED);
    }
    for number in 1..=10 {
        assert_eq!(sign_in(&mut relay, code("otp_1", 100)), WRONG, "{number}");
    }
    assert_eq!(relay.events(1), [EventKind::OperatorLockedOut]);
    let locked = sign_in(&mut relay, code("otp_1", 101));
    assert!(
        matches!(locked, Outcome::Refused(Refusal::LockedOut { .. })),
        "{locked:?}"
    );
    relay.pass(15 * MINUTE);
    // What was refused unseen was not used up.
    assert_in(sign_in(&mut relay, code("otp_1", 101)));
    for _ in 1..=10 {
        assert_eq!(disable(&mut relay, code("otp_1", 101)), WRONG);
    }
    assert_eq!(relay.events(1), [EventKind::OperatorLockedOut]);
}

#[test]
fn it_goes_against_a_code_only() {
    let mut relay = enabled();
    assert_eq!(disable(&mut relay, None), NEEDED);
    assert_eq!(disable(&mut relay, code("otp_1", 100)), WRONG);
    let other_password = relay.operator(OperatorRequest::DisableTotp {
        current_hash: "$argon2id$old".into(),
        second: code("otp_1", 101),
    });
    assert_eq!(other_password, WRONG);
    assert_eq!(sign_in(&mut relay, None), NEEDED);
    assert_eq!(disable(&mut relay, code("otp_1", 101)), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::OperatorTotpDisabled]);
    assert_in(sign_in(&mut relay, None));
    assert_eq!(
        disable(&mut relay, None),
        Outcome::Refused(Refusal::NotFound)
    );
    // One that was only begun goes without.
    assert_eq!(begin(&mut relay, "otp_2"), Outcome::Done);
    assert_eq!(disable(&mut relay, None), Outcome::Done);
    // Whoever checked a code when it was still there gets in.
    assert_in(sign_in(&mut relay, code("otp_1", 102)));
}

#[test]
fn an_owner_takes_it_from_somebody_else_who_lost_it() {
    let mut relay = enabled();
    let reset = |operator_id: &str| OperatorRequest::ResetTotp {
        operator_id: operator_id.into(),
    };
    let own = relay.operator(reset(OPERATOR_ID));
    assert!(
        matches!(own, Outcome::Refused(Refusal::Conflict(_))),
        "{own:?}"
    );
    for (id, name, role) in [
        ("opr_2", "second", Role::Owner),
        ("opr_3", "third", Role::Operator),
    ] {
        relay.operator(OperatorRequest::CreateOperator {
            operator_id: id.into(),
            email: format!("{name}@example.org"),
            password_hash: "$argon2id$second".into(),
            role,
        });
    }
    let mut order = |id: &str, number: u8, request: OperatorRequest| {
        let token_hash = [number; 32];
        let signed_in = relay.apply(Command::CreateSession(CreateSession {
            fleet: FLEET,
            proof: Proof::Password {
                operator_id: id.into(),
                password_hash: "$argon2id$second".into(),
                second: None,
            },
            token_hash,
            session_id: format!("ses_{number}"),
            address: ADDRESS.into(),
            user_agent: "test".into(),
        }));
        assert_in(signed_in);
        relay.apply(Command::Operator {
            token_hash,
            request_id: "req_1".into(),
            request,
        })
    };
    assert_eq!(
        order("opr_3", 213, reset(OPERATOR_ID)),
        Outcome::Refused(Refusal::Forbidden(Scope::Operators))
    );
    assert_eq!(
        order("opr_2", 212, reset("opr_3")),
        Outcome::Refused(Refusal::NotFound)
    );
    assert_eq!(
        order("opr_2", 211, reset("opr_9")),
        Outcome::Refused(Refusal::NotFound)
    );
    assert_eq!(order("opr_2", 210, reset(OPERATOR_ID)), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::OperatorTotpReset]);
    assert_in(sign_in(&mut relay, None));
}

#[test]
fn it_goes_with_its_operator() {
    let mut relay = Relay::new();
    relay.operator(OperatorRequest::CreateOperator {
        operator_id: "opr_2".into(),
        email: "second@example.org".into(),
        password_hash: "$argon2id$second".into(),
        role: Role::Viewer,
    });
    let stored = totp::Totp {
        secret_id: "otp_1".into(),
        sealed_secret: vec![],
        confirmed_ms: Some(1),
        last_step: 1,
        recovery_hashes: vec![],
    };
    totp::put(&mut relay.txn, FLEET, "opr_2", &stored);
    relay.operator(OperatorRequest::DeleteOperator {
        operator_id: "opr_2".into(),
    });
    assert_eq!(totp::get(&relay.txn, FLEET, "opr_2").unwrap(), None);
}
