//! Rooms, notices and floors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::message::Message;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ID_MAX_BYTES;
use crate::api::fields::{Fields, Invalid};
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::service::ServiceError;

/// Longest a floor can be taken for.
const FLOOR_MAX_SECONDS: u64 = 3600;
/// How long a floor is taken for when the caller does not say.
const FLOOR_DEFAULT_SECONDS: u64 = 60;

/// POST /v1/rooms
pub async fn create_room(
    State(app): State<App>,
    signed: Signed,
) -> Result<(StatusCode, Json<Value>), ApiError> {
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
    let answer = json!({
        "id": room.id,
        "name": name,
        "created_at": Iso(room.created_ms),
        "members": room.members,
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

/// POST /v1/notices
pub async fn notice(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let conversation_id = fields.text("conversation_id", ID_MAX_BYTES);
    let reason = fields.text("reason", 64);
    let pending_count = fields.number("pending_count", 0..=1_000_000_000);
    if pending_count.is_none() {
        fields.required("pending_count");
    }
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
    Ok(Json(json!({ "ok": true, "recorded": recorded })))
}

/// POST /v1/conversations/{id}/floor
pub async fn acquire_floor(
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
#[derive(Serialize)]
struct FloorView<'a> {
    granted: bool,
    holder_agent_id: &'a str,
    expires_at: Iso,
    conversation_tail: Vec<TailView<'a>>,
}

#[derive(Serialize)]
struct TailView<'a> {
    message_id: String,
    sender_agent_id: &'a str,
    message_type: &'a str,
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

/// DELETE /v1/conversations/{id}/floor
pub async fn release_floor(
    State(app): State<App>,
    conversation_id: PathId,
    signed: Signed,
) -> Result<Json<Value>, ApiError> {
    let conversation_id = conversation_id.get()?;
    check_conversation(&conversation_id)?;
    let released = app
        .service
        .release_floor(signed.caller, conversation_id)
        .await?;
    Ok(Json(json!({ "released": released })))
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
