//! Policies: made, changed, rolled back, removed, kept in files, and asked about a message nobody
//! sent.

mod draft;
mod file;
mod preview;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::policy::Policy;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::command::OperatorRequest;
use crate::machine::policy;
pub use draft::{PolicyDraft, read as read_draft};
use draft::{Rule, ScopeKind};

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(preview::preview))
        .routes(routes!(file::export))
        .routes(routes!(file::import))
        .routes(routes!(detail, change, delete))
        .routes(routes!(versions))
        .routes(routes!(roll_back))
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

/// Which policies.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Part of the name, in any case of letters.
    search: Option<String>,
}

/// Policies.
#[derive(Serialize, ToSchema)]
struct PolicyList {
    #[schema(value_type = Vec<PolicyView>)]
    policies: Vec<Value>,
    total: usize,
    #[serde(flatten)]
    paging: Paging,
}

/// Policies, in the order in which they are looked at.
#[utoipa::path(
    get,
    path = "/v1/operator/policies",
    operation_id = "list_policies",
    params(ListParams, Filters),
    responses((status = 200, body = PolicyList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<PolicyList>, ApiError> {
    let search = query.text("search").map(str::to_lowercase);
    let rules = app.service.policies(operator.fleet()).await?;
    let has = |policy: &Policy| {
        let name = policy.draft.name.to_lowercase();
        search.as_ref().is_none_or(|text| name.contains(text))
    };
    let policies = rules.iter().map(|rule| &rule.policy);
    let policies: Vec<&Policy> = policies.filter(|policy| has(policy)).collect();
    let (page, paging) = query.page_of(&policies, |one| &one.id)?;
    Ok(Json(PolicyList {
        policies: page.iter().map(|one| view(one)).collect(),
        total: policies.len(),
        paging,
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
    let found = app.service.policy(operator.fleet(), &policy_id).await?;
    Ok(Json(OnePolicy {
        policy: view(&found),
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
    let draft = draft::read(&mut fields);
    fields.finish()?;
    let policy_id = crate::id::new_id("pol_");
    let request = OperatorRequest::PutPolicy {
        policy_id: policy_id.clone(),
        draft: Box::new(draft),
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
    let draft = draft::read(&mut fields);
    fields.finish()?;
    let request = OperatorRequest::PutPolicy {
        policy_id,
        draft: Box::new(draft),
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
