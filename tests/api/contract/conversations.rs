//! POST /v1/notices, and the floor of a conversation

use serde_json::{Value, json};

use crate::checks::{assert_only_fields, assert_time};
use crate::support::{direct, now_ms, shared, uuid};

fn notice(conversation_id: &str) -> Value {
    json!({ "conversation_id": conversation_id, "reason": "loop", "pending_count": 12, "budget": 50 })
}

#[tokio::test]
async fn a_stall_is_recorded_once_for_each_agent_and_conversation() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let (first, second) = (uuid(), uuid());
    let recorded = |yes: bool| json!({ "ok": true, "recorded": yes });
    assert_eq!(
        agent.post("/v1/notices", &notice(&first)).await.ok(),
        recorded(true)
    );
    assert_eq!(
        agent.post("/v1/notices", &notice(&first)).await.ok(),
        recorded(false)
    );
    assert_eq!(
        agent.post("/v1/notices", &notice(&second)).await.ok(),
        recorded(true)
    );
    assert_eq!(
        other.post("/v1/notices", &notice(&first)).await.ok(),
        recorded(true)
    );
    // Something was said: it is another stall.
    let mut message = direct(&other.id, "going on");
    message["conversation_id"] = json!(first);
    agent.send(&message).await;
    assert_eq!(
        agent.post("/v1/notices", &notice(&first)).await.ok(),
        recorded(true)
    );
}

#[tokio::test]
async fn malformed_notices_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for (field, value) in [
        ("conversation_id", json!(null)),
        ("reason", json!("")),
        ("reason", json!("r".repeat(65))),
        ("pending_count", json!(-1)),
        ("pending_count", json!("12")),
    ] {
        let mut bad = notice("conv");
        bad[field] = value;
        agent.post("/v1/notices", &bad).await.invalid(field);
    }
    let widest = json!({ "conversation_id": uuid(), "reason": "r".repeat(64), "pending_count": 0 });
    agent.post("/v1/notices", &widest).await.ok();
    // The original's clients may leave out all but the conversation.
    let least = json!({ "conversation_id": uuid() });
    let answer = agent.post("/v1/notices", &least).await.ok();
    assert_eq!(answer, json!({ "ok": true, "recorded": true }));
}

#[tokio::test]
async fn the_floor_belongs_to_one_participant() {
    let relay = shared().await;
    let [one, two, outsider] = relay.agents(["one", "two", "outsider"]).await;
    let conversation = uuid();
    let floor = format!("/v1/conversations/{conversation}/floor");
    one.post(&floor, &json!({}))
        .await
        .refused(404, "not found", "not_found");

    let mut said = Vec::new();
    for (from, to, text) in [(&one, &two, "first"), (&two, &one, "second")] {
        let mut message = direct(&to.id, text);
        message["conversation_id"] = json!(conversation);
        said.push(from.send(&message).await);
    }

    let before_ms = now_ms();
    let granted = one.post(&floor, &json!({ "ttl_seconds": 30 })).await.ok();
    assert_only_fields(
        &granted,
        &[
            "granted",
            "holder_agent_id",
            "expires_at",
            "conversation_tail",
        ],
    );
    assert_eq!(granted["granted"], true);
    assert_eq!(granted["holder_agent_id"], one.id);
    let expires_ms = assert_time(&granted["expires_at"]);
    assert!(
        (before_ms + 30_000..=now_ms() + 30_000).contains(&expires_ms),
        "{granted}"
    );
    let tail = granted["conversation_tail"].as_array().unwrap();
    let ids: Vec<&Value> = tail.iter().map(|message| &message["message_id"]).collect();
    assert_eq!(ids, [&json!(said[0]), &json!(said[1])], "oldest first");
    assert_eq!(tail[1]["body"], json!({ "text": "second" }));
    assert_eq!(tail[1]["sender_agent_id"], two.id);

    let refused = two.post(&floor, &json!({ "ttl_seconds": 30 })).await.ok();
    assert_eq!(refused["granted"], false);
    assert_eq!(refused["holder_agent_id"], one.id);
    assert_eq!(refused["expires_at"], granted["expires_at"]);
    assert_eq!(
        two.call("DELETE", &floor, "").await.ok(),
        json!({ "released": false })
    );

    let longer = one.post(&floor, &json!({ "ttl_seconds": 60 })).await.ok();
    assert_eq!(longer["granted"], true);
    assert!(assert_time(&longer["expires_at"]) > expires_ms);

    outsider
        .post(&floor, &json!({}))
        .await
        .refused(404, "not found", "not_found");
    outsider
        .call("DELETE", &floor, "")
        .await
        .refused(404, "not found", "not_found");

    assert_eq!(
        one.call("DELETE", &floor, "").await.ok(),
        json!({ "released": true })
    );
    assert_eq!(
        one.call("DELETE", &floor, "").await.ok(),
        json!({ "released": false })
    );
    let granted = two.post(&floor, &json!({})).await.ok();
    assert_eq!(granted["granted"], true);
}

#[tokio::test]
async fn a_floor_that_ran_out_is_free() {
    let relay = shared().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let conversation = uuid();
    let floor = format!("/v1/conversations/{conversation}/floor");
    let mut message = direct(&two.id, "hello");
    message["conversation_id"] = json!(conversation);
    one.send(&message).await;
    one.post(&floor, &json!({ "ttl_seconds": 1 })).await.ok();
    support::poll_until(support::DEADLINE, "the floor", async || {
        let answer = two.post(&floor, &json!({})).await.ok();
        (answer["granted"] == true).then_some(())
    })
    .await;
    assert_eq!(
        one.call("DELETE", &floor, "").await.ok(),
        json!({ "released": false })
    );
}

#[tokio::test]
async fn malformed_floors_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for value in [
        json!(0),
        json!("60"),
        json!(1.5),
        json!(-1),
        json!(10_000_000),
    ] {
        let answer = agent
            .post(
                "/v1/conversations/c/floor",
                &json!({ "ttl_seconds": value }),
            )
            .await;
        answer.invalid("ttl_seconds");
    }
}

/// Conversation ids are any text; no text may stand for another.
#[tokio::test]
async fn conversations_with_odd_names_are_apart() {
    let relay = shared().await;
    let [sender, recipient, outsider] = relay.agents(["sender", "recipient", "outsider"]).await;
    let base = uuid();
    let names = [
        ("%00b", format!("{base}\0b")),
        ("", base.clone()),
        ("%00", format!("{base}\0")),
        ("%01", format!("{base}\u{1}")),
        ("%20", format!("{base} ")),
    ];
    for (_, name) in &names[..1] {
        let mut message = direct(&recipient.id, "here only");
        message["conversation_id"] = json!(name);
        sender.send(&message).await;
    }
    let floor = |suffix: &str| format!("/v1/conversations/{base}{suffix}/floor");
    assert_eq!(
        recipient.post(&floor(names[0].0), &json!({})).await.ok()["granted"],
        true
    );
    outsider
        .post(&floor(names[0].0), &json!({}))
        .await
        .refused(404, "not found", "not_found");
    for (suffix, name) in &names[1..] {
        let answer = recipient.post(&floor(suffix), &json!({})).await;
        assert_eq!(answer.status, 404, "{name:?}: {}", answer.text());
    }
}
