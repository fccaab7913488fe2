//! A signed request is accepted at most once, whatever is tried with it while the relay runs.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Agent, Answer, DEADLINE, Relay, SignedRequest, direct, iso, now_ms, poll_until, shared, uuid,
};

const AT_ONCE: usize = 50;
const NO_MESSAGE: &str = "/v1/messages/msg_00000000000000000000000000000000";

/// One request of each kind: how its nonce is used up differs.
async fn kinds(
    sender: &Agent,
    recipient: &Agent,
    third: &Agent,
) -> Vec<(&'static str, SignedRequest)> {
    sender
        .send(&direct(&recipient.id, "something to take"))
        .await;
    let ack = json!({ "acks": [{ "message_id": "msg_1", "status": "received" }] });
    let notice = json!({ "conversation_id": uuid(), "reason": "r", "pending_count": 1 });
    vec![
        (
            "send",
            sender
                .request("POST", "/v1/messages")
                .json(&direct(&third.id, "replayed")),
        ),
        (
            "notice",
            recipient.request("POST", "/v1/notices").json(&notice),
        ),
        ("ack", recipient.request("POST", "/v1/acks").json(&ack)),
        (
            "first heartbeat",
            recipient
                .request("POST", "/v1/heartbeats")
                .json(&json!({ "status": "busy" })),
        ),
        ("poll with a message", recipient.request("GET", "/v1/inbox")),
        ("empty poll", sender.request("GET", "/v1/inbox")),
        (
            "heartbeat again",
            recipient
                .request("POST", "/v1/heartbeats")
                .json(&json!({ "status": "busy" })),
        ),
        (
            "rotation",
            recipient
                .request("POST", "/v1/credentials/rotate")
                .json(&json!({})),
        ),
    ]
}

fn successes(answers: &[Answer]) -> usize {
    answers
        .iter()
        .filter(|answer| (200..300).contains(&answer.status))
        .count()
}

fn assert_once(name: &str, answers: &[Answer]) {
    assert_eq!(successes(answers), 1, "{name}");
    for answer in answers.iter().filter(|answer| answer.status >= 300) {
        answer.refused(401, "replayed nonce", "replayed_nonce");
    }
}

#[tokio::test]
async fn the_same_request_many_times_at_once() {
    let relay = shared().await;
    let [sender, recipient, third] = relay.agents(["sender", "recipient", "third"]).await;
    for (name, request) in kinds(&sender, &recipient, &third).await {
        let answers = futures::future::join_all((0..AT_ONCE).map(|_| request.send())).await;
        assert_once(name, &answers);
    }
    // What was sent 50 times arrived once.
    let received = third.inbox().await;
    assert_eq!(received.len(), 1, "{received:?}");
}

#[tokio::test]
async fn again_later_and_changed() {
    let relay = shared().await;
    let [sender, recipient, third] = relay.agents(["sender", "recipient", "third"]).await;
    for (name, request) in kinds(&sender, &recipient, &third).await {
        let request = request.sealed();
        assert_eq!(request.send().await.status, 200, "{name}");
        request
            .send()
            .await
            .refused(401, "replayed nonce", "replayed_nonce");
        // With the signature of the original, nothing may differ.
        let mut other_body = request.clone();
        other_body.body = "{\"changed\":true}".into();
        let mut other_path = request.clone();
        other_path.target = "/v1/rooms".into();
        other_path.method = "POST".into();
        let mut other_time = request.clone();
        other_time.timestamp = iso(now_ms() + 1);
        for changed in [other_body, other_path, other_time] {
            changed
                .send()
                .await
                .refused(401, "invalid signature", "invalid_signature");
        }
    }
}

#[tokio::test]
async fn a_nonce_signed_anew_is_still_used_up() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let nonce = uuid();
    let first = sender
        .request("POST", "/v1/messages")
        .json(&direct(&recipient.id, "first"))
        .nonce(&nonce);
    first.send().await.ok();
    let again: [SignedRequest; 5] = [
        sender
            .request("POST", "/v1/messages")
            .json(&direct(&recipient.id, "second")),
        sender
            .request("POST", "/v1/heartbeats")
            .json(&json!({ "status": "idle" })),
        sender.request("GET", "/v1/inbox"),
        sender.request("GET", NO_MESSAGE),
        sender
            .request("POST", "/v1/messages")
            .json(&direct(&recipient.id, "later"))
            .timestamp(&iso(now_ms() + 5000)),
    ];
    for request in again {
        request
            .nonce(&nonce)
            .send()
            .await
            .refused(401, "replayed nonce", "replayed_nonce");
    }
    // Another agent may use it.
    recipient
        .request("GET", "/v1/inbox")
        .nonce(&nonce)
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn a_nonce_of_a_read_is_used_up_for_writes() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let reads = [
        ("GET", "/v1/inbox", ""),
        ("GET", "/v1/inbox?limit=1", ""),
        ("GET", NO_MESSAGE, ""),
    ];
    for (method, target, body) in reads {
        let nonce = uuid();
        let read = sender
            .request(method, target)
            .body(body)
            .nonce(&nonce)
            .send()
            .await;
        assert!(matches!(read.status, 200 | 404), "{}", read.text());
        let write = sender
            .request("POST", "/v1/messages")
            .json(&direct(&recipient.id, "after a read"));
        write
            .nonce(&nonce)
            .send()
            .await
            .refused(401, "replayed nonce", "replayed_nonce");
    }
    assert!(recipient.inbox().await.is_empty());
}

#[tokio::test]
async fn a_read_and_a_write_at_once_share_no_nonce() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for _ in 0..40 {
        let nonce = uuid();
        let read = sender.request("GET", "/v1/inbox").nonce(&nonce);
        let write = sender
            .request("POST", "/v1/messages")
            .json(&direct(&recipient.id, "both"))
            .nonce(&nonce);
        let (read, write) = tokio::join!(read.send(), write.send());
        assert_eq!(
            successes(&[read.clone(), write.clone()]),
            1,
            "{} {}",
            read.text(),
            write.text()
        );
    }
}

/// Reads from a clock ahead go through the log, others through memory; where one turns into the
/// other, a request must still be accepted once.
#[tokio::test]
async fn a_clock_a_little_ahead_opens_no_gap() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for round in 0..20 {
        let ahead = agent
            .request("GET", "/v1/inbox")
            .timestamp(&iso(now_ms() + 505 + round));
        let staggered = (0..120).map(|number| {
            let ahead = &ahead;
            async move {
                tokio::time::sleep(Duration::from_micros(300 * number)).await;
                ahead.send().await
            }
        });
        let answers = futures::future::join_all(staggered).await;
        assert_once("poll", &answers);
    }
}

/// What was refused as too old, or could be forgotten because it would be, stays refused when the
/// allowed skew grows; and what was accepted just before is not forgotten sooner for that.
#[tokio::test]
async fn a_wider_skew_brings_nothing_back() {
    let relay = Relay::builder()
        .env("EKHO_TIMESTAMP_SKEW_SECONDS", 1)
        .start()
        .await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    agent.inbox().await;
    // Longer than even a clock ahead by the whole skew could make use of a request.
    let let_time_pass = async || {
        let over_ms = now_ms() + 3000;
        poll_until(DEADLINE, "the time to forget", async || {
            (now_ms() > over_ms).then_some(())
        })
        .await;
        // Each request gives the relay occasion to forget a few.
        for _ in 0..8 {
            agent.inbox().await;
        }
    };
    let long_before = accepted(&agent).await;
    let_time_pass().await;
    for request in &long_before {
        let answer = request.send().await;
        answer.refused(401, "timestamp outside allowed skew", "timestamp_skew");
    }
    let just_before = accepted(&agent).await;
    let wider = json!({ "timestamp_skew_ms": 300_000 });
    operator.put("/v1/operator/settings", &wider).await.ok();
    for request in &long_before {
        // Whoever signs again is heard, and this is how SDKs know.
        request.send().await.refused(
            401,
            "timestamp outside allowed skew",
            "timestamp_before_leadership",
        );
    }
    for request in &just_before {
        assert_refused(request).await;
    }
    let_time_pass().await;
    for request in long_before.iter().chain(&just_before) {
        assert_refused(request).await;
    }
}

async fn assert_refused(request: &SignedRequest) {
    let answer = request.send().await;
    let said = (&answer.request, answer.text());
    assert_eq!(answer.status, 401, "accepted twice: {said:?}");
}

/// Requests of each kind that the relay has just accepted.
async fn accepted(agent: &Agent) -> Vec<SignedRequest> {
    let notice = json!({ "conversation_id": uuid(), "reason": "r", "pending_count": 1 });
    let requests = vec![
        agent.request("GET", "/v1/inbox"),
        agent.request("GET", NO_MESSAGE),
        agent
            .request("POST", "/v1/heartbeats")
            .json(&json!({ "status": "idle" })),
        agent.request("POST", "/v1/notices").json(&notice),
    ];
    for request in &requests {
        let answer = request.send().await;
        assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
    }
    requests
}
