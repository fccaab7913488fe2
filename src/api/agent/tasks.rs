//! A2A tasks as the agents see them that work on them, and what agents say of themselves in their
//! A2A cards. What the protocol has a shape for is written in that shape.

use a2a::{Artifact, Message, Part, Role};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use ekho_storage::tables::agent;
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::task::{Task, TaskState};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Type};
use utoipa_axum::routes;

use super::ID_MAX_BYTES;
use crate::api::a2a::card::Own;
use crate::api::a2a::render;
use crate::api::a2a::sending::PARTS_MAX;
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
use crate::api::openapi::shapes::Done;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::{ApiError, App, words};
use crate::id;
use crate::machine::command::{Judged, NewChange, NewMessage, Schedule, TaskRequest, TaskUpdate};
use crate::machine::outcome::Refusal;
use crate::machine::task::UPDATE_TYPE;
use crate::service::tasks::{Party, Wanted};
use crate::service::{Caller, ServiceError};

/// An agent's own part of its card.
const CARD_MAX_BYTES: usize = 64 << 10;

/// States that an agent can set, in the words of the relay and in those of the protocol.
const STATES: [(&str, TaskState); 16] = [
    ("working", TaskState::Working),
    ("input-required", TaskState::InputRequired),
    ("auth-required", TaskState::AuthRequired),
    ("completed", TaskState::Completed),
    ("failed", TaskState::Failed),
    ("canceled", TaskState::Canceled),
    ("rejected", TaskState::Rejected),
    ("input_required", TaskState::InputRequired),
    ("auth_required", TaskState::AuthRequired),
    ("TASK_STATE_WORKING", TaskState::Working),
    ("TASK_STATE_INPUT_REQUIRED", TaskState::InputRequired),
    ("TASK_STATE_AUTH_REQUIRED", TaskState::AuthRequired),
    ("TASK_STATE_COMPLETED", TaskState::Completed),
    ("TASK_STATE_FAILED", TaskState::Failed),
    ("TASK_STATE_CANCELED", TaskState::Canceled),
    ("TASK_STATE_REJECTED", TaskState::Rejected),
];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(get))
        .routes(routes!(set_status))
        .routes(routes!(add_artifact))
        .routes(routes!(put_card))
}

/// Describes a state that an agent sets.
fn state_word() -> Object {
    words::choice(&STATES)
}

/// Describes where a task stands.
fn task_state() -> Object {
    words::one_of(TaskState::ALL.map(TaskState::as_str))
}

/// Describes what an agent tells the client with a state.
fn said() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1));
    let message = ObjectBuilder::new().schema_type(Type::Object);
    OneOfBuilder::new()
        .item(text.build())
        .item(message.build())
        .description(Some(
            "What to tell the client: a text, or a `Message` of A2A 1.0 without what the relay \
             knows.",
        ))
        .build()
        .into()
}

/// The task, as A2A 1.0 writes it.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}",
    operation_id = "get_task",
    responses((status = 200, description = "A `Task` of A2A 1.0.", body = Value)),
)]
async fn get(
    State(app): State<App>,
    task_id: PathId,
    signed: Signed,
) -> Result<Response, ApiError> {
    let uuid = read_id(task_id)?;
    let by = Party::Signed(signed.caller);
    let view = app.service.task_view(&by).await?;
    let task = app.service.task_of(&view, &by, uuid)?;
    let fleet = by.agent().fleet;
    let text = app.service.task_text(&view, fleet, task, Wanted::ALL)?;
    let task = serde_json::to_string(&render::task(text)?);
    let task = task.map_err(|error| ServiceError::Internal(error.to_string()))?;
    let kind = (header::CONTENT_TYPE, "application/json");
    Ok(([kind], Body::from(task)).into_response())
}

/// How far a task is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewStatus {
    #[schema(schema_with = state_word)]
    state: String,
    #[schema(schema_with = said)]
    message: Option<Value>,
}

/// Where a task stands.
#[derive(Serialize, ToSchema)]
struct TaskStanding {
    task_id: String,
    #[schema(schema_with = task_state)]
    state: &'static str,
}

/// Says how far a task is.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/status",
    operation_id = "set_task_status",
    request_body = NewStatus,
    responses((status = 200, body = TaskStanding)),
    extensions(("x-codes" = json!([
        Code::Conflict, Code::LimitReached, Code::PolicyDenied, Code::AgentPaused,
        Code::AgentQuarantined, Code::BlockedByExtension, Code::ExtensionUnavailable
    ]))),
)]
async fn set_status(
    State(app): State<App>,
    task_id: PathId,
    signed: Signed,
) -> Result<Json<TaskStanding>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let state = fields.choice("state", &STATES, None);
    let said = read_message(&mut fields);
    fields.finish()?;
    let state = state.ok_or_else(|| Invalid::field("state", "required"))?;
    let has_message = said.is_some();
    let change = NewChange::Status { state, has_message };
    update(&app, task_id, signed.caller, change, |task| match said {
        Some(said) => Ok(serde_json::to_string(&Message {
            context_id: Some(task.context_id.clone()),
            task_id: Some(render::task_id(task.uuid)),
            ..said
        })?),
        None => Ok("{}".into()),
    })
    .await
}

/// Something that a task made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewArtifact {
    /// An `Artifact` of A2A 1.0; without an id it gets one.
    #[schema(value_type = Object)]
    artifact: Value,
    /// Whether its parts follow those of the artifact of this id.
    #[schema(default = false)]
    append: Option<bool>,
    /// Whether nothing more is appended to it.
    #[schema(default = false)]
    last_chunk: Option<bool>,
}

/// Adds an artifact to a task, or a part to one.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/artifacts",
    operation_id = "add_task_artifact",
    request_body = NewArtifact,
    responses((status = 200, body = TaskStanding)),
    extensions(("x-codes" = json!([
        Code::Conflict, Code::LimitReached, Code::PolicyDenied, Code::AgentPaused,
        Code::AgentQuarantined, Code::BlockedByExtension, Code::ExtensionUnavailable
    ]))),
)]
async fn add_artifact(
    State(app): State<App>,
    task_id: PathId,
    signed: Signed,
) -> Result<Json<TaskStanding>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let artifact = read_artifact(&mut fields);
    let append = fields.boolean("append", false);
    let last_chunk = fields.boolean("last_chunk", false);
    fields.finish()?;
    let artifact = artifact.ok_or_else(|| Invalid::field("artifact", "required"))?;
    let change = NewChange::Artifact {
        artifact_id: artifact.artifact_id.clone(),
        append,
        last_chunk,
    };
    update(&app, task_id, signed.caller, change, |_| {
        serde_json::to_string(&artifact)
    })
    .await
}

/// Changes a task; `text` makes what goes with it.
async fn update(
    app: &App,
    task_id: PathId,
    caller: Caller,
    change: NewChange,
    text: impl FnOnce(&Task) -> Result<String, serde_json::Error>,
) -> Result<Json<TaskStanding>, ApiError> {
    let uuid = read_id(task_id)?;
    let by = Party::Signed(caller);
    let task = app.service.task_to_send_to(&by, uuid).await?;
    let text = text(&task).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let client = agent::get(&app.service.view(), by.agent().fleet, task.client);
    let client = client.map_err(ServiceError::from)?;
    let client = client.ok_or(Refusal::NotFound)?;
    let request = TaskRequest::Update(Box::new(TaskUpdate {
        task: uuid,
        content: id::new_uuid(),
        carrier: NewMessage {
            uuid: id::new_uuid(),
            recipient: Recipient::Agent(client.id),
            message_type: UPDATE_TYPE.into(),
            priority: Priority::Normal,
            ttl_ms: 0,
            schedule: Schedule::Now,
            requires_approval: false,
            body: text.into_bytes(),
            metadata: None,
            conversation_id: task.context_id,
            correlation_id: render::task_id(uuid),
            envelope: None,
            idempotency: None,
            approval: 0,
            tags: Vec::new(),
            judged: Judged::default(),
        },
        change,
    }));
    let state = app.service.change_task(&by, request).await?;
    Ok(Json(TaskStanding {
        task_id: render::task_id(uuid),
        state: state.as_str(),
    }))
}

fn read_id(task_id: PathId) -> Result<u128, ApiError> {
    let uuid = render::read_task_id(&task_id.get()?);
    uuid.ok_or_else(|| Refusal::NotFound.into())
}

/// Reads `message`: a text, or a message in the shape of the protocol.
fn read_message(fields: &mut Fields<'_>) -> Option<Message> {
    let given = fields.any("message", usize::MAX)?;
    let said = match serde_json::from_str(given) {
        Ok(Value::String(text)) if !text.is_empty() => {
            Message::new(Role::Agent, vec![Part::text(text)])
        }
        Ok(Value::Object(mut object)) => {
            object.insert("role".into(), "ROLE_AGENT".into());
            object
                .entry("messageId")
                .or_insert_with(|| id::new_id("msg_").into());
            shaped(
                fields,
                "message",
                serde_json::from_value(Value::Object(object)),
            )?
        }
        _ => {
            fields.wrong("message", "expected a text or an object");
            return None;
        }
    };
    if said.message_id.is_empty() || said.message_id.len() > ID_MAX_BYTES {
        fields.wrong("message.messageId", format!("1 to {ID_MAX_BYTES} bytes"));
    }
    check_parts(fields, "message.parts", said.parts.len());
    Some(said)
}

fn read_artifact(fields: &mut Fields<'_>) -> Option<Artifact> {
    let given = fields.object("artifact", usize::MAX)?;
    let Ok(Value::Object(mut object)) = serde_json::from_str(given) else {
        fields.wrong("artifact", "expected an object");
        return None;
    };
    object
        .entry("artifactId")
        .or_insert_with(|| id::new_id("art_").into());
    let read = serde_json::from_value(Value::Object(object));
    let artifact: Artifact = shaped(fields, "artifact", read)?;
    if artifact.artifact_id.is_empty() || artifact.artifact_id.len() > ID_MAX_BYTES {
        fields.wrong("artifact.artifactId", format!("1 to {ID_MAX_BYTES} bytes"));
    }
    check_parts(fields, "artifact.parts", artifact.parts.len());
    Some(artifact)
}

fn check_parts(fields: &mut Fields<'_>, name: &str, parts: usize) {
    if !(1..=PARTS_MAX).contains(&parts) {
        fields.wrong(name, format!("1 to {PARTS_MAX} parts"));
    }
}

/// What was read in the shape of the protocol; notes what is wrong with it otherwise.
fn shaped<T>(fields: &mut Fields<'_>, name: &str, read: Result<T, serde_json::Error>) -> Option<T> {
    match read {
        Ok(shaped) => Some(shaped),
        Err(error) => {
            fields.wrong(name, error.to_string());
            None
        }
    }
}

/// What an agent's A2A card says: fields of an `AgentCard` of A2A 1.0 that are the agent's to say.
/// What is left out has a sensible default.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
#[schema(rename_all = "camelCase")]
struct OwnCard {
    name: Option<String>,
    description: Option<String>,
    version: Option<String>,
    #[schema(value_type = Option<Object>)]
    provider: Option<Value>,
    documentation_url: Option<String>,
    icon_url: Option<String>,
    default_input_modes: Option<Vec<String>>,
    default_output_modes: Option<Vec<String>>,
    /// `AgentSkill` objects.
    #[schema(value_type = Option<Vec<Object>>)]
    skills: Option<Vec<Value>>,
}

/// Sets what the agent's A2A card says, in place of what it said before.
#[utoipa::path(
    put,
    path = "/v1/agent-card",
    operation_id = "put_agent_card",
    request_body = OwnCard,
    responses((status = 200, body = Done)),
)]
async fn put_card(State(app): State<App>, signed: Signed) -> Result<Json<Done>, ApiError> {
    if signed.body.len() > CARD_MAX_BYTES {
        let text = format!("a card has at most {CARD_MAX_BYTES} bytes");
        return Err(Invalid::form(text).into());
    }
    let mut fields = Fields::parse(&signed.body)?;
    let own = read_card(&mut fields);
    fields.finish()?;
    let card = serde_json::to_string(&own);
    let card = card.map_err(|error| ServiceError::Internal(error.to_string()))?;
    app.service.put_card(&signed.caller, card).await?;
    Ok(Json(Done { ok: true }))
}

fn read_card(fields: &mut Fields<'_>) -> Own {
    let provider = fields.object("provider", CARD_MAX_BYTES);
    let skills = fields.any("skills", CARD_MAX_BYTES);
    Own {
        name: fields.optional_text("name", CARD_MAX_BYTES),
        description: fields.optional_text("description", CARD_MAX_BYTES),
        version: fields.optional_text("version", CARD_MAX_BYTES),
        provider: provider
            .and_then(|given| shaped(fields, "provider", serde_json::from_str(given))),
        documentation_url: fields.optional_text("documentationUrl", CARD_MAX_BYTES),
        icon_url: fields.optional_text("iconUrl", CARD_MAX_BYTES),
        default_input_modes: read_modes(fields, "defaultInputModes"),
        default_output_modes: read_modes(fields, "defaultOutputModes"),
        skills: skills.and_then(|given| shaped(fields, "skills", serde_json::from_str(given))),
    }
}

fn read_modes(fields: &mut Fields<'_>, name: &str) -> Option<Vec<String>> {
    let is_given = fields.has(name);
    is_given.then(|| fields.texts(name, CARD_MAX_BYTES, CARD_MAX_BYTES))
}
