//! What the relay says about itself: who it is, whether it lives, whether it can serve, what it
//! measures. Open to anyone who reaches the port.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{ApiError, App};

/// Routes of the system pages.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

async fn root(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({
        "service": "ekho-relay",
        "version": env!("CARGO_PKG_VERSION"),
        "tier": "oss",
        "setup_required": !app.service.is_set_up()?,
        "docs": "docs/agent-api.md",
    })))
}

async fn healthz() -> Json<Value> {
    Json(json!({ "ok": true }))
}

async fn readyz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    match app.service.readiness() {
        Ok(()) => (StatusCode::OK, Json(json!({ "ready": true }))),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "ready": false, "reason": reason })),
        ),
    }
}

async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let service = &app.service;
    let text = service
        .metrics
        .render(&service.state_counts()?, &service.node_gauges()?);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    ))
}
