//! POST /v1/rooms, and messages to rooms

use serde_json::{Value, json};

use crate::checks::{assert_only_fields, assert_time, texts};
use crate::support::{Agent, direct, message_to, shared};

async fn room(creator: &Agent, members: &[&Agent]) -> Value {
    let ids: Vec<&str> = members.iter().map(|agent| agent.id.as_str()).collect();
    let answer = creator
        .post(
            "/v1/rooms",
            &json!({ "name": "Review", "member_agent_ids": ids }),
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.ok()
}

#[tokio::test]
async fn a_room_has_its_creator_and_live_members() {
    let relay = shared().await;
    let [creator, member, revoked] = relay.agents(["creator", "member", "revoked"]).await;
    relay.operator().await.order(&revoked, "revoke").await;
    let request = json!({
        "name": "n".repeat(120),
        "member_agent_ids": [member.id, revoked.id, "agent_foreign", member.id],
    });
    let answer = creator.post("/v1/rooms", &request).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.ok();
    assert_only_fields(&made, &["id", "name", "created_at", "members"]);
    assert_eq!(made["name"], request["name"]);
    assert_time(&made["created_at"]);
    let members = made["members"].as_array().unwrap();
    assert_eq!(members.len(), 2, "{made}");
    assert!(
        members.contains(&json!(creator.id)) && members.contains(&json!(member.id)),
        "{made}"
    );
    // A room of one is a room.
    assert_eq!(room(&creator, &[]).await["members"], json!([creator.id]));
}

#[tokio::test]
async fn malformed_rooms_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for (field, request) in [
        ("name", json!({ "member_agent_ids": [] })),
        ("name", json!({ "name": "", "member_agent_ids": [] })),
        (
            "name",
            json!({ "name": "n".repeat(121), "member_agent_ids": [] }),
        ),
        ("member_agent_ids", json!({ "name": "x" })),
        (
            "member_agent_ids",
            json!({ "name": "x", "member_agent_ids": "agent_1" }),
        ),
        (
            "member_agent_ids",
            json!({ "name": "x", "member_agent_ids": vec!["agent_1"; 51] }),
        ),
    ] {
        agent.post("/v1/rooms", &request).await.invalid(field);
    }
    let widest = json!({ "name": "ü".repeat(120), "member_agent_ids": vec!["agent_1"; 50] });
    assert_eq!(agent.post("/v1/rooms", &widest).await.status, 201);
}

#[tokio::test]
async fn a_message_to_a_room_reaches_the_other_members() {
    let relay = shared().await;
    let [creator, one, two, outsider] = relay.agents(["creator", "one", "two", "outsider"]).await;
    let id = room(&creator, &[&one, &two]).await["id"]
        .as_str()
        .unwrap()
        .to_string();
    let to_room = |text: &str| message_to(json!({ "kind": "group", "id": id }), text);

    let sent = one.send(&to_room("hello, room")).await;
    for agent in [&creator, &two] {
        assert_eq!(texts(&agent.receive().await, "message_id"), [sent.as_str()]);
    }
    assert!(one.inbox().await.is_empty() && outsider.inbox().await.is_empty());
    assert_eq!(
        one.status(&sent).await["deliveries"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    // Under the room's own id, only the room can be addressed.
    let mut in_room = to_room("under its id");
    in_room["conversation_id"] = json!(id);
    creator.send(&in_room).await;
    for recipient in [
        json!({ "kind": "agent", "id": two.id }),
        json!({ "kind": "broadcast" }),
    ] {
        let mut elsewhere = message_to(recipient, "past the room");
        elsewhere["conversation_id"] = json!(id);
        let answer = creator.post("/v1/messages", &elsewhere).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "room_conversation"),
            "{}",
            answer.text()
        );
    }

    // Who is not in the room does not learn that it exists.
    let answer = outsider.post("/v1/messages", &to_room("let me in")).await;
    answer.refused(404, "unknown recipient", "unknown_recipient");
}

#[tokio::test]
async fn held_agents_make_no_rooms() {
    let relay = shared().await;
    let [paused, quarantined, other] = relay.agents(["paused", "quarantined", "other"]).await;
    let operator = relay.operator().await;
    operator.order(&paused, "pause").await;
    operator.order(&quarantined, "quarantine").await;
    let request = json!({ "name": "x", "member_agent_ids": [other.id] });
    paused
        .post("/v1/rooms", &request)
        .await
        .refused(403, "agent is paused", "agent_paused");
    quarantined.post("/v1/rooms", &request).await.refused(
        403,
        "agent is quarantined",
        "agent_quarantined",
    );
    let message = direct(&other.id, "held");
    paused
        .post("/v1/messages", &message)
        .await
        .refused(403, "agent is paused", "agent_paused");
    let answer = quarantined.post("/v1/messages", &message).await;
    answer.refused(403, "agent is quarantined", "agent_quarantined");
    // They still receive, ack and report.
    other.send(&direct(&paused.id, "for later")).await;
    let received = paused.receive().await;
    assert_eq!(
        paused
            .ack(&[received[0]["message_id"].as_str().unwrap()])
            .await,
        1
    );
    paused
        .post("/v1/heartbeats", &json!({ "status": "idle" }))
        .await
        .ok();
}
