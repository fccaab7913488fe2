//! A2A tasks of a fleet, as its operators look at them.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::task::{Place, TaskState};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::SignedIn;
use super::list::{ListParams, ListQuery, Paging};
use crate::api::a2a::render::{self, TASK_PREFIX, task_id};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App, words};
use crate::clock::Iso;
use crate::id;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;
use crate::service::task_lists::{FleetFilter, ShownTask};

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(detail))
}

/// Describes where a task stands.
fn state_word() -> Object {
    words::one_of(TaskState::ALL.map(TaskState::as_str))
}

/// A task.
#[derive(Serialize, ToSchema)]
struct A2aTaskView {
    id: String,
    context_id: String,
    /// Id of the agent or A2A client that asked.
    client_id: String,
    /// Id of the agent that works on it.
    agent_id: String,
    #[schema(schema_with = state_word)]
    state: &'static str,
    /// Since when it is in this state.
    state_at: Iso,
    created_at: Iso,
    /// Messages of its history.
    message_count: u32,
    artifact_count: u32,
    /// Changes of its state and artifacts so far.
    update_count: u64,
    /// Its texts together.
    size_bytes: u64,
}

fn view(shown: &ShownTask) -> A2aTaskView {
    let task = &shown.task;
    A2aTaskView {
        id: task_id(task.uuid),
        context_id: task.context_id.clone(),
        client_id: shown.client.clone(),
        agent_id: shown.agent.clone(),
        state: task.state.as_str(),
        state_at: Iso(task.status_ms),
        created_at: Iso(task.created_ms),
        message_count: task.messages,
        artifact_count: task.artifacts,
        update_count: task.updates,
        size_bytes: task.size_bytes,
    }
}

/// Tasks.
#[derive(Serialize, ToSchema)]
struct A2aTaskList {
    tasks: Vec<A2aTaskView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Which tasks.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Those in this state.
    #[param(schema_with = state_word, required = false)]
    state: Option<String>,
    /// Those that this agent or A2A client asked for or works on.
    agent_id: Option<String>,
    /// Those of this context.
    context_id: Option<String>,
}

/// Tasks, the latest change of state first.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/tasks",
    operation_id = "list_a2a_tasks",
    params(ListParams, Filters),
    responses((status = 200, body = A2aTaskList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<A2aTaskList>, ApiError> {
    let words = TaskState::ALL.map(TaskState::as_str);
    let state = query.choice("state", &words)?;
    let wanted = FleetFilter {
        agent_id: query.text("agent_id").map(str::to_string),
        context_id: query.text("context_id").map(str::to_string),
        state: TaskState::ALL
            .into_iter()
            .find(|one| state == Some(one.as_str())),
    };
    let after = query.cursor(read_place)?;
    let page = app
        .service
        .tasks_of_fleet(operator.fleet(), &wanted, after, query.up_to())
        .await?;
    Ok(Json(A2aTaskList {
        tasks: page.rows.iter().skip(query.skip()).map(view).collect(),
        paging: query.paging(page.next.flatten().map(write_place)),
    }))
}

/// A cursor: since when, and which task.
fn write_place((at_ms, task): Place) -> String {
    format!("{at_ms}.{}", task_id(task))
}

fn read_place(text: &str) -> Option<Place> {
    let (at_ms, task) = text.split_once('.')?;
    Some((at_ms.parse().ok()?, id::to_uuid(TASK_PREFIX, task)?))
}

/// Something that changed in a task.
#[derive(Serialize, ToSchema)]
struct A2aUpdateView {
    /// Its number, from 1.
    number: u64,
    at: Iso,
    /// A `StreamResponse` of A2A 1.0: its `statusUpdate` or `artifactUpdate`.
    update: Value,
}

/// A task with what it says.
#[derive(Serialize, ToSchema)]
struct A2aTaskDetail {
    #[serde(flatten)]
    view: A2aTaskView,
    /// The `Task` of A2A 1.0, with its history and its artifacts.
    task: Value,
    /// What changed behind number `after`, in order, up to 50 at once; `update_count` tells
    /// whether there is more.
    updates: Vec<A2aUpdateView>,
}

/// Which updates.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Behind {
    /// Those behind this number.
    #[param(minimum = 0, default = 0)]
    after: Option<u64>,
}

/// A task with its history, its artifacts and its updates.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/tasks/{id}",
    operation_id = "get_a2a_task",
    params(Behind),
    responses((status = 200, body = A2aTaskDetail)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    task: PathId,
    query: ListQuery,
) -> Result<Json<A2aTaskDetail>, ApiError> {
    let after = query.number("after", 0)?;
    let uuid = render::read_task_id(&task.get()?).ok_or(Refusal::NotFound)?;
    let whole = app
        .service
        .task_of_fleet(operator.fleet(), uuid, after)
        .await?;
    let mut updates = Vec::with_capacity(whole.updates.len());
    for (number, update) in whole.updates {
        updates.push(A2aUpdateView {
            number,
            at: Iso(update.at_ms()),
            update: value(&render::update(&whole.shown.task, number, update)?)?,
        });
    }
    Ok(Json(A2aTaskDetail {
        view: view(&whole.shown),
        task: value(&render::task(whole.text)?)?,
        updates,
    }))
}

fn value(shown: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(shown).map_err(|error| ServiceError::Internal(error.to_string()).into())
}
