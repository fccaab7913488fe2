//! Requests byte for byte as the original Node and Python SDKs make them, and the signing vectors
//! that all clients share.

use serde_json::{Value, json};

use crate::checks::texts;
use crate::support::{Agent, direct, now_ms, shared, signature, uuid};

const VECTORS: &str = include_str!("../../../sdk/vectors/signing.json");

/// Headers that the original SDKs send beside the signed ones, on every call.
fn as_sdk(agent: &Agent, method: &str, target: &str, body: &str) -> support::SignedRequest {
    agent
        .request(method, target)
        .body(body.to_string())
        .header("content-type", "application/json")
        .header("x-ekho-agent-secret", &agent.secret)
}

#[test]
fn the_shared_vectors_are_signed_as_they_say() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let made = signature(
            text("secret"),
            text("method"),
            text("target"),
            text("timestamp"),
            text("nonce"),
            text("body_utf8").as_bytes(),
        );
        assert_eq!(made, text("signature"), "{}", text("name"));
    }
}

#[tokio::test]
async fn node_the_adapters_round_of_calls() {
    let relay = shared().await;
    let [sender, agent] = relay.agents(["sender", "node"]).await;
    // JSON.stringify: no spaces, non-ASCII raw, undefined fields left out.
    let message = format!(
        r#"{{"recipient":{{"kind":"agent","id":"{}"}},"message_type":"direct","priority":"normal","body":{{"text":"Zürich — 東京 🛰"}},"conversation_id":"conv-1","correlation_id":"corr-1"}}"#,
        agent.id
    );
    let sent = as_sdk(&sender, "POST", "/v1/messages", &message)
        .send()
        .await
        .ok();
    let heartbeat = r#"{"status":"healthy","active_conversation_ids":[]}"#;
    as_sdk(&agent, "POST", "/v1/heartbeats", heartbeat)
        .send()
        .await
        .ok();
    // fetch sends the content type on GET too.
    let inbox = as_sdk(&agent, "GET", "/v1/inbox?limit=25", "")
        .send()
        .await
        .ok();
    let received = inbox["messages"].as_array().unwrap();
    assert_eq!(
        texts(received, "message_id"),
        [sent["message_id"].as_str().unwrap()]
    );
    assert_eq!(received[0]["body"]["text"], "Zürich — 東京 🛰");
    let ack = format!(
        r#"{{"acks":[{{"message_id":"{}","status":"received","received_at":"{}"}}]}}"#,
        sent["message_id"].as_str().unwrap(),
        support::now_iso()
    );
    let acked = as_sdk(&agent, "POST", "/v1/acks", &ack).send().await.ok();
    assert_eq!(acked, json!({ "updated": 1 }));
    let proposal = r#"{"conversation_id":"conv-1","action_type":"deploy","summary":"s","risk_level":"critical","payload":{}}"#;
    let pending = as_sdk(&agent, "POST", "/v1/actions/propose", proposal)
        .send()
        .await
        .ok();
    let target = format!("/v1/actions/{}", pending["approval_id"].as_str().unwrap());
    assert_eq!(
        as_sdk(&agent, "GET", &target, "").send().await.ok()["status"],
        "pending"
    );
}

#[tokio::test]
async fn python_json_dumps_with_spaces_and_escapes() {
    let relay = shared().await;
    let [sender, agent] = relay.agents(["sender", "python"]).await;
    // json.dumps: ", " and ": ", ensure_ascii, None as null; isoformat with microseconds and +00:00.
    let message = format!(
        r#"{{"recipient": {{"kind": "agent", "id": "{}"}}, "message_type": "direct", "priority": "normal", "ttl_seconds": 900, "requires_approval": false, "body": {{"text": "Z\u00fcrich \u2014 \u6771\u4eac \ud83d\udef0"}}, "metadata": null, "conversation_id": "conv-1", "correlation_id": "corr-1"}}"#,
        agent.id
    );
    let isoformat = || {
        let now = support::iso(now_ms());
        now.replace('Z', "123+00:00")
    };
    as_sdk(&sender, "POST", "/v1/messages", &message)
        .timestamp(&isoformat())
        .send()
        .await
        .ok();
    as_sdk(&agent, "POST", "/v1/heartbeats", r#"{"status": "healthy"}"#)
        .timestamp(&isoformat())
        .send()
        .await
        .ok();
    let received = agent.receive().await;
    assert_eq!(received[0]["body"]["text"], "Zürich — 東京 🛰");
    let ack = format!(
        r#"{{"acks": [{{"message_id": "{}", "status": "received", "received_at": "{}"}}]}}"#,
        received[0]["message_id"].as_str().unwrap(),
        isoformat()
    );
    let acked = as_sdk(&agent, "POST", "/v1/acks", &ack)
        .timestamp(&isoformat())
        .send()
        .await
        .ok();
    assert_eq!(acked, json!({ "updated": 1 }));
}

#[tokio::test]
async fn the_secret_header_is_not_looked_at() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for sent in ["", "wrong", &agent.secret] {
        let request = agent
            .request("POST", "/v1/heartbeats")
            .body(r#"{"status":"idle"}"#);
        let answer = request.header("x-ekho-agent-secret", sent).send().await;
        assert_eq!(answer.status, 200, "{sent:?}: {}", answer.text());
    }
    // It does not stand in for a signature either.
    let request = agent
        .request("POST", "/v1/heartbeats")
        .body(r#"{"status":"idle"}"#);
    let forged = request
        .header("x-ekho-agent-secret", &agent.secret)
        .signature(&"0".repeat(64));
    forged
        .send()
        .await
        .refused(401, "invalid signature", "invalid_signature");
}

#[tokio::test]
async fn a_delete_may_come_with_an_empty_json_body() {
    let relay = shared().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let conversation = uuid();
    let mut message = direct(&two.id, "hello");
    message["conversation_id"] = json!(conversation);
    one.send(&message).await;
    let floor = format!("/v1/conversations/{conversation}/floor");
    one.post(&floor, &json!({})).await.ok();
    let answer = as_sdk(&one, "DELETE", &floor, "")
        .header("content-length", "0")
        .send()
        .await;
    assert_eq!(answer.ok(), json!({ "released": true }));
}

#[tokio::test]
async fn the_path_is_signed_as_sent_and_the_query_is_not() {
    let relay = shared().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let conversation = format!("team/red one+ü {}", uuid());
    let mut message = direct(&two.id, "hello");
    message["conversation_id"] = json!(conversation);
    one.send(&message).await;
    let upper = conversation
        .replace('/', "%2F")
        .replace(' ', "%20")
        .replace('ü', "%C3%BC");
    let lower = conversation
        .replace('/', "%2f")
        .replace(' ', "%20")
        .replace('ü', "%c3%bc");
    for encoded in [&upper, &lower] {
        let target = format!("/v1/conversations/{encoded}/floor");
        let answer = one.post(&target, &json!({})).await;
        assert_eq!(answer.ok()["granted"], true, "{encoded}");
    }
    // Signed in one spelling, sent in the other.
    let mut request = one
        .request("POST", &format!("/v1/conversations/{upper}/floor"))
        .body("{}")
        .sealed();
    request.target = format!("/v1/conversations/{lower}/floor");
    request
        .send()
        .await
        .refused(401, "invalid signature", "invalid_signature");

    // A query may be added and changed after signing: old clients do not sign it.
    let mut request = two.request("GET", "/v1/inbox").sealed();
    request.target = "/v1/inbox?limit=1".into();
    let answer = request.send().await;
    assert_eq!(answer.ok()["messages"].as_array().unwrap().len(), 1);
}

/// Python's None stands for a field that is left out.
#[tokio::test]
async fn python_sends_null_for_what_is_not_given() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let enrol = format!(
        r#"{{"fleet_id": "{}", "token": "{}", "display_name": "python", "runtime": "custom", "hostname": null, "capabilities": [], "identity_public_key": null}}"#,
        operator.fleet_id,
        operator.enrollment_token().await
    );
    let headers = [("content-type".to_string(), "application/json".to_string())];
    sender
        .http
        .send(
            "POST",
            &format!("{}/v1/enroll", relay.url()),
            &headers,
            enrol.into(),
        )
        .await
        .ok();
    let message = format!(
        r#"{{"recipient": {{"kind": "agent", "id": "{}"}}, "message_type": "direct", "priority": null, "ttl_seconds": null, "requires_approval": null, "body": {{}}, "metadata": null, "conversation_id": "c", "correlation_id": "r", "agent_sig": null, "key_id": null, "sig_canonical": null}}"#,
        recipient.id
    );
    as_sdk(&sender, "POST", "/v1/messages", &message)
        .send()
        .await
        .ok();
    let received = recipient.receive().await;
    assert_eq!(
        (&received[0]["priority"], &received[0]["body"]),
        (&json!("normal"), &json!({}))
    );
    let heartbeat = r#"{"status": "busy", "active_conversation_ids": null, "metrics": null}"#;
    as_sdk(&sender, "POST", "/v1/heartbeats", heartbeat)
        .send()
        .await
        .ok();
    let notice =
        r#"{"conversation_id": "c", "reason": "loop", "pending_count": 1, "budget": null}"#;
    as_sdk(&sender, "POST", "/v1/notices", notice)
        .send()
        .await
        .ok();
    let floor = r#"{"ttl_seconds": null}"#;
    as_sdk(&sender, "POST", "/v1/conversations/c/floor", floor)
        .send()
        .await
        .ok();
}
