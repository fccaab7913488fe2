//! Public keys, for agents that check end-to-end signatures: those of other agents, and those that
//! operators sign with.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::fleet;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::openapi::Routes;
use crate::api::operator::TrustedKeyView;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::service::ServiceError;

/// Revoked keys told at once.
const REVOKED_MAX: usize = 1000;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(of_agent))
        .routes(routes!(of_operators))
}

/// A key that an agent signs with.
#[derive(Serialize, ToSchema)]
struct IdentityKeyView {
    key_id: String,
    /// As the agent registered it.
    public_key: String,
    registered_at: Iso,
    /// Whether it is the agent's present one.
    current: bool,
    revoked_at: Option<Iso>,
}

/// Keys of an agent.
#[derive(Serialize, ToSchema)]
struct IdentityKeys {
    agent_id: String,
    /// The newest first, at most 20.
    keys: Vec<IdentityKeyView>,
}

/// Keys that an agent of the fleet registered, the newest first; for any agent of it.
#[utoipa::path(
    get,
    path = "/v1/agents/{id}/identity-keys",
    operation_id = "list_identity_keys",
    responses((status = 200, body = IdentityKeys)),
)]
async fn of_agent(
    State(app): State<App>,
    agent_id: PathId,
    signed: Signed,
) -> Result<Json<IdentityKeys>, ApiError> {
    let agent_id = agent_id.get()?;
    let view = app.service.read(&signed.caller).await?;
    let fleet = signed.caller.agent.fleet;
    let found = app.service.agent_keys(&view, fleet, &agent_id)?;
    let keys = found
        .into_iter()
        .map(|(key, current, revoked)| IdentityKeyView {
            key_id: key.key_id,
            public_key: key.public_key,
            registered_at: Iso(key.registered_ms),
            current,
            revoked_at: revoked.map(|revoked| Iso(revoked.at_ms)),
        });
    Ok(Json(IdentityKeys {
        keys: keys.collect(),
        agent_id,
    }))
}

/// A key that is not to be used any more.
#[derive(Serialize, ToSchema)]
struct RevokedKeyView {
    key_id: String,
    revoked_at: Iso,
}

/// Keys that operators sign with.
#[derive(Serialize, ToSchema)]
struct OperatorKeys {
    fleet_id: String,
    /// The trusted ones, none before what endorses it; as at enrolment.
    operator_keys: Vec<TrustedKeyView>,
    /// Keys of operators and agents that were revoked, up to 1,000.
    revoked: Vec<RevokedKeyView>,
}

/// Keys that operators of the fleet sign with, and those that were revoked.
#[utoipa::path(
    get,
    path = "/v1/operator-keys",
    operation_id = "list_operator_keys",
    responses((status = 200, body = OperatorKeys)),
)]
async fn of_operators(
    State(app): State<App>,
    signed: Signed,
) -> Result<Json<OperatorKeys>, ApiError> {
    let view = app.service.read(&signed.caller).await?;
    let no = signed.caller.agent.fleet;
    let fleet = fleet::get(&view, no).map_err(ServiceError::from)?;
    let trusted = app.service.trusted_keys(&view, no)?;
    let (revoked, _) = app.service.revoked_keys(&view, no, "", REVOKED_MAX)?;
    let revoked = revoked.into_iter().map(|shown| RevokedKeyView {
        revoked_at: Iso(shown.key.at_ms),
        key_id: shown.key.key_id,
    });
    Ok(Json(OperatorKeys {
        fleet_id: fleet.map(|fleet| fleet.id).unwrap_or_default(),
        operator_keys: trusted.iter().map(TrustedKeyView::from).collect(),
        revoked: revoked.collect(),
    }))
}
