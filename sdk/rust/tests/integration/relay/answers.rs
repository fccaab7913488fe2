//! What the small relay does with an accepted request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Book, Seen, Shared, render};

pub async fn route(shared: &Arc<Shared>, seen: &Seen) -> Response {
    let segments: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    if let ("GET", ["v1", "inbox"]) = (seen.method.as_str(), segments.as_slice()) {
        return inbox(shared, seen).await;
    }
    let book = &mut *shared.book.lock().unwrap();
    let (status, body) = match (seen.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "inbox", "stream"]) => return stream(book),
        ("POST", ["v1", "enroll"]) => enroll(book, &seen.body),
        ("POST", ["v1", "messages"]) => {
            (200, store(book, seen.header("idempotency-key"), &seen.body))
        }
        ("POST", ["v1", "messages", "batch"]) => (200, batch(book, &seen.body)),
        ("GET", ["v1", "messages", id]) => (
            200,
            json!({
                "message_id": id, "queued_at": NOW, "deadline_at": NOW,
                "status": if book.cancelled.contains(*id) { "cancelled" } else { "queued" },
                "deliveries": [{
                    "delivery_id": "dly_1", "recipient_agent_id": "agent_2", "status": "queued",
                    "attempts": 0, "last_failure_reason": null, "delivered_at": null, "acked_at": null,
                }],
            }),
        ),
        ("DELETE", ["v1", "messages", id]) => {
            if *id == "msg_handed_out" || !book.cancelled.insert((*id).to_owned()) {
                (
                    409,
                    json!({"error": "handed out or ended", "code": "conflict"}),
                )
            } else {
                (200, json!({"message_id": id, "status": "cancelled"}))
            }
        }
        ("POST", ["v1", "acks"]) => {
            let ids = ids(&seen.body["acks"]);
            book.acked.extend(ids.iter().cloned());
            (200, json!({"updated": ids.len()}))
        }
        ("POST", ["v1", "nacks"]) => {
            let nacks = seen.body["nacks"].as_array().unwrap();
            book.nacked.extend(nacks.iter().cloned());
            (200, json!({"updated": nacks.len()}))
        }
        ("POST", ["v1", "leases"]) => {
            let ids = ids(&seen.body["leases"]);
            book.leased.extend(ids.iter().cloned());
            let leases: Vec<Value> = ids
                .iter()
                .map(|id| json!({"message_id": id, "lease_expires_at": NOW}))
                .collect();
            (200, json!({"updated": ids.len(), "leases": leases}))
        }
        ("POST", ["v1", "heartbeats"]) => {
            (200, json!({"ok": true, "next_heartbeat_due_seconds": 30}))
        }
        ("POST", ["v1", "actions", "propose"]) => (200, propose(&seen.body)),
        ("GET", ["v1", "actions", id]) => (200, json!({"id": id, "status": book.approval_status})),
        ("POST", ["v1", "actions", "result"]) if book.approval_status == "approved" => {
            book.approval_status = seen.body["result"].as_str().unwrap().to_owned();
            (200, json!({"ok": true}))
        }
        ("POST", ["v1", "actions", "result"]) => (
            409,
            json!({"error": "not approved, or reported", "code": "conflict"}),
        ),
        ("POST", ["v1", "rooms"]) => (
            201,
            json!({
                "id": "room_1", "name": seen.body["name"], "created_at": NOW,
                "members": seen.body["member_agent_ids"],
            }),
        ),
        ("POST", ["v1", "notices"]) => (200, json!({"ok": true, "recorded": true})),
        ("POST", ["v1", "conversations", _, "floor"]) => (
            200,
            json!({
                "granted": true, "holder_agent_id": super::AGENT, "expires_at": NOW,
                "conversation_tail": [{"message_id": "msg_0"}],
            }),
        ),
        ("DELETE", ["v1", "conversations", _, "floor"]) => (200, json!({"released": true})),
        ("POST", ["v1", "identity-key"]) => (200, json!({"key_id": "key_1"})),
        ("POST", ["v1", "credentials", "rotate"]) => rotate(book, seen),
        ("PUT", ["v1", "agent-card"]) => (200, json!({"ok": true})),
        ("GET", ["v1", "tasks", id]) => {
            (200, json!({"id": id, "status": {"state": book.task_state}}))
        }
        ("POST", ["v1", "tasks", id, what]) => task(book, id, what, &seen.body),
        _ => (404, json!({"error": "not found", "code": "not_found"})),
    };
    render(status, &body)
}

const NOW: &str = "2026-11-23T03:36:00.000Z";

fn ids(items: &Value) -> Vec<String> {
    let items = items.as_array().unwrap();
    items
        .iter()
        .map(|item| item["message_id"].as_str().unwrap().to_owned())
        .collect()
}

fn enroll(book: &mut Book, request: &Value) -> (u16, Value) {
    if request["token"] != "good-token" {
        return (
            400,
            json!({"error": "invalid or expired token", "code": "invalid_token"}),
        );
    }
    book.secrets
        .insert("agent_new".to_owned(), "secret_new".to_owned());
    (
        200,
        json!({
            "agent_id": "agent_new", "secret": "secret_new", "relay_base_url": "http://relay.example",
            "heartbeat_interval_seconds": 30, "poll_interval_seconds": 5, "policy_profile": "default",
            "operator_keys": [],
        }),
    )
}

/// The same key gives the same answer and stores nothing again.
fn store(book: &mut Book, key: &str, message: &Value) -> Value {
    assert!(!key.is_empty(), "a send without an idempotency key");
    if let Some(answer) = book.by_key.get(key) {
        return answer.clone();
    }
    let message_id = format!("msg_{}", book.stored.len() + 1);
    let answer = json!({"message_id": message_id, "status": "queued", "queued_at": NOW});
    book.stored.push(message.clone());
    book.by_key.insert(key.to_owned(), answer.clone());
    answer
}

fn batch(book: &mut Book, request: &Value) -> Value {
    let messages = request["messages"].as_array().unwrap();
    let results: Vec<Value> = messages
        .iter()
        .map(|message| {
            if message["recipient"]["id"] == "agent_unknown" {
                return json!({"status_code": 404, "error": "unknown recipient", "code": "not_found"});
            }
            let key = message["idempotency_key"].as_str().unwrap_or_default().to_owned();
            let mut result = store(book, &key, message);
            result["status_code"] = json!(200);
            result
        })
        .collect();
    json!({"results": results})
}

fn propose(action: &Value) -> Value {
    match action["risk_level"].as_str() {
        Some("high" | "critical") => {
            json!({"decision": "pending_approval", "approval_id": "apr_1"})
        }
        Some("medium") => json!({"decision": "deny", "reason": "policy"}),
        _ => json!({"decision": "allow"}),
    }
}

/// Out of "completed" nothing leads.
fn task(book: &mut Book, id: &str, what: &str, request: &Value) -> (u16, Value) {
    if book.task_state == "completed" {
        let over = json!({"error": "over", "code": "conflict", "state": "completed"});
        return (409, over);
    }
    if what == "status" {
        book.task_state = request["state"].as_str().unwrap().to_owned();
    }
    (200, json!({"task_id": id, "state": book.task_state}))
}

fn rotate(book: &mut Book, seen: &Seen) -> (u16, Value) {
    let agent = seen.header("x-ekho-agent-id").to_owned();
    book.secrets.insert(agent, "secret_rotated".to_owned());
    (
        200,
        json!({
            "secret": "secret_rotated", "credential_id": "crd_2", "previous_valid_until": NOW,
        }),
    )
}

fn stream(book: &mut Book) -> Response {
    match book.streams.pop_front() {
        Some(bytes) => Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from(bytes))
            .unwrap(),
        None => render(403, &json!({"error": "no more streams"})),
    }
}

/// Answers at once where there is something new, else when something comes or the wait is over.
async fn inbox(shared: &Arc<Shared>, seen: &Seen) -> Response {
    let parameter = |name: &str| {
        seen.query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let wait = parameter("wait").map_or(0, |text| text.parse().unwrap());
    let limit = parameter("limit").map_or(25, |text| text.parse().unwrap());
    let types: Option<Vec<&str>> = parameter("types").map(|text| text.split(',').collect());
    let until = tokio::time::Instant::now() + Duration::from_secs(wait);
    loop {
        let changed = shared.changed.notified();
        {
            let mut book = shared.book.lock().unwrap();
            let wanted = |message: &Value| {
                let kind = message["message_type"].as_str().unwrap();
                types.as_ref().is_none_or(|types| types.contains(&kind))
            };
            let mut messages = Vec::new();
            while messages.len() < limit
                && let Some(index) = book.inbox.iter().position(wanted)
            {
                messages.extend(book.inbox.remove(index));
            }
            let expired = tokio::time::Instant::now() >= until;
            let shown = book.controls.len();
            if !messages.is_empty() || book.controls_shown != shown || expired {
                book.controls_shown = shown;
                return render(
                    200,
                    &json!({"messages": messages, "controls": book.controls}),
                );
            }
        }
        let _ = tokio::time::timeout_at(until, changed).await;
    }
}
