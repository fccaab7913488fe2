//! Heartbeats, identity keys, and the rotation of secrets.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::signed::Signed;
use crate::api::{ApiError, App, words};
use crate::clock::Iso;

const STATUSES: [(&str, &str); 4] = [
    ("healthy", "healthy"),
    ("degraded", "degraded"),
    ("busy", "busy"),
    ("idle", "idle"),
];
const DEFAULT_OVERLAP_SECONDS: u64 = 300;
const MAX_OVERLAP_SECONDS: u64 = 7 * 24 * 3600;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(heartbeat))
        .routes(routes!(identity_key))
        .routes(routes!(rotate))
}

fn status() -> Object {
    words::choice(&STATUSES)
}

/// How an agent is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Heartbeat {
    /// Only `degraded` changes the status that operators see.
    #[schema(schema_with = status)]
    status: String,
    #[schema(max_items = 1000)]
    active_conversation_ids: Option<Vec<String>>,
    /// Up to 16 KiB.
    #[schema(value_type = Option<Object>)]
    metrics: Option<Value>,
}

/// A heartbeat was taken.
#[derive(Serialize, ToSchema)]
struct Beaten {
    /// Always true.
    ok: bool,
    next_heartbeat_due_seconds: u64,
}

/// Says that the agent is alive, and how it is.
#[utoipa::path(
    post,
    path = "/v1/heartbeats",
    operation_id = "heartbeat",
    request_body = Heartbeat,
    responses((status = 200, body = Beaten)),
)]
async fn heartbeat(State(app): State<App>, signed: Signed) -> Result<Json<Beaten>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let status = fields.choice("status", &STATUSES, None).unwrap_or_default();
    fields.texts("active_conversation_ids", 1000, super::ID_MAX_BYTES);
    fields.object("metrics", 16 << 10);
    fields.finish()?;
    let interval_ms = app.service.heartbeat(&signed.caller, status.into()).await?;
    Ok(Json(Beaten {
        ok: true,
        next_heartbeat_due_seconds: interval_ms / 1000,
    }))
}

/// A key.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct IdentityKey {
    /// Ed25519.
    #[schema(min_length = 1, max_length = 128)]
    public_key: String,
}

/// A key is registered.
#[derive(Serialize, ToSchema)]
struct KeyRegistered {
    key_id: String,
}

/// Registers the key with which the agent signs messages end to end.
#[utoipa::path(
    post,
    path = "/v1/identity-key",
    operation_id = "register_identity_key",
    request_body = IdentityKey,
    responses((status = 200, body = KeyRegistered)),
    extensions(("x-codes" = json!([Code::Conflict, Code::KeyRevoked]))),
)]
async fn identity_key(
    State(app): State<App>,
    signed: Signed,
) -> Result<Json<KeyRegistered>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let public_key = fields.text("public_key", 128);
    fields.finish()?;
    let key_id = app.service.identity_key(signed.caller, public_key).await?;
    Ok(Json(KeyRegistered { key_id }))
}

/// How long the old secret works beside the new one.
#[derive(ToSchema)]
#[schema(as = CredentialRotation)]
#[allow(dead_code, reason = "describes what is read")]
struct Rotation {
    #[schema(minimum = 0, maximum = 604_800, default = 300)]
    overlap_seconds: Option<u64>,
}

/// There is a new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialRotated)]
struct Rotated {
    /// Shown this once.
    secret: String,
    credential_id: String,
    /// Until when the old one works.
    previous_valid_until: Iso,
}

/// Makes a new secret; the old one works a while longer.
#[utoipa::path(
    post,
    path = "/v1/credentials/rotate",
    operation_id = "rotate_credentials",
    request_body = Rotation,
    responses((status = 200, body = Rotated)),
    extensions(("x-codes" = json!([Code::SecretChanged]))),
)]
async fn rotate(State(app): State<App>, signed: Signed) -> Result<Json<Rotated>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let overlap = fields.number("overlap_seconds", 0..=MAX_OVERLAP_SECONDS);
    fields.finish()?;
    let overlap_ms = overlap.unwrap_or(DEFAULT_OVERLAP_SECONDS) * 1000;
    let rotated = app.service.rotate(signed.caller, overlap_ms).await?;
    Ok(Json(Rotated {
        secret: rotated.secret.to_string(),
        credential_id: rotated.credential.to_string(),
        previous_valid_until: Iso(rotated.previous_valid_until_ms),
    }))
}
