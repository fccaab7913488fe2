//! The operator API: sign-in, operators, enrolment tokens, agents, approvals, settings.

mod activity;
mod agents;
mod approvals;
mod audit;
mod conversations;
mod dead_letters;
mod events;
mod list;
mod messages;
mod operators;
mod policies;
mod session;
mod settings;
mod signed_in;
mod stream;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::App;

use signed_in::{Given, SignedIn, done};

/// Routes of the operator API.
pub fn router() -> Router<App> {
    Router::new()
        .route("/v1/operator/login", post(session::login))
        .route("/v1/operator/logout", post(session::logout))
        .route("/v1/operator/me", get(session::me))
        .route("/v1/operator/password", post(session::change_password))
        .route(
            "/v1/operator/sessions",
            get(session::list).delete(session::end_others),
        )
        .route("/v1/operator/sessions/{id}", delete(session::end))
        .route("/v1/operator/tokens", post(session::create_api_token))
        .route("/v1/operator/audit", get(audit::head))
        .route("/v1/operator/audit/export", get(audit::export))
        .route(
            "/v1/operator/operators",
            get(operators::list).post(operators::create),
        )
        .route(
            "/v1/operator/operators/{id}",
            put(operators::change).delete(operators::delete),
        )
        .route(
            "/v1/operator/operators/{id}/sessions",
            get(operators::sessions),
        )
        .route(
            "/v1/operator/operators/{id}/sessions/{session}",
            delete(operators::end_session),
        )
        .route(
            "/v1/operator/enrollment-tokens",
            post(session::create_enrollment_token),
        )
        .route("/v1/operator/agents", get(agents::list))
        .route("/v1/operator/agents/{id}", get(agents::detail))
        .route(
            "/v1/operator/agents/{id}/rate-limits",
            get(agents::rate_limits),
        )
        .route("/v1/operator/agents/{id}/pause", post(agents::pause))
        .route("/v1/operator/agents/{id}/resume", post(agents::resume))
        .route(
            "/v1/operator/agents/{id}/quarantine",
            post(agents::quarantine),
        )
        .route("/v1/operator/agents/{id}/revoke", post(agents::revoke))
        .route("/v1/operator/approvals", get(approvals::list))
        .route("/v1/operator/approvals/{id}", get(approvals::detail))
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
        .merge(policies::router())
        .merge(dead_letters::router())
        .merge(events::router())
        .merge(messages::router())
        .merge(conversations::router())
        .merge(activity::router())
        .route("/v1/operator/stream", get(stream::stream))
}
