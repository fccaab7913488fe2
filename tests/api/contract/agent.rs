//! POST /v1/heartbeats and POST /v1/identity-key

use serde_json::json;

use crate::checks::{assert_only_fields, assert_time};
use crate::support::shared;

#[tokio::test]
async fn heartbeats_are_taken_and_seen() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    assert_eq!(operator.agent(&agent).await["last_seen_at"], json!(null));
    for (status, shown) in [
        ("healthy", "healthy"),
        ("degraded", "degraded"),
        ("busy", "healthy"),
        ("idle", "healthy"),
    ] {
        let request = json!({
            "status": status,
            "active_conversation_ids": ["conv-1", "conv-2"],
            "metrics": { "queue": 3, "model": "x" },
        });
        let answer = agent.post("/v1/heartbeats", &request).await.ok();
        assert_eq!(
            answer,
            json!({ "ok": true, "next_heartbeat_due_seconds": 30 })
        );
        let seen = operator.agent(&agent).await;
        assert_eq!(seen["status"], shown, "{status}");
        assert_time(&seen["last_seen_at"]);
    }
    agent
        .post("/v1/heartbeats", &json!({ "status": "idle" }))
        .await
        .ok();
}

#[tokio::test]
async fn malformed_heartbeats_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for (field, request) in [
        ("status", json!({})),
        ("status", json!({ "status": "asleep" })),
        ("status", json!({ "status": 1 })),
        (
            "active_conversation_ids",
            json!({ "status": "idle", "active_conversation_ids": "conv" }),
        ),
        (
            "active_conversation_ids",
            json!({ "status": "idle", "active_conversation_ids": [1] }),
        ),
        ("metrics", json!({ "status": "idle", "metrics": [1] })),
    ] {
        agent.post("/v1/heartbeats", &request).await.invalid(field);
    }
}

#[tokio::test]
async fn identity_keys_are_registered_once() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let key =
        json!({ "public_key": "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=" });
    let first = agent.post("/v1/identity-key", &key).await.ok();
    assert_only_fields(&first, &["key_id"]);
    assert!(first["key_id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(agent.post("/v1/identity-key", &key).await.ok(), first);
    assert_eq!(other.post("/v1/identity-key", &key).await.ok(), first);
    let another = agent
        .post("/v1/identity-key", &json!({ "public_key": "another" }))
        .await
        .ok();
    assert_ne!(another, first);
    for request in [
        json!({}),
        json!({ "public_key": "" }),
        json!({ "public_key": "k".repeat(129) }),
    ] {
        agent
            .post("/v1/identity-key", &request)
            .await
            .invalid("public_key");
    }
}
