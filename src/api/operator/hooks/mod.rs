//! Hooks: made, changed, removed, given another secret, tried out, looked at.

mod shapes;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::extension::Failure;
use crate::service::hooks::{HookStatus, default_draft};
use shapes::{
    ChangedHook, HookCreated, HookDetail, HookList, NewHook, RetryingView, Rotation, SecretRotated,
    StatusView, Tried, read, view,
};

const OVERLAP_MAX_SECONDS: u64 = 7 * 24 * 3600;
const OVERLAP_SECONDS: u64 = 24 * 3600;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(detail, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(status))
}

/// Hooks, in the order in which they are asked.
#[utoipa::path(
    get,
    path = "/v1/operator/hooks",
    operation_id = "list_hooks",
    params(ListParams),
    responses((status = 200, body = HookList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<HookList>, ApiError> {
    let after = query.cursor(|text| text.starts_with("hook_").then(|| text.to_string()))?;
    let hooks = app.service.hooks(operator.fleet()).await?;
    let total = hooks.len() as u64;
    // At most twenty of them; the cursor is the last one shown.
    let from = match after {
        Some(after) => {
            let place = hooks.iter().position(|hook| hook.id == after);
            place.map_or(hooks.len(), |place| place + 1)
        }
        None => query.skip(),
    };
    let rest = hooks.get(from..).unwrap_or_default();
    let shown = &rest[..rest.len().min(query.limit)];
    let next = shown.last().filter(|_| rest.len() > shown.len());
    Ok(Json(HookList {
        hooks: shown.iter().map(view).collect(),
        total,
        paging: query.paging(next.map(|hook| hook.id.clone())),
    }))
}

/// One hook.
#[utoipa::path(
    get,
    path = "/v1/operator/hooks/{id}",
    operation_id = "get_hook",
    responses((status = 200, body = HookDetail)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
) -> Result<Json<HookDetail>, ApiError> {
    let hook = app.service.hook(operator.fleet(), &hook_id.get()?).await?;
    Ok(Json(HookDetail { hook: view(&hook) }))
}

/// Makes a hook. When it is answered, no node accepts a message that it was not asked about.
#[utoipa::path(
    post,
    path = "/v1/operator/hooks",
    operation_id = "create_hook",
    request_body = NewHook,
    responses((status = 201, body = HookCreated)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached, Code::SecretChanged]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<HookCreated>), ApiError> {
    let mut fields = given.fields()?;
    let change = read(&mut fields, true);
    fields.finish()?;
    let draft = change.apply(default_draft());
    let (hook_id, secret) = app.service.create_hook(&operator.caller, draft).await?;
    let secret = secret.to_string();
    Ok((StatusCode::CREATED, Json(HookCreated { hook_id, secret })))
}

/// Changes a hook: the fields given, the others stay.
#[utoipa::path(
    put,
    path = "/v1/operator/hooks/{id}",
    operation_id = "change_hook",
    request_body = ChangedHook,
    responses((status = 200, body = HookDetail)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
    given: Given,
) -> Result<Json<HookDetail>, ApiError> {
    let hook_id = hook_id.get()?;
    let mut fields = given.fields()?;
    let change = read(&mut fields, false);
    fields.finish()?;
    let hook = app
        .service
        .change_hook(&operator.caller, &hook_id, change)
        .await?;
    Ok(Json(HookDetail { hook: view(&hook) }))
}

/// Removes a hook.
#[utoipa::path(
    delete,
    path = "/v1/operator/hooks/{id}",
    operation_id = "delete_hook",
    responses((status = 200, body = Done)),
)]
async fn delete(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
) -> Result<Json<Done>, ApiError> {
    let hook_id = hook_id.get()?;
    app.service.delete_hook(&operator.caller, hook_id).await?;
    Ok(done())
}

/// Replaces a hook's secret; the old one signs as well for a while.
#[utoipa::path(
    post,
    path = "/v1/operator/hooks/{id}/rotate-secret",
    operation_id = "rotate_hook_secret",
    request_body = Rotation,
    responses((status = 200, body = SecretRotated)),
    extensions(("x-codes" = json!([Code::SecretChanged]))),
)]
async fn rotate(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
    given: Given,
) -> Result<Json<SecretRotated>, ApiError> {
    let hook_id = hook_id.get()?;
    let mut fields = given.fields()?;
    let overlap_seconds = fields.number("overlap_seconds", 0..=OVERLAP_MAX_SECONDS);
    fields.finish()?;
    let overlap_ms = overlap_seconds.unwrap_or(OVERLAP_SECONDS) * 1000;
    let (secret, until_ms) = app
        .service
        .rotate_hook_secret(&operator.caller, hook_id, overlap_ms)
        .await?;
    Ok(Json(SecretRotated {
        secret: secret.to_string(),
        previous_valid_until: Iso(until_ms),
    }))
}

/// Sends a hook a signed request of type `ping`, whether it is enabled or not.
#[utoipa::path(
    post,
    path = "/v1/operator/hooks/{id}/test",
    operation_id = "test_hook",
    responses((status = 200, body = Tried)),
)]
async fn test(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
) -> Result<Json<Tried>, ApiError> {
    let hook_id = hook_id.get()?;
    let trial = app.service.try_hook(&operator.caller, &hook_id).await?;
    let status = match &trial.result {
        Ok(status) => Some(*status),
        Err(Failure::Status(status)) => Some(*status),
        Err(_) => None,
    };
    Ok(Json(Tried {
        ok: trial.result.is_ok(),
        status,
        latency_ms: trial.took.as_millis() as u64,
        error: trial.result.err().map(|error| error.to_string()),
    }))
}

/// How a hook fares, as the node that is asked sees it.
#[utoipa::path(
    get,
    path = "/v1/operator/hooks/{id}/status",
    operation_id = "get_hook_status",
    responses((status = 200, body = StatusView)),
)]
async fn status(
    State(app): State<App>,
    operator: SignedIn,
    hook_id: PathId,
) -> Result<Json<StatusView>, ApiError> {
    let hook_id = hook_id.get()?;
    let HookStatus {
        seen,
        breakers,
        behind,
    } = app.service.hook_status(operator.fleet(), &hook_id).await?;
    let (last_error, last_error_ms) = seen.last_error.unzip();
    Ok(Json(StatusView {
        calls: seen.calls,
        failures: seen.failures,
        last_call_at: seen.last_call_ms.map(Iso),
        last_latency_ms: seen.last_latency.map(|took| took.as_millis() as u64),
        last_error,
        last_error_at: last_error_ms.map(Iso),
        breakers: breakers
            .into_iter()
            .map(|(event, state)| (event.as_str(), state.as_str()))
            .collect(),
        behind,
        retrying: seen.retrying.map(|retrying| RetryingView {
            event_id: retrying.event_id,
            attempts: retrying.attempts,
            next_attempt_at: Iso(retrying.next_ms),
        }),
    }))
}
