//! What agents proposed, and the decisions about it.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use ekho_storage::tables::approval::Approval;
use serde_json::{Value, json};

use super::list::ListQuery;
use super::{Given, SignedIn};
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Outcome, Refusal};
use crate::service::ServiceError;
use crate::service::approvals::Asked;

fn view(asked: &Asked) -> Value {
    let approval = &asked.approval;
    json!({
        "id": id::from_uuid("apr_", approval.uuid),
        "agent_id": asked.agent_id,
        "conversation_id": approval.conversation_id,
        "action_type": approval.action_type,
        "summary": approval.summary,
        "risk_level": approval.risk.as_str(),
        "payload": serde_json::from_str::<Value>(&approval.payload).unwrap_or_default(),
        "status": approval.status.as_str(),
        "message_id": approval.message.map(|uuid| id::from_uuid("msg_", uuid)),
        "requested_at": Iso(approval.requested_ms),
        "resolved_at": approval.resolved_ms.map(Iso),
        "resolved_by": approval.resolved_by,
        "reason": approval.reason,
        "expires_at": approval.expires_ms.map(Iso),
        "first_approved_by": approval.first_yes,
        "output": approval
            .output
            .as_deref()
            .and_then(|output| serde_json::from_str::<Value>(output).ok()),
    })
}

/// GET /v1/operator/approvals: newest first.
pub async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    const STATUS: [&str; 7] = [
        "pending",
        "approved",
        "rejected",
        "executed",
        "cancelled",
        "failed",
        "expired",
    ];
    const RISK: [&str; 4] = ["low", "medium", "high", "critical"];
    let query = ListQuery::read(query)?;
    let before = query.cursor(|text| id::to_uuid("apr_", text))?;
    let (status, risk) = (
        query.choice("status", &STATUS)?,
        query.choice("risk", &RISK)?,
    );
    let search = query.text("search").map(str::to_lowercase);
    let wanted = |approval: &Approval| {
        status.is_none_or(|status| approval.status.as_str() == status)
            && risk.is_none_or(|risk| approval.risk.as_str() == risk)
            && search.as_ref().is_none_or(|text| {
                approval.summary.to_lowercase().contains(text)
                    || approval.action_type.to_lowercase().contains(text)
            })
    };
    let (wants, skip) = (query.skip() + query.limit, query.skip());
    let before = before.unwrap_or(u128::MAX);
    let page = app
        .service
        .approvals(operator.fleet(), before, wants, wanted)
        .await?;
    let next_cursor = page.next.map(|uuid| id::from_uuid("apr_", uuid));
    let views = page.rows.iter().skip(skip).map(view).collect();
    Ok(Json(query.answer("approvals", views, next_cursor)))
}

/// GET /v1/operator/approvals/{id}
pub async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let approval = id::to_uuid("apr_", &approval_id.get()?).ok_or(Refusal::NotFound)?;
    let asked = app
        .service
        .asked_approval(operator.fleet(), approval)
        .await?;
    Ok(Json(json!({ "approval": view(&asked) })))
}

/// POST /v1/operator/approvals/{id}/approve
pub async fn approve(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, given, true).await
}

/// POST /v1/operator/approvals/{id}/reject
pub async fn reject(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, given, false).await
}

async fn decide(
    app: App,
    operator: SignedIn,
    approval_id: String,
    given: Given,
    approve: bool,
) -> Result<Json<Value>, ApiError> {
    let mut fields = given.fields()?;
    let reason = fields.optional_text("reason", 1000);
    fields.finish()?;
    let approval = id::to_uuid("apr_", &approval_id).ok_or(Refusal::NotFound)?;
    let request = OperatorRequest::DecideApproval {
        approval,
        approve,
        reason,
    };
    match app.service.order(&operator.caller, request).await? {
        Outcome::Decided(status) => Ok(Json(json!({ "ok": true, "status": status.as_str() }))),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}
