//! Set-up, enrolment tokens, sessions, settings, operators; and commands of another release.

use ekho::machine::command::{
    self, AgentRequest, Command, CreateSession, DecodeError, NewMessage, OperatorRequest, Proof,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::operator::{self, Role};
use ekho_storage::tables::session;
use ekho_storage::tables::settings::{self, Settings};
use ekho_storage::tables::{fleet, system, token};

use crate::rig::{
    CENTURY, DAY, FLEET, FLEET_ID, HOUR, OPERATOR_ID, Relay, bootstrap, enroll_with, nack,
};

const HASH: [u8; 32] = [9; 32];

fn sign_in(relay: &mut Relay, password_hash: &str) -> Outcome {
    relay.apply(Command::CreateSession(CreateSession {
        fleet: FLEET,
        proof: Proof::Password {
            operator_id: OPERATOR_ID.into(),
            password_hash: password_hash.into(),
            second: None,
        },
        token_hash: HASH,
        session_id: "ses_1".into(),
        address: "127.0.0.1".into(),
        user_agent: String::new(),
    }))
}

#[test]
fn set_up_happens_once() {
    let seeds = Settings {
        rate_max_messages: 7,
        ..Settings::default()
    };
    let mut relay = Relay::with(seeds.clone());
    assert_eq!(settings::get(&relay.txn).unwrap(), seeds);
    assert_eq!(system::get(&relay.txn).unwrap().sealing_key_id, "k1");
    let made = fleet::by_name(&relay.txn, "test").unwrap().unwrap();
    assert_eq!(
        (made.no, made.id.as_str(), made.created_ms),
        (FLEET, FLEET_ID, relay.now_ms)
    );
    let owner = operator::by_email(&relay.txn, FLEET, "owner@example.org")
        .unwrap()
        .unwrap();
    assert_eq!((owner.id.as_str(), owner.role), (OPERATOR_ID, Role::Owner));

    let again = Command::Bootstrap(bootstrap(Settings::default()));
    assert_eq!(relay.apply(again), Outcome::Refused(Refusal::AlreadySetUp));
    assert_eq!(
        settings::get(&relay.txn).unwrap(),
        seeds,
        "and changes nothing"
    );
}

#[test]
fn a_token_admits_one_agent_within_an_hour() {
    let mut relay = Relay::new();
    let invalid = Outcome::Refused(Refusal::InvalidToken);
    assert_eq!(
        relay.apply(Command::Enroll(enroll_with(HASH, "early"))),
        invalid
    );

    let token = relay.token();
    relay.pass(HOUR - 1);
    let enrolled = relay.apply(Command::Enroll(enroll_with(token, "writer")));
    let expected = Outcome::Enrolled {
        heartbeat_interval_ms: 30_000,
        poll_interval_ms: 5_000,
    };
    assert_eq!(enrolled, expected);
    assert_eq!(relay.events(1), [EventKind::AgentEnrolled]);
    assert_eq!(
        relay.apply(Command::Enroll(enroll_with(token, "second"))),
        invalid,
        "used"
    );

    let token = relay.token();
    relay.wait(HOUR);
    assert_eq!(
        relay.apply(Command::Enroll(enroll_with(token, "late"))),
        invalid,
        "before its tick"
    );
    relay.tick();
    assert_eq!(token::get(&relay.txn, &token).unwrap(), None);
}

#[test]
fn a_token_admits_to_its_own_fleet_only_and_survives_a_wrong_one() {
    let mut relay = Relay::new();
    let token = relay.token();
    let mut elsewhere = enroll_with(token, "writer");
    elsewhere.fleet_id = "flt_other".into();
    let refused = relay.apply(Command::Enroll(elsewhere));
    assert_eq!(refused, Outcome::Refused(Refusal::InvalidToken));
    let enrolled = relay.apply(Command::Enroll(enroll_with(token, "writer")));
    assert!(matches!(enrolled, Outcome::Enrolled { .. }), "{enrolled:?}");
}

#[test]
fn a_full_fleet_admits_nobody_and_keeps_the_token() {
    let mut relay = Relay::with(Settings {
        max_agents: 1,
        ..Settings::default()
    });
    relay.enroll("writer");
    let token = relay.token();
    let enroll = Command::Enroll(enroll_with(token, "reviewer"));
    let full = Outcome::Refused(Refusal::LimitReached { limit: 1 });
    assert_eq!(relay.apply(enroll.clone()), full);
    relay.change_settings(|settings| settings.max_agents = 2);
    let enrolled = relay.apply(enroll);
    assert!(matches!(enrolled, Outcome::Enrolled { .. }), "{enrolled:?}");
}

#[test]
fn a_session_lasts_half_a_day_or_until_sign_out() {
    let mut relay = Relay::new();
    let expires_ms = relay.now_ms + 12 * HOUR;
    assert_eq!(
        sign_in(&mut relay, "$argon2id$first"),
        Outcome::SessionCreated { expires_ms }
    );
    assert_eq!(relay.events(1), [EventKind::OperatorLogin]);
    let session = session::get(&relay.txn, &HASH).unwrap().unwrap();
    assert_eq!(
        (session.operator_id.as_str(), session.expires_ms),
        (OPERATOR_ID, Some(expires_ms))
    );
    relay.pass(12 * HOUR);
    assert_eq!(session::get(&relay.txn, &HASH).unwrap(), None);

    sign_in(&mut relay, "$argon2id$first");
    let out = Command::DeleteSession { token_hash: HASH };
    assert_eq!(relay.apply(out.clone()), Outcome::Done);
    assert_eq!(session::get(&relay.txn, &HASH).unwrap(), None);
    assert_eq!(relay.events(1), [EventKind::OperatorLogout]);
    let events = relay.events(1000).len();
    assert_eq!(relay.apply(out), Outcome::Done, "twice is harmless");
    assert_eq!(relay.events(1000).len(), events);
}

#[test]
fn a_sign_in_counts_only_with_the_password_of_the_moment() {
    let mut relay = Relay::new();
    let refused = Outcome::Refused(Refusal::InvalidCredentials);
    assert_eq!(sign_in(&mut relay, "$argon2id$other"), refused);
    assert_eq!(session::get(&relay.txn, &HASH).unwrap(), None);
}

#[test]
fn changed_settings_decide_from_the_next_command_on_and_are_in_the_audit_log() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.change_settings(|settings| settings.rate_max_messages = 1);
    assert_eq!(settings::get(&relay.txn).unwrap().rate_max_messages, 1);
    let (_, event) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert_eq!(event.kind, EventKind::SettingsChanged);
    let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(payload["before"]["rate_max_messages"], 30);
    assert_eq!(payload["after"]["rate_max_messages"], 1);
    relay.sent(&writer, &reviewer);
    let message = relay.to(&reviewer);
    assert!(matches!(
        relay.send(&writer, message),
        Err(Refusal::RateLimited { .. })
    ));
}

/// Two operators change settings at once: the second must look again first.
#[test]
fn a_change_made_from_settings_of_before_is_refused() {
    let mut relay = Relay::new();
    let before = Box::new(settings::get(&relay.txn).unwrap());
    let mut after = before.clone();
    after.max_fan_out = 7;
    relay.change_settings(|settings| settings.rate_max_messages = 9);
    let late = relay.operator(OperatorRequest::ChangeSettings { before, after });
    assert!(
        matches!(late, Outcome::Refused(Refusal::Conflict(_))),
        "{late:?}"
    );
    let kept = settings::get(&relay.txn).unwrap();
    assert_eq!((kept.rate_max_messages, kept.max_fan_out), (9, 10_000));
}

/// The longest durations that settings may have, added to the time wherever they are.
#[test]
fn the_greatest_settings_stop_nothing() {
    let mut relay = Relay::new();
    relay.change_settings(|settings| {
        settings.timestamp_skew_ms = DAY;
        settings.delivery_timeout_ms = 366 * DAY;
        settings.retry_backoff_ms = vec![366 * DAY; 100];
        settings.rate_window_ms = 366 * DAY;
        settings.violation_window_ms = 366 * DAY;
        settings.heartbeat_timeout_ms = 366 * DAY;
        settings.heartbeat_threshold = 10_000;
        settings.message_retention_ms = CENTURY;
        settings.dead_letter_retention_ms = CENTURY;
        settings.idempotency_ms = 366 * DAY;
        settings.enrollment_token_ms = 366 * DAY;
        settings.session_ms = 366 * DAY;
        settings.rate_max_messages = 2;
        assert_eq!(settings.check(), Ok(()), "allowed");
    });
    let (writer, reviewer) = relay.pair();
    sign_in(&mut relay, "$argon2id$first");
    let beat = AgentRequest::Heartbeat {
        status: "healthy".into(),
    };
    relay.sign(&writer, beat);
    for accepted in [true, true, false] {
        let message = relay.to(&reviewer);
        let idempotency = Some((message.uuid.to_string(), [0; 32]));
        let sent = relay.send(
            &writer,
            NewMessage {
                idempotency,
                ..message
            },
        );
        assert_eq!(sent.is_ok(), accepted, "{sent:?}");
    }
    let taken = relay.take(&reviewer);
    relay.nack(&reviewer, nack(taken[0]));
    relay.ack(&reviewer, taken[1]);
    relay.pass(HOUR);
    assert_eq!(relay.status(&writer), "healthy");
}

#[test]
fn an_operators_sign_in_name_is_unique() {
    let mut relay = Relay::new();
    let create = |email: &str| OperatorRequest::CreateOperator {
        operator_id: "opr_2".into(),
        email: email.into(),
        password_hash: "$argon2id$second".into(),
        role: Role::Viewer,
    };
    let taken = relay.operator(create("owner@example.org"));
    assert!(
        matches!(taken, Outcome::Refused(Refusal::Conflict(_))),
        "{taken:?}"
    );
    assert_eq!(relay.operator(create("viewer@example.org")), Outcome::Done);
    let made = operator::by_email(&relay.txn, FLEET, "viewer@example.org")
        .unwrap()
        .unwrap();
    assert_eq!((made.id.as_str(), made.role), ("opr_2", Role::Viewer));
}

#[test]
fn a_command_of_a_newer_release_or_a_damaged_one_is_not_guessed_at() {
    let mut bytes = command::encode(&Command::Tick { limit: 5 }).to_vec();
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        command::decode::<Command>(&longer),
        Err(DecodeError::Damaged(_))
    ));
    let cut = command::decode::<Command>(&bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(DecodeError::Damaged(_))), "{cut:?}");
    assert!(matches!(
        command::decode::<Command>(&[]),
        Err(DecodeError::Damaged(_))
    ));
    bytes[0] = command::VERSION + 1;
    let newer = command::decode::<Command>(&bytes);
    assert!(matches!(newer, Err(DecodeError::Version(version)) if version == command::VERSION + 1));
}
