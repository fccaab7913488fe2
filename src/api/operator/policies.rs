//! Policies: made, changed, rolled back, removed, and asked about a message nobody sent.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use ekho_storage::tables::message::Priority;
use ekho_storage::tables::policy::{Action, Conditions, Draft, Policy};
use serde_json::{Value, json};

use super::{Given, SignedIn, done};
use crate::api::fields::Fields;
use crate::api::path::PathId;
use crate::api::words::PRIORITIES;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::machine::policy::{self, Match, Question};

/// Values of one condition.
const VALUES_MAX: usize = 1000;
const ID_MAX_BYTES: usize = 255;

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/policies", get(list).post(create))
        .route("/v1/operator/policies/preview", post(preview))
        .route(
            "/v1/operator/policies/{id}",
            get(detail).put(change).delete(delete),
        )
        .route("/v1/operator/policies/{id}/versions", get(versions))
        .route("/v1/operator/policies/{id}/rollback", post(roll_back))
}

fn view(policy: &Policy) -> Value {
    let mut view = policy::shown(policy);
    view["created_at"] = json!(Iso(policy.created_ms));
    view["updated_at"] = json!(Iso(policy.updated_ms));
    view["updated_by"] = json!(policy.updated_by);
    view
}

/// Reads a policy; what is left out of a change has its default again.
fn read_draft(fields: &mut Fields<'_>) -> Draft {
    let name = fields.text("name", 200);
    let scope = fields.choice("scope_kind", &[("fleet", false), ("agent", true)], None);
    let scope_agent = match scope {
        Some(true) => Some(fields.text("scope_id", ID_MAX_BYTES)),
        _ => None,
    };
    let rule = fields.nested_object("rule", |rule| {
        let actions = [("allow", Action::Allow), ("deny", Action::Deny)];
        let action = rule.choice("action", &actions, None);
        let conditions = match rule.has("conditions") {
            true => rule.nested_object("conditions", read_conditions),
            false => None,
        };
        (action, conditions.unwrap_or_default())
    });
    let (action, conditions) = rule.unwrap_or((None, Conditions::default()));
    Draft {
        name,
        scope_agent,
        action: action.unwrap_or(Action::Deny),
        conditions,
        enabled: fields.boolean("enabled", true),
        dry_run: fields.boolean("dry_run", false),
        priority: fields.number("priority", 0..=1_000_000).unwrap_or(100) as u32,
    }
}

fn read_conditions(fields: &mut Fields<'_>) -> Conditions {
    const KNOWN: [&str; 4] = [
        "sender_agent_id",
        "recipient_agent_id",
        "message_type",
        "priority",
    ];
    // A condition that is not understood must not be passed over: the policy would match more.
    for name in fields.names() {
        if !KNOWN.contains(&name.as_str()) {
            fields.wrong(
                &name,
                format!("no such condition; one of {}", KNOWN.join(", ")),
            );
        }
    }
    let mut values = |name: &str| match fields.has(name) {
        true => Some(fields.text_or_texts(name, VALUES_MAX, ID_MAX_BYTES)),
        false => None,
    };
    let mut conditions = Conditions {
        sender_agent_id: values("sender_agent_id"),
        recipient_agent_id: values("recipient_agent_id"),
        message_type: values("message_type"),
        priority: None,
    };
    if let Some(names) = values("priority") {
        let mut priorities = Vec::new();
        for name in names {
            match PRIORITIES.iter().find(|(known, _)| *known == name) {
                Some((_, priority)) => priorities.push(*priority),
                None => fields.wrong("priority", "one of low, normal, high, urgent"),
            }
        }
        conditions.priority = Some(priorities);
    }
    conditions
}

/// GET /v1/operator/policies: in the order in which they are looked at.
pub async fn list(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let policies = app.service.policies(operator.fleet()).await?;
    let views: Vec<Value> = policies.iter().map(view).collect();
    Ok(Json(json!({ "policies": views, "total": views.len() })))
}

/// GET /v1/operator/policies/{id}
pub async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let policy_id = policy_id.get()?;
    let policies = app.service.policies(operator.fleet()).await?;
    let found = policies.iter().find(|policy| policy.id == policy_id);
    Ok(Json(
        json!({ "policy": view(found.ok_or(Refusal::NotFound)?) }),
    ))
}

/// POST /v1/operator/policies
pub async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = given.fields()?;
    let draft = read_draft(&mut fields);
    fields.finish()?;
    let policy_id = crate::id::new_id("pol_");
    let request = OperatorRequest::PutPolicy {
        policy_id: policy_id.clone(),
        draft,
        is_new: true,
    };
    app.service.order(&operator.caller, request).await?;
    Ok((StatusCode::CREATED, Json(json!({ "policyId": policy_id }))))
}

/// PUT /v1/operator/policies/{id}
pub async fn change(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let policy_id = policy_id.get()?;
    let mut fields = given.fields()?;
    let draft = read_draft(&mut fields);
    fields.finish()?;
    let request = OperatorRequest::PutPolicy {
        policy_id,
        draft,
        is_new: false,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// DELETE /v1/operator/policies/{id}
pub async fn delete(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let policy_id = policy_id.get()?;
    let request = OperatorRequest::DeletePolicy { policy_id };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// GET /v1/operator/policies/{id}/versions: newest first.
pub async fn versions(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let fleet = operator.fleet();
    let versions = app
        .service
        .policy_versions(fleet, &policy_id.get()?)
        .await?;
    let views: Vec<Value> = versions.iter().map(view).collect();
    Ok(Json(json!({ "versions": views })))
}

/// POST /v1/operator/policies/{id}/rollback
pub async fn roll_back(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let policy_id = policy_id.get()?;
    let mut fields = given.fields()?;
    let version = fields.number("version", 1..=u64::from(u32::MAX));
    if version.is_none() {
        fields.required("version");
    }
    fields.finish()?;
    let request = OperatorRequest::RollBackPolicy {
        policy_id,
        version: version.unwrap_or_default() as u32,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// POST /v1/operator/policies/preview: which policy would decide about a message, and why.
pub async fn preview(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let mut fields = given.fields()?;
    let sender = fields.text("sender_agent_id", ID_MAX_BYTES);
    let recipient = fields.optional_text("recipient_agent_id", ID_MAX_BYTES);
    let message_type = fields.text("message_type", ID_MAX_BYTES);
    let priority = fields.choice("priority", &PRIORITIES, Some(Priority::Normal));
    fields.finish()?;
    let asked = Question {
        sender: &sender,
        recipient: recipient.as_deref(),
        message_type: &message_type,
        priority: priority.unwrap_or(Priority::Normal),
    };
    let policies = app.service.policies(operator.fleet()).await?;
    let verdict = policy::judge(&policies, &asked);
    let steps: Vec<Value> = policies
        .iter()
        .map(|one| {
            let (matched, why) = match policy::matches(one, &asked) {
                Match::Yes if one.draft.dry_run => {
                    (true, "matches; a dry run decides nothing".into())
                }
                Match::Yes => (true, "matches".to_string()),
                Match::Disabled => (false, "is switched off".into()),
                Match::Scope => (false, "concerns another agent".into()),
                Match::Condition(field) => {
                    (false, format!("the condition on {field} does not hold"))
                }
            };
            json!({
                "id": one.id,
                "name": one.draft.name,
                "action": one.draft.action.as_str(),
                "matched": matched,
                "why": why,
            })
        })
        .collect();
    Ok(Json(json!({
        "allowed": !verdict.denied(),
        "decided_by": verdict.decided_by.map(view),
        "would_deny": verdict.would_deny.map(view),
        "policies": steps,
    })))
}
