//! Decisions about what agents proposed.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::SignedIn;
use crate::api::fields::Fields;
use crate::api::path::PathId;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;

/// POST /v1/operator/approvals/{id}/approve
pub async fn approve(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, headers, body, true).await
}

/// POST /v1/operator/approvals/{id}/reject
pub async fn reject(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, headers, body, false).await
}

async fn decide(
    app: App,
    operator: SignedIn,
    approval_id: String,
    headers: HeaderMap,
    body: Body,
    approve: bool,
) -> Result<Json<Value>, ApiError> {
    let body = read_body(&headers, body, app.body_limit_bytes).await?;
    let mut fields = Fields::parse(&body)?;
    let reason = fields.optional_text("reason", 1000);
    fields.finish()?;
    let approval = id::to_uuid("apr_", &approval_id).ok_or(Refusal::NotFound)?;
    let request = OperatorRequest::DecideApproval {
        approval,
        approve,
        reason,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(Json(json!({ "ok": true })))
}
