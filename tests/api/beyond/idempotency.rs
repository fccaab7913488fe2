//! `Idempotency-Key` on sends

use serde_json::{Value, json};

use crate::checks::texts;
use crate::support::{Agent, Answer, Relay, direct, shared, uuid};

async fn send(agent: &Agent, key: &str, message: &Value) -> Answer {
    agent
        .call_with(
            "POST",
            "/v1/messages",
            message.to_string(),
            &[("idempotency-key", key)],
        )
        .await
}

fn first_answer(answer: &Answer) -> (Value, Value, Value) {
    let body = answer.ok();
    (
        body["message_id"].clone(),
        body["status"].clone(),
        body["queued_at"].clone(),
    )
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer() {
    let relay = shared().await;
    let [sender, recipient, other] = relay.agents(["sender", "recipient", "other"]).await;
    let message = direct(&recipient.id, "once");
    let key = "k".repeat(255);
    let first = send(&sender, &key, &message).await;
    for _ in 0..3 {
        let again = send(&sender, &key, &message).await;
        assert_eq!(again.status, 200);
        assert_eq!(first_answer(&again), first_answer(&first));
    }
    assert_eq!(recipient.receive().await.len(), 1);

    // Another body under the key is another request.
    let conflict = send(&sender, &key, &direct(&recipient.id, "twice")).await;
    assert_eq!(
        (conflict.status, conflict.code().as_str()),
        (409, "idempotency_conflict"),
        "{}",
        conflict.text()
    );
    // Another key is another message, and keys belong to the agent.
    let more = [
        send(&sender, &uuid(), &message).await,
        send(&other, &key, &message).await,
    ];
    for answer in &more {
        assert_ne!(answer.ok()["message_id"], first.ok()["message_id"]);
    }
    let received = recipient.receive().await;
    assert_eq!(received.len(), 2, "{received:?}");
}

#[tokio::test]
async fn many_tries_at_once_make_one_message() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let (key, message) = (uuid(), direct(&recipient.id, "once"));
    let answers = futures::future::join_all((0..30).map(|_| send(&sender, &key, &message))).await;
    let ids: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.ok()["message_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(recipient.receive().await.len(), 1);
}

#[tokio::test]
async fn a_refused_send_uses_no_key_up() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let key = uuid();
    let nobody = send(&sender, &key, &direct("agent_unknown", "x")).await;
    nobody.refused(404, "unknown recipient", "unknown_recipient");
    send(&sender, &key, &json!({})).await.invalid("body");
    send(&sender, &key, &direct(&recipient.id, "now"))
        .await
        .ok();
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let message = direct(&recipient.id, "x");
    for key in ["", &"k".repeat(256)] {
        let answer = send(&sender, key, &message).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{}",
            answer.text()
        );
    }
    // A key that cannot be read must not be passed over: the sender counts on it.
    let answer = send(&sender, "schlüssel", &message).await;
    let again = send(&sender, "schlüssel", &message).await;
    match answer.status {
        200 => assert_eq!(first_answer(&again), first_answer(&answer)),
        _ => assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{}",
            answer.text()
        ),
    }
}

#[tokio::test]
async fn keys_survive_restarts() {
    let mut relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let (key, message) = (uuid(), direct(&recipient.id, "once"));
    let first = send(&sender, &key, &message).await;
    relay.kill();
    relay.boot().await;
    assert_eq!(
        first_answer(&send(&sender, &key, &message).await),
        first_answer(&first)
    );
    relay.restart().await;
    assert_eq!(
        first_answer(&send(&sender, &key, &message).await),
        first_answer(&first)
    );
    let conflict = send(&sender, &key, &direct(&recipient.id, "twice")).await;
    assert_eq!(conflict.status, 409, "{}", conflict.text());
    assert_eq!(recipient.receive().await.len(), 1);
}

#[tokio::test]
async fn keys_are_forgotten_in_the_end() {
    let relay = Relay::builder()
        .env("EKHO_IDEMPOTENCY_SECONDS", 1)
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let (key, message) = (uuid(), direct(&recipient.id, "again"));
    let first = send(&sender, &key, &message).await.ok();
    support::poll_until(support::DEADLINE, "another message", async || {
        let answer = send(&sender, &key, &message).await.ok();
        (answer["message_id"] != first["message_id"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_message_of_a_batch_has_its_key() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let with_key = |text: &str, key: &str| {
        let mut message = direct(&recipient.id, text);
        message["idempotency_key"] = json!(key);
        message
    };
    let (one, two) = (uuid(), uuid());
    let batch = json!({ "messages": [
        with_key("a", &one),
        with_key("a", &one),
        with_key("b", &one),
        with_key("c", &two),
        direct(&recipient.id, "d"),
        direct(&recipient.id, "d"),
    ] });
    let first = sender.post("/v1/messages/batch", &batch).await.ok();
    let results = first["results"].as_array().unwrap();
    let codes: Vec<u64> = results
        .iter()
        .map(|result| result["status_code"].as_u64().unwrap())
        .collect();
    assert_eq!(codes, [200, 200, 409, 200, 200, 200]);
    assert_eq!(results[0]["message_id"], results[1]["message_id"]);
    assert_eq!(results[2]["code"], "idempotency_conflict");
    let again = sender.post("/v1/messages/batch", &batch).await.ok();
    for keyed in [0, 3] {
        assert_eq!(
            again["results"][keyed]["message_id"],
            results[keyed]["message_id"]
        );
    }
    let received = recipient.receive().await;
    let mut bodies: Vec<&str> = received
        .iter()
        .map(|m| m["body"]["text"].as_str().unwrap())
        .collect();
    bodies.sort_unstable();
    assert_eq!(
        bodies,
        ["a", "c", "d", "d", "d", "d"],
        "{:?}",
        texts(&received, "message_id")
    );
}
