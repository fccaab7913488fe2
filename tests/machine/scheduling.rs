//! When a message can be handed out: from its delivery time to its deadline, unless taken back.

use ekho::machine::command::{AgentRequest, NewMessage, Schedule};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::Recipient;

use crate::rig::{DAY, HOUR, MINUTE, Peer, Relay, SECOND};

fn cancel(relay: &mut Relay, agent: &Peer, message: u128) -> Outcome {
    relay.sign(agent, AgentRequest::Cancel { message })
}

fn too_late(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Conflict(_)))
}

#[test]
fn a_message_expires_when_its_ttl_is_over() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    relay.pass(15 * MINUTE - 1);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Ready);
    relay.pass(1);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
    assert_eq!(relay.count(Counter::DeliveryExpired), 1);
    assert_eq!(relay.events(1), [EventKind::MessageExpired]);
}

#[test]
fn the_deadline_comes_before_the_timeout_of_the_delivery() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        ttl_ms: MINUTE,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    relay.take(&reviewer);
    relay.pass(MINUTE);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}

#[test]
fn the_deadline_comes_before_the_next_attempt() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    // Two minutes of timeout and one of backoff would end after the deadline.
    let message = NewMessage {
        ttl_ms: 150 * SECOND,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    relay.take(&reviewer);
    relay.pass(2 * MINUTE);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Waiting);
    relay.pass(30 * SECOND);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}

#[test]
fn a_scheduled_message_waits_and_lives_from_then_on() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let at = relay.now_ms + HOUR;
    for schedule in [Schedule::DelayMs(HOUR), Schedule::AtMs(at)] {
        let message = NewMessage {
            schedule,
            ..relay.to(&reviewer)
        };
        let sent = relay.send(&writer, message).unwrap();
        assert_eq!((sent.queued_ms, sent.deliver_at_ms), (relay.now_ms, at));
    }
    assert_eq!(
        relay.count(Counter::DeliveryQueued),
        2,
        "queued while they wait"
    );
    relay.pass(HOUR - 1);
    assert!(relay.take(&reviewer).is_empty());
    relay.pass(1);
    let handed = relay.take(&reviewer);
    assert_eq!(handed.len(), 2);
    assert_eq!(
        relay.message(handed[0]).unwrap().deadline_ms,
        at + 15 * MINUTE
    );
}

#[test]
fn a_delivery_time_in_the_past_is_now() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        schedule: Schedule::AtMs(1),
        ..relay.to(&reviewer)
    };
    let sent = relay.send(&writer, message).unwrap();
    assert_eq!(sent.deliver_at_ms, relay.now_ms);
    assert_eq!(relay.take(&reviewer), [sent.message]);
}

#[test]
fn times_beyond_all_bounds_stop_nothing() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for schedule in [Schedule::DelayMs(u64::MAX), Schedule::AtMs(u64::MAX - 1)] {
        let message = NewMessage {
            schedule,
            ttl_ms: u64::MAX,
            ..relay.to(&reviewer)
        };
        relay.send(&writer, message).unwrap();
    }
    let message = NewMessage {
        ttl_ms: u64::MAX,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    relay.pass(DAY);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn a_sender_takes_back_what_was_not_handed_out() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    let scheduled = NewMessage {
        schedule: Schedule::DelayMs(HOUR),
        ..relay.to(&reviewer)
    };
    let scheduled = relay.send(&writer, scheduled).unwrap().message;
    for message in [message, scheduled] {
        assert_eq!(cancel(&mut relay, &writer, message), Outcome::Updated(1));
        assert_eq!(relay.state(&reviewer, message), DeliveryState::Cancelled);
        assert!(
            too_late(cancel(&mut relay, &writer, message)),
            "once is enough"
        );
    }
    assert_eq!(relay.count(Counter::MessageCancelled), 2);
    assert_eq!(relay.events(1), [EventKind::MessageCancelled]);
    relay.pass(HOUR);
    assert!(relay.take(&reviewer).is_empty());
}

#[test]
fn what_was_handed_out_once_cannot_be_taken_back() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    relay.take(&reviewer);
    assert!(too_late(cancel(&mut relay, &writer, message)));
    relay.nack(&reviewer, crate::rig::nack(message));
    assert!(
        too_late(cancel(&mut relay, &writer, message)),
        "the recipient has seen it"
    );
    relay.ack(&reviewer, message);
    assert!(too_late(cancel(&mut relay, &writer, message)));
}

#[test]
fn only_the_sender_takes_back() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    let not_found = Outcome::Refused(Refusal::NotFound);
    assert_eq!(cancel(&mut relay, &reviewer, message), not_found);
    assert_eq!(cancel(&mut relay, &writer, 12345), not_found);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn taking_back_a_broadcast_spares_those_who_have_it() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let message = relay.draft(Recipient::Broadcast);
    let message = relay.send(&writer, message).unwrap().message;
    relay.take(&reviewer);
    assert_eq!(cancel(&mut relay, &writer, message), Outcome::Updated(1));
    assert_eq!(relay.state(&editor, message), DeliveryState::Cancelled);
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Delivered);
    assert_eq!(relay.count(Counter::MessageCancelled), 0, "not over yet");
    assert_eq!(relay.ack(&reviewer, message), 1);
    assert_eq!(
        (
            relay.count(Counter::MessageCancelled),
            relay.count(Counter::MessageDone)
        ),
        (1, 0)
    );
}

/// A tick that may do nothing must not pass over what is due.
#[test]
fn a_tick_with_a_limit_of_zero_loses_nothing() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    relay.wait(HOUR);
    relay.apply(ekho::machine::command::Command::Tick { limit: 0 });
    relay.tick();
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}

#[test]
fn a_tick_does_what_is_due_first_within_its_limit() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let messages: Vec<u128> = (0..5)
        .map(|number| {
            let message = NewMessage {
                ttl_ms: (5 - number) * SECOND,
                ..relay.to(&reviewer)
            };
            relay.send(&writer, message).unwrap().message
        })
        .collect();
    relay.wait(MINUTE);
    let two = ekho::machine::command::Command::Tick { limit: 2 };
    assert_eq!(
        relay.apply(two.clone()),
        Outcome::Ticked {
            handled: 2,
            more: true
        }
    );
    let expired = |relay: &Relay| -> Vec<u128> {
        let is = |message: &u128| relay.state(&reviewer, *message) == DeliveryState::Expired;
        messages.iter().copied().filter(is).collect()
    };
    assert_eq!(
        expired(&relay),
        messages[3..],
        "those with the earliest deadline"
    );
    assert_eq!(
        relay.apply(two.clone()),
        Outcome::Ticked {
            handled: 2,
            more: true
        }
    );
    assert_eq!(
        relay.apply(two.clone()),
        Outcome::Ticked {
            handled: 1,
            more: false
        }
    );
    assert_eq!(expired(&relay), messages);
    assert_eq!(
        relay.apply(two),
        Outcome::Ticked {
            handled: 0,
            more: false
        }
    );
}
