//! Who may sign: credentials and their rotation, timestamps, and nonces that count once.

use ekho::machine::command::{AgentRequest, Auth, Command};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::EventKind;
use ekho_storage::{Cf, Read};

use crate::rig::{CENTURY, FLEET, HOUR, MINUTE, Peer, Relay, SECOND};

const SKEW_MS: u64 = 300 * SECOND;

fn request(relay: &mut Relay, auth: &Auth) -> Outcome {
    relay.apply(Command::Signed {
        auth: auth.clone(),
        request: AgentRequest::RecordNonce,
    })
}

fn rotate(relay: &mut Relay, agent: &Peer, overlap_ms: u64) -> Outcome {
    relay.sign(
        agent,
        AgentRequest::RotateCredential {
            sealed_secret: vec![7],
            overlap_ms,
        },
    )
}

/// Whether a request signed with this credential is accepted now.
fn works(relay: &mut Relay, agent: &Peer, credential: u32) -> bool {
    let auth = Auth {
        credential,
        ..relay.auth(agent.no)
    };
    match request(relay, &auth) {
        Outcome::Done => true,
        Outcome::Refused(Refusal::InvalidCredentials) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_nonce_is_accepted_once_and_belongs_to_its_agent() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let auth = relay.auth(writer.no);
    assert_eq!(request(&mut relay, &auth), Outcome::Done);
    assert_eq!(
        request(&mut relay, &auth),
        Outcome::Refused(Refusal::ReplayedNonce)
    );
    let changed = Auth {
        timestamp_ms: auth.timestamp_ms + 1,
        ..auth.clone()
    };
    assert_eq!(
        request(&mut relay, &changed),
        Outcome::Refused(Refusal::ReplayedNonce)
    );
    let others = Auth {
        agent: reviewer.no,
        ..auth
    };
    assert_eq!(request(&mut relay, &others), Outcome::Done);
}

#[test]
fn a_replay_changes_nothing() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let auth = relay.auth(writer.no);
    let message = relay.to(&reviewer);
    let send = AgentRequest::Send(vec![message]);
    let first = relay.apply(Command::Signed {
        auth: auth.clone(),
        request: send.clone(),
    });
    assert!(matches!(first, Outcome::Sent { .. }), "{first:?}");
    let content =
        |relay: &Relay| Cf::ALL.map(|cf| relay.txn.scan(cf, &[], &[0xff; 64], usize::MAX).unwrap());
    let before = content(&relay);
    let again = relay.apply(Command::Signed {
        auth,
        request: send,
    });
    assert_eq!(again, Outcome::Refused(Refusal::ReplayedNonce));
    assert!(content(&relay) == before);
}

#[test]
fn a_refused_request_uses_up_no_nonce() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let auth = relay.auth(writer.no);
    let early = Auth {
        timestamp_ms: auth.timestamp_ms - SKEW_MS - 1,
        ..auth.clone()
    };
    assert_eq!(
        request(&mut relay, &early),
        Outcome::Refused(Refusal::TimestampSkew)
    );
    let wrong = Auth {
        credential: 9,
        ..auth.clone()
    };
    assert_eq!(
        request(&mut relay, &wrong),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
    assert_eq!(request(&mut relay, &auth), Outcome::Done);
}

#[test]
fn a_timestamp_may_be_off_by_the_skew_and_not_more() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let now = relay.now_ms;
    for (timestamp_ms, accepted) in [
        (now - SKEW_MS - 1, false),
        (now - SKEW_MS, true),
        (now + SKEW_MS, true),
        (now + SKEW_MS + 1, false),
        (0, false),
        (u64::MAX, false),
    ] {
        let auth = Auth {
            timestamp_ms,
            ..relay.auth(writer.no)
        };
        let expected = match accepted {
            true => Outcome::Done,
            false => Outcome::Refused(Refusal::TimestampSkew),
        };
        assert_eq!(
            request(&mut relay, &auth),
            expected,
            "{} ms off",
            timestamp_ms.abs_diff(now)
        );
    }
}

/// A sender whose clock is ahead: its request stays acceptable for twice the skew.
#[test]
fn a_nonce_is_remembered_as_long_as_its_timestamp_can_pass() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    // Not at the border of a bucket.
    relay.wait(7 * MINUTE + 1);
    let auth = Auth {
        timestamp_ms: relay.now_ms + SKEW_MS,
        ..relay.auth(writer.no)
    };
    assert_eq!(request(&mut relay, &auth), Outcome::Done);
    for _ in 0..10 {
        relay.pass(MINUTE);
        assert_eq!(
            request(&mut relay, &auth),
            Outcome::Refused(Refusal::ReplayedNonce)
        );
    }
    relay.pass(1);
    assert_eq!(
        request(&mut relay, &auth),
        Outcome::Refused(Refusal::TimestampSkew)
    );
}

/// Settings decide what is acceptable, but never make an accepted request acceptable again: not
/// under a wider skew, when its nonce was forgotten under the narrower one, nor under a narrower
/// one, when its sender's clock was far ahead.
#[test]
fn a_changed_skew_lets_no_request_in_twice() {
    let steps = [(5 * MINUTE, HOUR), (HOUR, 30 * SECOND), (HOUR, 5 * MINUTE)];
    for (before_ms, after_ms) in steps {
        for ahead_ms in [0, before_ms / 2, before_ms] {
            let mut relay = Relay::new();
            relay.change_settings(|settings| settings.timestamp_skew_ms = before_ms);
            let (writer, _) = relay.pair();
            relay.wait(9 * MINUTE);
            let auth = Auth {
                timestamp_ms: relay.now_ms + ahead_ms,
                ..relay.auth(writer.no)
            };
            assert_eq!(request(&mut relay, &auth), Outcome::Done);
            relay.pass(25 * MINUTE);
            relay.change_settings(|settings| settings.timestamp_skew_ms = after_ms);
            for _ in 0..2 * HOUR / (30 * SECOND) {
                let again = request(&mut relay, &auth);
                let refused = matches!(
                    again,
                    Outcome::Refused(Refusal::ReplayedNonce | Refusal::TimestampSkew)
                );
                assert!(
                    refused,
                    "{before_ms} to {after_ms}, {ahead_ms} ahead: {again:?}"
                );
                relay.pass(30 * SECOND);
            }
        }
    }
}

/// A request whose nonce the leader vouches for from memory brings none.
#[test]
fn a_request_without_a_nonce_records_none_and_needs_a_valid_credential() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    let nonces = |relay: &Relay| {
        relay
            .txn
            .scan(Cf::Nonce, &[], &[0xff; 64], 1000)
            .unwrap()
            .len()
    };
    let before = nonces(&relay);
    let auth = Auth {
        nonce: None,
        ..relay.auth(reviewer.no)
    };
    let poll = ekho::machine::command::Poll {
        limit: 1,
        types: vec![],
        resume_after: None,
    };
    let request = AgentRequest::Poll(poll);
    let polled = relay.apply(Command::Signed {
        auth: auth.clone(),
        request: request.clone(),
    });
    let Outcome::Polled { messages } = polled else {
        panic!("{polled:?}")
    };
    assert_eq!(messages[0].message, message);
    assert_eq!(nonces(&relay), before);
    relay.revoke(&reviewer);
    let refused = relay.apply(Command::Signed { auth, request });
    assert_eq!(refused, Outcome::Refused(Refusal::InvalidCredentials));
}

#[test]
fn both_secrets_work_while_a_rotation_overlaps() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let until = relay.now_ms + HOUR;
    let rotated = Outcome::Rotated {
        credential: 2,
        previous_valid_until_ms: until,
    };
    assert_eq!(rotate(&mut relay, &writer, HOUR), rotated);
    assert_eq!(relay.agent(writer.no).credentials[0].sealed_secret, [7]);
    assert_eq!(relay.events(1), [EventKind::AgentCredentialRotated]);
    relay.pass(HOUR - 1);
    assert!(works(&mut relay, &writer, 1) && works(&mut relay, &writer, 2));
    relay.pass(1);
    assert!(!works(&mut relay, &writer, 1));
    assert!(works(&mut relay, &writer, 2));
    assert!(!works(&mut relay, &writer, 3), "one that was never given");
}

#[test]
fn a_rotation_without_overlap_ends_the_old_secret_at_once() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    rotate(&mut relay, &writer, 0);
    assert!(!works(&mut relay, &writer, 1));
    assert!(works(&mut relay, &writer, 2));
}

#[test]
fn a_third_secret_is_never_valid() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    rotate(&mut relay, &writer, HOUR);
    rotate(&mut relay, &writer, HOUR);
    assert!(!works(&mut relay, &writer, 1), "the oldest ended early");
    assert!(works(&mut relay, &writer, 2) && works(&mut relay, &writer, 3));
    assert_eq!(relay.agent(writer.no).credentials.len(), 2);
}

#[test]
fn an_overlap_of_a_century_stops_nothing() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    rotate(&mut relay, &writer, CENTURY);
    relay.pass(HOUR);
    assert!(works(&mut relay, &writer, 1) && works(&mut relay, &writer, 2));
}

#[test]
fn an_identity_key_is_registered_once() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let key = |id: &str| AgentRequest::IdentityKey {
        key_id: id.into(),
        public_key: "MCow".into(),
    };
    assert_eq!(
        relay.sign(&writer, key("k1")),
        Outcome::IdentityKey("k1".into())
    );
    assert_eq!(relay.events(1), [EventKind::AgentIdentityKey]);
    let events = relay.events(1000).len();
    assert_eq!(
        relay.sign(&writer, key("k1")),
        Outcome::IdentityKey("k1".into())
    );
    assert_eq!(
        relay.events(1000).len(),
        events,
        "the same key again changes nothing"
    );
    relay.sign(&writer, key("k2"));
    assert_eq!(
        relay
            .agent(writer.no)
            .identity_key
            .map(|key| key.key_id)
            .as_deref(),
        Some("k2")
    );
}

#[test]
fn an_agent_of_another_fleet_is_nobody_here() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let auth = Auth {
        fleet: FLEET + 1,
        ..relay.auth(writer.no)
    };
    assert_eq!(
        request(&mut relay, &auth),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
}
