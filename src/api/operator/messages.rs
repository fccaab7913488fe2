//! Messages that operators send, look at, take back and send on.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use ekho_storage::tables::message::{Message, Priority, Recipient};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Done, Given, SignedIn, done};
use crate::api::agent::ID_MAX_BYTES;
use crate::api::agent::attachments::{BoundAttachment, bound};
use crate::api::agent::messages::{
    DeliveryView, SentView, TTL_MAX_SECONDS, checked_key, message_status, message_uuid,
    read_attachments, read_envelope, sent_view, status_view,
};
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::words::{self, MESSAGE_TYPES, PRIORITIES, signed_text};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::{Judged, NewMessage, OperatorRequest, Schedule};
use crate::machine::outcome::Outcome;
use crate::service::ServiceError;

/// Characters of an operator's text.
const TEXT_MAX_CHARS: usize = 8000;
/// How long an operator's message is worth something, unless it says so.
const TTL_SECONDS: u64 = TTL_MAX_SECONDS;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(send))
        .routes(routes!(detail))
        .routes(routes!(cancel))
        .routes(routes!(redirect))
        .routes(routes!(redirect_inbox))
}

/// A message without what it says.
#[derive(Serialize, ToSchema)]
pub struct MessageHead {
    id: String,
    /// `agent` or `operator`.
    sender_kind: &'static str,
    sender_id: String,
    /// `agent`, `group` or `broadcast`.
    recipient_kind: &'static str,
    recipient_id: Option<String>,
    message_type: String,
    #[schema(schema_with = words::priority)]
    priority: &'static str,
    conversation_id: String,
    correlation_id: String,
    /// What policies and hooks call it.
    tags: Vec<String>,
    created_at: Iso,
    deadline_at: Iso,
}

/// A message as operators see it.
#[derive(Serialize, ToSchema)]
pub struct MessageView {
    #[serde(flatten)]
    head: MessageHead,
    #[schema(value_type = Object)]
    body: Value,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// A message as operators see it.
pub fn message_view(message: &Message, body: &[u8]) -> MessageView {
    let metadata = message.metadata.as_deref();
    MessageView {
        head: message_head(message),
        body: serde_json::from_slice(body).unwrap_or_default(),
        metadata: metadata.and_then(|text| serde_json::from_str(text).ok()),
    }
}

/// A message without what it says.
pub fn message_head(message: &Message) -> MessageHead {
    let (kind, recipient) = message.recipient.kind_and_id();
    MessageHead {
        id: id::from_uuid("msg_", message.uuid),
        sender_kind: message.sender_kind(),
        sender_id: message.sender_id.clone(),
        recipient_kind: kind,
        recipient_id: recipient.map(str::to_string),
        message_type: message.message_type.clone(),
        priority: message.priority.as_str(),
        conversation_id: message.conversation_id.clone(),
        correlation_id: message.correlation_id.clone(),
        tags: message.tags.clone(),
        created_at: Iso(message.created_ms),
        deadline_at: Iso(message.deadline_ms),
    }
}

/// A message of an operator; exactly one of `recipient_agent_id` and `room_id`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewOperatorMessage {
    #[schema(min_length = 1, max_length = 255)]
    recipient_agent_id: Option<String>,
    /// Then the conversation is the room's.
    #[schema(min_length = 1, max_length = 255)]
    room_id: Option<String>,
    /// Agents get it as the body `{"text": ...}`. At most 8,000 characters.
    #[schema(min_length = 1, max_length = 8000)]
    text: String,
    /// By default `direct`.
    #[schema(schema_with = words::message_type, required = false)]
    message_type: String,
    /// By default `normal`.
    #[schema(schema_with = words::priority, required = false)]
    priority: String,
    #[schema(minimum = 1, maximum = 86400, default = 86400)]
    ttl_seconds: Option<u64>,
    /// By default a new one.
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    correlation_id: Option<String>,
    /// Up to 64 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Ids of attachments of the fleet that go with it.
    #[schema(max_items = 10)]
    attachment_ids: Option<Vec<String>>,
    /// An end-to-end signature, passed on as it is.
    #[schema(min_length = 1, max_length = 1024)]
    operator_sig: Option<String>,
    /// With `operator_sig`: the operator's key.
    #[schema(min_length = 1, max_length = 255)]
    key_id: Option<String>,
    /// With `operator_sig`: what was signed, a text or an object of up to 8 KiB, delivered as the
    /// bytes that were sent.
    #[schema(schema_with = signed_text, required = false)]
    sig_canonical: Option<Value>,
}

/// A message of an operator was accepted.
#[derive(Serialize, ToSchema)]
struct SentByOperator {
    #[serde(flatten)]
    sent: SentView,
    conversation_id: String,
}

/// Sends a message to an agent or a room.
#[utoipa::path(
    post,
    path = "/v1/operator/messages",
    operation_id = "send_operator_message",
    request_body = NewOperatorMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body sends no second message.")),
    responses((status = 200, body = SentByOperator)),
    extensions(("x-codes" = json!([
        Code::UnknownRecipient, Code::IdempotencyConflict, Code::TooManyRecipients,
        Code::KeyRevoked, Code::UnknownAttachment, Code::LimitReached, Code::Conflict
    ]))),
)]
async fn send(
    State(app): State<App>,
    operator: SignedIn,
    headers: HeaderMap,
    given: Given,
) -> Result<Json<SentByOperator>, ApiError> {
    let mut fields = given.fields()?;
    let mut message = read_message(&mut fields);
    let binds = read_attachments(&mut fields);
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
        .send_for_operator(&operator.caller, message, binds)
        .await?;
    Ok(Json(SentByOperator {
        sent: sent_view(&sent),
        conversation_id,
    }))
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
        envelope: read_envelope(fields, "operator_sig"),
        idempotency: None,
        approval: 0,
        tags: Vec::new(),
        judged: Judged::default(),
    }
}

/// A message, and what became of it.
#[derive(Serialize, ToSchema)]
struct MessageDetail {
    message: MessageView,
    #[schema(schema_with = message_status)]
    status: &'static str,
    deliveries: Vec<DeliveryView>,
    attachments: Vec<BoundAttachment>,
}

/// A message, and what became of it.
#[utoipa::path(
    get,
    path = "/v1/operator/messages/{id}",
    operation_id = "get_message_as_operator",
    responses((status = 200, body = MessageDetail)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
) -> Result<Json<MessageDetail>, ApiError> {
    let uuid = message_uuid(&message_id.get()?)?;
    let (found, body) = app.service.any_message(operator.fleet(), uuid).await?;
    let status = status_view(&found);
    Ok(Json(MessageDetail {
        message: message_view(&found.message, &body),
        status: status.status,
        deliveries: status.deliveries,
        attachments: bound(&found.attachments),
    }))
}

/// A message was taken back.
#[derive(Serialize, ToSchema)]
struct CancelledByOperator {
    /// Always true.
    ok: bool,
    cancelled_deliveries: u64,
}

/// Takes a message back where it was not handed out yet.
#[utoipa::path(
    post,
    path = "/v1/operator/messages/{id}/cancel",
    operation_id = "cancel_message_as_operator",
    responses((status = 200, body = CancelledByOperator)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn cancel(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
) -> Result<Json<CancelledByOperator>, ApiError> {
    let message = message_uuid(&message_id.get()?)?;
    let request = OperatorRequest::Cancel { message };
    match app.service.order(&operator.caller, request).await? {
        Outcome::Updated(cancelled_deliveries) => Ok(Json(CancelledByOperator {
            ok: true,
            cancelled_deliveries,
        })),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}

/// Where a message is to go.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Redirect {
    #[schema(min_length = 1, max_length = 255)]
    to_agent_id: String,
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// Needed where the message has several recipients.
    #[schema(min_length = 1, max_length = 255)]
    from_agent_id: Option<String>,
}

/// Sends a message on to another agent.
#[utoipa::path(
    post,
    path = "/v1/operator/messages/{id}/redirect",
    operation_id = "redirect_message",
    request_body = Redirect,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict, Code::UnknownRecipient]))),
)]
async fn redirect(
    State(app): State<App>,
    operator: SignedIn,
    message_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let message_id = message_id.get()?;
    let mut fields = given.fields()?;
    let from = fields.optional_text("from_agent_id", ID_MAX_BYTES);
    let to = fields.text("to_agent_id", ID_MAX_BYTES);
    let reason = fields.text("reason", 1000);
    fields.finish()?;
    let uuid = message_uuid(&message_id)?;
    app.service
        .redirect_message(&operator.caller, uuid, from, to, reason)
        .await?;
    Ok(done())
}

/// Where what waits for an agent is to go.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct InboxRedirect {
    #[schema(min_length = 1, max_length = 255)]
    to_agent_id: String,
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// Messages were sent on.
#[derive(Serialize, ToSchema)]
struct Redirected {
    /// Always true.
    ok: bool,
    /// How many.
    redirected: u64,
}

/// Sends everything on that waits for an agent.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/redirect",
    operation_id = "redirect_inbox",
    request_body = InboxRedirect,
    responses((status = 200, body = Redirected)),
    extensions(("x-codes" = json!([Code::Conflict, Code::UnknownRecipient]))),
)]
async fn redirect_inbox(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Redirected>, ApiError> {
    let from = agent_id.get()?;
    let mut fields = given.fields()?;
    let to = fields.text("to_agent_id", ID_MAX_BYTES);
    let reason = fields.text("reason", 1000);
    fields.finish()?;
    let redirected = app
        .service
        .redirect_inbox(&operator.caller, &from, &to, &reason)
        .await?;
    Ok(Json(Redirected {
        ok: true,
        redirected,
    }))
}
