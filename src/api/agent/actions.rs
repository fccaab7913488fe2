//! Actions: propose, look at, report.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::approval::Risk;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::ID_MAX_BYTES;
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::openapi::shapes::Done;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::words::{self, RISKS};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::{ActionResult, Propose};
use crate::machine::outcome::{Decision, Refusal};

/// Largest payload or output, in bytes.
const PAYLOAD_MAX_BYTES: usize = 256 << 10;

const RESULTS: [(&str, ActionResult); 3] = [
    ("executed", ActionResult::Executed),
    ("cancelled", ActionResult::Cancelled),
    ("failed", ActionResult::Failed),
];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(propose))
        .routes(routes!(result))
        .routes(routes!(status))
}

fn result_word() -> Object {
    words::choice(&RESULTS)
}

fn decision() -> Object {
    words::one_of(["allow", "deny", "pending_approval"])
}

/// Describes where a proposed action stands.
fn action_status() -> Object {
    words::one_of([
        "pending",
        "approved",
        "rejected",
        "executed",
        "cancelled",
        "failed",
        "expired",
    ])
}

/// Something risky.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Proposal {
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: String,
    #[schema(min_length = 1, max_length = 200)]
    action_type: String,
    #[schema(min_length = 1, max_length = 2000)]
    summary: String,
    #[schema(schema_with = words::risk)]
    risk_level: String,
    /// Up to 256 KiB.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
}

/// What is to become of it.
#[derive(Serialize, ToSchema)]
struct ActionDecision {
    #[schema(schema_with = decision)]
    decision: &'static str,
    /// With `pending_approval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval_id: Option<String>,
}

/// Proposes something risky.
#[utoipa::path(
    post,
    path = "/v1/actions/propose",
    operation_id = "propose_action",
    request_body = Proposal,
    responses((status = 200, body = ActionDecision)),
)]
async fn propose(State(app): State<App>, signed: Signed) -> Result<Json<ActionDecision>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let uuid = id::new_uuid();
    let propose = Propose {
        uuid,
        conversation_id: fields.text("conversation_id", ID_MAX_BYTES),
        action_type: fields.text("action_type", 200),
        summary: fields.text("summary", 2000),
        risk: fields
            .choice("risk_level", &RISKS, None)
            .unwrap_or(Risk::Critical),
        payload: fields
            .object("payload", PAYLOAD_MAX_BYTES)
            .unwrap_or("{}")
            .to_string(),
    };
    fields.finish()?;
    let (decision, approval_id) = match app.service.propose_action(signed.caller, propose).await? {
        Decision::Allow => ("allow", None),
        Decision::Deny => ("deny", None),
        Decision::PendingApproval => ("pending_approval", Some(id::from_uuid("apr_", uuid))),
    };
    Ok(Json(ActionDecision {
        decision,
        approval_id,
    }))
}

/// A proposed action, or a message that waits for approval.
#[derive(Serialize, ToSchema)]
struct ActionView {
    id: String,
    #[schema(schema_with = action_status)]
    status: &'static str,
    action_type: String,
    #[schema(schema_with = words::risk)]
    risk_level: &'static str,
    summary: String,
    requested_at: Iso,
    resolved_at: Option<Iso>,
    /// The operator's.
    reason: Option<String>,
    expires_at: Option<Iso>,
}

/// Where a proposed action stands; for the agent that proposed it.
#[utoipa::path(
    get,
    path = "/v1/actions/{id}",
    operation_id = "get_action",
    responses((status = 200, body = ActionView)),
)]
async fn status(
    State(app): State<App>,
    approval_id: PathId,
    signed: Signed,
) -> Result<Json<ActionView>, ApiError> {
    let approval_id = approval_id.get()?;
    let uuid = approval_uuid(&approval_id)?;
    let approval = app.service.approval(&signed.caller, uuid).await?;
    Ok(Json(ActionView {
        id: approval_id,
        status: approval.status.as_str(),
        action_type: approval.action_type,
        risk_level: approval.risk.as_str(),
        summary: approval.summary,
        requested_at: Iso(approval.requested_ms),
        resolved_at: approval.resolved_ms.map(Iso),
        reason: approval.reason,
        expires_at: approval.expires_ms.map(Iso),
    }))
}

/// What came of an action.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Report {
    #[schema(min_length = 1, max_length = 255)]
    approval_id: String,
    #[schema(schema_with = result_word)]
    result: String,
    completed_at: Option<Iso>,
    /// Any JSON up to 256 KiB.
    #[schema(value_type = Value, required = false)]
    output: Option<Value>,
}

/// Reports what came of an action.
#[utoipa::path(
    post,
    path = "/v1/actions/result",
    operation_id = "report_action",
    request_body = Report,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::NotFound, Code::Conflict]))),
)]
async fn result(State(app): State<App>, signed: Signed) -> Result<Json<Done>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let approval_id = fields.text("approval_id", ID_MAX_BYTES);
    let result = fields
        .choice("result", &RESULTS, None)
        .unwrap_or(ActionResult::Failed);
    fields.time("completed_at");
    let output = fields.any("output", PAYLOAD_MAX_BYTES).map(str::to_string);
    fields.finish()?;
    let uuid = approval_uuid(&approval_id)?;
    app.service
        .action_result(signed.caller, uuid, result, output)
        .await?;
    Ok(Json(Done { ok: true }))
}

/// The UUID behind an approval id. A text that cannot be one names no approval.
pub fn approval_uuid(approval_id: &str) -> Result<u128, ApiError> {
    id::to_uuid("apr_", approval_id).ok_or_else(|| Refusal::NotFound.into())
}
