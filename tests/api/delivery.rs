//! The life of a delivery in real time, with settings small enough to wait for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::checks::{assert_time, texts};
use crate::support::{Agent, DEADLINE, Relay, RelayBuilder, direct, now_ms, poll_until, shared};

/// One second to ack, then one second of delay, twice.
fn quick() -> RelayBuilder {
    Relay::builder()
        .env("EKHO_DELIVERY_TIMEOUT_SECONDS", 1)
        .env("EKHO_RETRY_BACKOFF_SECONDS", "1,1")
}

async fn until_status(sender: &Agent, id: &str, wanted: &str) -> Value {
    poll_until(DEADLINE, wanted, async || {
        let status = sender.status(id).await;
        (status["status"] == wanted).then_some(status)
    })
    .await
}

async fn deliveries(relay: &Relay, status: &str) -> f64 {
    let series = format!("ekho_deliveries_total{{status=\"{status}\"}}");
    relay
        .metric(&series)
        .await
        .unwrap_or_else(|| panic!("no {series}"))
}

#[tokio::test]
async fn unacked_it_comes_again_and_ends_as_a_dead_letter() {
    let relay = quick().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "never acked")).await;
    let mut handed_out_ms = Vec::new();
    for attempt in 1..=3 {
        assert_eq!(
            texts(&recipient.receive().await, "message_id"),
            [id.as_str()]
        );
        let status = sender.status(&id).await;
        assert_eq!(status["deliveries"][0]["attempts"], attempt);
        handed_out_ms.push(assert_time(&status["deliveries"][0]["delivered_at"]));
        if attempt < 3 {
            let queued = until_status(&sender, &id, "queued").await;
            assert_eq!(queued["deliveries"][0]["last_failure_reason"], "timeout");
        }
    }
    for pair in handed_out_ms.windows(2) {
        assert!(
            pair[1] - pair[0] >= 2000,
            "timeout and delay were waited for: {handed_out_ms:?}"
        );
    }
    assert_eq!(deliveries(&relay, "dead_lettered").await, 0.0);
    let dead = until_status(&sender, &id, "dead_lettered").await;
    assert_eq!(
        dead["deliveries"][0]["last_failure_reason"],
        "max_retries_exceeded"
    );
    assert_eq!(relay.metric("ekho_dead_letters_total").await, Some(1.0));
    for (status, count) in [
        ("dead_lettered", 1.0),
        ("queued", 0.0),
        ("delivered", 0.0),
        ("acked", 0.0),
    ] {
        assert_eq!(deliveries(&relay, status).await, count, "{status}");
    }
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(
        recipient.ack(&[&id]).await,
        0,
        "what has ended cannot be acked"
    );
}

#[tokio::test]
async fn an_ack_after_the_timeout_still_ends_it() {
    let relay = Relay::builder()
        .env("EKHO_DELIVERY_TIMEOUT_SECONDS", 1)
        .env("EKHO_RETRY_BACKOFF_SECONDS", "3600")
        .shared()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "acked late")).await;
    recipient.receive().await;
    until_status(&sender, &id, "queued").await;
    assert_eq!(recipient.ack(&[&id]).await, 1);
    assert_eq!(sender.status(&id).await["status"], "acked");
}

#[tokio::test]
async fn what_was_acked_never_comes_back() {
    let mut relay = quick().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let acked = sender.send(&direct(&recipient.id, "acked")).await;
    recipient.receive().await;
    assert_eq!(recipient.ack(&[&acked]).await, 1);
    // Another message goes through a timeout meanwhile, and the relay through a kill.
    let other = sender.send(&direct(&recipient.id, "other")).await;
    recipient.receive().await;
    relay.kill();
    relay.boot().await;
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [other.as_str()]
    );
    assert_eq!(sender.status(&acked).await["status"], "acked");
}

#[tokio::test]
async fn what_outlives_its_time_expires() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let short = |text: &str| {
        let mut message = direct(&recipient.id, text);
        message["ttl_seconds"] = json!(1);
        message
    };
    let out = sender
        .send(&short("expires in the recipient's hands"))
        .await;
    recipient.receive().await;
    let queued = sender.send(&short("expires unseen")).await;
    let mut scheduled = short("expires after its time");
    scheduled["delay_seconds"] = json!(1);
    let scheduled = sender.send(&scheduled).await;
    for id in [&out, &queued, &scheduled] {
        let expired = until_status(&sender, id, "expired").await;
        let ended_ms = assert_time(&expired["deliveries"][0]["ended_at"]);
        assert!(
            ended_ms >= assert_time(&expired["deadline_at"]),
            "not before its time: {expired}"
        );
    }
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(recipient.ack(&[&out, &queued]).await, 0);
    assert_eq!(deliveries(&relay, "expired").await, 3.0);
    assert_eq!(
        relay.metric("ekho_messages_total{status=\"queued\"}").await,
        Some(0.0)
    );
}

#[tokio::test]
async fn silence_is_quarantined_and_a_heartbeat_lifts_it() {
    let relay = Relay::builder()
        .env("EKHO_HEARTBEAT_TIMEOUT_SECONDS", 1)
        .env("EKHO_HEARTBEAT_LIVENESS_THRESHOLD", 2)
        .start()
        .await;
    let [reported, never, paused] = relay.agents(["reported", "never", "paused"]).await;
    let operator = relay.operator().await;
    let heartbeat = json!({ "status": "healthy" });
    let heard_ms = now_ms();
    reported.post("/v1/heartbeats", &heartbeat).await.ok();
    paused.post("/v1/heartbeats", &heartbeat).await.ok();
    operator.order(&paused, "pause").await;
    let quarantined_ms = poll_until(DEADLINE, "quarantine", async || {
        let seen = operator.agent(&reported).await;
        (seen["status"] == "quarantined").then(|| {
            assert_eq!(seen["status_reason"], "heartbeat_timeout");
            now_ms()
        })
    })
    .await;
    assert!(
        quarantined_ms - heard_ms >= 2000,
        "not before twice the timeout"
    );
    let message = direct(&never.id, "from the silent");
    let refused = reported.post("/v1/messages", &message).await;
    refused.refused(403, "agent is quarantined", "agent_quarantined");
    assert_eq!(
        operator.agent(&never).await["status"],
        "healthy",
        "who never reported is not judged"
    );

    reported.post("/v1/heartbeats", &heartbeat).await.ok();
    assert_eq!(operator.agent(&reported).await["status"], "healthy");
    reported.post("/v1/messages", &message).await.ok();
    // What an operator decided stays.
    paused.post("/v1/heartbeats", &heartbeat).await.ok();
    assert_eq!(operator.agent(&paused).await["status"], "paused");
    let refused = paused.post("/v1/messages", &message).await;
    refused.refused(403, "agent is paused", "agent_paused");
}

#[tokio::test]
async fn heartbeats_in_time_keep_an_agent() {
    let relay = Relay::builder()
        .env("EKHO_HEARTBEAT_TIMEOUT_SECONDS", 1)
        .env("EKHO_HEARTBEAT_LIVENESS_THRESHOLD", 2)
        .start()
        .await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    // Heartbeats that change nothing are kept in memory for a while; they count all the same.
    let over_ms = now_ms() + 5000;
    poll_until(DEADLINE, "five seconds", async || {
        agent
            .post("/v1/heartbeats", &json!({ "status": "healthy" }))
            .await
            .ok();
        assert_eq!(operator.agent(&agent).await["status"], "healthy");
        (now_ms() > over_ms).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_is_handed_out_in_accepted_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 25;
    let relay = shared().await;
    let [recipient, a, b, c, d] = relay.agents(["recipient", "a", "b", "c", "d"]).await;
    // When each send began and was answered: one answered before another began came first.
    let sends = [a, b, c, d].map(|sender| {
        let to = recipient.id.clone();
        tokio::spawn(async move {
            let mut log = Vec::new();
            for number in 0..EACH {
                let began = std::time::Instant::now();
                let id = sender.send(&direct(&to, &number.to_string())).await;
                log.push((id, began, std::time::Instant::now()));
            }
            log
        })
    });
    let mut times = BTreeMap::new();
    let mut by_sender = Vec::new();
    for log in futures::future::join_all(sends).await {
        let log = log.unwrap();
        by_sender.push(
            log.iter()
                .map(|(id, ..)| id.clone())
                .collect::<Vec<String>>(),
        );
        times.extend(
            log.into_iter()
                .map(|(id, began, ended)| (id, (began, ended))),
        );
    }
    let mut received = Vec::new();
    while received.len() < SENDERS * EACH {
        let answer = recipient.get("/v1/inbox?limit=7&wait=20").await.ok();
        let messages = answer["messages"].as_array().unwrap();
        assert!(
            !messages.is_empty(),
            "{} of {}",
            received.len(),
            SENDERS * EACH
        );
        received.extend(
            texts(messages, "message_id")
                .into_iter()
                .map(str::to_string),
        );
    }
    for (position, id) in received.iter().enumerate() {
        let (began, _) = times[id];
        for later in &received[position + 1..] {
            assert!(
                times[later].1 >= began,
                "{later} was answered before {id} was sent, and came after it"
            );
        }
    }
    for sent in by_sender {
        let order: Vec<&String> = received.iter().filter(|id| sent.contains(id)).collect();
        assert_eq!(order, sent.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn ended_messages_are_removed_after_their_time() {
    let relay = Relay::builder()
        .env("EKHO_MESSAGE_RETENTION_SECONDS", 1)
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let kept = sender.send(&direct(&recipient.id, "kept while open")).await;
    let gone = sender.send(&direct(&recipient.id, "gone when acked")).await;
    recipient.receive().await;
    recipient.ack(&[&gone]).await;
    poll_until(DEADLINE, "removal", async || {
        (sender.get(&format!("/v1/messages/{gone}")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(sender.status(&kept).await["status"], "delivered");
    assert_eq!(recipient.ack(&[&gone, &kept]).await, 1);
}
