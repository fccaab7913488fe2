//! A new secret for an agent whose own is lost, in wrong hands, or known by its hash only.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};

pub fn router() -> Routes {
    Routes::default().routes(routes!(issue))
}

/// An agent's new secret.
#[derive(Serialize, ToSchema)]
struct IssuedSecret {
    agent_id: String,
    /// Shown this once.
    secret: String,
    /// Its number; the first one is 1.
    credential: u32,
}

/// Gives an agent a new secret. All others of it stop working at once.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/secret",
    operation_id = "issue_agent_secret",
    responses((status = 200, body = IssuedSecret)),
    extensions(("x-codes" = json!([Code::SecretChanged]))),
)]
async fn issue(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<IssuedSecret>, ApiError> {
    let agent_id = agent_id.get()?;
    let (secret, credential) = app
        .service
        .issue_secret(&operator.caller, agent_id.clone())
        .await?;
    Ok(Json(IssuedSecret {
        agent_id,
        secret: secret.to_string(),
        credential,
    }))
}
