//! Policies: made, changed, rolled back, removed, and asked about a message nobody sent.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::message::Priority;
use ekho_storage::tables::policy::{Action, Conditions, Draft, Policy};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::routes;

use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::words::{self, PRIORITIES};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::machine::policy::{self, Match, Question};

/// Values of one condition.
const VALUES_MAX: usize = 1000;
const ID_MAX_BYTES: usize = 255;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(preview))
        .routes(routes!(detail, change, delete))
        .routes(routes!(versions))
        .routes(routes!(roll_back))
}

/// Whom a policy concerns.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read")]
enum ScopeKind {
    Fleet,
    Agent,
}

/// A policy.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PolicyDraft {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    scope_kind: ScopeKind,
    /// With `agent`: only messages from or to that one.
    #[schema(min_length = 1, max_length = 255)]
    scope_id: Option<String>,
    rule: Rule,
    #[schema(default = true)]
    enabled: Option<bool>,
    /// It decides nothing; what it would have denied is recorded.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// Lower ones are looked at first.
    #[schema(minimum = 0, maximum = 1_000_000, default = 100)]
    priority: Option<u32>,
}

/// What a policy says.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Rule {
    action: RuleAction,
    conditions: Option<RuleConditions>,
}

/// What a policy does.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read")]
enum RuleAction {
    Allow,
    Deny,
}

/// A value, or a list of which one has to fit.
fn one_or_many() -> Schema {
    words::one_or_many(words::text(ID_MAX_BYTES), VALUES_MAX)
}

/// The same of priorities.
fn priorities() -> Schema {
    words::one_or_many(words::priority(), VALUES_MAX)
}

/// All that are given must hold. Other fields are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read")]
struct RuleConditions {
    #[schema(schema_with = one_or_many, required = false)]
    sender_agent_id: String,
    #[schema(schema_with = one_or_many, required = false)]
    recipient_agent_id: String,
    #[schema(schema_with = one_or_many, required = false)]
    message_type: String,
    #[schema(schema_with = priorities, required = false)]
    priority: String,
}

/// A policy as it is stored.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is answered")]
struct PolicyView {
    id: String,
    name: String,
    scope_kind: ScopeKind,
    scope_id: Option<String>,
    rule: Rule,
    enabled: bool,
    dry_run: bool,
    priority: u32,
    /// Counts the changes.
    version: u32,
    created_at: Iso,
    updated_at: Iso,
    /// Id of the operator.
    updated_by: String,
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
    let scope_id = fields.optional_text("scope_id", ID_MAX_BYTES);
    let scope_agent = match (scope, scope_id) {
        (Some(true), Some(agent_id)) => Some(agent_id),
        (Some(true), None) => {
            fields.required("scope_id");
            None
        }
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

/// All policies.
#[derive(Serialize, ToSchema)]
struct PolicyList {
    #[schema(value_type = Vec<PolicyView>)]
    policies: Vec<Value>,
    total: usize,
}

/// All policies, in the order in which they are looked at.
#[utoipa::path(
    get,
    path = "/v1/operator/policies",
    operation_id = "list_policies",
    responses((status = 200, body = PolicyList)),
)]
async fn list(State(app): State<App>, operator: SignedIn) -> Result<Json<PolicyList>, ApiError> {
    let policies = app.service.policies(operator.fleet()).await?;
    Ok(Json(PolicyList {
        policies: policies.iter().map(view).collect(),
        total: policies.len(),
    }))
}

/// One policy.
#[derive(Serialize, ToSchema)]
struct OnePolicy {
    #[schema(value_type = PolicyView)]
    policy: Value,
}

/// One policy.
#[utoipa::path(
    get,
    path = "/v1/operator/policies/{id}",
    operation_id = "get_policy",
    responses((status = 200, body = OnePolicy)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<OnePolicy>, ApiError> {
    let policy_id = policy_id.get()?;
    let policies = app.service.policies(operator.fleet()).await?;
    let found = policies.iter().find(|policy| policy.id == policy_id);
    Ok(Json(OnePolicy {
        policy: view(found.ok_or(Refusal::NotFound)?),
    }))
}

/// A policy was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PolicyMade {
    policy_id: String,
}

/// Makes a policy. When it is answered, no node accepts a message that breaks it.
#[utoipa::path(
    post,
    path = "/v1/operator/policies",
    operation_id = "create_policy",
    request_body = PolicyDraft,
    responses((status = 201, body = PolicyMade)),
    extensions(("x-codes" = json!([Code::LimitReached]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<PolicyMade>), ApiError> {
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
    Ok((StatusCode::CREATED, Json(PolicyMade { policy_id })))
}

/// Makes a policy anew, whole: what is left out has its default again.
#[utoipa::path(
    put,
    path = "/v1/operator/policies/{id}",
    operation_id = "change_policy",
    request_body = PolicyDraft,
    responses((status = 200, body = Done)),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
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

/// Removes a policy.
#[utoipa::path(
    delete,
    path = "/v1/operator/policies/{id}",
    operation_id = "delete_policy",
    responses((status = 200, body = Done)),
)]
async fn delete(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<Done>, ApiError> {
    let policy_id = policy_id.get()?;
    let request = OperatorRequest::DeletePolicy { policy_id };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// What a policy said, newest first.
#[derive(Serialize, ToSchema)]
struct Versions {
    /// The last 50.
    #[schema(value_type = Vec<PolicyView>)]
    versions: Vec<Value>,
}

/// What a policy said, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/policies/{id}/versions",
    operation_id = "list_policy_versions",
    responses((status = 200, body = Versions)),
)]
async fn versions(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
) -> Result<Json<Versions>, ApiError> {
    let fleet = operator.fleet();
    let versions = app
        .service
        .policy_versions(fleet, &policy_id.get()?)
        .await?;
    let versions = versions.iter().map(view).collect();
    Ok(Json(Versions { versions }))
}

/// Which version is to be the newest.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Rollback {
    #[schema(minimum = 1)]
    version: u32,
}

/// Makes what a version said the newest version.
#[utoipa::path(
    post,
    path = "/v1/operator/policies/{id}/rollback",
    operation_id = "roll_back_policy",
    request_body = Rollback,
    responses((status = 200, body = Done)),
)]
async fn roll_back(
    State(app): State<App>,
    operator: SignedIn,
    policy_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
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

/// A message that nobody sent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Hypothetical {
    #[schema(min_length = 1, max_length = 255)]
    sender_agent_id: String,
    #[schema(min_length = 1, max_length = 255)]
    recipient_agent_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    message_type: String,
    /// By default `normal`.
    #[schema(schema_with = words::priority, required = false)]
    priority: String,
}

/// What policies say of a message.
#[derive(Serialize, ToSchema)]
struct Preview {
    allowed: bool,
    /// Null: none matched, the message is allowed.
    #[schema(value_type = Option<PolicyView>)]
    decided_by: Option<Value>,
    /// The first that would have denied it, were it not a dry run.
    #[schema(value_type = Option<PolicyView>)]
    would_deny: Option<Value>,
    /// All of them, in the order in which they are looked at.
    policies: Vec<Step>,
}

/// What one policy says of a message.
#[derive(Serialize, ToSchema)]
struct Step {
    id: String,
    name: String,
    action: &'static str,
    matched: bool,
    why: String,
}

/// Says which policy would decide about a message, and why. Nothing is sent.
#[utoipa::path(
    post,
    path = "/v1/operator/policies/preview",
    operation_id = "preview_policies",
    request_body = Hypothetical,
    responses((status = 200, body = Preview)),
)]
async fn preview(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Preview>, ApiError> {
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
    let steps = policies
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
            Step {
                id: one.id.clone(),
                name: one.draft.name.clone(),
                action: one.draft.action.as_str(),
                matched,
                why,
            }
        })
        .collect();
    Ok(Json(Preview {
        allowed: !verdict.denied(),
        decided_by: verdict.decided_by.map(view),
        would_deny: verdict.would_deny.map(view),
        policies: steps,
    }))
}
