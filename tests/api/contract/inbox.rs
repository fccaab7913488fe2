//! GET /v1/inbox and POST /v1/acks

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_id, assert_time, texts};
use crate::support::{direct, now_iso, shared};

#[tokio::test]
async fn messages_come_oldest_first_and_once() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut sent = Vec::new();
    for number in 0..30 {
        sent.push(
            sender
                .send(&direct(&recipient.id, &number.to_string()))
                .await,
        );
    }
    let first = recipient.get("/v1/inbox").await.ok();
    let first = first["messages"].as_array().unwrap().clone();
    assert_eq!(
        texts(&first, "message_id"),
        sent[..25],
        "25 without a limit, oldest first"
    );
    let second = recipient.get("/v1/inbox?limit=3").await.ok();
    assert_eq!(
        texts(second["messages"].as_array().unwrap(), "message_id"),
        sent[25..28]
    );
    let rest = recipient.inbox().await;
    assert_eq!(texts(&rest, "message_id"), sent[28..]);
    assert!(
        recipient.inbox().await.is_empty(),
        "what is out is not handed out twice"
    );
}

#[tokio::test]
async fn a_message_has_the_fields_of_the_contract() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "fields")).await;
    let answer = recipient.get("/v1/inbox?wait=20").await.ok();
    assert_fields(&answer, &["messages", "controls"]);
    let message = &answer["messages"][0];
    assert_fields(
        message,
        &[
            "message_id",
            "conversation_id",
            "correlation_id",
            "sender_agent_id",
            "message_type",
            "priority",
            "body",
            "metadata",
            "created_at",
            "deadline_at",
        ],
    );
    assert_id(&message["message_id"], "msg_");
    assert_time(&message["created_at"]);
    assert_time(&message["deadline_at"]);
    assert_eq!(answer["controls"], json!([]));
}

#[tokio::test]
async fn bodies_are_the_bytes_that_were_sent() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    // Spaces, escapes, numbers and repeated names that a JSON library would rewrite.
    let body =
        r#"{ "b" : 1.0,"a":1e2,  "t":"Z\u00fcrich \ud83d\udef0 é", "a":100000000000000000000001 }"#;
    let metadata = r#"{"m" :0.10}"#;
    let raw = format!(
        r#"{{"recipient":{{"kind":"agent","id":"{}"}},"message_type":"direct","body":{body},"metadata":{metadata},"conversation_id":"c","correlation_id":"r"}}"#,
        recipient.id
    );
    sender.call("POST", "/v1/messages", raw).await.ok();
    let answer = recipient.get("/v1/inbox?wait=20").await;
    assert!(
        answer.text().contains(&format!("\"body\":{body}")),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().contains(&format!("\"metadata\":{metadata}")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for (field, query) in [
        ("limit", "limit=0"),
        ("limit", "limit=101"),
        ("limit", "limit=ten"),
        ("limit", "limit="),
        ("wait", "wait=61"),
        ("wait", "wait=-1"),
        ("wait", "wait=1.5"),
    ] {
        agent
            .get(&format!("/v1/inbox?{query}"))
            .await
            .invalid(field);
    }
    agent.get("/v1/inbox?limit=100&wait=0&unknown=1").await.ok();
    agent.get("/v1/inbox?").await.ok();
}

#[tokio::test]
async fn acks_count_what_was_open() {
    let relay = shared().await;
    let [sender, recipient, other] = relay.agents(["sender", "recipient", "other"]).await;
    let ids = [
        sender.send(&direct(&recipient.id, "1")).await,
        sender.send(&direct(&recipient.id, "2")).await,
        sender.send(&direct(&recipient.id, "3")).await,
    ];
    assert_eq!(recipient.ack(&[&ids[0]]).await, 0, "was never handed out");
    assert_eq!(
        recipient.get("/v1/inbox?limit=2&wait=20").await.ok()["messages"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(other.ack(&[&ids[0]]).await, 0, "is not the other's");
    assert_eq!(
        sender.ack(&[&ids[0]]).await,
        0,
        "is not the sender's to ack"
    );
    assert_eq!(
        recipient
            .ack(&[&ids[0], &ids[0], "msg_unknown", &ids[2], &ids[1]])
            .await,
        2
    );
    assert_eq!(
        recipient.ack(&[&ids[0], &ids[1]]).await,
        0,
        "again is harmless"
    );
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [ids[2].as_str()],
        "the third is still there"
    );
    assert_eq!(recipient.ack(&[&ids[2]]).await, 1);
    for id in &ids {
        assert_eq!(sender.status(id).await["status"], "acked");
    }
}

#[tokio::test]
async fn malformed_acks_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let ack = |changes: Value| {
        let mut ack =
            json!({ "message_id": "msg_1", "status": "received", "received_at": now_iso() });
        for (name, value) in changes.as_object().unwrap() {
            ack[name] = value.clone();
        }
        json!({ "acks": [ack] })
    };
    agent.post("/v1/acks", &json!({})).await.invalid("acks");
    agent
        .post("/v1/acks", &json!({ "acks": [] }))
        .await
        .invalid("acks");
    agent
        .post("/v1/acks", &json!({ "acks": "msg_1" }))
        .await
        .invalid("acks");
    agent
        .post("/v1/acks", &json!({ "acks": ["msg_1"] }))
        .await
        .invalid("acks");
    agent
        .post("/v1/acks", &ack(json!({ "message_id": null })))
        .await
        .invalid("acks.0.message_id");
    agent
        .post("/v1/acks", &ack(json!({ "status": "read" })))
        .await
        .invalid("acks.0.status");
    agent
        .post("/v1/acks", &ack(json!({ "received_at": "now" })))
        .await
        .invalid("acks.0.received_at");
    let answer = agent.post("/v1/acks", &ack(json!({}))).await.ok();
    assert_eq!(answer, json!({ "updated": 0 }));
}
