//! The five ways a signature is refused, their order, and the edges of time and nonce.

use serde_json::json;

use crate::support::{Agent, SignedRequest, direct, iso, now_iso, now_ms, shared, uuid};

const HEARTBEAT: &str = r#"{"status":"idle"}"#;

/// A write: its nonce goes through the log.
fn write(agent: &Agent) -> SignedRequest {
    agent.request("POST", "/v1/notices").json(&json!({
        "conversation_id": uuid(),
        "reason": "test",
        "pending_count": 1,
    }))
}

#[tokio::test]
async fn missing_headers() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let request = agent.request("POST", "/v1/heartbeats").body(HEARTBEAT);
    let all = request.all_headers();
    for missing in [
        "x-ekho-agent-id",
        "x-ekho-timestamp",
        "x-ekho-nonce",
        "x-ekho-signature",
    ] {
        for empty in [false, true] {
            let mut headers = all.clone();
            if empty {
                headers
                    .iter_mut()
                    .filter(|(name, _)| name == missing)
                    .for_each(|(_, value)| value.clear());
            } else {
                headers.retain(|(name, _)| name != missing);
            }
            let url = format!("{}/v1/heartbeats", relay.url());
            let answer = agent
                .http
                .send("POST", &url, &headers, HEARTBEAT.into())
                .await;
            answer.refused(401, "missing auth headers", "missing_auth_headers");
        }
    }
    // None of that used the nonce up.
    request.send().await.ok();
}

#[tokio::test]
async fn invalid_credentials() {
    let relay = shared().await;
    let [agent, revoked] = relay.agents(["agent", "revoked"]).await;
    let mut unknown = write(&agent);
    unknown.agent_id = "agent_unknown".into();
    unknown
        .send()
        .await
        .refused(401, "invalid agent credentials", "invalid_credentials");
    relay.operator().await.order(&revoked, "revoke").await;
    for request in [write(&revoked), revoked.request("GET", "/v1/inbox")] {
        request
            .send()
            .await
            .refused(401, "invalid agent credentials", "invalid_credentials");
    }
}

#[tokio::test]
async fn timestamps_outside_the_skew() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let now = now_ms();
    let past = [
        iso(now - 303_000),
        iso(now + 320_000),
        iso(now - 86_400_000),
        iso(0),
    ];
    let nonsense = [
        "now",
        "1795404960",
        "2026-11-23",
        "2026-11-23T03:36:00",
        "0",
    ]
    .map(str::to_string);
    for timestamp in past.iter().chain(&nonsense) {
        for request in [write(&agent), agent.request("GET", "/v1/inbox")] {
            let answer = request.timestamp(timestamp).send().await;
            answer.refused(401, "timestamp outside allowed skew", "timestamp_skew");
        }
    }
    for offset_ms in [-290_000, 290_000] {
        write(&agent)
            .timestamp(&iso(now_ms() + offset_ms))
            .send()
            .await
            .ok();
    }
    // A read with a clock ahead costs a write, and is answered all the same.
    agent
        .request("GET", "/v1/inbox")
        .timestamp(&iso(now_ms() + 290_000))
        .send()
        .await
        .ok();
}

#[tokio::test]
async fn invalid_signatures() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let good = write(&agent).sealed();
    let right = good.right_signature();
    let signed = |signature: String| SignedRequest {
        signature: Some(signature),
        ..good.clone()
    };
    let longer = format!("{} ", String::from_utf8_lossy(&good.body));
    let forgeries = [
        ("body", good.clone().body(longer)),
        ("no body", good.clone().body("")),
        (
            "path",
            SignedRequest {
                target: "/v1/heartbeats".into(),
                ..good.clone()
            },
        ),
        ("timestamp", good.clone().timestamp(&iso(now_ms() + 1000))),
        ("nonce", good.clone().nonce(&uuid())),
        (
            "agent",
            SignedRequest {
                agent_id: other.id.clone(),
                ..good.clone()
            },
        ),
        ("upper case", signed(right.to_uppercase())),
        ("cut short", signed(right[..63].to_string())),
        ("too long", signed(format!("{right}00"))),
        ("not hex", signed("z".repeat(64))),
        ("zeros", signed("0".repeat(64))),
    ];
    for (name, request) in forgeries {
        let answer = request.send().await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        answer.refused(401, "invalid signature", "invalid_signature");
    }
    // Signed as a release of the floor, sent as a request for it.
    let mut method = agent
        .request("DELETE", "/v1/conversations/c/floor")
        .sealed();
    method.method = "POST".into();
    method
        .send()
        .await
        .refused(401, "invalid signature", "invalid_signature");
    good.send().await.ok();
}

#[tokio::test]
async fn a_forgery_uses_no_nonce_up() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for good in [write(&agent), agent.request("GET", "/v1/inbox")] {
        let mut forged = good.clone();
        forged.signature = Some("0".repeat(64));
        forged
            .send()
            .await
            .refused(401, "invalid signature", "invalid_signature");
        good.send().await.ok();
    }
}

#[tokio::test]
async fn a_malformed_request_is_signed_before_it_is_read() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let forged = agent
        .request("POST", "/v1/messages")
        .body("{")
        .signature(&"0".repeat(64));
    forged
        .send()
        .await
        .refused(401, "invalid signature", "invalid_signature");
    let signed = agent.request("POST", "/v1/messages").body("{").send().await;
    assert_eq!(
        (signed.status, signed.code().as_str()),
        (400, "validation_failed"),
        "{}",
        signed.text()
    );
}

#[tokio::test]
async fn the_secret_of_another_is_no_secret() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let imposter = Agent {
        secret: other.secret.clone(),
        ..agent.clone()
    };
    let message = direct(&other.id, "from somebody else");
    let answer = imposter.post("/v1/messages", &message).await;
    answer.refused(401, "invalid signature", "invalid_signature");
    // The key is the text of the secret, not the bytes its hex stands for.
    let prefix = agent.secret.find('_').map_or(0, |at| at + 1);
    let stripped = Agent {
        secret: agent.secret[prefix..].to_string(),
        ..agent.clone()
    };
    let answer = stripped.post("/v1/messages", &message).await;
    answer.refused(401, "invalid signature", "invalid_signature");
}

#[tokio::test]
async fn nonces_of_every_kind_up_to_a_length() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for nonce in ["n", "a b", "nonce/with:signs,\"'", &"n".repeat(200)] {
        write(&agent).nonce(nonce).send().await.ok();
        write(&agent)
            .nonce(nonce)
            .send()
            .await
            .refused(401, "replayed nonce", "replayed_nonce");
    }
    let long = write(&agent).nonce(&"n".repeat(201)).send().await;
    long.refused(401, "missing auth headers", "missing_auth_headers");
}

#[tokio::test]
async fn headers_twice_are_not_two_chances() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let request = write(&agent).timestamp(&now_iso());
    let mut headers = request.all_headers();
    // A second value after the right one must not be the one that is remembered.
    headers.push(("x-ekho-nonce".into(), uuid()));
    let url = format!("{}/v1/notices", relay.url());
    let first = agent
        .http
        .send("POST", &url, &headers, request.body.clone())
        .await;
    let second = request.send().await;
    let accepted = [&first, &second]
        .iter()
        .filter(|answer| answer.status == 200)
        .count();
    assert!(accepted <= 1, "{} {}", first.text(), second.text());
}
