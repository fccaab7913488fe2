//! The sender's calls: send one or many, look at one, take one back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::message::{Envelope, Priority, Recipient};
use serde_json::{Map, Value, json};

use super::ID_MAX_BYTES;
use crate::api::fields::{Fields, Invalid};
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::words::{MESSAGE_TYPES, PRIORITIES};
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::id;
use crate::ingress::signing::hash;
use crate::machine::command::{NewMessage, Schedule};
use crate::machine::outcome::{RateState, Refusal, Sent};
use crate::service::messages::MessageStatus;

/// Messages of one batch.
const BATCH_MAX: usize = 100;
/// How far ahead a message may be scheduled.
const SCHEDULE_MAX_SECONDS: u64 = 30 * 24 * 3600;
/// How long a message may be worth something.
pub const TTL_MAX_SECONDS: u64 = 86_400;

/// POST /v1/messages
pub async fn send(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let mut message = read_message(&mut fields);
    fields.finish()?;
    if let Some(key) = signed.idempotency_key {
        message.idempotency = Some((checked_key(key)?, signed.body_hash));
    }
    let (results, rate) = app.service.send(signed.caller, vec![message]).await?;
    let mut headers = HeaderMap::new();
    rate_headers(&mut headers, &rate);
    match results.into_iter().next() {
        Some(Ok(sent)) => Ok((headers, Json(sent_body(&sent))).into_response()),
        Some(Err(refusal)) => Ok((headers, ApiError::from(refusal)).into_response()),
        None => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error",
        )),
    }
}

/// POST /v1/messages/batch: each message has its own outcome.
pub async fn send_batch(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let messages = fields.list("messages", BATCH_MAX, |fields, raw| {
        let mut message = read_message(fields);
        if let Some(key) = fields.optional_text("idempotency_key", ID_MAX_BYTES) {
            message.idempotency = Some((key, hash(raw.as_bytes())));
        }
        message
    });
    fields.finish()?;
    let (results, rate) = app.service.send(signed.caller, messages).await?;
    let mut headers = HeaderMap::new();
    rate_headers(&mut headers, &rate);
    let results: Vec<Value> = results.into_iter().map(batch_result).collect();
    Ok((headers, Json(json!({ "results": results }))).into_response())
}

fn batch_result(result: Result<Sent, Refusal>) -> Value {
    let (status, mut body) = match result {
        Ok(sent) => (StatusCode::OK, sent_body(&sent)),
        Err(refusal) => ApiError::from(refusal).into_body(),
    };
    body.insert("status_code".into(), status.as_u16().into());
    Value::Object(body)
}

pub fn sent_body(sent: &Sent) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert(
        "message_id".into(),
        id::from_uuid("msg_", sent.message).into(),
    );
    body.insert("status".into(), "queued".into());
    body.insert("queued_at".into(), Iso(sent.queued_ms).to_string().into());
    if sent.deliver_at_ms > sent.queued_ms {
        body.insert(
            "deliver_at".into(),
            Iso(sent.deliver_at_ms).to_string().into(),
        );
    }
    if sent.repeated {
        body.insert("idempotent_replay".into(), true.into());
    }
    body
}

fn rate_headers(headers: &mut HeaderMap, rate: &RateState) {
    headers.insert("x-ratelimit-limit", HeaderValue::from(rate.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(rate.remaining));
    let reset_seconds = rate.reset_ms.saturating_sub(now_ms()).div_ceil(1000);
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset_seconds));
}

pub fn checked_key(key: String) -> Result<String, Invalid> {
    if key.is_empty() || key.len() > ID_MAX_BYTES {
        return Err(Invalid::field(
            "Idempotency-Key",
            format!("1 to {ID_MAX_BYTES} bytes"),
        ));
    }
    Ok(key)
}

fn read_message(fields: &mut Fields<'_>) -> NewMessage {
    let recipient = fields
        .nested_object("recipient", read_recipient)
        .unwrap_or(Recipient::Broadcast);
    let message_type = fields
        .choice("message_type", &MESSAGE_TYPES, None)
        .unwrap_or_default();
    let priority = fields
        .choice("priority", &PRIORITIES, Some(Priority::Normal))
        .unwrap_or(Priority::Normal);
    let ttl_seconds = fields
        .number("ttl_seconds", 1..=TTL_MAX_SECONDS)
        .unwrap_or(900);
    let body = fields
        .object("body", usize::MAX)
        .map(|body| body.as_bytes().to_vec());
    if body.is_none() {
        fields.required("body");
    }
    NewMessage {
        uuid: id::new_uuid(),
        recipient,
        message_type: message_type.into(),
        priority,
        ttl_ms: ttl_seconds * 1000,
        schedule: read_schedule(fields),
        requires_approval: fields.boolean("requires_approval", false),
        body: body.unwrap_or_default(),
        metadata: fields.object("metadata", 64 << 10).map(str::to_string),
        conversation_id: fields.text("conversation_id", ID_MAX_BYTES),
        correlation_id: fields.text("correlation_id", ID_MAX_BYTES),
        envelope: read_envelope(fields),
        idempotency: None,
        approval: id::new_uuid(),
    }
}

fn read_recipient(fields: &mut Fields<'_>) -> Recipient {
    let kinds = [("agent", 0), ("group", 1), ("broadcast", 2)];
    match fields.choice("kind", &kinds, None) {
        Some(0) => Recipient::Agent(fields.text("id", ID_MAX_BYTES)),
        Some(1) => Recipient::Group(fields.text("id", ID_MAX_BYTES)),
        _ => Recipient::Broadcast,
    }
}

fn read_schedule(fields: &mut Fields<'_>) -> Schedule {
    let delay = fields.number("delay_seconds", 0..=SCHEDULE_MAX_SECONDS);
    let at = fields.time("deliver_at");
    match (delay, at) {
        (Some(_), Some(_)) => {
            fields.wrong("deliver_at", "give deliver_at or delay_seconds, not both");
            Schedule::Now
        }
        (Some(seconds), None) => Schedule::DelayMs(seconds * 1000),
        (None, Some(at_ms)) => {
            if at_ms > now_ms() + SCHEDULE_MAX_SECONDS * 1000 {
                fields.wrong("deliver_at", "at most 30 days ahead");
            }
            Schedule::AtMs(at_ms)
        }
        (None, None) => Schedule::Now,
    }
}

fn read_envelope(fields: &mut Fields<'_>) -> Option<Envelope> {
    let agent_sig = fields.optional_text("agent_sig", 1024)?;
    Some(Envelope {
        agent_sig,
        key_id: fields.optional_text("key_id", 255).unwrap_or_default(),
        sig_canonical: fields
            .optional_text("sig_canonical", 8 << 10)
            .unwrap_or_default(),
    })
}

/// GET /v1/messages/{id}: what became of a message the caller sent.
pub async fn status(
    State(app): State<App>,
    message_id: PathId,
    signed: Signed,
) -> Result<Json<Value>, ApiError> {
    let message_id = message_id.get()?;
    let uuid = message_uuid(&message_id)?;
    let found = app.service.message_status(&signed.caller, uuid).await?;
    Ok(Json(status_body(&found)))
}

/// What became of a message, for its sender and for operators.
pub fn status_body(found: &MessageStatus) -> Value {
    let message = &found.message;
    let uuid = message.uuid;
    let deliveries: Vec<Value> = found
        .deliveries
        .iter()
        .map(|(agent, delivery)| {
            let ended = |state: &str| {
                delivery
                    .ended_ms
                    .filter(|_| delivery.state.as_str() == state)
                    .map(Iso)
            };
            json!({
                "delivery_id": id::delivery(uuid, agent.no),
                "recipient_agent_id": agent.id,
                "status": delivery.state.as_str(),
                "attempts": delivery.attempts,
                "last_failure_reason": delivery.last_failure_reason,
                "delivered_at": delivery.delivered_ms.map(Iso),
                "acked_at": ended("acked"),
                "ended_at": delivery.ended_ms.map(Iso),
            })
        })
        .collect();
    let scheduled = message.deliver_at_ms > message.created_ms;
    json!({
        "message_id": id::from_uuid("msg_", uuid),
        "status": found.status,
        "queued_at": Iso(message.created_ms),
        "deliver_at": scheduled.then_some(Iso(message.deliver_at_ms)),
        "deadline_at": Iso(message.deadline_ms),
        "approval_id": message.approval.map(|approval| id::from_uuid("apr_", approval)),
        "delivery_count": message.delivery_count,
        "deliveries": deliveries,
    })
}

/// DELETE /v1/messages/{id}: takes a message back where it was not handed out yet.
pub async fn cancel(
    State(app): State<App>,
    message_id: PathId,
    signed: Signed,
) -> Result<Json<Value>, ApiError> {
    let message_id = message_id.get()?;
    let uuid = message_uuid(&message_id)?;
    let cancelled = app.service.cancel(signed.caller, uuid).await?;
    Ok(Json(
        json!({ "message_id": message_id, "status": "cancelled", "cancelled_deliveries": cancelled }),
    ))
}

/// The UUID behind a message id. A text that cannot be one names no message.
pub fn message_uuid(message_id: &str) -> Result<u128, ApiError> {
    id::to_uuid("msg_", message_id).ok_or_else(|| Refusal::NotFound.into())
}
