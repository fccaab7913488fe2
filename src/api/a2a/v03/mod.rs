//! Version 0.3 of the protocol, which clients of the original speak: its JSON beside the types of
//! 1.0. Kinds are named by discriminators, states in lower case, and results are not wrapped.
//!
//! - `read`: what clients write

mod read;

use std::collections::HashMap;

use a2a::{
    AgentCard, Artifact, Message, Part, PartContent, Role, StreamResponse, Task,
    TaskPushNotificationConfig, TaskState, TaskStatus,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

pub use read::{
    delete_push, list_pushes, read_artifact, read_list, read_message, read_push, read_push_id,
    read_send,
};

/// The metadata field that names whom a message is for.
pub const RECIPIENT: &str = "recipientAgentId";

/// Parts as 0.3 writes them.
pub fn parts(parts: &[Part]) -> Value {
    parts.iter().map(part).collect()
}

fn part(part: &Part) -> Value {
    let mut value = match &part.content {
        PartContent::Text(text) => json!({ "kind": "text", "text": text }),
        PartContent::Data(data) => {
            // Here data is always an object.
            let data = match data {
                Value::Object(_) => data.clone(),
                other => json!({ "value": other }),
            };
            json!({ "kind": "data", "data": data })
        }
        PartContent::Raw(bytes) => file(part, "bytes", BASE64.encode(bytes)),
        PartContent::Url(url) => file(part, "uri", url.clone()),
    };
    put_map(&mut value, "metadata", part.metadata.as_ref());
    value
}

fn file(part: &Part, field: &str, content: String) -> Value {
    let mut file = json!({ field: content });
    put(&mut file, "mimeType", part.media_type.as_ref());
    put(&mut file, "name", part.filename.as_ref());
    json!({ "kind": "file", "file": file })
}

fn put<T: serde::Serialize>(value: &mut Value, field: &str, given: Option<&T>) {
    if let Some(given) = given {
        value[field] = json!(given);
    }
}

fn put_map(value: &mut Value, field: &str, given: Option<&HashMap<String, Value>>) {
    put(value, field, given);
}

fn message(message: &Message) -> Value {
    let mut value = json!({
        "kind": "message",
        "messageId": message.message_id,
        "role": match message.role {
            Role::Agent => "agent",
            Role::User | Role::Unspecified => "user",
        },
        "parts": parts(&message.parts),
    });
    put(&mut value, "contextId", message.context_id.as_ref());
    put(&mut value, "taskId", message.task_id.as_ref());
    put_map(&mut value, "metadata", message.metadata.as_ref());
    put(&mut value, "extensions", message.extensions.as_ref());
    let referred = message.reference_task_ids.as_ref();
    put(&mut value, "referenceTaskIds", referred);
    value
}

/// A state as 0.3 writes it.
fn state(state: &TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Submitted => "submitted",
        TaskState::Working => "working",
        TaskState::InputRequired => "input-required",
        TaskState::AuthRequired => "auth-required",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Canceled => "canceled",
        TaskState::Rejected => "rejected",
    }
}

/// The state that 0.3 means.
fn read_state(text: &str) -> Option<TaskState> {
    let all = [
        TaskState::Submitted,
        TaskState::Working,
        TaskState::InputRequired,
        TaskState::AuthRequired,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Canceled,
        TaskState::Rejected,
    ];
    all.into_iter().find(|known| state(known) == text)
}

fn status(status: &TaskStatus) -> Value {
    let mut value = json!({ "state": state(&status.state) });
    if let Some(said) = &status.message {
        value["message"] = message(said);
    }
    put(&mut value, "timestamp", status.timestamp.as_ref());
    value
}

fn artifact(artifact: &Artifact) -> Value {
    let mut value = json!({
        "artifactId": artifact.artifact_id,
        "parts": parts(&artifact.parts),
    });
    put(&mut value, "name", artifact.name.as_ref());
    put(&mut value, "description", artifact.description.as_ref());
    put_map(&mut value, "metadata", artifact.metadata.as_ref());
    put(&mut value, "extensions", artifact.extensions.as_ref());
    value
}

/// A task as 0.3 writes it.
pub fn task(task: &Task) -> Value {
    let mut value = json!({
        "kind": "task",
        "id": task.id,
        "contextId": task.context_id,
        "status": status(&task.status),
    });
    if let Some(artifacts) = &task.artifacts {
        value["artifacts"] = artifacts.iter().map(artifact).collect();
    }
    if let Some(history) = &task.history {
        value["history"] = history.iter().map(message).collect();
    }
    put_map(&mut value, "metadata", task.metadata.as_ref());
    value
}

/// Something that a stream tells, as 0.3 writes it, and whether the stream ends with it.
pub fn event(event: &StreamResponse) -> (Value, bool) {
    match event {
        StreamResponse::Task(told) => (task(told), is_final(&told.status.state)),
        StreamResponse::Message(said) => (message(said), true),
        StreamResponse::StatusUpdate(update) => {
            let is_final = is_final(&update.status.state);
            let mut value = json!({
                "kind": "status-update",
                "taskId": update.task_id,
                "contextId": update.context_id,
                "status": status(&update.status),
                "final": is_final,
            });
            put_map(&mut value, "metadata", update.metadata.as_ref());
            (value, is_final)
        }
        StreamResponse::ArtifactUpdate(update) => {
            let mut value = json!({
                "kind": "artifact-update",
                "taskId": update.task_id,
                "contextId": update.context_id,
                "artifact": artifact(&update.artifact),
            });
            put(&mut value, "append", update.append.as_ref());
            put(&mut value, "lastChunk", update.last_chunk.as_ref());
            put_map(&mut value, "metadata", update.metadata.as_ref());
            (value, false)
        }
    }
}

/// In 0.3 a stream ends where the agent has nothing more to say for now.
fn is_final(state: &TaskState) -> bool {
    state.is_terminal() || matches!(state, TaskState::InputRequired | TaskState::AuthRequired)
}

/// A card as 0.3 writes it: the preferred address stands first, the others beside it.
pub fn card(card: &AgentCard) -> Value {
    let mut value = json!({
        "protocolVersion": "0.3.0",
        "name": card.name,
        "description": card.description,
        "version": card.version,
        "capabilities": card.capabilities,
        "defaultInputModes": card.default_input_modes,
        "defaultOutputModes": card.default_output_modes,
        "skills": card.skills,
        "supportsAuthenticatedExtendedCard": card.capabilities.extended_agent_card,
    });
    let mut interfaces = card.supported_interfaces.iter();
    if let Some(old) = interfaces.find(|interface| interface.protocol_version == "0.3") {
        value["url"] = json!(old.url);
        value["preferredTransport"] = json!(old.protocol_binding);
    }
    put(&mut value, "provider", card.provider.as_ref());
    put(
        &mut value,
        "documentationUrl",
        card.documentation_url.as_ref(),
    );
    put(&mut value, "iconUrl", card.icon_url.as_ref());
    value
}

/// A push notification configuration as 0.3 writes it.
pub fn push(config: &TaskPushNotificationConfig) -> Value {
    let mut inner = json!({ "url": config.url });
    put(&mut inner, "id", config.id.as_ref());
    put(&mut inner, "token", config.token.as_ref());
    if let Some(info) = &config.authentication {
        let mut shown = json!({ "schemes": [info.scheme] });
        put(&mut shown, "credentials", info.credentials.as_ref());
        inner["authentication"] = shown;
    }
    json!({ "taskId": config.task_id, "pushNotificationConfig": inner })
}
