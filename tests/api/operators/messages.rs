//! Messages operators send, look at, take back and send on

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_id, assert_time};
use crate::support::{direct, shared};

const MESSAGES: &str = "/v1/operator/messages";

#[tokio::test]
async fn an_operator_writes_to_an_agent_and_to_a_room() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let text =
        json!({ "recipient_agent_id": one.id, "text": "How far are you?", "priority": "high" });
    let sent = operator.post(MESSAGES, &text).await.ok();
    assert_fields(
        &sent,
        &["message_id", "status", "queued_at", "conversation_id"],
    );
    assert_id(&sent["message_id"], "msg_");
    let received = one.receive().await.remove(0);
    assert_eq!(received["body"], json!({ "text": "How far are you?" }));
    assert_eq!(received["sender_kind"], "operator");
    assert_id(&received["sender_agent_id"], "opr_");
    assert_eq!(received["conversation_id"], sent["conversation_id"]);

    let room = json!({ "name": "Both", "member_agent_ids": [two.id] });
    let room = one.post("/v1/rooms", &room).await;
    let room = room.json()["id"].as_str().expect("a room").to_string();
    operator
        .post(MESSAGES, &json!({ "room_id": room, "text": "Stop." }))
        .await
        .ok();
    for agent in [&one, &two] {
        let received = agent.receive().await.remove(0);
        assert_eq!(received["conversation_id"], room.as_str());
    }
    let rooms = operator.get("/v1/operator/rooms?limit=100").await.ok();
    let found = rooms["rooms"].as_array().and_then(|all| {
        all.iter()
            .find(|found| found["id"] == room.as_str())
            .cloned()
    });
    let found = found.expect("the room");
    let mut members = [one.id.as_str(), two.id.as_str()];
    members.sort_unstable();
    let mut shown: Vec<&str> = found["members"]
        .as_array()
        .expect("members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, members);
    assert_time(&found["created_at"]);

    for (field, bad) in [
        ("recipient_agent_id", json!({ "text": "x" })),
        (
            "recipient_agent_id",
            json!({ "text": "x", "recipient_agent_id": one.id, "room_id": room }),
        ),
        ("text", json!({ "recipient_agent_id": one.id })),
        (
            "text",
            json!({ "recipient_agent_id": one.id, "text": "ä".repeat(8001) }),
        ),
        (
            "ttl_seconds",
            json!({ "recipient_agent_id": one.id, "text": "x", "ttl_seconds": 0 }),
        ),
    ] {
        operator.post(MESSAGES, &bad).await.invalid(field);
    }
    let unknown = json!({ "recipient_agent_id": "agent_x", "text": "x" });
    operator
        .post(MESSAGES, &unknown)
        .await
        .refused(404, "unknown recipient", "unknown_recipient");
}

#[tokio::test]
async fn a_message_is_looked_at_and_taken_back() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let id = one.send(&direct(&two.id, "draft")).await;
    let target = format!("{MESSAGES}/{id}");
    let shown = operator.get(&target).await.ok();
    assert_eq!(shown["status"], "queued");
    let message = &shown["message"];
    for (field, value) in [
        ("id", json!(id)),
        ("sender_kind", json!("agent")),
        ("sender_id", json!(one.id)),
        ("recipient_kind", json!("agent")),
        ("recipient_id", json!(two.id)),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    assert!(message["body"].to_string().contains("draft"));
    assert_eq!(shown["deliveries"][0]["recipient_agent_id"], two.id);
    let cancelled = operator
        .post(&format!("{target}/cancel"), &Value::Null)
        .await;
    assert_eq!(cancelled.ok()["cancelled_deliveries"], 1);
    assert_eq!(operator.get(&target).await.ok()["status"], "cancelled");
    let again = operator
        .post(&format!("{target}/cancel"), &Value::Null)
        .await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));
    let unknown = operator.get(&format!("{MESSAGES}/msg_1")).await;
    unknown.refused(404, "not found", "not_found");
}

#[tokio::test]
async fn what_waits_for_an_agent_is_sent_on() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [sender, asleep, awake] = relay.agents(["sender", "asleep", "awake"]).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(sender.send(&direct(&asleep.id, &number.to_string())).await);
    }
    let order = json!({ "to_agent_id": awake.id, "reason": "asleep" });
    let one = format!("{MESSAGES}/{}/redirect", ids[1]);
    operator.post(&one, &order).await.ok();
    let again = operator.post(&one, &order).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (404, "unknown_recipient")
    );
    let inbox = format!("/v1/operator/agents/{}/redirect", asleep.id);
    assert_eq!(operator.post(&inbox, &order).await.ok()["redirected"], 2);
    assert_eq!(operator.post(&inbox, &order).await.ok()["redirected"], 0);
    let received = awake.receive().await;
    let mut received: Vec<&str> = received
        .iter()
        .map(|message| message["message_id"].as_str().expect("an id"))
        .collect();
    received.sort_unstable();
    ids.sort_unstable();
    assert_eq!(received, ids);
    assert!(asleep.inbox().await.is_empty());
    for (field, bad) in [
        ("to_agent_id", json!({ "reason": "x" })),
        ("reason", json!({ "to_agent_id": awake.id })),
    ] {
        operator.post(&inbox, &bad).await.invalid(field);
        operator.post(&one, &bad).await.invalid(field);
    }
}
