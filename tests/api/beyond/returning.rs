//! POST /v1/nacks and POST /v1/leases

use serde_json::{Value, json};

use crate::checks::{assert_only_fields, assert_time, texts};
use crate::support::{DEADLINE, Relay, direct, iso, now_ms, poll_until, shared};

fn nack(message_id: &str, more: Value) -> Value {
    let mut nack = json!({ "message_id": message_id });
    for (name, value) in more.as_object().unwrap() {
        nack[name] = value.clone();
    }
    json!({ "nacks": [nack] })
}

#[tokio::test]
async fn a_message_given_back_comes_again() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "back")).await;
    assert_eq!(
        recipient
            .post("/v1/nacks", &nack(&id, json!({})))
            .await
            .ok()["updated"],
        0,
        "not out yet"
    );
    recipient.receive().await;
    let request = nack(
        &id,
        json!({ "delay_seconds": 0, "reason": "model overloaded" }),
    );
    assert_eq!(
        sender.post("/v1/nacks", &request).await.ok()["updated"],
        0,
        "not the sender's"
    );
    assert_eq!(
        recipient.post("/v1/nacks", &request).await.ok(),
        json!({ "updated": 1 })
    );
    assert_eq!(
        recipient.post("/v1/nacks", &request).await.ok()["updated"],
        0,
        "once"
    );
    let status = sender.status(&id).await;
    assert_eq!(status["status"], "queued");
    assert_eq!(
        status["deliveries"][0]["last_failure_reason"],
        "model overloaded"
    );
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [id.as_str()]
    );
    assert_eq!(sender.status(&id).await["deliveries"][0]["attempts"], 2);

    let later = nack(&id, json!({ "delay_seconds": 1 }));
    let due_ms = now_ms() + 1000;
    assert_eq!(recipient.post("/v1/nacks", &later).await.ok()["updated"], 1);
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [id.as_str()]
    );
    assert!(now_ms() >= due_ms, "not before its delay");
    // Without a delay it waits as after a timeout: a minute here.
    assert_eq!(
        recipient
            .post("/v1/nacks", &nack(&id, json!({})))
            .await
            .ok()["updated"],
        1
    );
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(recipient.ack(&[&id]).await, 1, "a late ack still counts");
    assert_eq!(sender.status(&id).await["status"], "acked");
}

#[tokio::test]
async fn given_back_too_often_it_is_a_dead_letter_with_the_reason() {
    let relay = Relay::builder()
        .env("EKHO_RETRY_BACKOFF_SECONDS", "0,0")
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "bad")).await;
    for attempt in 1..=3 {
        assert_eq!(
            recipient.receive().await[0]["message_id"],
            id.as_str(),
            "attempt {attempt}"
        );
        recipient
            .post("/v1/nacks", &nack(&id, json!({ "reason": "cannot parse" })))
            .await
            .ok();
    }
    let status = sender.status(&id).await;
    assert_eq!(status["status"], "dead_lettered");
    let delivery = &status["deliveries"][0];
    assert_eq!(delivery["attempts"], 3);
    let reason = delivery["last_failure_reason"].as_str().unwrap();
    assert!(
        reason.contains("max_retries_exceeded") && reason.contains("cannot parse"),
        "{reason}"
    );
    assert_time(&delivery["ended_at"]);
    assert_eq!(relay.metric("ekho_dead_letters_total").await, Some(1.0));
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(recipient.ack(&[&id]).await, 0, "it is over");
}

#[tokio::test]
async fn malformed_nacks_and_leases_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    agent
        .post("/v1/nacks", &json!({ "nacks": [] }))
        .await
        .invalid("nacks");
    agent
        .post("/v1/nacks", &json!({ "nacks": [{}] }))
        .await
        .invalid("nacks.0.message_id");
    for (field, value) in [
        ("delay_seconds", json!(-1)),
        ("delay_seconds", json!("1")),
        ("delay_seconds", json!(86_401)),
        ("reason", json!(1)),
        ("reason", json!("r".repeat(501))),
    ] {
        let mut more = json!({});
        more[field] = value;
        agent
            .post("/v1/nacks", &nack("msg_1", more))
            .await
            .invalid(&format!("nacks.0.{field}"));
    }
    agent
        .post("/v1/leases", &json!({ "leases": [] }))
        .await
        .invalid("leases");
    for value in [json!(null), json!(0), json!(86_401), json!("60")] {
        let request = json!({ "leases": [{ "message_id": "msg_1", "extend_seconds": value }] });
        agent
            .post("/v1/leases", &request)
            .await
            .invalid("leases.0.extend_seconds");
    }
}

#[tokio::test]
async fn a_lease_keeps_a_message_from_others() {
    let relay = Relay::builder()
        .env("EKHO_DELIVERY_TIMEOUT_SECONDS", 1)
        .env("EKHO_RETRY_BACKOFF_SECONDS", "0")
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let kept = sender.send(&direct(&recipient.id, "kept")).await;
    let lost = sender.send(&direct(&recipient.id, "lost")).await;
    assert_eq!(
        recipient.get("/v1/inbox?limit=2&wait=20").await.ok()["messages"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let request = json!({ "leases": [
        { "message_id": kept, "extend_seconds": 3600 },
        { "message_id": "msg_unknown", "extend_seconds": 60 },
    ] });
    let before_ms = now_ms();
    let answer = recipient.post("/v1/leases", &request).await.ok();
    assert_eq!(answer["updated"], 1);
    assert_eq!(answer["leases"].as_array().unwrap().len(), 1);
    assert_only_fields(&answer["leases"][0], &["message_id", "lease_expires_at"]);
    assert_eq!(answer["leases"][0]["message_id"], kept.as_str());
    let deadline = assert_time(&sender.status(&kept).await["deadline_at"]);
    let until = assert_time(&answer["leases"][0]["lease_expires_at"]);
    assert_eq!(until, deadline, "never longer than the message lives");
    // The other one times out and comes again; this one does not.
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [lost.as_str()]
    );
    let kept_status = sender.status(&kept).await;
    assert_eq!(
        (
            &kept_status["status"],
            &kept_status["deliveries"][0]["attempts"]
        ),
        (&json!("delivered"), &json!(1))
    );

    // A short lease ends as it says.
    let request = json!({ "leases": [{ "message_id": kept, "extend_seconds": 2 }] });
    let answer = recipient.post("/v1/leases", &request).await.ok();
    let until = assert_time(&answer["leases"][0]["lease_expires_at"]);
    assert!(
        (before_ms + 2000..=now_ms() + 2000).contains(&until),
        "{answer}"
    );
    let again_ms = poll_until(DEADLINE, &iso(until), async || {
        let status = sender.status(&kept).await;
        (status["status"] != "delivered").then(now_ms)
    })
    .await;
    assert!(again_ms >= until, "not before the lease is over");
    assert_eq!(
        sender.post("/v1/leases", &request).await.ok(),
        json!({ "updated": 0, "leases": [] })
    );
}

#[tokio::test]
async fn what_was_given_back_keeps_its_place() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(
            sender
                .send(&direct(&recipient.id, &number.to_string()))
                .await,
        );
    }
    recipient.get("/v1/inbox?limit=3").await.ok();
    let nacks = [&sent[2], &sent[0]].map(|id| json!({ "message_id": id, "delay_seconds": 0 }));
    assert_eq!(
        recipient
            .post("/v1/nacks", &json!({ "nacks": nacks }))
            .await
            .ok()["updated"],
        2
    );
    let again = recipient.inbox().await;
    assert_eq!(
        texts(&again, "message_id"),
        [sent[0].as_str(), &sent[2], &sent[3]],
        "in accepted order"
    );
}
