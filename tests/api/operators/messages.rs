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
    let by_id = format!("/v1/operator/rooms?ids=room_x,{room}");
    assert_eq!(operator.get(&by_id).await.ok()["rooms"], json!([found]));
    let too_many = vec!["room_x"; 101].join(",");
    let too_many = format!("/v1/operator/rooms?ids={too_many}");
    operator.get(&too_many).await.invalid("ids");

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
async fn the_messages_of_an_agent_are_listed_to_the_last() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, two, three] = relay.agents(["one", "two", "three"]).await;
    let list = async |query: &str| {
        let target = format!("{MESSAGES}?agent_id={}{query}", one.id);
        operator.get(&target).await.ok()
    };
    assert_eq!(list("").await["messages"], json!([]));
    // More than the 20 that are shown with the agent, in turns.
    let mut expected = Vec::new();
    for number in 0..13 {
        let text = number.to_string();
        expected.push((one.send(&direct(&two.id, &text)).await, "sent"));
        expected.push((two.send(&direct(&one.id, &text)).await, "received"));
        two.send(&direct(&three.id, &text)).await;
    }
    let received = one.receive().await.remove(0);
    let acked = received["message_id"].as_str().expect("an id").to_string();
    one.ack(&[&acked]).await;
    let room = json!({ "name": "All", "member_agent_ids": [two.id, three.id] });
    let room = one.post("/v1/rooms", &room).await.json()["id"].clone();
    let mut said = direct("", "to all");
    said["recipient"] = json!({ "kind": "group", "id": room });
    expected.push((one.send(&said).await, "sent"));
    // What is sent on is meant for the one that it goes to.
    let astray = two.send(&direct(&three.id, "astray")).await;
    let order = json!({ "to_agent_id": one.id, "reason": "away" });
    let redirect = format!("{MESSAGES}/{astray}/redirect");
    operator.post(&redirect, &order).await.ok();
    expected.push((astray.clone(), "received"));
    expected.reverse();

    for direction in [None, Some("sent"), Some("received")] {
        let filter = direction.map_or(String::new(), |way| format!("&direction={way}"));
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&format!("&limit=4{filter}{cursor}")).await;
            let rows = page["messages"].as_array().expect("messages");
            assert!(rows.len() <= 4);
            for row in rows {
                let text = |name: &str| row[name].as_str().unwrap_or_default().to_string();
                found.push((text("id"), text("direction")));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let wanted: Vec<(String, String)> = expected
            .iter()
            .filter(|(_, way)| direction.is_none_or(|wanted| wanted == *way))
            .map(|(id, way)| (id.clone(), (*way).to_string()))
            .collect();
        assert_eq!(found, wanted, "{direction:?}");
    }
    let rows = list("&limit=100").await["messages"].clone();
    let row = |id: &str| {
        let rows = rows.as_array().expect("messages");
        let found = rows
            .iter()
            .find(|row| row["id"] == id)
            .expect("the message");
        let fields = ["status", "delivery_count", "open_deliveries"];
        json!(fields.map(|name| found[name].clone()))
    };
    assert_eq!(row(&acked), json!(["acked", 1, 0]));
    assert_eq!(row(&astray), json!(["queued", 1, 1]));
    let (to_all, _) = &expected[1];
    assert_eq!(row(to_all), json!([null, 2, 2]));

    for (query, field) in [
        (String::new(), "agent_id"),
        (format!("?agent_id={}&direction=up", one.id), "direction"),
        (format!("?agent_id={}&cursor=evt_1", one.id), "cursor"),
    ] {
        let target = format!("{MESSAGES}{query}");
        operator.get(&target).await.invalid(field);
    }
    let unknown = operator.get(&format!("{MESSAGES}?agent_id=agent_x")).await;
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
