//! The operator API: sign-in, enrolment tokens, agents, approvals, settings.

mod agents;
mod approvals;
mod session;
mod settings;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::routing::{get, post};
use ekho_storage::tables::operator::Session;

use super::{ApiError, App};
use crate::service::ServiceError;

/// Routes of the operator API.
pub fn router() -> Router<App> {
    Router::new()
        .route("/v1/operator/login", post(session::login))
        .route("/v1/operator/logout", post(session::logout))
        .route(
            "/v1/operator/enrollment-tokens",
            post(session::create_enrollment_token),
        )
        .route("/v1/operator/agents", get(agents::list))
        .route("/v1/operator/agents/{id}", get(agents::detail))
        .route("/v1/operator/agents/{id}/pause", post(agents::pause))
        .route("/v1/operator/agents/{id}/resume", post(agents::resume))
        .route(
            "/v1/operator/agents/{id}/quarantine",
            post(agents::quarantine),
        )
        .route("/v1/operator/agents/{id}/revoke", post(agents::revoke))
        .route(
            "/v1/operator/approvals/{id}/approve",
            post(approvals::approve),
        )
        .route(
            "/v1/operator/approvals/{id}/reject",
            post(approvals::reject),
        )
        .route(
            "/v1/operator/settings",
            get(settings::show).put(settings::change),
        )
}

/// A signed-in operator.
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Its bearer token.
    pub token: String,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.len() <= 255)
            .map(|(_, token)| token.trim().to_string())
            .ok_or(ServiceError::NotSignedIn)?;
        let session = app.service.session(&token).await?;
        Ok(SignedIn { session, token })
    }
}
