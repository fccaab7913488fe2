//! POST /v1/messages

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_only_fields, assert_time, texts};
use crate::support::{Relay, direct, message_to, shared};

#[tokio::test]
async fn a_message_is_accepted_and_delivered_as_sent() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let message = json!({
        "recipient": { "kind": "agent", "id": recipient.id },
        "message_type": "handoff",
        "priority": "urgent",
        "ttl_seconds": 86400,
        "requires_approval": false,
        "body": { "text": "Zürich 🛰", "n": 1.5, "deep": { "list": [1, null, true] } },
        "metadata": { "source": "test" },
        "conversation_id": "conv-1",
        "correlation_id": "corr-1",
        "unknown_field": "is ignored",
    });
    let answer = sender.post("/v1/messages", &message).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = answer.ok();
    assert_only_fields(&sent, &["message_id", "status", "queued_at"]);
    assert_id(&sent["message_id"], "msg_");
    assert_eq!(sent["status"], "queued");
    let queued_ms = assert_time(&sent["queued_at"]);

    let received = recipient.receive().await;
    assert_eq!(received.len(), 1);
    for field in [
        "message_type",
        "priority",
        "body",
        "metadata",
        "conversation_id",
        "correlation_id",
    ] {
        assert_eq!(received[0][field], message[field], "{field}");
    }
    assert_eq!(received[0]["message_id"], sent["message_id"]);
    assert_eq!(received[0]["sender_agent_id"], sender.id);
    assert_eq!(assert_time(&received[0]["created_at"]), queued_ms);
    assert_eq!(
        assert_time(&received[0]["deadline_at"]),
        queued_ms + 86_400_000
    );
}

#[tokio::test]
async fn defaults_are_those_of_the_contract() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "plain")).await;
    let received = recipient.receive().await;
    assert_eq!(received[0]["priority"], "normal");
    let lived = assert_time(&received[0]["deadline_at"]) - assert_time(&received[0]["created_at"]);
    assert_eq!(lived, 900_000);
}

#[tokio::test]
async fn every_type_and_priority_is_taken() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let types = [
        "direct",
        "broadcast",
        "alert",
        "handoff",
        "claim",
        "complete",
        "heartbeat",
        "control",
    ];
    let priorities = ["low", "normal", "high", "urgent"];
    for (position, message_type) in types.iter().enumerate() {
        let mut message = direct(&recipient.id, message_type);
        message["message_type"] = json!(message_type);
        message["priority"] = json!(priorities[position % 4]);
        sender.send(&message).await;
    }
    let received = recipient.receive().await;
    assert_eq!(texts(&received, "message_type"), types);
    assert_eq!(texts(&received, "priority")[..4], priorities);
}

#[tokio::test]
async fn malformed_messages_are_refused_by_field() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let good = direct(&recipient.id, "good");
    let cases: Vec<(&str, &str, Value)> = vec![
        ("recipient", "recipient", json!(null)),
        ("recipient", "recipient", json!("agent_1")),
        ("recipient", "recipient.kind", json!({ "id": "agent_1" })),
        ("recipient", "recipient.kind", json!({ "kind": "everyone" })),
        ("recipient", "recipient.id", json!({ "kind": "agent" })),
        (
            "recipient",
            "recipient.id",
            json!({ "kind": "group", "id": "" }),
        ),
        ("message_type", "message_type", json!(null)),
        ("message_type", "message_type", json!("gossip")),
        ("message_type", "message_type", json!(1)),
        ("priority", "priority", json!("asap")),
        ("ttl_seconds", "ttl_seconds", json!(0)),
        ("ttl_seconds", "ttl_seconds", json!(86_401)),
        ("ttl_seconds", "ttl_seconds", json!(1.5)),
        ("ttl_seconds", "ttl_seconds", json!("900")),
        ("ttl_seconds", "ttl_seconds", json!(-1)),
        ("requires_approval", "requires_approval", json!("yes")),
        ("body", "body", json!(null)),
        ("body", "body", json!("text")),
        ("body", "body", json!([1])),
        ("metadata", "metadata", json!("text")),
        ("conversation_id", "conversation_id", json!(null)),
        ("conversation_id", "conversation_id", json!("")),
        ("conversation_id", "conversation_id", json!("c".repeat(256))),
        ("correlation_id", "correlation_id", json!(null)),
        ("correlation_id", "correlation_id", json!(5)),
    ];
    for (field, complaint, value) in cases {
        let mut bad = good.clone();
        bad[field] = value;
        sender.post("/v1/messages", &bad).await.invalid(complaint);
    }
    let two = sender
        .post("/v1/messages", &json!({ "priority": "asap" }))
        .await
        .invalid("body");
    assert!(
        two["error"]["fieldErrors"].as_object().unwrap().len() >= 5,
        "all complaints at once: {two}"
    );
    for text in ["", "{", "[]", "nonsense"] {
        let answer = sender.call("POST", "/v1/messages", text).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{text:?}"
        );
    }
    assert!(recipient.inbox().await.is_empty());
}

#[tokio::test]
async fn unknown_recipients_are_refused() {
    let relay = shared().await;
    let [sender, revoked] = relay.agents(["sender", "revoked"]).await;
    relay.operator().await.order(&revoked, "revoke").await;
    for recipient in [
        json!({ "kind": "agent", "id": "agent_unknown" }),
        json!({ "kind": "agent", "id": revoked.id }),
        json!({ "kind": "group", "id": "room_unknown" }),
        json!({ "kind": "group", "id": sender.id }),
    ] {
        let answer = sender
            .post("/v1/messages", &message_to(recipient, "nobody"))
            .await;
        answer.refused(404, "unknown recipient", "unknown_recipient");
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_live_agent_but_the_sender() {
    // Its own relay: the fleet is part of what is tested.
    let relay = Relay::start().await;
    let [sender, one, two, paused, revoked] = relay
        .agents(["sender", "one", "two", "paused", "revoked"])
        .await;
    let operator = relay.operator().await;
    operator.order(&paused, "pause").await;
    operator.order(&revoked, "revoke").await;
    let id = sender
        .send(&message_to(json!({ "kind": "broadcast" }), "to all"))
        .await;
    for agent in [&one, &two, &paused] {
        let received = agent.receive().await;
        assert_eq!(
            texts(&received, "message_id"),
            [id.as_str()],
            "{}",
            agent.id
        );
    }
    assert!(sender.inbox().await.is_empty());
    assert_eq!(one.ack(&[&id]).await, 1);
    let status = sender.status(&id).await;
    assert_eq!(status["deliveries"].as_array().unwrap().len(), 3);
    // A broadcast needs no id, and one that is given means nothing.
    let with_id = json!({ "kind": "broadcast", "id": "agent_x" });
    sender.send(&message_to(with_id, "to all again")).await;
    assert_eq!(two.receive().await.len(), 1);
}

#[tokio::test]
async fn end_to_end_signatures_are_passed_on() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut message = direct(&recipient.id, "signed");
    message["agent_sig"] = json!("c2lnbmF0dXJl");
    message["key_id"] = json!("key_1");
    message["sig_canonical"] = json!("v1\nagent\ntext");
    sender.send(&message).await;
    let received = recipient.receive().await;
    for field in ["agent_sig", "key_id", "sig_canonical"] {
        assert_eq!(received[0][field], message[field], "{field}");
    }
    // What was signed may be an object, as the original's clients have it.
    message["sig_canonical"] = json!({ "b": 1, "a": ["é"] });
    sender.send(&message).await;
    let received = recipient.receive().await;
    assert_eq!(received[0]["sig_canonical"], message["sig_canonical"]);
    message.as_object_mut().unwrap().remove("sig_canonical");
    sender.send(&message).await;
    assert!(recipient.receive().await[0].get("sig_canonical").is_none());
    for wrong in [json!(1), json!(["a"]), json!("x".repeat(8192))] {
        message["sig_canonical"] = wrong;
        let answer = sender.post("/v1/messages", &message).await;
        answer.invalid("sig_canonical");
    }
}

#[tokio::test]
async fn a_message_reaches_at_most_so_many_agents() {
    let relay = Relay::builder().env("EKHO_MAX_FAN_OUT", 2).start().await;
    let [sender, one, _two] = relay.agents(["sender", "one", "two"]).await;
    let broadcast = message_to(json!({ "kind": "broadcast" }), "to all");
    sender.post("/v1/messages", &broadcast).await.ok();
    relay.agents(["three"]).await;
    let answer = sender.post("/v1/messages", &broadcast).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "too_many_recipients"),
        "{}",
        answer.text()
    );
    assert_eq!(one.receive().await.len(), 1);
}
