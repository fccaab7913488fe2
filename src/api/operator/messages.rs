//! Messages that operators send, look at, take back and send on; and the rooms they may send to.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use ekho_storage::tables::message::{Message, Priority, Recipient};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::list::ListQuery;
use super::{Given, SignedIn, done};
use crate::api::agent::ID_MAX_BYTES;
use crate::api::agent::messages::{
    TTL_MAX_SECONDS, checked_key, message_uuid, sent_body, status_body,
};
use crate::api::fields::{Fields, Invalid};
use crate::api::path::PathId;
use crate::api::words::{MESSAGE_TYPES, PRIORITIES};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::{NewMessage, OperatorRequest, Schedule};
use crate::machine::outcome::Outcome;
use crate::service::ServiceError;

/// Characters of an operator's text.
const TEXT_MAX_CHARS: usize = 8000;
/// How long an operator's message is worth something, unless it says so.
const TTL_SECONDS: u64 = TTL_MAX_SECONDS;

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/messages", post(send))
        .route("/v1/operator/messages/{id}", get(detail))
        .route("/v1/operator/messages/{id}/cancel", post(cancel))
        .route("/v1/operator/messages/{id}/redirect", post(redirect))
        .route("/v1/operator/agents/{id}/redirect", post(redirect_inbox))
        .route("/v1/operator/rooms", get(rooms))
}

/// A message as operators see it.
pub fn message_view(message: &Message, body: &[u8]) -> Value {
    let mut view = message_head(message);
    let metadata = message.metadata.as_deref();
    view["body"] = serde_json::from_slice(body).unwrap_or_default();
    view["metadata"] = metadata
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    view
}

/// A message without what it says.
pub fn message_head(message: &Message) -> Value {
    let (kind, recipient) = match &message.recipient {
        Recipient::Agent(id) => ("agent", Some(id)),
        Recipient::Group(id) => ("group", Some(id)),
        Recipient::Broadcast => ("broadcast", None),
    };
    json!({
        "id": id::from_uuid("msg_", message.uuid),
        "sender_kind": message.sender_kind(),
        "sender_id": message.sender_id,
        "recipient_kind": kind,
        "recipient_id": recipient,
        "message_type": message.message_type,
        "priority": message.priority.as_str(),
        "conversation_id": message.conversation_id,
        "correlation_id": message.correlation_id,
        "created_at": Iso(message.created_ms),
        "deadline_at": Iso(message.deadline_ms),
    })
}

/// POST /v1/operator/messages
async fn send(
    State(app): State<App>,
    operator: SignedIn,
    headers: HeaderMap,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let mut fields = given.fields()?;
    let mut message = read_message(&mut fields);
    fields.finish()?;
    if let Some(value) = headers.get("idempotency-key") {
        let key = std::str::from_utf8(value.as_bytes())
            .map_err(|_| Invalid::field("Idempotency-Key", "expected UTF-8"))?;
        let key = checked_key(key.into())?;
        // Operators share one table of keys; each has their own in it.
        let operator_id = &operator.caller.principal.operator.id;
        let key = Sha256::digest(format!("{operator_id} {key}"));
        let request = Sha256::digest(given.bytes());
        message.idempotency = Some((hex::encode(key), request.into()));
    }
    let conversation_id = message.conversation_id.clone();
    let sent = app
        .service
        .send_for_operator(&operator.caller, message)
        .await?;
    let mut body = sent_body(&sent);
    body.insert("conversation_id".into(), conversation_id.into());
    Ok(Json(Value::Object(body)))
}

fn read_message(fields: &mut Fields<'_>) -> NewMessage {
    let agent = fields.optional_text("recipient_agent_id", ID_MAX_BYTES);
    let room = fields.optional_text("room_id", ID_MAX_BYTES);
    if agent.is_some() == room.is_some() {
        fields.wrong("recipient_agent_id", "give recipient_agent_id or room_id");
    }
    let text = fields.text("text", 4 * TEXT_MAX_CHARS);
    if text.chars().count() > TEXT_MAX_CHARS {
        fields.wrong("text", format!("at most {TEXT_MAX_CHARS} characters"));
    }
    let conversation_id = match &room {
        // What is said in a room belongs to it.
        Some(room) => Some(room.clone()),
        None => fields.optional_text("conversation_id", ID_MAX_BYTES),
    };
    let ttl_seconds = fields.number("ttl_seconds", 1..=TTL_MAX_SECONDS);
    NewMessage {
        uuid: id::new_uuid(),
        recipient: match room {
            Some(room) => Recipient::Group(room),
            None => Recipient::Agent(agent.unwrap_or_default()),
        },
        message_type: fields
            .choice("message_type", &MESSAGE_TYPES, Some("direct"))
            .unwrap_or_default()
            .into(),
        priority: fields
            .choice("priority", &PRIORITIES, Some(Priority::Normal))
            .unwrap_or(Priority::Normal),
        ttl_ms: ttl_seconds.unwrap_or(TTL_SECONDS) * 1000,
        schedule: Schedule::Now,
        requires_approval: false,
        body: json!({ "text": text }).to_string().into_bytes(),
        metadata: fields.object("metadata", 64 << 10).map(str::to_string),
        conversation_id: conversation_id.unwrap_or_else(|| id::new_id("conv_")),
        correlation_id: fields
            .optional_text("correlation_id", ID_MAX_BYTES)
            .unwrap_or_else(|| id::new_id("corr_")),
        envelope: None,
        idempotency: None,
        approval: 0,
    }
}

/// GET /v1/operator/messages/{id}
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let uuid = message_uuid(&message_id.get()?)?;
    let (found, body) = app.service.any_message(operator.fleet(), uuid).await?;
    let mut status = status_body(&found);
    Ok(Json(json!({
        "message": message_view(&found.message, &body),
        "status": status["status"].take(),
        "deliveries": status["deliveries"].take(),
    })))
}

/// POST /v1/operator/messages/{id}/cancel: takes a message back where it was not handed out yet.
async fn cancel(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let message = message_uuid(&message_id.get()?)?;
    let request = OperatorRequest::Cancel { message };
    match app.service.order(&operator.caller, request).await? {
        Outcome::Updated(count) => Ok(Json(json!({ "ok": true, "cancelled_deliveries": count }))),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}

/// POST /v1/operator/messages/{id}/redirect: sends a message on to another agent.
async fn redirect(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let uuid = message_uuid(&message_id.get()?)?;
    let mut fields = given.fields()?;
    let from = fields.optional_text("from_agent_id", ID_MAX_BYTES);
    let to = fields.text("to_agent_id", ID_MAX_BYTES);
    let reason = fields.text("reason", 1000);
    fields.finish()?;
    app.service
        .redirect_message(&operator.caller, uuid, from, to, reason)
        .await?;
    Ok(done())
}

/// POST /v1/operator/agents/{id}/redirect: sends everything on that waits for an agent.
async fn redirect_inbox(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let from = agent_id.get()?;
    let mut fields = given.fields()?;
    let to = fields.text("to_agent_id", ID_MAX_BYTES);
    let reason = fields.text("reason", 1000);
    fields.finish()?;
    let count = app
        .service
        .redirect_inbox(&operator.caller, &from, &to, &reason)
        .await?;
    Ok(Json(json!({ "ok": true, "redirected": count })))
}

/// GET /v1/operator/rooms: in the order in which they were made.
async fn rooms(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let after = query.cursor(|text| (text.len() <= ID_MAX_BYTES).then(|| text.to_string()))?;
    let wants = query.skip() + query.limit;
    let found = app
        .service
        .rooms(operator.fleet(), after.as_deref(), wants)
        .await?;
    let full = found.len() == wants;
    let next_cursor = found
        .last()
        .filter(|_| full)
        .map(|(room, _)| room.id.clone());
    let views = found
        .iter()
        .skip(query.skip())
        .map(|(room, members)| {
            json!({
                "id": room.id,
                "name": room.name,
                "members": members,
                "created_at": Iso(room.created_ms),
            })
        })
        .collect();
    Ok(Json(query.answer("rooms", views, next_cursor)))
}
