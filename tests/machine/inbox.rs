//! Polling: order, limits, filters, streams that broke, and who is woken.

use ekho::machine::command::{Nack, NewMessage, Poll, Schedule};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::{self, DeliveryState};

use crate::rig::{DAY, FLEET, MINUTE, Peer, Relay, SECOND};

fn limit(limit: u32) -> Poll {
    Poll {
        limit,
        types: vec![],
        resume_after: None,
    }
}

fn send_type(relay: &mut Relay, from: &Peer, to: &Peer, message_type: &str) -> u128 {
    let message = NewMessage {
        message_type: message_type.into(),
        ..relay.to(to)
    };
    relay.send(from, message).unwrap().message
}

fn types(relay: &mut Relay, agent: &Peer, types: &[&str]) -> Vec<u128> {
    let types = types.iter().map(|kind| kind.to_string()).collect();
    let poll = Poll {
        limit: 100,
        types,
        resume_after: None,
    };
    relay
        .poll(agent, poll)
        .into_iter()
        .map(|out| out.message)
        .collect()
}

#[test]
fn messages_come_in_the_order_they_were_accepted() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let sent: Vec<u128> = (0..10)
        .map(|number| relay.sent(if number % 2 == 0 { &writer } else { &editor }, &reviewer))
        .collect();
    let first: Vec<_> = relay.poll(&reviewer, limit(3));
    assert_eq!(
        first.iter().map(|out| out.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(
        first.iter().map(|out| out.message).collect::<Vec<_>>(),
        sent[..3]
    );
    assert_eq!(relay.take(&reviewer), sent[3..]);
}

/// What was put back comes again before what was accepted after it.
#[test]
fn a_message_that_comes_back_keeps_its_place() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let sent: Vec<u128> = (0..4).map(|_| relay.sent(&writer, &reviewer)).collect();
    relay.poll(&reviewer, limit(2));
    relay.nack(
        &reviewer,
        Nack {
            message: sent[0],
            delay_ms: Some(0),
            reason: None,
        },
    );
    assert_eq!(relay.take(&reviewer), [sent[0], sent[2], sent[3]]);
}

#[test]
fn a_scheduled_message_takes_the_place_of_its_acceptance() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let later = NewMessage {
        schedule: Schedule::DelayMs(MINUTE),
        ..relay.to(&reviewer)
    };
    let later = relay.send(&writer, later).unwrap().message;
    let now = relay.sent(&writer, &reviewer);
    let after = relay.sent(&writer, &reviewer);
    assert_eq!(relay.poll(&reviewer, limit(1))[0].message, now);
    relay.pass(MINUTE);
    assert_eq!(relay.take(&reviewer), [later, after]);
}

#[test]
fn a_filter_takes_its_types_and_leaves_the_others_queued() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let direct = send_type(&mut relay, &writer, &reviewer, "direct");
    let alert = send_type(&mut relay, &writer, &reviewer, "alert");
    let handoff = send_type(&mut relay, &writer, &reviewer, "handoff");
    let second = send_type(&mut relay, &writer, &reviewer, "alert");
    assert_eq!(types(&mut relay, &reviewer, &["complete"]), []);
    let poll = Poll {
        limit: 1,
        types: vec!["alert".into()],
        resume_after: None,
    };
    assert_eq!(relay.poll(&reviewer, poll)[0].message, alert);
    assert_eq!(
        types(&mut relay, &reviewer, &["alert", "handoff"]),
        [handoff, second]
    );
    assert_eq!(relay.state(&reviewer, direct), DeliveryState::Ready);
    assert_eq!(relay.take(&reviewer), [direct]);
}

#[test]
fn a_filter_finds_its_type_behind_thousands_of_others() {
    let mut relay = Relay::with(ekho_storage::tables::settings::Settings {
        rate_max_messages: u64::MAX,
        ..Default::default()
    });
    let (writer, reviewer) = relay.pair();
    relay.recount = false;
    for _ in 0..3000 {
        send_type(&mut relay, &writer, &reviewer, "direct");
    }
    let alert = send_type(&mut relay, &writer, &reviewer, "alert");
    assert_eq!(types(&mut relay, &reviewer, &["alert"]), [alert]);
    assert_eq!(relay.count(Counter::DeliveryQueued), 3000);
    let queue = delivery::queue(&relay.txn, FLEET, reviewer.no).unwrap();
    assert_eq!((queue.head, queue.ready), (1, 3000));
}

/// A poll with a place hands out again what came after it and was not acked, at once.
#[test]
fn a_stream_that_broke_gets_what_it_may_have_lost() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let sent: Vec<u128> = (0..4).map(|_| relay.sent(&writer, &reviewer)).collect();
    assert_eq!(relay.take(&reviewer), sent);
    relay.ack(&reviewer, sent[2]);
    let fresh = relay.sent(&writer, &reviewer);
    let resumed = relay.poll(
        &reviewer,
        Poll {
            limit: 100,
            types: vec![],
            resume_after: Some(1),
        },
    );
    let handed: Vec<_> = resumed
        .iter()
        .map(|out| (out.message, out.attempt))
        .collect();
    assert_eq!(handed, [(sent[1], 2), (sent[3], 2), (fresh, 1)]);
    assert_eq!(
        relay.delivery(&reviewer, sent[1]).retries,
        0,
        "losing it was not its fault"
    );
    assert_eq!(
        relay.state(&reviewer, sent[0]),
        DeliveryState::Delivered,
        "the stream had it"
    );
    let past_the_end = Poll {
        limit: 100,
        types: vec![],
        resume_after: Some(u64::MAX),
    };
    assert!(relay.poll(&reviewer, past_the_end).is_empty());
}

#[test]
fn a_message_past_its_deadline_is_not_handed_out_though_its_tick_is_late() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = NewMessage {
        ttl_ms: SECOND,
        ..relay.to(&reviewer)
    };
    let message = relay.send(&writer, message).unwrap().message;
    relay.wait(SECOND - 1);
    let early = relay.sent(&writer, &reviewer);
    relay.wait(1);
    assert_eq!(relay.take(&reviewer), [early]);
    relay.tick();
    assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
}

/// Nobody is woken by an expiry, so a poll that overlooks a message may wait for a minute beside it.
#[test]
fn expired_messages_do_not_hide_those_behind_them() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for _ in 0..3 {
        let message = NewMessage {
            ttl_ms: SECOND,
            ..relay.to(&reviewer)
        };
        relay.send(&writer, message).unwrap();
    }
    let good = relay.sent(&writer, &reviewer);
    relay.wait(SECOND);
    let handed = relay.poll(&reviewer, limit(2));
    assert_eq!(
        handed.iter().map(|out| out.message).collect::<Vec<_>>(),
        [good]
    );
}

#[test]
fn whoever_waits_is_woken_by_what_can_be_handed_out_and_by_nothing_else() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let inbox = (FLEET, reviewer.no);
    relay.wakes.clear();
    relay.sent(&writer, &reviewer);
    assert_eq!(relay.wakes, [inbox]);

    relay.wakes.clear();
    let later = NewMessage {
        schedule: Schedule::DelayMs(MINUTE),
        ..relay.to(&reviewer)
    };
    relay.send(&writer, later).unwrap();
    let asked = NewMessage {
        requires_approval: true,
        ..relay.to(&reviewer)
    };
    relay.send(&writer, asked).unwrap();
    relay.take(&reviewer);
    assert_eq!(relay.wakes, [], "neither can be handed out");
    relay.pass(MINUTE);
    assert_eq!(relay.wakes, [inbox], "the scheduled one");
}

#[test]
fn an_inbox_that_filled_and_emptied_begins_where_it_should() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let first = relay.sent(&writer, &reviewer);
    let second = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [first, second]);
    let queue = delivery::queue(&relay.txn, FLEET, reviewer.no).unwrap();
    assert_eq!((queue.last_seq, queue.head, queue.ready), (2, 3, 0));
    // Back to a place before the head.
    relay.nack(
        &reviewer,
        Nack {
            message: first,
            delay_ms: Some(0),
            reason: None,
        },
    );
    let queue = delivery::queue(&relay.txn, FLEET, reviewer.no).unwrap();
    assert_eq!((queue.head, queue.ready), (1, 1));
    relay.pass(DAY);
    let queue = delivery::queue(&relay.txn, FLEET, reviewer.no).unwrap();
    assert_eq!(queue.ready, 0, "expired in the queue");
    let third = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [third]);
}
