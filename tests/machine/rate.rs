//! Rate windows, violations, and the quarantine for abuse.

use ekho::machine::command::AgentRequest;
use ekho::machine::outcome::{HeldStatus, Outcome, RateState, Refusal};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::settings::Settings;

use crate::rig::{DAY, HOUR, MINUTE, Peer, Relay, SECOND};

fn small_window() -> Settings {
    Settings {
        rate_max_messages: 3,
        ..Settings::default()
    }
}

/// Sends until refused, and returns how many were accepted.
fn exhaust(relay: &mut Relay, from: &Peer, to: &Peer) -> u64 {
    for accepted in 0..100 {
        let message = relay.to(to);
        match relay.send(from, message) {
            Ok(_) => {}
            Err(Refusal::RateLimited { .. }) => return accepted,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("never refused")
}

#[test]
fn a_window_holds_thirty_messages_and_begins_with_the_minute() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.wait(20 * SECOND);
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 30);
    let message = relay.to(&reviewer);
    let refused = relay.send(&writer, message);
    assert_eq!(
        refused,
        Err(Refusal::RateLimited {
            retry_after_ms: 40 * SECOND
        })
    );
    let message = relay.to(&writer);
    assert!(
        relay.send(&reviewer, message).is_ok(),
        "everyone has a window of their own"
    );

    relay.wait(40 * SECOND - 1);
    let message = relay.to(&reviewer);
    assert_eq!(
        relay.send(&writer, message),
        Err(Refusal::RateLimited { retry_after_ms: 1 })
    );
    relay.wait(1);
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 30);
}

#[test]
fn an_answer_says_what_is_left() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    relay.wait(SECOND);
    let reset_ms = relay.now_ms - SECOND + MINUTE;
    let messages = vec![relay.to(&reviewer), relay.to(&reviewer)];
    let Outcome::Sent { rate, .. } = relay.sign(&writer, AgentRequest::Send(messages)) else {
        panic!("not sent")
    };
    assert_eq!(
        rate,
        RateState {
            limit: 3,
            remaining: 1,
            reset_ms
        }
    );
}

#[test]
fn refusals_are_counted_and_the_fifth_in_an_hour_quarantines() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 3);
    for violation in 2..=5 {
        assert_eq!(relay.status(&writer), "healthy");
        let message = relay.to(&reviewer);
        assert!(matches!(
            relay.send(&writer, message),
            Err(Refusal::RateLimited { .. })
        ));
        assert_eq!(relay.count(Counter::RateViolations), violation);
    }
    assert_eq!(relay.status(&writer), "quarantined");
    assert_eq!(
        relay.events(2),
        [
            EventKind::AgentAutoQuarantined,
            EventKind::AgentRateLimitExceeded,
        ]
    );
    relay.pass(HOUR);
    let message = relay.to(&reviewer);
    assert_eq!(
        relay.send(&writer, message),
        Err(Refusal::Held(HeldStatus::Quarantined))
    );
    let beat = AgentRequest::Heartbeat {
        status: "healthy".into(),
    };
    relay.sign(&writer, beat);
    assert_eq!(
        relay.status(&writer),
        "quarantined",
        "only an operator lifts it"
    );
    relay.resume(&writer);
    relay.sent(&writer, &reviewer);
}

#[test]
fn refusals_spread_over_more_than_the_violation_window_quarantine_nobody() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    for _ in 0..12 {
        assert_eq!(exhaust(&mut relay, &writer, &reviewer), 3);
        relay.pass(15 * MINUTE + 1);
    }
    assert_eq!(relay.status(&writer), "healthy", "four in an hour at most");
    assert_eq!(relay.count(Counter::RateViolations), 12);
    relay.pass(DAY);
    assert_eq!(
        relay.count(Counter::RateViolations),
        0,
        "people are shown those of a day"
    );
}

#[test]
fn a_batch_that_runs_into_the_limit_is_accepted_up_to_it() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    let messages = (0..5).map(|_| relay.to(&reviewer)).collect();
    let Outcome::Sent { results, rate } = relay.sign(&writer, AgentRequest::Send(messages)) else {
        panic!("not sent")
    };
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(rate.remaining, 0);
    assert_eq!(relay.take(&reviewer).len(), 3);
}

#[test]
fn what_is_refused_for_another_reason_does_not_count() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    for _ in 0..10 {
        let lost = relay.draft(ekho_storage::tables::message::Recipient::Agent(
            "agent_nobody".into(),
        ));
        assert_eq!(relay.send(&writer, lost), Err(Refusal::UnknownRecipient));
    }
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 3);
}

#[test]
fn a_limit_that_is_lowered_counts_in_the_window_it_is_lowered_in() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for _ in 0..10 {
        relay.sent(&writer, &reviewer);
    }
    relay.change_settings(|settings| settings.rate_max_messages = 5);
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 0);
    relay.change_settings(|settings| settings.rate_max_messages = 12);
    assert_eq!(exhaust(&mut relay, &writer, &reviewer), 2);
}

/// Silence counts again once an operator has let the agent go on.
#[test]
fn an_agent_resumed_from_abuse_is_watched_again() {
    let mut relay = Relay::with(small_window());
    let (writer, reviewer) = relay.pair();
    relay.sign(
        &writer,
        AgentRequest::Heartbeat {
            status: "healthy".into(),
        },
    );
    exhaust(&mut relay, &writer, &reviewer);
    for _ in 0..4 {
        let message = relay.to(&reviewer);
        assert!(relay.send(&writer, message).is_err());
    }
    relay.pass(HOUR);
    relay.resume(&writer);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(270 * SECOND - 1);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(1);
    assert_eq!(
        relay.status(&writer),
        "quarantined",
        "silent since long ago"
    );
}
