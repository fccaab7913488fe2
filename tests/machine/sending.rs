//! Who a message reaches, and what is refused; idempotency keys.

use ekho::machine::command::{AgentRequest, NewMessage, OperatorRequest, Schedule};
use ekho::machine::outcome::{Outcome, Refusal, Sent};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::message::{self, Envelope, MessageState, Priority, Recipient};
use ekho_storage::tables::settings::Settings;

use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay};

fn room(relay: &mut Relay, creator: &Peer, members: &[&Peer]) -> String {
    let room_id = format!("room_{}", relay.next_id());
    let members = members.iter().map(|peer| peer.id.clone()).collect();
    let request = AgentRequest::CreateRoom {
        room_id: room_id.clone(),
        name: "Review".into(),
        members,
    };
    let made = relay.sign(creator, request);
    assert!(matches!(made, Outcome::RoomCreated { .. }), "{made:?}");
    room_id
}

/// A message to a room, under the room's conversation.
fn to_room(relay: &mut Relay, room: &str) -> NewMessage {
    let message = relay.draft(Recipient::Group(room.into()));
    NewMessage {
        conversation_id: room.into(),
        ..message
    }
}

/// Who finds a message in the inbox.
fn reached(relay: &mut Relay, peers: &[&Peer]) -> Vec<String> {
    let mut reached = Vec::new();
    for peer in peers {
        if !relay.take(peer).is_empty() {
            reached.push(peer.id.clone());
        }
    }
    reached
}

#[test]
fn a_message_is_stored_as_it_was_sent() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let sent = NewMessage {
        message_type: "handoff".into(),
        priority: Priority::Urgent,
        body: r#"{ "b": 1,  "a": "ä" }"#.into(),
        metadata: Some(r#"{"k":"v"}"#.into()),
        conversation_id: "c-7".into(),
        correlation_id: "r-7".into(),
        envelope: Some(Envelope {
            agent_sig: "sig".into(),
            key_id: "key".into(),
            sig_canonical: "text".into(),
        }),
        ..relay.to(&reviewer)
    };
    let answer = relay.send(&writer, sent.clone()).unwrap();
    let expected = Sent {
        message: sent.uuid,
        queued_ms: relay.now_ms,
        deliver_at_ms: relay.now_ms,
        repeated: false,
    };
    assert_eq!(answer, expected);
    let stored = relay.message(sent.uuid).unwrap();
    assert_eq!((stored.sender, stored.sender_id), (writer.no, writer.id));
    assert_eq!(
        (stored.recipient, stored.message_type),
        (sent.recipient, sent.message_type)
    );
    assert_eq!(
        (stored.priority, stored.metadata),
        (sent.priority, sent.metadata)
    );
    assert_eq!(
        (stored.conversation_id, stored.correlation_id),
        (sent.conversation_id, sent.correlation_id)
    );
    assert_eq!(
        (stored.envelope, stored.created_ms),
        (sent.envelope, relay.now_ms)
    );
    let body = message::body(&relay.txn, FLEET, sent.uuid).unwrap();
    assert_eq!(
        body,
        Some(sent.body),
        "the bytes as they were, blanks and all"
    );
}

#[test]
fn a_recipient_that_does_not_exist_is_refused() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for recipient in [
        Recipient::Agent("agent_nobody".into()),
        Recipient::Group("room_none".into()),
    ] {
        let message = relay.draft(recipient);
        assert_eq!(relay.send(&writer, message), Err(Refusal::UnknownRecipient));
    }
    relay.revoke(&reviewer);
    let message = relay.to(&reviewer);
    assert_eq!(
        relay.send(&writer, message),
        Err(Refusal::UnknownRecipient),
        "revoked"
    );
    assert_eq!(relay.count(Counter::MessageAccepted), 0);
}

#[test]
fn a_broadcast_reaches_every_live_agent_but_its_sender() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (editor, gone) = (relay.enroll("editor"), relay.enroll("gone"));
    relay.revoke(&gone);
    relay.hold(&editor, HoldKind::Pause);
    let message = relay.draft(Recipient::Broadcast);
    let message = relay.send(&writer, message).unwrap().message;
    assert_eq!(relay.message(message).unwrap().delivery_count, 2);
    let all = [&writer, &reviewer, &editor];
    assert_eq!(
        reached(&mut relay, &all),
        [reviewer.id.clone(), editor.id.clone()],
        "paused ones too"
    );
    assert_eq!(
        (
            relay.count(Counter::MessageOpen),
            relay.count(Counter::DeliveryDelivered)
        ),
        (1, 2)
    );
    relay.ack(&reviewer, message);
    assert_eq!(relay.count(Counter::MessageDone), 0);
    relay.ack(&editor, message);
    assert_eq!(relay.message(message).unwrap().state, MessageState::Done);
    assert_eq!(relay.count(Counter::MessageDone), 1);
}

#[test]
fn a_broadcast_beyond_the_limit_is_refused_whole() {
    let mut relay = Relay::with(Settings {
        max_fan_out: 1,
        ..Settings::default()
    });
    let (writer, reviewer) = relay.pair();
    let message = relay.draft(Recipient::Broadcast);
    assert!(relay.send(&writer, message).is_ok());
    relay.enroll("editor");
    let message = relay.draft(Recipient::Broadcast);
    let refused = relay.send(&writer, message);
    assert_eq!(refused, Err(Refusal::TooManyRecipients { limit: 1 }));
    assert_eq!(relay.take(&reviewer).len(), 1);
}

#[test]
fn a_broadcast_nobody_hears_is_over_at_once() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    let message = relay.draft(Recipient::Broadcast);
    let message = relay.send(&writer, message).unwrap().message;
    assert_eq!(relay.message(message).unwrap().state, MessageState::Done);
    relay.pass(7 * DAY);
    assert_eq!(relay.message(message), None);
}

#[test]
fn a_room_message_reaches_the_other_members() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (editor, outsider) = (relay.enroll("editor"), relay.enroll("outsider"));
    let room = room(&mut relay, &writer, &[&reviewer, &editor]);
    let message = to_room(&mut relay, &room);
    relay.send(&reviewer, message).unwrap();
    let all = [&writer, &reviewer, &editor, &outsider];
    assert_eq!(
        reached(&mut relay, &all),
        [writer.id.clone(), editor.id.clone()]
    );
    let message = to_room(&mut relay, &room);
    let refused = relay.send(&outsider, message);
    assert_eq!(
        refused,
        Err(Refusal::UnknownRecipient),
        "a room is not there for others"
    );
}

/// The conversation of a room belongs to its members: nobody gets into it by another way.
#[test]
fn a_message_under_a_rooms_conversation_must_be_addressed_to_that_room() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let outsider = relay.enroll("outsider");
    let theirs = room(&mut relay, &writer, &[&reviewer]);
    let own = room(&mut relay, &outsider, &[&reviewer]);
    for recipient in [
        Recipient::Agent(reviewer.id.clone()),
        Recipient::Broadcast,
        Recipient::Group(own),
    ] {
        let message = relay.draft(recipient.clone());
        let message = NewMessage {
            conversation_id: theirs.clone(),
            ..message
        };
        assert_eq!(
            relay.send(&outsider, message),
            Err(Refusal::RoomConversation),
            "{recipient:?}"
        );
    }
    // An id that only looks like a room's is a conversation like any other.
    let message = NewMessage {
        conversation_id: "room_none".into(),
        ..relay.to(&reviewer)
    };
    assert!(relay.send(&outsider, message).is_ok());
}

#[test]
fn a_redirect_sends_new_messages_elsewhere_by_one_hop() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (editor, third) = (relay.enroll("editor"), relay.enroll("third"));
    let before = relay.sent(&writer, &reviewer);
    let mut redirect = |from: &Peer, to: &Peer| {
        relay.operator(OperatorRequest::Hold {
            agent_id: from.id.clone(),
            kind: HoldKind::Pause,
            reason: "leave".into(),
            expires_ms: None,
            redirect_agent_id: Some(to.id.clone()),
        })
    };
    assert_eq!(redirect(&reviewer, &editor), Outcome::Done);
    assert_eq!(redirect(&editor, &third), Outcome::Done);
    let nowhere = Outcome::Refused(Refusal::UnknownRecipient);
    assert_eq!(redirect(&third, &third.clone()), nowhere, "not to itself");
    let message = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&editor), [message]);
    assert_eq!(relay.take(&reviewer), [before], "what it had, it keeps");

    let broadcast = relay.draft(Recipient::Broadcast);
    relay.send(&writer, broadcast).unwrap();
    assert_eq!(
        reached(&mut relay, &[&reviewer, &editor, &third]),
        [editor.id.clone(), third.id.clone()]
    );
    relay.revoke(&editor);
    let message = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [message], "its stand-in is gone");
}

#[test]
fn a_batch_is_judged_message_by_message() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let bad = relay.draft(Recipient::Agent("agent_nobody".into()));
    let good = relay.to(&reviewer);
    let uuid = good.uuid;
    let outcome = relay.sign(&writer, AgentRequest::Send(vec![bad, good]));
    let Outcome::Sent { results, rate } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(results[0], Err(Refusal::UnknownRecipient));
    assert_eq!(results[1].as_ref().map(|sent| sent.message), Ok(uuid));
    assert_eq!(
        (rate.limit, rate.remaining),
        (30, 29),
        "only what was accepted counts"
    );
}

/// A message with an idempotency key for a request with this hash.
fn keyed(relay: &mut Relay, to: &Peer, hash: u8) -> NewMessage {
    NewMessage {
        idempotency: Some(("key".into(), [hash; 32])),
        ..relay.to(to)
    }
}

#[test]
fn the_same_key_gets_the_first_answer_and_makes_no_second_message() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let first = NewMessage {
        schedule: Schedule::DelayMs(MINUTE),
        ..keyed(&mut relay, &reviewer, 1)
    };
    let first = relay.send(&writer, first).unwrap();
    relay.wait(HOUR);
    let again = keyed(&mut relay, &reviewer, 1);
    let again = relay.send(&writer, again).unwrap();
    assert_eq!(
        again,
        Sent {
            repeated: true,
            ..first.clone()
        }
    );
    relay.tick();
    assert_eq!(relay.count(Counter::MessageAccepted), 1);
    let other = keyed(&mut relay, &reviewer, 2);
    assert_eq!(
        relay.send(&writer, other),
        Err(Refusal::IdempotencyConflict)
    );
    let others = keyed(&mut relay, &writer, 2);
    assert!(
        !relay.send(&reviewer, others).unwrap().repeated,
        "keys belong to the agent"
    );
}

#[test]
fn a_key_counts_within_one_batch_and_for_a_day() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (first, second) = (
        keyed(&mut relay, &reviewer, 1),
        keyed(&mut relay, &reviewer, 1),
    );
    let Outcome::Sent { results, .. } =
        relay.sign(&writer, AgentRequest::Send(vec![first, second]))
    else {
        panic!("not sent")
    };
    let (first, second) = (results[0].clone().unwrap(), results[1].clone().unwrap());
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!(first.message, second.message);

    relay.pass(DAY - 1);
    let again = keyed(&mut relay, &reviewer, 1);
    assert!(relay.send(&writer, again).unwrap().repeated);
    relay.pass(1);
    let again = keyed(&mut relay, &reviewer, 1);
    assert!(
        !relay.send(&writer, again).unwrap().repeated,
        "forgotten after a day"
    );
}

#[test]
fn a_refused_message_uses_up_no_key() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let lost = relay.draft(Recipient::Agent("agent_nobody".into()));
    let lost = NewMessage {
        idempotency: Some(("key".into(), [1; 32])),
        ..lost
    };
    assert_eq!(relay.send(&writer, lost), Err(Refusal::UnknownRecipient));
    let good = keyed(&mut relay, &reviewer, 2);
    assert!(relay.send(&writer, good).is_ok());
}
