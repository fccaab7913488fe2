//! POST /v1/messages/batch

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time, texts};
use crate::support::{Relay, direct, message_to, shared};

#[tokio::test]
async fn each_message_has_its_outcome() {
    let relay = shared().await;
    let [sender, one, two] = relay.agents(["sender", "one", "two"]).await;
    let batch = json!({ "messages": [
        direct(&one.id, "first"),
        direct("agent_unknown", "nobody"),
        direct(&two.id, "second"),
        message_to(json!({ "kind": "group", "id": "room_unknown" }), "nowhere"),
        direct(&one.id, "third"),
    ] });
    let answer = sender.post("/v1/messages/batch", &batch).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let results = answer.ok()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 5);
    for accepted in [0, 2, 4] {
        assert_eq!(results[accepted]["status_code"], 200);
        assert_eq!(results[accepted]["status"], "queued");
        assert_id(&results[accepted]["message_id"], "msg_");
        assert_time(&results[accepted]["queued_at"]);
    }
    for refused in [1, 3] {
        assert_eq!(results[refused]["status_code"], 404);
        assert_eq!(results[refused]["error"], "unknown recipient");
        assert_eq!(results[refused]["code"], "unknown_recipient");
    }
    let ids = texts(&results, "message_id");
    assert_eq!(
        texts(&one.receive().await, "message_id"),
        [ids[0], ids[4]],
        "in the order sent"
    );
    assert_eq!(texts(&two.receive().await, "message_id"), [ids[2]]);
}

#[tokio::test]
async fn a_hundred_and_not_one_more() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let batch = |count: usize| {
        let messages: Vec<Value> = (0..count)
            .map(|n| direct(&recipient.id, &n.to_string()))
            .collect();
        json!({ "messages": messages })
    };
    let answer = sender.post("/v1/messages/batch", &batch(100)).await.ok();
    assert_eq!(answer["results"].as_array().unwrap().len(), 100);
    sender
        .post("/v1/messages/batch", &batch(101))
        .await
        .invalid("messages");
    sender
        .post("/v1/messages/batch", &batch(0))
        .await
        .invalid("messages");
    sender
        .post("/v1/messages/batch", &json!({}))
        .await
        .invalid("messages");
    let received = recipient.receive().await;
    let order: Vec<&str> = received
        .iter()
        .map(|m| m["body"]["text"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_malformed_message_refuses_the_batch() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut bad = direct(&recipient.id, "bad");
    bad["priority"] = json!("asap");
    let batch = json!({ "messages": [direct(&recipient.id, "good"), bad] });
    sender
        .post("/v1/messages/batch", &batch)
        .await
        .invalid("messages.1.priority");
    sender
        .post("/v1/messages/batch", &json!({ "messages": [1] }))
        .await
        .invalid("messages");
    assert!(recipient.inbox().await.is_empty(), "nothing half done");
}

#[tokio::test]
async fn a_batch_counts_message_by_message() {
    // One window for the whole test.
    let relay = Relay::builder()
        .env("EKHO_RATE_LIMIT_MAX_MESSAGES", 3)
        .env("EKHO_RATE_LIMIT_WINDOW_SECONDS", 86_400)
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let messages: Vec<Value> = (0..5)
        .map(|n| direct(&recipient.id, &n.to_string()))
        .collect();
    let answer = sender
        .post("/v1/messages/batch", &json!({ "messages": messages }))
        .await;
    let results = answer.ok()["results"].as_array().unwrap().clone();
    let codes: Vec<u64> = results
        .iter()
        .map(|result| result["status_code"].as_u64().unwrap())
        .collect();
    assert_eq!(codes, [200, 200, 200, 429, 429]);
    assert_eq!(results[3]["code"], "rate_limited");
    assert!(
        results[3]["retry_after_seconds"]
            .as_u64()
            .is_some_and(|seconds| seconds > 0)
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(recipient.receive().await.len(), 3);
}
