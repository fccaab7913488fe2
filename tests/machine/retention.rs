//! What is removed when: ended messages, dead letters, and large fan-outs in bounded steps.

use ekho::machine::command::{AgentRequest, Command, Nack, NewMessage};
use ekho::machine::outcome::Outcome;
use ekho_storage::tables::agent;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter;
use ekho_storage::tables::delivery;
use ekho_storage::tables::event;
use ekho_storage::tables::message::{self, Recipient};
use ekho_storage::tables::settings::Settings;
use ekho_storage::{Cf, Key, Read};

use crate::rig::{DAY, FLEET, MINUTE, Peer, Relay, SECOND};

/// First byte of the table of participants in the registry family.
const PARTICIPANTS: u8 = 18;

/// Rows of messages and of what hangs on them.
fn rows(relay: &Relay) -> usize {
    let participants = relay
        .txn
        .prefix(Cf::Registry, &[PARTICIPANTS], usize::MAX)
        .unwrap()
        .len();
    let families = [Cf::Message, Cf::Body, Cf::Delivery, Cf::Index];
    families
        .map(|cf| {
            relay
                .txn
                .scan(cf, &[], &[0xff; 64], usize::MAX)
                .unwrap()
                .len()
        })
        .iter()
        .sum::<usize>()
        + participants
}

/// Hands a message out until it is given up.
fn exhaust(relay: &mut Relay, agent: &Peer, message: u128) {
    for _ in 0..6 {
        assert_eq!(relay.take(agent), [message]);
        relay.nack(
            agent,
            Nack {
                message,
                delay_ms: Some(0),
                reason: None,
            },
        );
    }
}

#[test]
fn an_acked_message_is_kept_for_seven_days() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    relay.take(&reviewer);
    relay.wait(MINUTE);
    relay.ack(&reviewer, message);
    relay.pass(7 * DAY - 1);
    assert!(relay.message(message).is_some());
    assert!(message::body(&relay.txn, FLEET, message).unwrap().is_some());
    relay.pass(1);
    assert_eq!(relay.message(message), None);
    assert_eq!(rows(&relay), 0, "nothing of it is left");
    assert_eq!(
        relay.count(Counter::DeliveryAcked),
        1,
        "what was ever counted stays"
    );
}

#[test]
fn expired_and_cancelled_messages_are_kept_as_long() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let expired = relay.sent(&writer, &reviewer);
    let cancelled = relay.sent(&writer, &reviewer);
    relay.sign(&writer, AgentRequest::Cancel { message: cancelled });
    relay.pass(15 * MINUTE);
    relay.pass(7 * DAY - 15 * MINUTE - 1);
    assert!(relay.message(cancelled).is_some());
    relay.pass(1);
    assert_eq!(
        (relay.message(cancelled), relay.message(expired).is_some()),
        (None, true)
    );
    relay.pass(15 * MINUTE);
    assert_eq!(rows(&relay), 0);
}

#[test]
fn an_open_message_is_never_removed() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let long = NewMessage {
        ttl_ms: 20 * DAY,
        ..relay.draft(Recipient::Broadcast)
    };
    let message = relay.send(&writer, long).unwrap().message;
    relay.take(&reviewer);
    relay.ack(&reviewer, message);
    relay.pass(10 * DAY);
    assert_eq!(relay.take(&editor), [message], "one recipient is slow");
    relay.ack(&editor, message);
    relay.pass(7 * DAY);
    assert_eq!(relay.message(message), None);
}

#[test]
fn a_dead_letter_keeps_its_message_for_thirty_days() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.sent(&writer, &reviewer);
    exhaust(&mut relay, &reviewer, message);
    assert_eq!(relay.count(Counter::DeadLetters), 1);
    relay.pass(30 * DAY - 1);
    assert!(dead_letter::get(&relay.txn, FLEET, 1).unwrap().is_some());
    assert!(message::body(&relay.txn, FLEET, message).unwrap().is_some());
    relay.pass(1);
    assert_eq!(dead_letter::get(&relay.txn, FLEET, 1).unwrap(), None);
    assert_eq!((relay.count(Counter::DeadLetters), rows(&relay)), (0, 0));
    assert_eq!(relay.count(Counter::DeliveryDeadLettered), 1, "ever");
}

#[test]
fn one_dead_letter_keeps_the_whole_message() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let message = relay.draft(Recipient::Broadcast);
    let message = relay.send(&writer, message).unwrap().message;
    exhaust(&mut relay, &editor, message);
    relay.take(&reviewer);
    relay.ack(&reviewer, message);
    relay.pass(30 * DAY - 1);
    assert!(relay.message(message).is_some());
    relay.pass(1);
    assert_eq!(relay.message(message), None);
}

#[test]
fn retention_follows_the_settings_of_the_moment_it_ends() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.change_settings(|settings| settings.message_retention_ms = DAY);
    let message = relay.sent(&writer, &reviewer);
    relay.take(&reviewer);
    relay.ack(&reviewer, message);
    relay.pass(DAY);
    assert_eq!(relay.message(message), None);
}

/// 1200 recipients: what hangs on the message goes in steps, and all of it goes.
#[test]
fn a_large_fan_out_is_removed_in_bounded_steps_and_completely() {
    const RECIPIENTS: usize = 1200;
    let mut relay = Relay::with(Settings {
        max_fan_out: 2000,
        ..Settings::default()
    });
    let (writer, reviewer) = relay.pair();
    relay.recount = false;
    for number in 1..RECIPIENTS {
        relay.enroll(&format!("reader-{number}"));
    }
    let everyone = relay.draft(Recipient::Broadcast);
    let everyone = NewMessage {
        ttl_ms: MINUTE,
        ..everyone
    };
    let message = relay.send(&writer, everyone).unwrap().message;
    assert_eq!(
        relay.message(message).unwrap().delivery_count as usize,
        RECIPIENTS
    );
    relay.take(&reviewer);
    relay.ack(&reviewer, message);
    relay.pass(MINUTE);
    relay.recount = true;
    relay.tick();
    assert_eq!(
        relay.count(Counter::DeliveryExpired) as usize,
        RECIPIENTS - 1
    );
    assert_eq!(relay.count(Counter::MessageDone), 1);

    relay.wait(7 * DAY);
    let mut left = rows(&relay);
    assert!(left > 2 * RECIPIENTS);
    // Each step of one entry removes some, and none of them removes much.
    for _ in 0..20 {
        relay.apply(Command::Tick { limit: 1 });
        let now_left = rows(&relay);
        assert!(left - now_left <= 1600, "{} rows at once", left - now_left);
        left = now_left;
        relay.wait(SECOND);
    }
    assert_eq!(relay.message(message), None);
    assert_eq!(
        delivery::list(&relay.txn, FLEET, reviewer.no, 0, 10).unwrap(),
        []
    );
    assert_eq!(left, 0, "participants of the conversation included");
}

/// What is left of the audit log still proves itself.
#[test]
fn old_events_go_and_the_chain_holds() {
    let mut relay = Relay::with(Settings {
        event_retention_ms: 10 * DAY,
        ..Settings::default()
    });
    let (writer, reviewer) = relay.pair();
    relay.recount = false;
    for _ in 0..400 {
        relay.sent(&writer, &reviewer);
        let taken = relay.take(&reviewer);
        relay.ack(&reviewer, taken[0]);
        relay.wait(2 * MINUTE);
    }
    relay.pass(DAY);
    let before = event::list(&relay.txn, FLEET, 0, 10_000).unwrap();
    assert!(before.len() > 1200);
    let half_ms = before[600].event().unwrap().at_ms + 10 * DAY;
    relay.wait(half_ms - relay.now_ms);
    // A look a day at least, each in steps.
    for _ in 0..10 {
        relay.tick();
        relay.wait(MINUTE);
    }
    let (anchor, mut hash) = event::anchor(&relay.txn, FLEET).unwrap();
    assert!((600..620).contains(&anchor), "{anchor}");
    let left = event::list(&relay.txn, FLEET, 0, 10_000).unwrap();
    assert_eq!(left[0].seq, anchor + 1);
    for stored in &left {
        hash = event::link(&hash, stored.seq, &stored.record);
        assert_eq!(hash, stored.hash);
    }
    assert_eq!(event::head(&relay.txn, FLEET).unwrap(), hash);
    relay.pass(11 * DAY);
    relay.pass(DAY);
    assert_eq!(event::list(&relay.txn, FLEET, 0, 10).unwrap(), []);
    // And the next one goes on from there.
    relay.sent(&writer, &reviewer);
    let next = event::list(&relay.txn, FLEET, 0, 10).unwrap();
    let (anchor, before) = event::anchor(&relay.txn, FLEET).unwrap();
    assert_eq!(next[0].seq, anchor + 1);
    assert_eq!(
        event::link(&before, next[0].seq, &next[0].record),
        next[0].hash
    );
}

/// Bounded records of other kinds go when their time comes, too.
#[test]
fn an_idle_fleet_keeps_nothing_but_what_it_is() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let keyed = NewMessage {
        idempotency: Some(("key".into(), [1; 32])),
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, keyed).unwrap().message;
    relay.take(&reviewer);
    relay.ack(&reviewer, message);
    let conversation_id = "c-1".to_string();
    relay.sign(
        &writer,
        AgentRequest::AcquireFloor {
            conversation_id: conversation_id.clone(),
            ttl_ms: MINUTE,
        },
    );
    relay.sign(
        &writer,
        AgentRequest::Notice {
            conversation_id,
            reason: "loop".into(),
            pending_count: 1,
            budget: None,
        },
    );
    relay.token();
    relay.pass(8 * DAY);
    let due = relay.txn.scan(Cf::Due, &[], &[0xff; 64], 10).unwrap();
    assert_eq!(
        due.len(),
        1,
        "nothing will happen any more, but a look at the audit log: {due:?}"
    );
    assert_eq!(rows(&relay), 0);
    let queue = relay.txn.scan(Cf::Queue, &[], &[0xff; 64], 10).unwrap();
    assert!(queue.len() <= 2, "an inbox each: {queue:?}");
    let agents = agent::list(&relay.txn, FLEET, 0, 10).unwrap();
    assert_eq!(agents.len(), 2);
    // Fleet, operator, the test's session and agents with their indexes: small numbers, whatever
    // was sent.
    let registry = relay
        .txn
        .prefix(Cf::Registry, Key::new().bytes(), 100)
        .unwrap();
    assert!(
        registry.len() <= 3 + 2 + 2 + 20 * agents.len(),
        "{} rows",
        registry.len()
    );
    let ticked = relay.apply(Command::Tick { limit: 10 });
    assert_eq!(
        ticked,
        Outcome::Ticked {
            handled: 0,
            more: false
        }
    );
}
