//! Rooms, notices and floors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::message::Message;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::ID_MAX_BYTES;
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::list::{ListParams, ListQuery, Paging, number_of};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::service::ServiceError;

/// Longest a floor can be taken for.
const FLOOR_MAX_SECONDS: u64 = 3600;
/// Cursors of a conversation are places in the order of the fleet.
const CURSOR_PREFIX: &str = "seq_";
/// How long a floor is taken for when the caller does not say.
const FLOOR_DEFAULT_SECONDS: u64 = 60;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(create_room))
        .routes(routes!(notice))
        .routes(routes!(acquire_floor, release_floor))
        .routes(routes!(messages))
}

/// A room to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewRoom {
    /// At most 120 characters.
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// Unknown ones, revoked ones and those of other fleets are dropped.
    #[schema(max_items = 50)]
    member_agent_ids: Vec<String>,
}

/// A room was made.
#[derive(Serialize, ToSchema)]
struct RoomMade {
    id: String,
    name: String,
    created_at: Iso,
    /// The agent that made it is one of them.
    members: Vec<String>,
}

/// Makes a room.
#[utoipa::path(
    post,
    path = "/v1/rooms",
    operation_id = "create_room",
    request_body = NewRoom,
    responses((status = 201, body = RoomMade)),
    extensions(("x-codes" = json!([Code::AgentPaused, Code::AgentQuarantined]))),
)]
async fn create_room(
    State(app): State<App>,
    signed: Signed,
) -> Result<(StatusCode, Json<RoomMade>), ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let name = fields.text("name", 480);
    if name.chars().count() > 120 {
        fields.wrong("name", "at most 120 characters");
    }
    if !fields.has("member_agent_ids") {
        fields.required("member_agent_ids");
    }
    let members = fields.texts("member_agent_ids", 50, ID_MAX_BYTES);
    fields.finish()?;
    let room = app
        .service
        .create_room(signed.caller, name.clone(), members)
        .await?;
    let answer = RoomMade {
        id: room.id,
        name,
        created_at: Iso(room.created_ms),
        members: room.members,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A conversation is stuck.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Notice {
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: String,
    /// By default `stalled`.
    #[schema(min_length = 1, max_length = 64)]
    reason: Option<String>,
    #[schema(minimum = 0, maximum = 1_000_000_000, default = 0)]
    pending_count: Option<u64>,
    /// Any JSON up to 4 KiB.
    #[schema(value_type = Value, required = false)]
    budget: Option<Value>,
}

/// A notice was taken.
#[derive(Serialize, ToSchema)]
struct Noticed {
    /// Always true.
    ok: bool,
    /// False where the stall was reported within the last 24 hours.
    recorded: bool,
}

/// Says that a conversation is stuck and a person should look.
#[utoipa::path(
    post,
    path = "/v1/notices",
    operation_id = "notice",
    request_body = Notice,
    responses((status = 200, body = Noticed)),
)]
async fn notice(State(app): State<App>, signed: Signed) -> Result<Json<Noticed>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let conversation_id = fields.text("conversation_id", ID_MAX_BYTES);
    let reason = fields.optional_text("reason", 64);
    let reason = reason.unwrap_or_else(|| "stalled".into());
    let pending_count = fields.number("pending_count", 0..=1_000_000_000);
    let budget = fields.any("budget", 4 << 10).map(str::to_string);
    fields.finish()?;
    let pending_count = pending_count.unwrap_or(0);
    let recorded = app
        .service
        .notice(
            signed.caller,
            conversation_id,
            reason,
            pending_count,
            budget,
        )
        .await?;
    Ok(Json(Noticed { ok: true, recorded }))
}

/// For how long.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct FloorWanted {
    #[schema(minimum = 1, maximum = 3600, default = 60)]
    ttl_seconds: Option<u64>,
}

/// Asks for the turn to speak; for participants.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/floor",
    operation_id = "acquire_floor",
    request_body = FloorWanted,
    responses((status = 200, body = FloorView)),
)]
async fn acquire_floor(
    State(app): State<App>,
    conversation_id: PathId,
    signed: Signed,
) -> Result<Response, ApiError> {
    let conversation_id = conversation_id.get()?;
    check_conversation(&conversation_id)?;
    let mut fields = Fields::parse(&signed.body)?;
    let ttl = fields.number("ttl_seconds", 1..=FLOOR_MAX_SECONDS);
    fields.finish()?;
    let ttl_ms = ttl.unwrap_or(FLOOR_DEFAULT_SECONDS) * 1000;
    let floor = app
        .service
        .acquire_floor(signed.caller, conversation_id, ttl_ms)
        .await?;
    let tail = floor
        .tail
        .iter()
        .map(|(message, body)| tail_message(message, body))
        .collect::<Result<_, _>>()?;
    Ok(Json(FloorView {
        granted: floor.granted,
        holder_agent_id: &floor.holder_agent_id,
        expires_at: Iso(floor.expires_ms),
        conversation_tail: tail,
    })
    .into_response())
}

/// Who has a floor. Bodies go out as the bytes that came in, however deeply they nest.
#[derive(Serialize, ToSchema)]
struct FloorView<'a> {
    granted: bool,
    holder_agent_id: &'a str,
    expires_at: Iso,
    /// The last 20 messages, oldest first.
    conversation_tail: Vec<TailView<'a>>,
}

/// A message of a conversation.
#[derive(Serialize, ToSchema)]
struct TailView<'a> {
    message_id: String,
    sender_agent_id: &'a str,
    message_type: &'a str,
    #[schema(value_type = Object)]
    body: &'a RawValue,
    created_at: Iso,
}

fn tail_message<'a>(message: &'a Message, body: &'a [u8]) -> Result<TailView<'a>, ServiceError> {
    let body = serde_json::from_slice(body).map_err(|error| {
        ServiceError::Internal(format!("stored message {:032x}: {error}", message.uuid))
    })?;
    Ok(TailView {
        message_id: id::from_uuid("msg_", message.uuid),
        sender_agent_id: &message.sender_id,
        message_type: &message.message_type,
        body,
        created_at: Iso(message.created_ms),
    })
}

/// A message of a conversation, as one of its two sides sees it.
#[derive(Serialize, ToSchema)]
struct SaidView<'a> {
    #[serde(flatten)]
    said: TailView<'a>,
    sender_kind: &'static str,
    /// `agent`, `group` or `broadcast`.
    recipient_kind: &'static str,
    recipient_id: Option<&'a str>,
    correlation_id: &'a str,
}

/// A page of a conversation.
#[derive(Serialize, ToSchema)]
struct SaidList<'a> {
    /// Newest first.
    messages: Vec<SaidView<'a>>,
    #[serde(flatten)]
    paging: Paging,
}

/// What you sent and received in a conversation, newest first.
///
/// What waits for you and was not handed out yet is not among it. 404 where nothing is.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages",
    operation_id = "list_conversation_messages",
    params(ListParams),
    responses((status = 200, body = SaidList)),
)]
async fn messages(
    State(app): State<App>,
    conversation_id: PathId,
    query: ListQuery,
    signed: Signed,
) -> Result<Response, ApiError> {
    let conversation_id = conversation_id.get()?;
    check_conversation(&conversation_id)?;
    let before = query.cursor(|text| number_of(CURSOR_PREFIX, text))?;
    let found = app
        .service
        .said(&signed.caller, &conversation_id, before, query.up_to())
        .await?;
    let rows = found.rows.iter().skip(query.skip());
    let messages = rows.map(|(message, body)| said(message, body));
    Ok(Json(SaidList {
        messages: messages.collect::<Result<_, _>>()?,
        paging: query.paging(found.next.map(|seq| id::from_number(CURSOR_PREFIX, seq))),
    })
    .into_response())
}

fn said<'a>(message: &'a Message, body: &'a [u8]) -> Result<SaidView<'a>, ServiceError> {
    let (recipient_kind, recipient_id) = message.recipient.kind_and_id();
    Ok(SaidView {
        said: tail_message(message, body)?,
        sender_kind: message.sender_kind(),
        recipient_kind,
        recipient_id,
        correlation_id: &message.correlation_id,
    })
}

/// Whether the turn was given back.
#[derive(Serialize, ToSchema)]
struct Released {
    /// False where somebody else had it.
    released: bool,
}

/// Gives the turn to speak back.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/floor",
    operation_id = "release_floor",
    responses((status = 200, body = Released)),
)]
async fn release_floor(
    State(app): State<App>,
    conversation_id: PathId,
    signed: Signed,
) -> Result<Json<Released>, ApiError> {
    let conversation_id = conversation_id.get()?;
    check_conversation(&conversation_id)?;
    let released = app
        .service
        .release_floor(signed.caller, conversation_id)
        .await?;
    Ok(Json(Released { released }))
}

fn check_conversation(conversation_id: &str) -> Result<(), Invalid> {
    if conversation_id.is_empty() || conversation_id.len() > ID_MAX_BYTES {
        return Err(Invalid::field(
            "conversation_id",
            format!("1 to {ID_MAX_BYTES} bytes"),
        ));
    }
    Ok(())
}
