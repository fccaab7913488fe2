//! Dead letters: redriven, purged, and what remains of them. The recount after every command
//! shows that nothing gets out of step.

use ekho::machine::command::{Nack, NewMessage, OperatorRequest};
use ekho::machine::outcome::Outcome;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::{MessageState, Recipient};

use crate::rig::{DAY, FLEET, HOUR, Peer, Relay};

/// Lets a message die at this agent.
fn kill(relay: &mut Relay, agent: &Peer, message: u128) {
    for _ in 0..6 {
        assert_eq!(relay.take(agent), [message]);
        relay.nack(
            agent,
            Nack {
                message,
                delay_ms: Some(0),
                reason: Some("no".into()),
            },
        );
    }
    assert_eq!(relay.state(agent, message), DeliveryState::DeadLettered);
}

fn redrive(relay: &mut Relay, dead_letters: &[u64]) -> Outcome {
    relay.operator(OperatorRequest::Redrive {
        dead_letters: dead_letters.to_vec(),
    })
}

#[test]
fn a_redriven_message_begins_anew() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        ttl_ms: 2 * HOUR,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    kill(&mut relay, &reviewer, message);
    relay.pass(DAY);
    assert_eq!(redrive(&mut relay, &[1, 1, 77]), Outcome::Updated(1));
    assert_eq!(relay.events(1), [EventKind::MessageRedriven]);
    let counts = |relay: &Relay| {
        [
            Counter::DeadLetters,
            Counter::DeliveryDeadLettered,
            Counter::DeliveryQueued,
            Counter::MessageOpen,
            Counter::MessageDone,
        ]
        .map(|counter| relay.count(counter))
    };
    assert_eq!(counts(&relay), [0, 0, 1, 1, 0]);
    let delivery = relay.delivery(&reviewer, message);
    assert_eq!(
        (delivery.retries, delivery.deadline_ms),
        (0, relay.now_ms + 2 * HOUR)
    );
    // All retries again, and a dead letter of its own at the end.
    kill(&mut relay, &reviewer, message);
    assert_eq!(counts(&relay), [1, 1, 0, 0, 1]);
    assert_eq!(redrive(&mut relay, &[2]), Outcome::Updated(1));
    assert_eq!(relay.take(&reviewer), [message]);
    assert_eq!(relay.ack(&reviewer, message), 1);
    assert_eq!(counts(&relay), [0, 0, 0, 0, 1]);
    // The removal that the dead letter had set does not come; the one of the ack does.
    relay.pass(7 * DAY - 1);
    assert!(relay.message(message).is_some());
    relay.pass(1);
    assert_eq!(relay.message(message), None);
}

#[test]
fn a_redriven_message_is_not_removed_while_it_waits() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        ttl_ms: DAY,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    kill(&mut relay, &reviewer, message);
    relay.pass(30 * DAY - HOUR);
    assert_eq!(redrive(&mut relay, &[1]), Outcome::Updated(1));
    relay.pass(2 * HOUR);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn one_recipient_of_many_is_redriven_alone() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let everyone = relay.draft(Recipient::Broadcast);
    let message = relay.send(&writer, everyone).unwrap().message;
    kill(&mut relay, &reviewer, message);
    // While the other one is open, and once more when all was over.
    assert_eq!(redrive(&mut relay, &[1]), Outcome::Updated(1));
    assert_eq!(relay.take(&editor), [message]);
    relay.ack(&editor, message);
    kill(&mut relay, &reviewer, message);
    assert_eq!(relay.message(message).unwrap().state, MessageState::Done);
    assert_eq!(redrive(&mut relay, &[2]), Outcome::Updated(1));
    assert_eq!(relay.message(message).unwrap().state, MessageState::Open);
    assert!(relay.take(&editor).is_empty());
    assert_eq!(relay.take(&reviewer), [message]);
    relay.ack(&reviewer, message);
    assert_eq!(relay.message(message).unwrap().state, MessageState::Done);
}

#[test]
fn nobody_redrives_to_an_agent_that_is_gone() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    kill(&mut relay, &reviewer, message);
    relay.operator(OperatorRequest::Revoke {
        agent_id: reviewer.id.clone(),
        reason: "r".into(),
    });
    assert_eq!(redrive(&mut relay, &[1]), Outcome::Updated(0));
    assert!(dead_letter::get(&relay.txn, FLEET, 1).unwrap().is_some());
}

#[test]
fn a_purged_letter_is_gone_and_its_message_stays_its_time() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    kill(&mut relay, &reviewer, message);
    let purge = OperatorRequest::Purge {
        dead_letters: vec![1, 2],
    };
    assert_eq!(relay.operator(purge.clone()), Outcome::Updated(1));
    assert_eq!(relay.events(1), [EventKind::DeadLetterPurged]);
    assert_eq!(relay.count(Counter::DeadLetters), 0);
    assert_eq!(relay.operator(purge), Outcome::Updated(0));
    assert_eq!(redrive(&mut relay, &[1]), Outcome::Updated(0));
    relay.pass(30 * DAY);
    assert_eq!(relay.message(message), None);
}
