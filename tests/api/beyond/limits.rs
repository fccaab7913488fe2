//! Rate windows: headers, refusals, violations and what they lead to

use serde_json::json;

use crate::support::{Relay, RelayBuilder, direct, uuid};

/// Three messages in a window that does not end while a test runs.
fn tight() -> RelayBuilder {
    Relay::builder()
        .env("EKHO_RATE_LIMIT_MAX_MESSAGES", 3)
        .env("EKHO_RATE_LIMIT_WINDOW_SECONDS", 86_400)
}

#[tokio::test]
async fn headers_count_down() {
    let relay = tight().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for remaining in ["2", "1", "0"] {
        let answer = sender
            .post("/v1/messages", &direct(&recipient.id, remaining))
            .await;
        answer.ok();
        assert_eq!(answer.header("x-ratelimit-limit"), Some("3"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
        let reset: u64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&reset), "{reset}");
    }
    let answer = sender
        .post("/v1/messages", &direct(&recipient.id, "one more"))
        .await;
    let body = answer.refused(429, "rate limit exceeded", "rate_limited");
    let seconds = body["retry_after_seconds"].as_u64().unwrap();
    assert!((1..=86_400).contains(&seconds), "{body}");
    assert_eq!(
        answer.header("retry-after"),
        Some(seconds.to_string().as_str())
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    // Another agent has a window of its own; reading and answering are not limited.
    recipient.send(&direct(&sender.id, "mine")).await;
    assert_eq!(recipient.receive().await.len(), 3);
    sender
        .post("/v1/heartbeats", &json!({ "status": "busy" }))
        .await
        .ok();
}

#[tokio::test]
async fn a_window_ends() {
    let relay = Relay::builder()
        .env("EKHO_RATE_LIMIT_MAX_MESSAGES", 1)
        .env("EKHO_RATE_LIMIT_WINDOW_SECONDS", 1)
        .env("EKHO_RATE_LIMIT_VIOLATION_THRESHOLD", 1_000_000)
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut statuses = Vec::new();
    support::poll_until(
        support::DEADLINE,
        "a new window after a refusal",
        async || {
            let answer = sender
                .post("/v1/messages", &direct(&recipient.id, "x"))
                .await;
            statuses.push(answer.status);
            statuses.ends_with(&[429, 200]).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn violations_lead_to_quarantine() {
    let relay = tight().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let operator = relay.operator().await;
    let message = direct(&recipient.id, "again");
    for _ in 0..3 {
        sender.post("/v1/messages", &message).await.ok();
    }
    for violation in 1..=5 {
        assert_eq!(
            operator.agent(&sender).await["status"],
            "healthy",
            "before violation {violation}"
        );
        sender.post("/v1/messages", &message).await.refused(
            429,
            "rate limit exceeded",
            "rate_limited",
        );
    }
    let refused = sender.post("/v1/messages", &message).await;
    refused.refused(403, "agent is quarantined", "agent_quarantined");
    let seen = operator.agent(&sender).await;
    assert_eq!(
        (&seen["status"], &seen["status_reason"]),
        (&json!("quarantined"), &json!("rate_limit_abuse"))
    );
    assert_eq!(relay.metric("ekho_rate_violations_24h").await, Some(5.0));
    assert_eq!(
        relay
            .metric("ekho_agents_total{status=\"quarantined\"}")
            .await,
        Some(1.0)
    );
    // A heartbeat does not lift it, an operator does.
    sender
        .post("/v1/heartbeats", &json!({ "status": "healthy" }))
        .await
        .ok();
    assert_eq!(sender.post("/v1/messages", &message).await.status, 403);
    operator.order(&sender, "resume").await;
    assert_eq!(operator.agent(&sender).await["status"], "healthy");
    assert_eq!(recipient.receive().await.len(), 3);
}

#[tokio::test]
async fn a_repeated_send_is_answered_when_the_window_is_used_up() {
    let relay = tight().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let message = direct(&recipient.id, "kept").to_string();
    let key = uuid();
    let send = async || {
        let headers = [("idempotency-key", key.as_str())];
        sender
            .call_with("POST", "/v1/messages", message.clone(), &headers)
            .await
    };
    let first = send().await.ok();
    for _ in 0..2 {
        sender.send(&direct(&recipient.id, "more")).await;
    }
    for _ in 0..10 {
        assert_eq!(
            send().await.ok()["message_id"],
            first["message_id"],
            "a retry costs nothing"
        );
    }
}

#[tokio::test]
async fn refused_messages_do_not_count() {
    let relay = tight().start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for _ in 0..5 {
        sender
            .post("/v1/messages", &direct("agent_unknown", "x"))
            .await
            .refused(404, "unknown recipient", "unknown_recipient");
        sender
            .post("/v1/messages", &json!({}))
            .await
            .invalid("body");
    }
    for _ in 0..3 {
        sender.send(&direct(&recipient.id, "all three")).await;
    }
}
