//! What was accepted before the relay ended is not accepted after it came back.

use serde_json::json;

use crate::support::{DEADLINE, Relay, SignedRequest, direct, iso, now_ms, poll_until, uuid};

#[tokio::test]
async fn replays_after_a_stop_and_after_a_kill() {
    let mut relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    // Any read may be refused as older than the leader; see below. Let it be ready for them.
    sender.inbox().await;
    let write = |text: &str, at_ms: i64| {
        sender
            .request("POST", "/v1/messages")
            .json(&direct(&recipient.id, text))
            .timestamp(&iso(at_ms))
    };
    let mut writes: Vec<SignedRequest> = Vec::new();
    let mut reads: Vec<SignedRequest> = Vec::new();
    for (round, ending) in ["stop", "kill", "kill"].iter().enumerate() {
        let now = now_ms();
        for (number, at_ms) in [now - 250_000, now, now + 250_000].into_iter().enumerate() {
            writes.push(write(&format!("{round}.{number}"), at_ms));
        }
        let poll = recipient.request("GET", "/v1/inbox?limit=1");
        let beat = recipient
            .request("POST", "/v1/heartbeats")
            .json(&json!({ "status": "idle" }));
        let ahead = recipient
            .request("GET", "/v1/inbox?limit=1")
            .timestamp(&iso(now + 200_000));
        let a_little_ahead = recipient
            .request("GET", "/v1/inbox?limit=1")
            .timestamp(&iso(now + 400));
        let fresh = [poll, beat, ahead, a_little_ahead];
        for request in writes.iter().rev().take(3).chain(&fresh) {
            request.send().await.ok();
        }
        reads.extend(fresh);
        match *ending {
            "stop" => relay.stop().await,
            _ => relay.kill(),
        }
        relay.boot().await;
        for request in &writes {
            request
                .send()
                .await
                .refused(401, "replayed nonce", "replayed_nonce");
        }
        for request in &reads {
            let answer = poll_until(DEADLINE, "a leader", async || {
                let answer = request.send().await;
                (answer.status != 503).then_some(answer)
            })
            .await;
            assert_eq!(answer.status, 401, "{}", answer.text());
            assert!(
                matches!(
                    answer.code().as_str(),
                    "replayed_nonce" | "timestamp_before_leadership"
                ),
                "{}",
                answer.text()
            );
        }
        recipient.inbox().await;
    }
    let accepted = relay.metric("ekho_messages_accepted_total").await;
    assert_eq!(accepted, Some(9.0), "each was accepted once");
}

/// A poll that was captured and never arrived cannot be used after a restart: what the relay
/// remembered of reads is gone, so it takes none from before.
#[tokio::test]
async fn a_read_signed_before_the_start_is_refused() {
    let mut relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    let stale_poll = agent.request("GET", "/v1/inbox");
    let stale_status = agent.request("GET", "/v1/messages/msg_00000000000000000000000000000000");
    let stale_heartbeat = agent
        .request("POST", "/v1/heartbeats")
        .json(&json!({ "status": "idle" }));
    let notice = json!({ "conversation_id": uuid(), "reason": "r", "pending_count": 1 });
    let unused_write = agent.request("POST", "/v1/notices").json(&notice);
    relay.restart().await;
    agent.inbox().await;
    for stale in [&stale_poll, &stale_status, &stale_heartbeat] {
        let answer = stale.send().await;
        answer.refused(
            401,
            "timestamp outside allowed skew",
            "timestamp_before_leadership",
        );
        assert!(
            answer.header("retry-after").is_some(),
            "says that it helps to sign again"
        );
    }
    // A write that was never made is not older than anything: the log knows all nonces.
    unused_write.send().await.ok();
}

/// Ready means that signed requests are answered, not only that a leader is known.
#[tokio::test]
async fn ready_means_that_reads_are_answered() {
    let mut relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    for _ in 0..5 {
        relay.kill();
        relay.boot().await;
        let answer = agent.request("GET", "/v1/inbox").send().await;
        assert_ne!(
            answer.status,
            503,
            "/readyz said 200, and then: {}",
            answer.text()
        );
    }
}
