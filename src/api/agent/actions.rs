//! Actions: propose, look at, report.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::approval::Risk;
use serde_json::{Value, json};

use super::ID_MAX_BYTES;
use crate::api::fields::Fields;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::words::RISKS;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::{ActionResult, Propose};
use crate::machine::outcome::{Decision, Refusal};

/// Largest payload or output, in bytes.
const PAYLOAD_MAX_BYTES: usize = 256 << 10;

/// POST /v1/actions/propose
pub async fn propose(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
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
    let answer = match app.service.propose_action(signed.caller, propose).await? {
        Decision::Allow => json!({ "decision": "allow" }),
        Decision::Deny => json!({ "decision": "deny" }),
        Decision::PendingApproval => {
            json!({ "decision": "pending_approval", "approval_id": id::from_uuid("apr_", uuid) })
        }
    };
    Ok(Json(answer))
}

/// GET /v1/actions/{id}
pub async fn status(
    State(app): State<App>,
    approval_id: PathId,
    signed: Signed,
) -> Result<Json<Value>, ApiError> {
    let approval_id = approval_id.get()?;
    let uuid = approval_uuid(&approval_id)?;
    let approval = app.service.approval(&signed.caller, uuid).await?;
    Ok(Json(json!({
        "id": approval_id,
        "status": approval.status.as_str(),
        "action_type": approval.action_type,
        "risk_level": approval.risk.as_str(),
        "summary": approval.summary,
        "requested_at": Iso(approval.requested_ms),
        "resolved_at": approval.resolved_ms.map(Iso),
        "reason": approval.reason,
        "expires_at": approval.expires_ms.map(Iso),
    })))
}

/// POST /v1/actions/result
pub async fn result(State(app): State<App>, signed: Signed) -> Result<Json<Value>, ApiError> {
    const RESULTS: [(&str, ActionResult); 3] = [
        ("executed", ActionResult::Executed),
        ("cancelled", ActionResult::Cancelled),
        ("failed", ActionResult::Failed),
    ];
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
    Ok(Json(json!({ "ok": true })))
}

/// The UUID behind an approval id. A text that cannot be one names no approval.
pub fn approval_uuid(approval_id: &str) -> Result<u128, ApiError> {
    id::to_uuid("apr_", approval_id).ok_or_else(|| Refusal::NotFound.into())
}
