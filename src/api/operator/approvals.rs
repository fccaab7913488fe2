//! What agents proposed, and the decisions about it.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::approval::Approval;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App, words};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Outcome, Refusal};
use crate::service::ServiceError;
use crate::service::approvals::Asked;

const STATUS: [&str; 7] = [
    "pending",
    "approved",
    "rejected",
    "executed",
    "cancelled",
    "failed",
    "expired",
];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(approve))
        .routes(routes!(reject))
}

/// Describes the status of an approval.
pub fn approval_status() -> Object {
    words::one_of(STATUS)
}

/// Something that an agent proposed, or a message that waits.
#[derive(Serialize, ToSchema)]
pub struct ApprovalView {
    id: String,
    agent_id: String,
    conversation_id: String,
    action_type: String,
    summary: String,
    #[schema(schema_with = words::risk)]
    risk_level: &'static str,
    #[schema(value_type = Object)]
    payload: Value,
    #[schema(schema_with = approval_status)]
    status: &'static str,
    /// The message that waits; null where it is an action.
    message_id: Option<String>,
    requested_at: Iso,
    resolved_at: Option<Iso>,
    resolved_by: Option<String>,
    reason: Option<String>,
    expires_at: Option<Iso>,
    /// Who said yes first, where two have to.
    first_approved_by: Option<String>,
    /// What the agent reported.
    #[schema(value_type = Value)]
    output: Option<Value>,
}

fn view(asked: &Asked) -> ApprovalView {
    let approval = &asked.approval;
    let output = approval.output.as_deref();
    ApprovalView {
        id: id::from_uuid("apr_", approval.uuid),
        agent_id: asked.agent_id.clone(),
        conversation_id: approval.conversation_id.clone(),
        action_type: approval.action_type.clone(),
        summary: approval.summary.clone(),
        risk_level: approval.risk.as_str(),
        payload: serde_json::from_str(&approval.payload).unwrap_or_default(),
        status: approval.status.as_str(),
        message_id: approval.message.map(|uuid| id::from_uuid("msg_", uuid)),
        requested_at: Iso(approval.requested_ms),
        resolved_at: approval.resolved_ms.map(Iso),
        resolved_by: approval.resolved_by.clone(),
        reason: approval.reason.clone(),
        expires_at: approval.expires_ms.map(Iso),
        first_approved_by: approval.first_yes.clone(),
        output: output.and_then(|output| serde_json::from_str(output).ok()),
    }
}

/// Which approvals.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    #[param(schema_with = approval_status, required = false)]
    status: String,
    #[param(schema_with = words::risk, required = false)]
    risk: String,
    /// Part of the summary or of the kind of action, in any case of letters.
    search: Option<String>,
}

/// Approvals.
#[derive(Serialize, ToSchema)]
struct ApprovalList {
    approvals: Vec<ApprovalView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Approvals, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/approvals",
    operation_id = "list_approvals",
    params(ListParams, Filters),
    responses((status = 200, body = ApprovalList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<ApprovalList>, ApiError> {
    const RISK: [&str; 4] = ["low", "medium", "high", "critical"];
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
    Ok(Json(ApprovalList {
        approvals: views,
        paging: query.paging(next_cursor),
    }))
}

/// One approval.
#[derive(Serialize, ToSchema)]
struct OneApproval {
    approval: ApprovalView,
}

/// One approval.
#[utoipa::path(
    get,
    path = "/v1/operator/approvals/{id}",
    operation_id = "get_approval",
    responses((status = 200, body = OneApproval)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
) -> Result<Json<OneApproval>, ApiError> {
    let approval = id::to_uuid("apr_", &approval_id.get()?).ok_or(Refusal::NotFound)?;
    let asked = app
        .service
        .asked_approval(operator.fleet(), approval)
        .await?;
    Ok(Json(OneApproval {
        approval: view(&asked),
    }))
}

/// A decision.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct ApprovalDecision {
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
}

/// It was decided, or half decided.
#[derive(Serialize, ToSchema)]
struct Decided {
    /// Always true.
    ok: bool,
    /// `pending` where a second operator has to agree.
    #[schema(schema_with = approval_status)]
    status: &'static str,
}

/// Says yes.
#[utoipa::path(
    post,
    path = "/v1/operator/approvals/{id}/approve",
    operation_id = "approve",
    request_body = ApprovalDecision,
    responses((status = 200, body = Decided)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn approve(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    given: Given,
) -> Result<Json<Decided>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, given, true).await
}

/// Says no.
#[utoipa::path(
    post,
    path = "/v1/operator/approvals/{id}/reject",
    operation_id = "reject",
    request_body = ApprovalDecision,
    responses((status = 200, body = Decided)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn reject(
    State(app): State<App>,
    operator: SignedIn,
    approval_id: PathId,
    given: Given,
) -> Result<Json<Decided>, ApiError> {
    let approval_id = approval_id.get()?;
    decide(app, operator, approval_id, given, false).await
}

async fn decide(
    app: App,
    operator: SignedIn,
    approval_id: String,
    given: Given,
    approve: bool,
) -> Result<Json<Decided>, ApiError> {
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
        Outcome::Decided(status) => Ok(Json(Decided {
            ok: true,
            status: status.as_str(),
        })),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}
