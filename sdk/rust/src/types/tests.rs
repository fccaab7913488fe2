//! What goes over the wire and what is read from it, checked against literal JSON.

#![allow(clippy::unwrap_used)]

use serde_json::{from_value, json, to_value};

use super::messages::BatchItem;
use super::*;

fn message() -> SendMessage {
    let mut message = SendMessage::new(
        Recipient::agent("agent_2"),
        MessageType::Direct,
        "conv-1",
        json!({"text": "hi"}),
    );
    message.correlation_id = "corr-1".to_owned();
    message
}

#[test]
fn a_plain_message_carries_only_what_is_needed() {
    let mut sent = message();
    sent.idempotency_key = Some("a header, not a field".to_owned());
    assert_eq!(
        to_value(&sent).unwrap(),
        json!({
            "recipient": {"kind": "agent", "id": "agent_2"},
            "message_type": "direct",
            "body": {"text": "hi"},
            "conversation_id": "conv-1",
            "correlation_id": "corr-1",
        })
    );
}

#[test]
fn every_option_of_a_message() {
    let mut sent = message();
    sent.recipient = Recipient::Broadcast;
    sent.message_type = MessageType::Alert;
    sent.priority = Some(Priority::Urgent);
    sent.ttl_seconds = Some(60);
    sent.requires_approval = true;
    sent.metadata = Some(json!({"a": 1}));
    sent.delay_seconds = Some(5);
    sent.key_id = Some("key_1".to_owned());
    let item = BatchItem {
        message: std::borrow::Cow::Borrowed(&sent),
        idempotency_key: "k".to_owned(),
    };
    assert_eq!(
        to_value(&item).unwrap(),
        json!({
            "recipient": {"kind": "broadcast"},
            "message_type": "alert",
            "priority": "urgent",
            "ttl_seconds": 60,
            "requires_approval": true,
            "body": {"text": "hi"},
            "metadata": {"a": 1},
            "conversation_id": "conv-1",
            "correlation_id": "corr-1",
            "delay_seconds": 5,
            "key_id": "key_1",
            "idempotency_key": "k",
        })
    );
}

#[test]
fn an_inbox_of_a_newer_relay_is_read() {
    let inbox: Inbox = from_value(json!({
        "messages": [{
            "message_id": "msg_1", "conversation_id": "c", "correlation_id": "r",
            "sender_agent_id": null, "message_type": "carrier.pigeon", "priority": "whenever",
            "body": {"n": 1}, "metadata": null, "created_at": "2026-11-23T03:36:00.000Z",
            "deadline_at": "2026-11-23T03:51:00.000Z", "new_field": [1, 2],
        }],
        "controls": [{"control_id": "ctl_1", "action": "dance", "reason": null, "x": 1}],
        "next": "?",
    }))
    .unwrap();
    let message = &inbox.messages[0];
    assert_eq!(
        message.message_type,
        MessageType::Other("carrier.pigeon".to_owned())
    );
    assert_eq!(message.priority, Some(Priority::from("whenever")));
    assert_eq!(message.sender_agent_id, None);
    assert_eq!(inbox.controls[0].action.as_str(), "dance");
    assert!(SendMessage::reply_to(message, MessageType::Direct, json!({})).is_err());
}

#[test]
fn a_reply_goes_to_the_sender_in_the_same_conversation() {
    let received: InboxMessage = from_value(json!({
        "message_id": "msg_1", "conversation_id": "c", "correlation_id": "r",
        "sender_agent_id": "agent_9", "message_type": "handoff",
    }))
    .unwrap();
    let reply = SendMessage::reply_to(&received, MessageType::Complete, json!({})).unwrap();
    assert_eq!(reply.recipient, Recipient::agent("agent_9"));
    assert_eq!(
        (
            reply.conversation_id.as_str(),
            reply.correlation_id.as_str()
        ),
        ("c", "r")
    );
}

#[test]
fn each_result_of_a_batch_speaks_for_itself() {
    let answer: BatchAnswer = from_value(json!({"results": [
        {"status_code": 200, "message_id": "msg_1", "status": "queued",
         "queued_at": "2026-11-23T03:36:00.000Z"},
        {"status_code": 429, "error": "rate limit exceeded", "code": "rate_limited",
         "retry_after_seconds": 12},
        {"status_code": 200},
    ]}))
    .unwrap();
    let mut results = answer.results.into_iter().map(BatchItemAnswer::into_result);
    assert_eq!(results.next().unwrap().unwrap().message_id, "msg_1");
    let refused = results.next().unwrap().unwrap_err();
    assert_eq!(refused.status_code(), Some(429));
    assert_eq!(refused.request().unwrap().retry_after_seconds, Some(12));
    assert!(matches!(
        results.next().unwrap(),
        Err(crate::EkhoError::Decode { .. })
    ));
}

#[test]
fn what_an_edge_stored_is_accepted_and_its_inbox_is_a_view() {
    let stored: SendAnswer = from_value(json!({"message_id": "msg_1", "status": "stored_at_edge",
        "queued_at": "2026-11-23T03:36:00.000Z"}))
    .unwrap();
    assert!(stored.is_stored_at_edge());
    let queued: SendAnswer =
        from_value(json!({"message_id": "msg_1", "status": "queued"})).unwrap();
    assert!(!queued.is_stored_at_edge());
    let view: Inbox =
        from_value(json!({"messages": [], "controls": [], "view_age_ms": 4000})).unwrap();
    assert_eq!(view.view_age_ms, Some(4000));
}

#[test]
fn members_of_a_room_are_ids_or_objects() {
    for members in [
        json!(["agent_1", "agent_2"]),
        json!([{"agent_id": "agent_1", "display_name": "a"}, {"id": "agent_2"}]),
    ] {
        let room: Room =
            from_value(json!({"id": "room_1", "name": "n", "members": members})).unwrap();
        assert_eq!(room.member_agent_ids, ["agent_1", "agent_2"]);
    }
}

#[test]
fn delivery_state_of_a_message() {
    let state: MessageState = from_value(json!({
        "message_id": "msg_1", "status": "dead_lettered",
        "queued_at": "2026-11-23T03:36:00.000Z", "deadline_at": "2026-11-23T03:51:00.000Z",
        "deliveries": [{
            "delivery_id": "dly_1", "recipient_agent_id": "agent_2", "status": "dead_lettered",
            "attempts": 6, "last_failure_reason": "timeout",
            "delivered_at": null, "acked_at": null,
        }],
    }))
    .unwrap();
    assert_eq!(state.deliveries[0].status, DeliveryStatus::DeadLettered);
    assert_eq!(state.deliveries[0].attempts, 6);
    assert_eq!(state.deliver_at, None);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let enrolled: EnrollAnswer =
        from_value(json!({"agent_id": "agent_1", "secret": "very-secret"})).unwrap();
    let rotated: RotateAnswer = from_value(json!({"secret": "very-secret"})).unwrap();
    assert!(!format!("{enrolled:?}{rotated:?}").contains("very-secret"));
}

#[test]
fn only_an_operators_yes_counts_as_approval() {
    let approved = ["approved", "executed"];
    let pending = ["pending", "pending_approval"];
    for word in ["rejected", "cancelled", "failed", "expired", "unheard-of"]
        .into_iter()
        .chain(approved)
        .chain(pending)
    {
        let status = ActionStatus::from(word);
        assert_eq!(status.was_approved(), approved.contains(&word), "{word}");
        assert_eq!(status.is_pending(), pending.contains(&word), "{word}");
    }
}

#[test]
fn the_relay_does_not_say_what_the_client_finds_out() {
    let message: InboxMessage = from_value(json!({
        "message_id": "msg_1", "message_type": "direct", "body": {},
        "verification": {"status": "verified"}, "encryption": {"status": "decrypted"},
    }))
    .unwrap();
    assert_eq!(message.verification, Default::default());
    assert_eq!(message.encryption, Default::default());
}
