//! What agents proposed, and the decisions about it.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::approval::{ApprovalStatus, Order, Risk};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging, direction};
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
use crate::service::approvals::{Asked, Wanted};

/// What a list can be sorted by.
const ORDERS: [&str; 3] = ["requested_at", "risk_level", "summary"];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(approve))
        .routes(routes!(reject))
}

/// Describes the status of an approval.
pub fn approval_status() -> Object {
    words::one_of(ApprovalStatus::ALL.map(ApprovalStatus::as_str))
}

fn order() -> Object {
    words::one_of(ORDERS)
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
    /// Asked then or later.
    #[param(rename = "dateFrom", format = DateTime)]
    date_from: Option<String>,
    /// Asked then or earlier.
    #[param(rename = "dateTo", format = DateTime)]
    date_to: Option<String>,
    /// By default `requested_at`.
    #[param(rename = "sortBy", schema_with = order, required = false)]
    sort_by: String,
    /// By default `asc` for summaries, else `desc`.
    #[param(rename = "sortOrder", schema_with = direction, required = false)]
    sort_order: String,
}

/// Approvals.
#[derive(Serialize, ToSchema)]
struct ApprovalList {
    approvals: Vec<ApprovalView>,
    /// How many there are; with filters, of those known of.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// Approvals, newest first unless asked for in another order.
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
    let words = ApprovalStatus::ALL.map(ApprovalStatus::as_str);
    let status = query.choice("status", &words)?;
    let risk = query.choice("risk", &Risk::ALL.map(Risk::as_str))?;
    let search = query.text("search").map(str::to_lowercase);
    let order = match query.choice("sortBy", &ORDERS)? {
        Some("risk_level") => Order::Risk,
        Some("summary") => Order::Summary,
        _ => Order::Requested,
    };
    let wanted = Wanted {
        status: ApprovalStatus::ALL
            .into_iter()
            .find(|one| status == Some(one.as_str())),
        risk: Risk::ALL.into_iter().find(|one| risk == Some(one.as_str())),
        search: search.as_deref(),
        from_ms: query.time("dateFrom")?,
        to_ms: query.time("dateTo")?,
        order,
        descending: query.descending(order != Order::Summary)?,
    };
    let from = query.cursor(|text| hex::decode(text).ok())?;
    let (page, counted) = app
        .service
        .approvals(operator.fleet(), &wanted, from, query.up_to())
        .await?;
    let next = page.next.flatten().map(hex::encode);
    Ok(Json(ApprovalList {
        total: query.total(counted, page.rows.len(), &next),
        approvals: page.rows.iter().skip(query.skip()).map(view).collect(),
        paging: query.paging(next),
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
