//! A delivery in its recipient's hands: ack, timeout, redelivery, nack, lease.

use ekho::machine::command::{AgentRequest, Nack, NewMessage};
use ekho::machine::outcome::Outcome;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter::{self, DeadLetter};
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;

use crate::rig::{CENTURY, DAY, FLEET, HOUR, MINUTE, Peer, Relay, SECOND, nack};

const TIMEOUT_MS: u64 = 120 * SECOND;

/// A relay with a message that lives for a day, from writer to reviewer.
fn with_message() -> (Relay, Peer, Peer, u128) {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        ttl_ms: DAY,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    (relay, writer, reviewer, message)
}

#[test]
fn a_message_is_handed_out_once_and_an_ack_ends_it() {
    let (mut relay, _, reviewer, message) = with_message();
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Ready);
    assert_eq!(relay.take(&reviewer), [message]);
    assert!(
        relay.take(&reviewer).is_empty(),
        "it is in the recipient's hands"
    );
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Delivered, 1)
    );
    assert_eq!(delivery.delivered_ms, Some(relay.now_ms));

    relay.wait(SECOND);
    assert_eq!(relay.ack(&reviewer, message), 1);
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.state, delivery.ended_ms),
        (DeliveryState::Acked, Some(relay.now_ms))
    );
    assert_eq!(relay.ack(&reviewer, message), 0, "acking twice is harmless");
    relay.pass(HOUR);
    assert!(relay.take(&reviewer).is_empty());
    assert_eq!(
        relay.events(3),
        [
            EventKind::MessageAcked,
            EventKind::MessageDelivered,
            EventKind::MessageQueued,
        ]
    );
}

#[test]
fn only_the_recipient_acks_and_only_what_it_was_handed() {
    let (mut relay, writer, reviewer, message) = with_message();
    assert_eq!(relay.ack(&reviewer, message), 0, "not handed out yet");
    relay.take(&reviewer);
    assert_eq!(relay.ack(&writer, message), 0, "somebody else's");
    assert_eq!(relay.ack(&reviewer, 12345), 0, "nobody's");
    let twice = AgentRequest::Ack(vec![message, message]);
    assert_eq!(relay.sign(&reviewer, twice), Outcome::Updated(1));
}

#[test]
fn redelivery_follows_the_schedule_and_ends_as_a_dead_letter() {
    let (mut relay, writer, reviewer, message) = with_message();
    for (retry, delay_seconds) in [60, 300, 900, 3600, 7200].into_iter().enumerate() {
        let retry = retry as u32;
        assert_eq!(relay.take(&reviewer), [message]);
        assert_eq!(relay.delivery(&reviewer, message).attempts, retry + 1);

        relay.pass(TIMEOUT_MS - 1);
        assert_eq!(relay.state(&reviewer, message), DeliveryState::Delivered);
        relay.pass(1);
        let delivery = relay.delivery(&reviewer, message);
        assert_eq!(
            (delivery.state, delivery.retries),
            (DeliveryState::Waiting, retry + 1)
        );
        assert_eq!(delivery.last_failure_reason.as_deref(), Some("timeout"));
        assert_eq!(relay.events(1), [EventKind::MessageRetryRequeued]);

        relay.pass(delay_seconds * SECOND - 1);
        assert!(
            relay.take(&reviewer).is_empty(),
            "{delay_seconds} s are not over"
        );
        relay.wakes.clear();
        relay.pass(1);
        assert_eq!(relay.state(&reviewer, message), DeliveryState::Ready);
        assert_eq!(relay.wakes, [(FLEET, reviewer.no)], "whoever waits is told");
    }
    assert_eq!(relay.take(&reviewer), [message], "the sixth attempt");
    relay.pass(TIMEOUT_MS);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::DeadLettered);
    let letter = dead_letter::get(&relay.txn, FLEET, 1).unwrap().unwrap();
    let expected = DeadLetter {
        message,
        recipient: reviewer.no,
        seq: 1,
        sender: writer.no,
        retry_count: 5,
        failure_reason: "max_retries_exceeded".into(),
        at_ms: relay.now_ms,
        until_ms: relay.now_ms + 30 * DAY,
    };
    assert_eq!(letter, expected);
    assert_eq!(relay.count(Counter::DeadLetters), 1);
    assert_eq!(relay.events(1), [EventKind::MessageDeadLettered]);
    assert_eq!(relay.ack(&reviewer, message), 0, "too late");
    relay.pass(DAY);
    assert!(relay.take(&reviewer).is_empty());
}

/// Delays count from when the timeout was seen, not from when it should have been.
#[test]
fn a_late_tick_makes_everything_later_and_nothing_shorter() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    relay.pass(TIMEOUT_MS + 30 * SECOND);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Waiting);
    relay.pass(MINUTE - 1);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Waiting);
    relay.pass(1);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn an_ack_that_comes_late_still_counts() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    relay.pass(TIMEOUT_MS);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Waiting);
    assert_eq!(
        relay.ack(&reviewer, message),
        1,
        "the agent had it, and says so"
    );
    relay.pass(DAY);
    assert!(relay.take(&reviewer).is_empty());
}

#[test]
fn a_nack_comes_back_after_the_delay_it_asks_for() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    let busy = || Nack {
        message,
        delay_ms: Some(30 * SECOND),
        reason: Some("model overloaded".into()),
    };
    assert_eq!(relay.nack(&reviewer, busy()), 1);
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.state, delivery.retries),
        (DeliveryState::Waiting, 1)
    );
    assert_eq!(
        delivery.last_failure_reason.as_deref(),
        Some("model overloaded")
    );
    assert_eq!(
        relay.nack(&reviewer, busy()),
        0,
        "it is not in the agent's hands any more"
    );
    relay.pass(30 * SECOND - 1);
    assert!(relay.take(&reviewer).is_empty());
    relay.pass(1);
    assert_eq!(relay.take(&reviewer), [message]);

    // Without a delay: what a timeout would have had, now for the second time.
    assert_eq!(relay.nack(&reviewer, nack(message)), 1);
    relay.pass(300 * SECOND - 1);
    assert!(relay.take(&reviewer).is_empty());
    relay.pass(1);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn a_nack_without_delay_is_ready_at_once() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    relay.wakes.clear();
    relay.nack(
        &reviewer,
        Nack {
            message,
            delay_ms: Some(0),
            reason: None,
        },
    );
    assert_eq!(relay.wakes, [(FLEET, reviewer.no)]);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn the_reason_of_the_last_nack_goes_to_the_dead_letter() {
    let (mut relay, _, reviewer, message) = with_message();
    for attempt in 1..=6 {
        assert_eq!(relay.take(&reviewer), [message], "attempt {attempt}");
        let reason = Some(format!("failure {attempt}"));
        relay.nack(
            &reviewer,
            Nack {
                message,
                delay_ms: Some(0),
                reason,
            },
        );
    }
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.state, delivery.retries),
        (DeliveryState::DeadLettered, 5)
    );
    let letter = dead_letter::get(&relay.txn, FLEET, 1).unwrap().unwrap();
    assert_eq!(letter.failure_reason, "max_retries_exceeded: failure 6");
}

#[test]
fn a_lease_keeps_a_message_and_counts_from_now() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    relay.wait(100 * SECOND);
    let until = relay.now_ms + HOUR;
    let lease = relay.sign(
        &reviewer,
        AgentRequest::Lease(vec![(message, HOUR), (12345, HOUR)]),
    );
    assert_eq!(
        lease,
        Outcome::Leased(vec![(message, until)]),
        "unknown messages are left out"
    );
    relay.pass(HOUR - 1);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Delivered);
    relay.pass(1);
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.state, delivery.retries),
        (DeliveryState::Waiting, 1)
    );
    let lease = relay.sign(&reviewer, AgentRequest::Lease(vec![(message, HOUR)]));
    assert_eq!(
        lease,
        Outcome::Leased(vec![]),
        "it is not in the agent's hands any more"
    );
}

#[test]
fn a_lease_never_goes_beyond_the_deadline() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    let deadline = relay.delivery(&reviewer, message).deadline_ms;
    for extend_ms in [2 * DAY, u64::MAX] {
        let lease = relay.sign(&reviewer, AgentRequest::Lease(vec![(message, extend_ms)]));
        assert_eq!(lease, Outcome::Leased(vec![(message, deadline)]));
    }
    relay.pass(DAY);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}

#[test]
fn a_delay_of_a_century_is_as_long_as_the_message_lives() {
    let (mut relay, _, reviewer, message) = with_message();
    relay.take(&reviewer);
    let delay_ms = Some(CENTURY);
    let given_back = relay.nack(
        &reviewer,
        Nack {
            message,
            delay_ms,
            reason: None,
        },
    );
    assert_eq!(given_back, 1);
    relay.pass(DAY);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}
