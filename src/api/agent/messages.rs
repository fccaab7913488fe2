//! The sender's calls: send one or many, look at one, take one back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::delivery::Delivery;
use ekho_storage::tables::message::{Envelope, Priority, Recipient};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::ID_MAX_BYTES;
use super::attachments::{BoundAttachment, attachment_uuid, bound};
use super::inbox::view_age;
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::words::{self, MESSAGE_TYPES, PRIORITIES, SIGNED_MAX_BYTES, signed_text};
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::id;
use crate::ingress::signing::hash;
use crate::machine::attachment::PER_MESSAGE_MAX;
use crate::machine::command::{Judged, NewMessage, Schedule};
use crate::machine::outcome::{RateState, Refusal, Sent};
use crate::service::edge::Sending;
use crate::service::messages::MessageStatus;

/// Messages of one batch.
const BATCH_MAX: usize = 100;
/// How far ahead a message may be scheduled.
const SCHEDULE_MAX_SECONDS: u64 = 30 * 24 * 3600;
/// How long a message may be worth something.
pub const TTL_MAX_SECONDS: u64 = 86_400;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(send))
        .routes(routes!(send_batch))
        .routes(routes!(status, cancel))
}

/// Describes where a message stands.
pub fn message_status() -> Object {
    words::one_of([
        "pending_approval",
        "rejected",
        "cancelled",
        "queued",
        "delivered",
        "dead_lettered",
        "expired",
        "acked",
    ])
}

/// Describes where a delivery stands.
fn delivery_status() -> Object {
    words::one_of([
        "queued",
        "delivered",
        "acked",
        "expired",
        "dead_lettered",
        "cancelled",
    ])
}

/// To whom a message goes.
#[derive(ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read")]
enum To {
    /// To one agent.
    Agent {
        #[schema(min_length = 1, max_length = 255)]
        id: String,
    },
    /// To the other members of a room.
    Group {
        #[schema(min_length = 1, max_length = 255)]
        id: String,
    },
    /// To every agent of the fleet but the sender and those revoked.
    Broadcast,
}

/// A message to be sent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
#[schema(as = NewMessage)]
struct NewMessageShape {
    recipient: To,
    #[schema(schema_with = words::message_type)]
    message_type: String,
    /// Delivered as the bytes that were sent.
    #[schema(value_type = Object)]
    body: Value,
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: String,
    #[schema(min_length = 1, max_length = 255)]
    correlation_id: String,
    /// A hint to the recipient; by default `normal`.
    #[schema(schema_with = words::priority, required = false)]
    priority: String,
    /// From acceptance, or from `deliver_at`; after that it expires.
    #[schema(minimum = 1, maximum = 86400, default = 900)]
    ttl_seconds: Option<u64>,
    /// Whether an operator has to agree first.
    #[schema(default = false)]
    requires_approval: Option<bool>,
    /// Up to 64 KiB; delivered as the bytes that were sent.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Not handed out before, at most 30 days ahead. Or else `delay_seconds`.
    deliver_at: Option<Iso>,
    /// Not handed out before so many seconds are over.
    #[schema(minimum = 0, maximum = 2_592_000)]
    delay_seconds: Option<u64>,
    /// Ids of attachments that go with it. They have to be the sender's, or ones that it was sent.
    #[schema(max_items = 10)]
    attachment_ids: Option<Vec<String>>,
    /// An end-to-end signature, passed on as it is.
    #[schema(min_length = 1, max_length = 1024)]
    agent_sig: Option<String>,
    /// With `agent_sig`.
    #[schema(min_length = 1, max_length = 255)]
    key_id: Option<String>,
    /// With `agent_sig`: what was signed, a text or an object of up to 8 KiB, delivered as the
    /// bytes that were sent.
    #[schema(schema_with = signed_text, required = false)]
    sig_canonical: Option<Value>,
}

/// A message of a batch.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct BatchItem {
    #[serde(flatten)]
    message: NewMessageShape,
    /// As the header `Idempotency-Key` of a single message; stands for the bytes of this element.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Messages to be sent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Batch {
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<BatchItem>,
}

/// A message was accepted.
#[derive(Serialize, ToSchema)]
pub struct SentView {
    message_id: String,
    /// `queued`, or with 202 `stored_at_edge`.
    status: &'static str,
    /// When it was accepted.
    queued_at: Iso,
    /// Where the message waits for its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deliver_at: Option<Iso>,
    /// True where an idempotency key repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    idempotent_replay: Option<bool>,
}

/// What became of a message of a batch: as the answer to a single one, accepted or refused.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `batch_result` writes")]
struct BatchOutcome {
    /// What the status of a single message would have been.
    status_code: u16,
    #[schema(required = false)]
    message_id: String,
    #[schema(required = false)]
    status: String,
    #[schema(required = false)]
    queued_at: Iso,
    /// With an error.
    #[schema(required = false)]
    code: String,
}

/// What became of each message, in the order sent.
#[derive(Serialize, ToSchema)]
struct BatchOutcomes {
    #[schema(value_type = Vec<BatchOutcome>)]
    results: Vec<Value>,
}

/// Sends a message.
///
/// An edge node that is cut off answers 202, where the fleet allows it and an Idempotency-Key is
/// given: the message is on its disk, and forwarded when it reaches the leader. Should it be
/// refused then, a control `send.refused` says so.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "send_message",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body sends no second message.")),
    request_body = NewMessageShape,
    responses((
        status = 200,
        body = SentView,
        headers(
            ("x-ratelimit-limit" = u64, description = "Messages allowed in a window."),
            ("x-ratelimit-remaining" = u64, description = "Messages left in this one."),
            ("x-ratelimit-reset" = u64, description = "Seconds until the next one."),
        ),
    ), (status = 202, description = "It is stored at an edge node.", body = SentView)),
    extensions(("x-codes" = json!([
        Code::UnknownRecipient, Code::RoomConversation, Code::TooManyRecipients, Code::RateLimited,
        Code::IdempotencyConflict, Code::PolicyDenied, Code::AgentPaused, Code::AgentQuarantined,
        Code::KeyRevoked, Code::BlockedByExtension, Code::ExtensionUnavailable,
        Code::EdgeOutboxFull, Code::UnknownAttachment, Code::LimitReached, Code::Conflict
    ]))),
)]
async fn send(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let mut message = read_message(&mut fields);
    let binds = read_attachments(&mut fields);
    fields.finish()?;
    if let Some(key) = signed.idempotency_key {
        message.idempotency = Some((checked_key(key)?, signed.body_hash));
    }
    let (result, rate) = match app.service.send_one(signed.caller, message, binds).await? {
        Sending::Decided(result, rate) => (result, rate),
        Sending::Stored {
            message,
            stored_ms,
            repeated,
        } => {
            let stored = SentView {
                message_id: id::from_uuid("msg_", message),
                status: "stored_at_edge",
                queued_at: Iso(stored_ms),
                deliver_at: None,
                idempotent_replay: repeated.then_some(true),
            };
            return Ok((StatusCode::ACCEPTED, Json(stored)).into_response());
        }
    };
    let mut headers = HeaderMap::new();
    if let Some(rate) = rate {
        rate_headers(&mut headers, &rate);
    }
    Ok(match result {
        Ok(sent) => (headers, Json(sent_view(&sent))).into_response(),
        Err(refusal) => (headers, ApiError::from(refusal)).into_response(),
    })
}

/// Sends up to 100 messages, each with its own outcome.
#[utoipa::path(
    post,
    path = "/v1/messages/batch",
    operation_id = "send_messages",
    request_body = Batch,
    responses((status = 200, body = BatchOutcomes)),
    extensions(("x-codes" = json!([
        Code::AgentPaused, Code::AgentQuarantined, Code::ExtensionUnavailable
    ]))),
)]
async fn send_batch(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let messages = fields.list("messages", BATCH_MAX, |fields, raw| {
        let mut message = read_message(fields);
        if let Some(key) = fields.optional_text("idempotency_key", ID_MAX_BYTES) {
            message.idempotency = Some((key, hash(raw.as_bytes())));
        }
        (message, read_attachments(fields))
    });
    fields.finish()?;
    let (messages, binds) = messages.into_iter().unzip();
    let sent = app.service.send_batch(signed.caller, messages, binds);
    let (results, rate) = sent.await?;
    let mut headers = HeaderMap::new();
    rate_headers(&mut headers, &rate);
    let results = results.into_iter().map(batch_result).collect();
    Ok((headers, Json(BatchOutcomes { results })).into_response())
}

fn batch_result(result: Result<Sent, Refusal>) -> Value {
    let (status, mut body) = match result {
        Ok(sent) => match serde_json::to_value(sent_view(&sent)) {
            Ok(Value::Object(body)) => (StatusCode::OK, body),
            _ => (StatusCode::OK, Map::new()),
        },
        Err(refusal) => ApiError::from(refusal).into_body(),
    };
    body.insert("status_code".into(), status.as_u16().into());
    Value::Object(body)
}

/// The answer to an accepted message.
pub fn sent_view(sent: &Sent) -> SentView {
    let scheduled = sent.deliver_at_ms > sent.queued_ms;
    SentView {
        message_id: id::from_uuid("msg_", sent.message),
        status: "queued",
        queued_at: Iso(sent.queued_ms),
        deliver_at: scheduled.then_some(Iso(sent.deliver_at_ms)),
        idempotent_replay: sent.repeated.then_some(true),
    }
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
        envelope: read_envelope(fields, "agent_sig"),
        idempotency: None,
        approval: id::new_uuid(),
        tags: Vec::new(),
        judged: Judged::default(),
    }
}

/// Reads which attachments a message binds.
pub fn read_attachments(fields: &mut Fields<'_>) -> Vec<u128> {
    let ids = fields.texts("attachment_ids", PER_MESSAGE_MAX, ID_MAX_BYTES);
    // A text that cannot be an id names none: nothing is under this one.
    let uuid = |id: &String| attachment_uuid(id).unwrap_or_default();
    ids.iter().map(uuid).collect()
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

/// Reads an end-to-end signature; `name` is that of the signature itself.
pub fn read_envelope(fields: &mut Fields<'_>, name: &str) -> Option<Envelope> {
    let signature = fields.optional_text(name, 1024);
    let key_id = fields.optional_text("key_id", 255);
    let signed = fields.any("sig_canonical", SIGNED_MAX_BYTES);
    if signed.is_some_and(|signed| !signed.starts_with(['"', '{'])) {
        fields.wrong("sig_canonical", "expected a text or an object");
    }
    Some(Envelope {
        agent_sig: signature?,
        key_id: key_id.unwrap_or_default(),
        sig_canonical: signed.unwrap_or_default().into(),
    })
}

/// One recipient's copy of a message.
#[derive(Serialize, ToSchema)]
pub struct DeliveryView {
    delivery_id: String,
    recipient_agent_id: String,
    #[schema(schema_with = delivery_status)]
    status: &'static str,
    attempts: u32,
    last_failure_reason: Option<String>,
    delivered_at: Option<Iso>,
    acked_at: Option<Iso>,
    ended_at: Option<Iso>,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageStatus)]
pub struct StatusView {
    message_id: String,
    #[schema(schema_with = message_status)]
    pub status: &'static str,
    queued_at: Iso,
    deliver_at: Option<Iso>,
    deadline_at: Iso,
    approval_id: Option<String>,
    delivery_count: u32,
    /// At most 1,000.
    pub deliveries: Vec<DeliveryView>,
    /// Left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    attachments: Vec<BoundAttachment>,
    /// Of an edge node that is cut off: how long ago it knew all that was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    view_age_ms: Option<u64>,
}

/// What became of a message; for its sender.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    operation_id = "get_message",
    responses((
        status = 200,
        body = StatusView,
        headers(("x-ekho-view-age-ms" = u64, description = "As `view_age_ms`, and only with it.")),
    )),
)]
async fn status(
    State(app): State<App>,
    message_id: PathId,
    signed: Signed,
) -> Result<(HeaderMap, Json<StatusView>), ApiError> {
    let message_id = message_id.get()?;
    let uuid = message_uuid(&message_id)?;
    let found = app.service.message_status(&signed.caller, uuid).await?;
    Ok((view_age(found.view_age_ms), Json(status_view(&found))))
}

/// What became of a message, for its sender and for operators.
pub fn status_view(found: &MessageStatus) -> StatusView {
    let message = &found.message;
    let deliveries = found.deliveries.iter();
    let scheduled = message.deliver_at_ms > message.created_ms;
    StatusView {
        message_id: id::from_uuid("msg_", message.uuid),
        status: found.status,
        queued_at: Iso(message.created_ms),
        deliver_at: scheduled.then_some(Iso(message.deliver_at_ms)),
        deadline_at: Iso(message.deadline_ms),
        approval_id: message
            .approval
            .map(|approval| id::from_uuid("apr_", approval)),
        delivery_count: message.delivery_count,
        deliveries: deliveries
            .map(|(agent, delivery)| delivery_view(message.uuid, agent, delivery))
            .collect(),
        attachments: bound(&found.attachments),
        view_age_ms: found.view_age_ms,
    }
}

fn delivery_view(message: u128, agent: &Agent, delivery: &Delivery) -> DeliveryView {
    let status = delivery.state.as_str();
    let ended_at = delivery.ended_ms.map(Iso);
    DeliveryView {
        delivery_id: id::delivery(message, agent.no),
        recipient_agent_id: agent.id.clone(),
        status,
        attempts: delivery.attempts,
        last_failure_reason: delivery.last_failure_reason.clone(),
        delivered_at: delivery.delivered_ms.map(Iso),
        acked_at: ended_at.filter(|_| status == "acked"),
        ended_at,
    }
}

/// A message was taken back.
#[derive(Serialize, ToSchema)]
struct Cancelled {
    message_id: String,
    /// Always `cancelled`.
    status: &'static str,
    cancelled_deliveries: u64,
}

/// Takes a message back from every recipient to whom it was not handed out yet.
#[utoipa::path(
    delete,
    path = "/v1/messages/{id}",
    operation_id = "cancel_message",
    responses((status = 200, body = Cancelled)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn cancel(
    State(app): State<App>,
    message_id: PathId,
    signed: Signed,
) -> Result<Json<Cancelled>, ApiError> {
    let message_id = message_id.get()?;
    let uuid = message_uuid(&message_id)?;
    let cancelled_deliveries = app.service.cancel(signed.caller, uuid).await?;
    Ok(Json(Cancelled {
        message_id,
        status: "cancelled",
        cancelled_deliveries,
    }))
}

/// The UUID behind a message id. A text that cannot be one names no message.
pub fn message_uuid(message_id: &str) -> Result<u128, ApiError> {
    id::to_uuid("msg_", message_id).ok_or_else(|| Refusal::NotFound.into())
}
