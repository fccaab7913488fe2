//! Tasks as they are stored, in the types of the protocol.

use a2a::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState,
    TaskStatus, TaskStatusUpdateEvent,
};
use chrono::{DateTime, Utc};
use ekho_storage::tables::task::{self, TaskState as Stored};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::ServiceError;
use super::tasks::{SaidText, TaskText, UpdateText};
use crate::id;

/// Ids of tasks begin like this.
pub const TASK_PREFIX: &str = "task_";

/// The id of a task.
pub fn task_id(uuid: u128) -> String {
    id::from_uuid(TASK_PREFIX, uuid)
}

/// The UUID behind the id of a task. Those of imported ones are also known in the form that other
/// relays give them: a UUID, with or without dashes.
pub fn read_task_id(id: &str) -> Option<u128> {
    let digits = id.strip_prefix(TASK_PREFIX).unwrap_or(id);
    let uuid = Uuid::try_parse(digits).ok()?;
    // Nothing in braces, and no URN.
    [32, 36].contains(&digits.len()).then(|| uuid.as_u128())
}

/// A state in the type of the protocol.
pub fn state(state: Stored) -> TaskState {
    match state {
        Stored::Submitted => TaskState::Submitted,
        Stored::Working => TaskState::Working,
        Stored::InputRequired => TaskState::InputRequired,
        Stored::AuthRequired => TaskState::AuthRequired,
        Stored::Completed => TaskState::Completed,
        Stored::Failed => TaskState::Failed,
        Stored::Canceled => TaskState::Canceled,
        Stored::Rejected => TaskState::Rejected,
    }
}

/// The state that a type of the protocol means; none for the one that is unspecified.
pub fn stored_state(state: &TaskState) -> Option<Stored> {
    Stored::ALL
        .into_iter()
        .find(|stored| self::state(*stored) == *state)
}

/// A task with its texts.
pub fn task(text: TaskText) -> Result<Task, ServiceError> {
    let TaskText {
        task: stored,
        history,
        artifacts,
        said,
    } = text;
    let id = task_id(stored.uuid);
    let status = TaskStatus {
        state: state(stored.state),
        message: said
            .map(|said| message(said, &stored, stored.updates))
            .transpose()?,
        timestamp: time(stored.status_ms),
    };
    let history = match history {
        Some(texts) => Some(
            texts
                .iter()
                .map(|text| parse(text))
                .collect::<Result<_, _>>()?,
        ),
        None => None,
    };
    let artifacts = match artifacts {
        Some(chunks) => Some(chunks.into_iter().map(artifact).collect::<Result<_, _>>()?),
        None => None,
    };
    let metadata = match &stored.metadata {
        Some(metadata) => Some(parse(metadata.as_bytes())?),
        None => None,
    };
    Ok(Task {
        id,
        context_id: stored.context_id,
        status,
        artifacts,
        history,
        metadata,
    })
}

/// An artifact out of its chunks: what a later one says anew counts, and its parts follow.
fn artifact(chunks: Vec<Vec<u8>>) -> Result<Artifact, ServiceError> {
    let mut chunks = chunks.iter().map(|text| parse::<Artifact>(text));
    let first = chunks.next();
    let mut whole = first.unwrap_or_else(|| {
        Err(ServiceError::Internal(
            "an artifact without a chunk is stored".into(),
        ))
    })?;
    for chunk in chunks {
        let chunk = chunk?;
        whole.parts.extend(chunk.parts);
        whole.name = chunk.name.or(whole.name);
        whole.description = chunk.description.or(whole.description);
        whole.extensions = chunk.extensions.or(whole.extensions);
        if let Some(more) = chunk.metadata {
            whole.metadata.get_or_insert_default().extend(more);
        }
    }
    Ok(whole)
}

/// An update of a task as streams and notifications tell it.
pub fn update(
    task: &task::Task,
    number: u64,
    update: UpdateText,
) -> Result<StreamResponse, ServiceError> {
    let task_id = task_id(task.uuid);
    let context_id = task.context_id.clone();
    Ok(match update {
        UpdateText::Status {
            state: stored,
            at_ms,
            said,
        } => StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id,
            context_id,
            status: TaskStatus {
                state: state(stored),
                message: said.map(|said| message(said, task, number)).transpose()?,
                timestamp: time(at_ms),
            },
            metadata: None,
        }),
        UpdateText::Artifact {
            text,
            append,
            last_chunk,
            ..
        } => StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id,
            context_id,
            artifact: parse(&text)?,
            append: Some(append),
            last_chunk: Some(last_chunk),
            metadata: None,
        }),
    })
}

fn message(said: SaidText, task: &task::Task, number: u64) -> Result<Message, ServiceError> {
    match said {
        SaidText::Message(text) => parse(&text),
        SaidText::Reason(reason) => Ok(Message {
            message_id: format!("relay_{:032x}_{number}", task.uuid),
            context_id: Some(task.context_id.clone()),
            task_id: Some(task_id(task.uuid)),
            role: Role::Agent,
            parts: vec![Part::text(reason)],
            metadata: None,
            extensions: None,
            reference_task_ids: None,
        }),
    }
}

fn time(at_ms: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(i64::try_from(at_ms).ok()?)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(text)
        .map_err(|error| ServiceError::Internal(format!("a stored text of a task: {error}")))
}
