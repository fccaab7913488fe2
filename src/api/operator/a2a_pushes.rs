//! Push notifications that A2A clients could not be told: looked at, and tried again.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::task_push::GaveUp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Done, SignedIn, done};
use crate::api::a2a::render::{TASK_PREFIX, task_id};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathIds;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(retry))
}

/// A push notification configuration that was given up.
#[derive(Serialize, ToSchema)]
struct A2aPushView {
    task_id: String,
    /// Its id beside others of the task.
    config_id: String,
    url: String,
    /// Failures in a row.
    attempts: u32,
    last_error: Option<String>,
    gave_up_at: Option<Iso>,
    created_at: Iso,
}

/// Push notification configurations that were given up.
#[derive(Serialize, ToSchema)]
struct A2aPushList {
    pushes: Vec<A2aPushView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Push notifications that were given up after their last try, the latest first.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/pushes",
    operation_id = "list_a2a_pushes_given_up",
    params(ListParams),
    responses((status = 200, body = A2aPushList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<A2aPushList>, ApiError> {
    let after = query.cursor(read_place)?;
    let page = app
        .service
        .pushes_given_up(operator.fleet(), after, query.up_to())
        .await?;
    let rows = page.rows.into_iter().skip(query.skip());
    let pushes = rows.map(|(task, config_id, push)| A2aPushView {
        task_id: task_id(task),
        config_id,
        url: push.url,
        attempts: push.attempts,
        last_error: push.last_error,
        gave_up_at: push.gave_up_ms.map(Iso),
        created_at: Iso(push.created_ms),
    });
    Ok(Json(A2aPushList {
        pushes: pushes.collect(),
        paging: query.paging(page.next.flatten().map(write_place)),
    }))
}

/// A cursor: when, which task, and which of its configurations.
fn write_place((at_ms, (task, config_id)): GaveUp) -> String {
    format!("{at_ms}.{}.{config_id}", task_id(task))
}

fn read_place(text: &str) -> Option<GaveUp> {
    let mut parts = text.splitn(3, '.');
    let at_ms = parts.next()?.parse().ok()?;
    let task = id::to_uuid(TASK_PREFIX, parts.next()?)?;
    Some((at_ms, (task, parts.next()?.to_string())))
}

/// Has push notifications tried again that were given up.
#[utoipa::path(
    post,
    path = "/v1/operator/a2a/pushes/{id}/{config_id}/retry",
    operation_id = "retry_a2a_push",
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn retry(
    State(app): State<App>,
    operator: SignedIn,
    ids: PathIds,
) -> Result<Json<Done>, ApiError> {
    let [task, id] = ids.get()?;
    let task = id::to_uuid(TASK_PREFIX, &task).ok_or(Refusal::NotFound)?;
    let request = OperatorRequest::RetryPush { task, id };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
