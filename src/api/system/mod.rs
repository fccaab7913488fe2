//! What the relay says about itself: who it is, whether it lives, whether it can serve, what it
//! measures. Open to anyone who reaches the port.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::code::Code;
use super::openapi::Routes;
use super::{ApiError, App};

/// Routes of the system pages.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(root))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}

/// What this relay is.
#[derive(Serialize, ToSchema)]
struct Root {
    /// Always `ekho-relay`.
    service: &'static str,
    version: &'static str,
    /// The licence's: `oss` or `pro`.
    tier: &'static str,
    /// Whether nobody has set the relay up yet.
    setup_required: bool,
    /// Where to read on.
    docs: &'static str,
}

/// What this relay is.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "root",
    responses((status = 200, body = Root)),
    extensions(("x-codes" = json!([Code::Internal]))),
)]
async fn root(State(app): State<App>) -> Result<Json<Root>, ApiError> {
    Ok(Json(Root {
        service: "ekho-relay",
        version: env!("CARGO_PKG_VERSION"),
        tier: app.service.license_standing()?.tier.as_str(),
        setup_required: !app.service.is_set_up()?,
        docs: "/docs/",
    }))
}

/// Alive.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Always true.
    ok: bool,
}

/// Whether the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    responses((status = 200, body = Alive)),
)]
async fn healthz() -> Json<Alive> {
    Json(Alive { ok: true })
}

/// Whether this node can serve.
#[derive(Serialize, ToSchema)]
struct Readiness {
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
}

/// Whether this node can serve.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It cannot, and why.", body = Readiness),
    ),
)]
async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let (status, ready, reason) = match app.service.readiness() {
        Ok(()) => (StatusCode::OK, true, None),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, false, Some(reason)),
    };
    (status, Json(Readiness { ready, reason }))
}

/// Measurements, in Prometheus' text form.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")),
    extensions(("x-codes" = json!([Code::Internal]))),
)]
async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let text = app.service.metrics_page().await?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    ))
}
