//! POST /v1/enroll, the one unsigned call of an agent.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::api::fields::Fields;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::service::agents::NewAgent;

/// Admits an agent for a one-time token and tells it its secret, once.
pub async fn enroll(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let body = read_body(&headers, body, app.body_limit_bytes).await?;
    let mut fields = Fields::parse(&body)?;
    let new = NewAgent {
        fleet_id: fields.text("fleet_id", 255),
        token: fields.text("token", 255),
        display_name: fields.text("display_name", 200),
        runtime: fields.text("runtime", 64),
        hostname: fields.optional_text("hostname", 255),
        capabilities: fields.texts("capabilities", 64, 128),
        identity_public_key: fields.optional_text("identity_public_key", 128),
    };
    let slug = |text: &str| {
        text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
        })
    };
    if !slug(&new.runtime) {
        fields.wrong("runtime", "lower-case letters, digits, - _ and . only");
    }
    fields.finish()?;
    let enrolled = app.service.enroll(new).await?;
    Ok(Json(json!({
        "agent_id": enrolled.agent_id,
        "secret": enrolled.secret.as_str(),
        "relay_base_url": app.service.base_url,
        "heartbeat_interval_seconds": enrolled.heartbeat_interval_ms / 1000,
        "poll_interval_seconds": enrolled.poll_interval_ms / 1000,
        "policy_profile": "default",
        "operator_keys": [],
    })))
}
