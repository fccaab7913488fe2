//! Heartbeats, identity keys, and the rotation of secrets.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::api::fields::Fields;
use crate::api::signed::Signed;
use crate::api::{ApiError, App};
use crate::clock::Iso;

/// POST /v1/heartbeats
pub async fn heartbeat(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
    const STATUSES: [(&str, &str); 4] = [
        ("healthy", "healthy"),
        ("degraded", "degraded"),
        ("busy", "busy"),
        ("idle", "idle"),
    ];
    let mut fields = Fields::parse(&signed.body)?;
    let status = fields.choice("status", &STATUSES, None).unwrap_or_default();
    fields.texts("active_conversation_ids", 1000, super::ID_MAX_BYTES);
    fields.object("metrics", 16 << 10);
    fields.finish()?;
    let interval_ms = app.service.heartbeat(&signed.caller, status.into()).await?;
    Ok(Json(
        json!({ "ok": true, "next_heartbeat_due_seconds": interval_ms / 1000 }),
    ))
}

/// POST /v1/identity-key
pub async fn identity_key(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let public_key = fields.text("public_key", 128);
    fields.finish()?;
    let key_id = app.service.identity_key(signed.caller, public_key).await?;
    Ok(Json(json!({ "key_id": key_id })))
}

/// POST /v1/credentials/rotate
pub async fn rotate(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
    const DEFAULT_OVERLAP_SECONDS: u64 = 300;
    const MAX_OVERLAP_SECONDS: u64 = 7 * 24 * 3600;
    let mut fields = Fields::parse(&signed.body)?;
    let overlap = fields.number("overlap_seconds", 0..=MAX_OVERLAP_SECONDS);
    fields.finish()?;
    let overlap_ms = overlap.unwrap_or(DEFAULT_OVERLAP_SECONDS) * 1000;
    let rotated = app.service.rotate(signed.caller, overlap_ms).await?;
    Ok(Json(json!({
        "secret": rotated.secret.as_str(),
        "credential_id": rotated.credential.to_string(),
        "previous_valid_until": Iso(rotated.previous_valid_until_ms),
    })))
}
