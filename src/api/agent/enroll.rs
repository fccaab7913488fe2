//! POST /v1/enroll, the one unsigned call of an agent.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ekho_storage::tables::agent::{A2A_CLIENT_RUNTIME, A2A_REMOTE_RUNTIME};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::operator::TrustedKeyView;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::service::agents::NewAgent;

pub fn router() -> Routes {
    Routes::default().routes(routes!(enroll))
}

/// An agent to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Enrollment {
    #[schema(min_length = 1, max_length = 255)]
    fleet_id: String,
    /// From an operator; it works once.
    #[schema(min_length = 1, max_length = 255)]
    token: String,
    #[schema(min_length = 1, max_length = 200)]
    display_name: String,
    /// What the agent runs on, such as `custom`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_.-]+$")]
    runtime: String,
    #[schema(min_length = 1, max_length = 255)]
    hostname: Option<String>,
    /// At most 64, of 128 bytes each.
    #[schema(max_items = 64)]
    capabilities: Option<Vec<String>>,
    /// Ed25519.
    #[schema(min_length = 1, max_length = 128)]
    identity_public_key: Option<String>,
}

/// An agent is admitted.
#[derive(Serialize, ToSchema)]
struct Enrolled {
    agent_id: String,
    /// Shown this once.
    secret: String,
    relay_base_url: String,
    heartbeat_interval_seconds: u64,
    poll_interval_seconds: u64,
    policy_profile: &'static str,
    /// Keys with which operators sign.
    operator_keys: Vec<TrustedKeyView>,
}

/// Admits an agent for a one-time token and tells it its secret, once.
#[utoipa::path(
    post,
    path = "/v1/enroll",
    operation_id = "enroll",
    request_body = Enrollment,
    responses((status = 200, body = Enrolled)),
    security(()),
    extensions(("x-codes" = json!([
        Code::Conflict,
        Code::InvalidToken,
        Code::KeyRevoked,
        Code::LimitReached,
        Code::SecretChanged,
    ]))),
)]
async fn enroll(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Enrolled>, ApiError> {
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
    if [A2A_CLIENT_RUNTIME, A2A_REMOTE_RUNTIME].contains(&new.runtime.as_str()) {
        fields.wrong(
            "runtime",
            "A2A clients and agents elsewhere are registered by operators",
        );
    }
    fields.finish()?;
    let enrolled = app.service.enroll(new).await?;
    Ok(Json(Enrolled {
        agent_id: enrolled.agent_id,
        secret: enrolled.secret.to_string(),
        relay_base_url: app.service.base_url.clone(),
        heartbeat_interval_seconds: enrolled.heartbeat_interval_ms / 1000,
        poll_interval_seconds: enrolled.poll_interval_ms / 1000,
        policy_profile: "default",
        operator_keys: enrolled
            .operator_keys
            .iter()
            .map(TrustedKeyView::from)
            .collect(),
    }))
}
