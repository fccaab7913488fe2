//! Rooms, floors and stall notices.

use ekho::machine::command::{AgentRequest, NewMessage};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind, Resource};
use ekho_storage::tables::room;

use crate::rig::{CENTURY, DAY, FLEET, HOUR, MINUTE, Peer, Relay, SECOND};

fn floor(relay: &mut Relay, agent: &Peer, ttl_ms: u64) -> Outcome {
    relay.sign(
        agent,
        AgentRequest::AcquireFloor {
            conversation_id: "c-1".into(),
            ttl_ms,
        },
    )
}

fn release(relay: &mut Relay, agent: &Peer) -> Outcome {
    relay.sign(
        agent,
        AgentRequest::ReleaseFloor {
            conversation_id: "c-1".into(),
        },
    )
}

fn held(granted: bool, holder: &Peer, expires_ms: u64) -> Outcome {
    Outcome::Floor {
        granted,
        holder_agent_id: holder.id.clone(),
        expires_ms,
    }
}

/// Three agents, two of them in conversation c-1.
fn conversation() -> (Relay, Peer, Peer, Peer) {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let outsider = relay.enroll("outsider");
    relay.sent(&writer, &reviewer);
    (relay, writer, reviewer, outsider)
}

fn notice(relay: &mut Relay, agent: &Peer) -> Outcome {
    relay.sign(
        agent,
        AgentRequest::Notice {
            conversation_id: "c-1".into(),
            reason: "loop".into(),
            pending_count: 12,
            budget: Some("50".into()),
        },
    )
}

#[test]
fn one_agent_at_a_time_has_the_floor() {
    let (mut relay, writer, reviewer, _) = conversation();
    let until = relay.now_ms + MINUTE;
    assert_eq!(
        floor(&mut relay, &writer, MINUTE),
        held(true, &writer, until)
    );
    assert_eq!(
        floor(&mut relay, &reviewer, HOUR),
        held(false, &writer, until)
    );
    assert_eq!(
        release(&mut relay, &reviewer),
        Outcome::FloorReleased(false),
        "not its floor"
    );
    assert_eq!(release(&mut relay, &writer), Outcome::FloorReleased(true));
    assert_eq!(release(&mut relay, &writer), Outcome::FloorReleased(false));
    let until = relay.now_ms + HOUR;
    assert_eq!(
        floor(&mut relay, &reviewer, HOUR),
        held(true, &reviewer, until)
    );
}

#[test]
fn asking_again_keeps_the_floor_for_longer() {
    let (mut relay, writer, reviewer, _) = conversation();
    floor(&mut relay, &writer, MINUTE);
    relay.pass(30 * SECOND);
    let until = relay.now_ms + MINUTE;
    assert_eq!(
        floor(&mut relay, &writer, MINUTE),
        held(true, &writer, until)
    );
    relay.pass(MINUTE - 1);
    assert_eq!(
        floor(&mut relay, &reviewer, MINUTE),
        held(false, &writer, until)
    );
    relay.pass(1);
    let until = relay.now_ms + MINUTE;
    assert_eq!(
        floor(&mut relay, &reviewer, MINUTE),
        held(true, &reviewer, until)
    );
}

#[test]
fn a_floor_whose_time_is_over_is_free_before_its_tick() {
    let (mut relay, writer, reviewer, _) = conversation();
    floor(&mut relay, &writer, MINUTE);
    relay.wait(MINUTE);
    assert_eq!(
        release(&mut relay, &writer),
        Outcome::FloorReleased(false),
        "it is not held any more"
    );
    let until = relay.now_ms + HOUR;
    assert_eq!(
        floor(&mut relay, &reviewer, HOUR),
        held(true, &reviewer, until)
    );
    relay.tick();
    assert_eq!(
        floor(&mut relay, &writer, HOUR),
        held(false, &reviewer, until)
    );
}

#[test]
fn the_floor_is_for_those_who_take_part() {
    let (mut relay, writer, _, outsider) = conversation();
    let not_found = Outcome::Refused(Refusal::NotFound);
    assert_eq!(floor(&mut relay, &outsider, MINUTE), not_found);
    assert_eq!(release(&mut relay, &outsider), not_found);
    // Members of a room take part in its conversation before anything is said in it.
    let members = vec![writer.id.clone()];
    let (room_id, name) = ("room_1".to_string(), "Room".to_string());
    relay.sign(
        &outsider,
        AgentRequest::CreateRoom {
            room_id,
            name,
            members,
        },
    );
    let ask = AgentRequest::AcquireFloor {
        conversation_id: "room_1".into(),
        ttl_ms: MINUTE,
    };
    let until = relay.now_ms + MINUTE;
    assert_eq!(relay.sign(&writer, ask), held(true, &writer, until));
}

#[test]
fn a_floor_for_a_century_stops_nothing() {
    let (mut relay, writer, reviewer, _) = conversation();
    let granted = floor(&mut relay, &writer, CENTURY);
    assert!(
        matches!(granted, Outcome::Floor { granted: true, .. }),
        "{granted:?}"
    );
    relay.pass(HOUR);
    let refused = floor(&mut relay, &reviewer, MINUTE);
    assert!(
        matches!(refused, Outcome::Floor { granted: false, .. }),
        "{refused:?}"
    );
}

#[test]
fn a_stall_is_reported_once_until_something_new_is_said() {
    let (mut relay, writer, reviewer, _) = conversation();
    assert_eq!(notice(&mut relay, &writer), Outcome::Noticed(true));
    let (_, event) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert_eq!(event.kind, EventKind::ConversationStalled);
    assert_eq!(event.resource, Resource::Conversation("c-1".into()));
    let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
    let expected = serde_json::json!({"reason": "loop", "pending_count": 12, "budget": 50});
    assert_eq!(payload, expected);

    assert_eq!(
        notice(&mut relay, &writer),
        Outcome::Noticed(false),
        "open already"
    );
    assert_eq!(
        notice(&mut relay, &reviewer),
        Outcome::Noticed(true),
        "everyone for themselves"
    );
    relay.wait(MINUTE);
    relay.sent(&reviewer, &writer);
    assert_eq!(
        notice(&mut relay, &writer),
        Outcome::Noticed(true),
        "it stalled again"
    );
    assert_eq!(notice(&mut relay, &writer), Outcome::Noticed(false));
}

#[test]
fn a_stall_is_forgotten_after_a_day() {
    let (mut relay, writer, ..) = conversation();
    notice(&mut relay, &writer);
    relay.pass(DAY - 1);
    assert_eq!(notice(&mut relay, &writer), Outcome::Noticed(false));
    relay.pass(1);
    assert_eq!(notice(&mut relay, &writer), Outcome::Noticed(true));
}

#[test]
fn a_room_has_its_creator_and_those_members_that_are_there() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let gone = relay.enroll("gone");
    relay.revoke(&gone);
    let members = ["agent_nobody", &reviewer.id, &gone.id, &reviewer.id]
        .map(String::from)
        .to_vec();
    let (room_id, name) = ("room_1".to_string(), "Review".to_string());
    let made = relay.sign(
        &writer,
        AgentRequest::CreateRoom {
            room_id,
            name,
            members,
        },
    );
    let members = vec![writer.id.clone(), reviewer.id.clone()];
    assert_eq!(
        made,
        Outcome::RoomCreated {
            created_ms: relay.now_ms,
            members
        }
    );
    let stored = room::get(&relay.txn, FLEET, "room_1").unwrap().unwrap();
    assert_eq!(
        (stored.name.as_str(), stored.created_by),
        ("Review", writer.no)
    );
    assert_eq!(stored.members, [writer.no, reviewer.no]);
    assert_eq!(relay.events(1), [EventKind::RoomCreated]);
}

#[test]
fn a_conversation_is_listed_in_order_and_ends_with_its_messages() {
    use ekho_storage::tables::conversation as index;
    let (mut relay, writer, reviewer, outsider) = conversation();
    let other = NewMessage {
        conversation_id: "c-2".into(),
        ..relay.to(&outsider)
    };
    relay.send(&writer, other).unwrap();
    let second = relay.sent(&reviewer, &writer);
    let newest = index::messages_rev(&relay.txn, FLEET, "c-1", u64::MAX, 1).unwrap();
    assert_eq!(newest, [(3, second)]);
    relay.pass(15 * MINUTE);
    relay.pass(7 * DAY);
    assert!(
        index::messages_rev(&relay.txn, FLEET, "c-1", u64::MAX, 9)
            .unwrap()
            .is_empty()
    );
    assert!(!index::is_participant(&relay.txn, FLEET, "c-1", writer.no).unwrap());
}
