//! Policies as a file: YAML, or JSON, which is YAML too.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::policy::{Draft, POLICIES_MAX};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::draft::{self, ID_MAX_BYTES, PolicyDraft};
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::operator::list::ListQuery;
use crate::api::operator::{Given, SignedIn};
use crate::api::{ApiError, App};
use crate::machine::policy::shown;

/// Policies in a file.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PolicyFile {
    #[schema(max_items = 1000)]
    policies: Vec<PolicyEntry>,
}

/// A policy in a file.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PolicyEntry {
    /// Without it, the only policy of this name, or a new one.
    #[schema(min_length = 1, max_length = 255)]
    id: Option<String>,
    #[schema(inline)]
    #[serde(flatten)]
    policy: PolicyDraft,
}

/// What a file is to do.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct ImportParams {
    /// Remove all policies that are not in the file.
    #[param(default = false)]
    delete_others: Option<bool>,
    /// Only say what would be done.
    #[param(default = false)]
    dry_run: Option<bool>,
}

/// What a file did.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportDone {
    ok: bool,
    dry_run: bool,
    created: u32,
    updated: u32,
    unchanged: u32,
    deleted: u32,
}

/// All policies as a file, in the order in which they are looked at.
#[utoipa::path(
    get,
    path = "/v1/operator/policies/export",
    operation_id = "export_policies",
    responses((status = 200, body = PolicyFile, content_type = "application/yaml")),
)]
pub(super) async fn export(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Response, ApiError> {
    let rules = app.service.policies(operator.fleet()).await?;
    let policies: Vec<Value> = rules
        .iter()
        .map(|rule| match shown(&rule.policy) {
            Value::Object(fields) => Value::Object(without_version(fields)),
            other => other,
        })
        .collect();
    let text = serde_saphyr::to_string(&json!({ "policies": policies }))
        .map_err(|error| crate::service::ServiceError::Internal(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"policies.yaml\"",
        ),
    ];
    Ok((headers, text).into_response())
}

/// A version belongs to the relay that counts it, not to a file.
fn without_version(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.remove("version");
    fields.retain(|_, value| !value.is_null());
    fields
}

/// Makes the policies of a file hold, all of them or nothing: YAML, or JSON.
#[utoipa::path(
    post,
    path = "/v1/operator/policies/import",
    operation_id = "import_policies",
    params(ImportParams),
    request_body = PolicyFile,
    responses((status = 200, body = ImportDone)),
    extensions(("x-codes" = json!([Code::LimitReached]))),
)]
pub(super) async fn import(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
    given: Given,
) -> Result<Json<ImportDone>, ApiError> {
    let delete_others = query.flag("delete_others")?;
    let dry_run = query.flag("dry_run")?;
    let json = to_json(given.bytes())?;
    let mut fields = Fields::parse(&json)?;
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    let policies: Vec<(Option<String>, Draft)> =
        fields.list_or_empty("policies", POLICIES_MAX, |policy, _| {
            let id = policy.optional_text("id", ID_MAX_BYTES);
            let draft = draft::read(policy);
            if id.as_ref().is_some_and(|id| !ids.insert(id.clone())) {
                policy.wrong("id", "named twice in this file");
            }
            if id.is_none() && !names.insert(draft.name.clone()) {
                policy.wrong(
                    "name",
                    "named twice in this file; give ids to tell them apart",
                );
            }
            (id, draft)
        });
    fields.finish()?;
    let done = app
        .service
        .import_policies(&operator.caller, policies, delete_others, dry_run)
        .await?;
    Ok(Json(ImportDone {
        ok: true,
        dry_run,
        created: done.created,
        updated: done.updated,
        unchanged: done.unchanged,
        deleted: done.deleted,
    }))
}

fn to_json(bytes: &[u8]) -> Result<Vec<u8>, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::form("not UTF-8"))?;
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|error| Invalid::form(format!("invalid YAML: {error}")))?;
    serde_json::to_vec(&value).map_err(|error| Invalid::form(error.to_string()))
}
