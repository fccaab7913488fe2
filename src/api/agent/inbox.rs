//! The recipient's calls: poll, stream, ack, nack, lease.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use ekho_storage::tables::control::Control;
use futures::Stream;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::ID_MAX_BYTES;
use super::attachments::{BoundAttachment, bound};
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
use crate::api::openapi::shapes::StreamEvent;
use crate::api::query::pairs;
use crate::api::signed::Signed;
use crate::api::words::{self, signed_text};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::{Nack, Poll};
use crate::service::ServiceError;
use crate::service::inbox::{Inbox, InboxMessage};

/// Messages or acknowledgements in one request.
const ITEMS_MAX: usize = 1000;
/// Longest wait of a poll.
const WAIT_MAX_SECONDS: u64 = 60;
/// Messages a stream takes at once.
const STREAM_BATCH: u32 = 25;

/// Types that a query may name.
const TYPES_MAX: usize = 32;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(poll))
        .routes(routes!(stream))
        .routes(routes!(ack))
        .routes(routes!(nack))
        .routes(routes!(lease))
}

/// What is polled for.
struct Query {
    poll: Poll,
    wait: Duration,
}

/// What to hand out.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `read_query` reads")]
struct InboxParams {
    /// Messages wanted.
    #[param(minimum = 1, maximum = 100, default = 25)]
    limit: Option<u32>,
    /// Only these types of messages, at most 32, separated by commas; others stay queued.
    types: Option<String>,
}

/// How long to wait.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `read_query` reads")]
struct WaitParam {
    /// With nothing to hand out, wait so many seconds for something to come.
    #[param(minimum = 0, maximum = 60, default = 0)]
    wait: Option<u32>,
}

fn read_query(query: Option<&str>) -> Result<Query, Invalid> {
    let given = pairs(query)?;
    let number = |name: &str, default: u64, range: std::ops::RangeInclusive<u64>| {
        let Some(text) = given.get(name) else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Invalid::field(name, format!("a whole number from {low} to {high}"))
        })
    };
    let limit = number("limit", 25, 1..=100)? as u32;
    let wait_seconds = number("wait", 0, 0..=WAIT_MAX_SECONDS)?;
    let types = given.get("types").map(String::as_str).unwrap_or_default();
    let types = types.split(',').filter(|text| !text.is_empty());
    let types: Vec<String> = types.map(str::to_string).collect();
    if types.len() > TYPES_MAX {
        return Err(Invalid::field(
            "types",
            format!("at most {TYPES_MAX} types"),
        ));
    }
    let poll = Poll {
        limit,
        types,
        resume_after: None,
    };
    Ok(Query {
        poll,
        wait: Duration::from_secs(wait_seconds),
    })
}

/// A message as its recipient sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxMessage)]
struct MessageView<'a> {
    message_id: String,
    conversation_id: &'a str,
    correlation_id: &'a str,
    sender_agent_id: &'a str,
    sender_kind: &'a str,
    message_type: &'a str,
    #[schema(schema_with = words::priority)]
    priority: &'static str,
    #[schema(value_type = Object)]
    body: &'a RawValue,
    #[schema(value_type = Object)]
    metadata: &'a RawValue,
    /// What policies and hooks call it; left out where it is nothing.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    tags: &'a [String],
    /// What it binds, to be had at `/v1/attachments/{id}`; left out where it is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    attachments: Vec<BoundAttachment>,
    created_at: Iso,
    deadline_at: Iso,
    /// How often it has been handed out, this time included.
    attempt: u32,
    /// An end-to-end signature of the agent that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent_sig: Option<&'a str>,
    /// The same of an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operator_sig: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = signed_text, required = false)]
    sig_canonical: Option<&'a RawValue>,
}

/// What an operator told the agent.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxControl)]
struct ControlView<'a> {
    control_id: String,
    action: &'a str,
    reason: &'a str,
    created_at: Iso,
    expires_at: Option<Iso>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval_id: Option<String>,
}

/// What is in an inbox: messages oldest first, controls newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Inbox)]
struct InboxView<'a> {
    messages: Vec<MessageView<'a>>,
    controls: Vec<ControlView<'a>>,
    /// Of an edge node that is cut off: how long ago it knew all that was decided. Nothing was
    /// handed out, and nothing can be acked until it reaches the leader again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    view_age_ms: Option<u64>,
}

fn message_view(item: &InboxMessage) -> Result<MessageView<'_>, ServiceError> {
    let damaged = |error: &dyn std::fmt::Display| {
        ServiceError::Internal(format!(
            "stored message {:032x}: {error}",
            item.message.uuid
        ))
    };
    let text = std::str::from_utf8(&item.body).map_err(|error| damaged(&error))?;
    let metadata = item.message.metadata.as_deref().unwrap_or("{}");
    let envelope = item.message.envelope.as_ref();
    let signature = envelope.map(|envelope| envelope.agent_sig.as_str());
    let canonical = envelope.map(|envelope| envelope.sig_canonical.as_str());
    let is_agents = item.message.sender_kind() == "agent";
    Ok(MessageView {
        message_id: id::from_uuid("msg_", item.message.uuid),
        conversation_id: &item.message.conversation_id,
        correlation_id: &item.message.correlation_id,
        sender_agent_id: &item.message.sender_id,
        sender_kind: item.message.sender_kind(),
        message_type: &item.message.message_type,
        priority: item.message.priority.as_str(),
        body: serde_json::from_str(text).map_err(|error| damaged(&error))?,
        metadata: serde_json::from_str(metadata).map_err(|error| damaged(&error))?,
        tags: &item.message.tags,
        attachments: bound(&item.attachments),
        created_at: Iso(item.message.created_ms),
        deadline_at: Iso(item.message.deadline_ms),
        attempt: item.attempt,
        agent_sig: signature.filter(|_| is_agents),
        operator_sig: signature.filter(|_| !is_agents),
        key_id: envelope.map(|envelope| envelope.key_id.as_str()),
        sig_canonical: canonical
            .filter(|signed| !signed.is_empty())
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| damaged(&error))?,
    })
}

fn control_view(seq: u64, control: &Control) -> ControlView<'_> {
    ControlView {
        control_id: id::from_number("ctl_", seq),
        action: &control.action,
        reason: &control.reason,
        created_at: Iso(control.created_ms),
        expires_at: control.expires_ms.map(Iso),
        approval_id: control.approval.map(|uuid| id::from_uuid("apr_", uuid)),
    }
}

/// Hands out what is in the inbox, or waits for something to come.
#[utoipa::path(
    get,
    path = "/v1/inbox",
    operation_id = "poll_inbox",
    params(InboxParams, WaitParam),
    responses((
        status = 200,
        body = InboxView,
        headers(("x-ekho-view-age-ms" = u64, description = "As `view_age_ms`, and only with it.")),
    )),
    extensions(("x-codes" = json!([Code::OutcomeUnknown, Code::DiskFull]))),
)]
async fn poll(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let Query { poll, wait } = read_query(signed.query.as_deref())?;
    let inbox = app.service.poll(signed.caller, poll, wait).await?;
    let messages = inbox
        .messages
        .iter()
        .map(message_view)
        .collect::<Result<_, _>>()?;
    let controls = inbox
        .controls
        .iter()
        .map(|(seq, control)| control_view(*seq, control))
        .collect();
    let view_age_ms = inbox.view_age_ms;
    let view = to_raw_value(&InboxView {
        messages,
        controls,
        view_age_ms,
    });
    let view = view.map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok((view_age(view_age_ms), Json(view)).into_response())
}

/// Says how old an answer may be, where that is to be said.
pub(super) fn view_age(view_age_ms: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(age_ms) = view_age_ms {
        headers.insert("x-ekho-view-age-ms", HeaderValue::from(age_ms));
    }
    headers
}

/// The inbox as server-sent events.
///
/// A message event's id is its place in the inbox. A client that reconnects with it as
/// Last-Event-ID gets at once what came after and was not acked.
#[utoipa::path(
    get,
    path = "/v1/inbox/stream",
    operation_id = "stream_inbox",
    params(
        InboxParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of an event: what came after it and was not acked comes again."),
    ),
    responses((status = 200, description = "The stream, event by event.", body = StreamEvent, content_type = "text/event-stream")),
)]
async fn stream(
    State(app): State<App>,
    signed: Signed,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query { mut poll, .. } = read_query(signed.query.as_deref())?;
    poll.limit = poll.limit.min(STREAM_BATCH);
    if let Some(id) = &signed.last_event_id {
        let after = id
            .parse()
            .map_err(|_| Invalid::field("Last-Event-ID", "expected a number"))?;
        poll.resume_after = Some(after);
    }
    app.service.vouch(&signed.caller).await?;
    let caller = signed.caller;
    let events = async_stream::stream! {
        let service = &app.service;
        let mut taker = match service.taker(caller, poll, false) {
            Ok(taker) => taker,
            Err(error) => {
                yield Ok(error_event(error));
                return;
            }
        };
        loop {
            let inbox = match taker.take(None).await {
                Ok(inbox) => inbox,
                Err(error) => {
                    yield Ok(error_event(error));
                    return;
                }
            };
            if inbox.messages.is_empty() && inbox.controls.is_empty() {
                // The node is about to stop; the client comes back elsewhere.
                return;
            }
            for event in events(&inbox) {
                yield Ok(event);
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn events(inbox: &Inbox) -> Vec<Event> {
    let mut events = Vec::with_capacity(inbox.messages.len() + inbox.controls.len());
    for (seq, control) in inbox.controls.iter().rev() {
        let event = Event::default()
            .event("control")
            .json_data(control_view(*seq, control));
        events.extend(event.ok());
    }
    for item in &inbox.messages {
        let event = message_view(item).and_then(|view| {
            let event = Event::default().event("message").id(item.seq.to_string());
            event
                .json_data(view)
                .map_err(|error| ServiceError::Internal(error.to_string()))
        });
        events.push(event.unwrap_or_else(error_event));
    }
    events
}

fn error_event(error: ServiceError) -> Event {
    let (status, mut body) = ApiError::from(error).into_body();
    body.insert("status_code".into(), status.as_u16().into());
    Event::default()
        .event("error")
        .data(Value::Object(body).to_string())
}

/// Reads a message id; one that cannot be an id names no message and matches nothing.
fn read_message_id(fields: &mut Fields<'_>) -> u128 {
    id::to_uuid("msg_", &fields.text("message_id", ID_MAX_BYTES)).unwrap_or(0)
}

/// Messages that are done with.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Acks {
    #[schema(min_items = 1, max_items = 1000)]
    acks: Vec<Ack>,
}

/// A message that is done with.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Ack {
    #[schema(min_length = 1, max_length = 255)]
    message_id: String,
    #[schema(schema_with = received, required = false)]
    status: String,
    received_at: Option<Iso>,
}

fn received() -> utoipa::openapi::schema::Object {
    words::one_of(["received"])
}

/// Deliveries were changed.
#[derive(Serialize, ToSchema)]
struct Updated {
    /// How many.
    updated: u64,
}

/// Says that messages are done with.
#[utoipa::path(
    post,
    path = "/v1/acks",
    operation_id = "ack",
    request_body = Acks,
    responses((status = 200, body = Updated)),
)]
async fn ack(State(app): State<App>, signed: Signed) -> Result<Json<Updated>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let messages = fields.list("acks", ITEMS_MAX, |fields, _| {
        fields.choice("status", &[("received", ())], Some(()));
        fields.time("received_at");
        read_message_id(fields)
    });
    fields.finish()?;
    let updated = app.service.ack(signed.caller, messages).await?;
    Ok(Json(Updated { updated }))
}

/// Messages to be given back.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Nacks {
    #[schema(min_items = 1, max_items = 1000)]
    nacks: Vec<NackShape>,
}

/// A message to be given back.
#[derive(ToSchema)]
#[schema(as = Nack)]
#[allow(dead_code, reason = "describes what is read")]
struct NackShape {
    #[schema(min_length = 1, max_length = 255)]
    message_id: String,
    /// By default as after a timeout.
    #[schema(minimum = 0, maximum = 86400)]
    delay_seconds: Option<u64>,
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Gives messages back; they come again later.
#[utoipa::path(
    post,
    path = "/v1/nacks",
    operation_id = "nack",
    request_body = Nacks,
    responses((status = 200, body = Updated)),
)]
async fn nack(State(app): State<App>, signed: Signed) -> Result<Json<Updated>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let nacks = fields.list("nacks", ITEMS_MAX, |fields, _| Nack {
        message: read_message_id(fields),
        delay_ms: fields
            .number("delay_seconds", 0..=86_400)
            .map(|seconds| seconds * 1000),
        reason: fields.optional_text("reason", 500),
    });
    fields.finish()?;
    let updated = app.service.nack(signed.caller, nacks).await?;
    Ok(Json(Updated { updated }))
}

/// Messages to be kept for longer.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Leases {
    #[schema(min_items = 1, max_items = 1000)]
    leases: Vec<Lease>,
}

/// A message to be kept for longer.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Lease {
    #[schema(min_length = 1, max_length = 255)]
    message_id: String,
    /// From now on.
    #[schema(minimum = 1, maximum = 86400)]
    extend_seconds: u64,
}

/// A message is kept for longer.
#[derive(Serialize, ToSchema)]
struct Extended {
    message_id: String,
    lease_expires_at: Iso,
}

/// Messages are kept for longer.
#[derive(Serialize, ToSchema)]
struct LeasesExtended {
    updated: usize,
    /// Those that were in the agent's hands.
    leases: Vec<Extended>,
}

/// Keeps messages for longer than the delivery timeout.
#[utoipa::path(
    post,
    path = "/v1/leases",
    operation_id = "extend_leases",
    request_body = Leases,
    responses((status = 200, body = LeasesExtended)),
)]
async fn lease(State(app): State<App>, signed: Signed) -> Result<Json<LeasesExtended>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let leases = fields.list("leases", ITEMS_MAX, |fields, _| {
        let message = read_message_id(fields);
        let seconds = fields.number("extend_seconds", 1..=86_400);
        if seconds.is_none() {
            fields.required("extend_seconds");
        }
        (message, seconds.unwrap_or(1) * 1000)
    });
    fields.finish()?;
    let extended = app.service.lease(signed.caller, leases).await?;
    let leases = extended.iter().map(|(message, until_ms)| Extended {
        message_id: id::from_uuid("msg_", *message),
        lease_expires_at: Iso(*until_ms),
    });
    Ok(Json(LeasesExtended {
        updated: extended.len(),
        leases: leases.collect(),
    }))
}
