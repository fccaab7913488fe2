//! Version 0.3 of the protocol, which clients of the original speak: its JSON beside the types of
//! 1.0. Kinds are named by discriminators, states in lower case, and results are not wrapped.

use std::collections::HashMap;

use a2a::{
    AgentCard, Artifact, AuthenticationInfo, DeleteTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest, ListTasksRequest, Message, Part, PartContent, Role,
    SendMessageConfiguration, SendMessageRequest, StreamResponse, Task, TaskPushNotificationConfig,
    TaskState, TaskStatus,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::failure::Failure;

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
pub fn read_state(text: &str) -> Option<TaskState> {
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

/// Reads the parameters of `message/send` and `message/stream`.
pub fn read_send(params: Value) -> Result<SendMessageRequest, Failure> {
    let Value::Object(mut params) = params else {
        return Err(Failure::invalid("params", "expected an object"));
    };
    let Some(Value::Object(given)) = params.remove("message") else {
        return Err(Failure::invalid("message", "expected an object"));
    };
    let mut metadata = read_map(&mut params, "metadata", "metadata")?;
    if let Some(Value::String(id)) = params.remove(RECIPIENT) {
        let known = metadata.get_or_insert_default();
        known.insert(RECIPIENT.into(), Value::String(id));
    }
    let configuration = match params.remove("configuration") {
        None | Some(Value::Null) => None,
        Some(Value::Object(given)) => Some(read_configuration(given)?),
        Some(_) => return Err(Failure::invalid("configuration", "expected an object")),
    };
    // Clients of this version get an answer at once, unless they say that they wait for one.
    let configuration = configuration.unwrap_or(SendMessageConfiguration {
        return_immediately: Some(true),
        ..SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: None,
            return_immediately: None,
        }
    });
    Ok(SendMessageRequest {
        message: read_message(given)?,
        configuration: Some(configuration),
        metadata,
        tenant: None,
    })
}

fn read_configuration(mut given: Map<String, Value>) -> Result<SendMessageConfiguration, Failure> {
    let blocking = match given.remove("blocking") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(blocking)) => blocking,
        Some(_) => return Err(Failure::invalid("configuration.blocking", "true or false")),
    };
    let push = given.remove("pushNotificationConfig");
    Ok(SendMessageConfiguration {
        accepted_output_modes: read(&mut given, "acceptedOutputModes", "configuration")?,
        task_push_notification_config: match push {
            None | Some(Value::Null) => None,
            Some(config) => Some(read_inner_push(
                "configuration.pushNotificationConfig",
                config,
            )?),
        },
        history_length: read(&mut given, "historyLength", "configuration")?,
        return_immediately: Some(!blocking),
    })
}

fn read_message(mut given: Map<String, Value>) -> Result<Message, Failure> {
    let parts = match given.remove("parts") {
        Some(Value::Array(parts)) => parts,
        _ => return Err(Failure::invalid("message.parts", "expected an array")),
    };
    let role = match given.remove("role").as_ref().and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("agent") => Role::Agent,
        _ => return Err(Failure::invalid("message.role", "user or agent")),
    };
    Ok(Message {
        message_id: read(&mut given, "messageId", "message")?.unwrap_or_default(),
        context_id: read(&mut given, "contextId", "message")?,
        task_id: read(&mut given, "taskId", "message")?,
        role,
        parts: parts
            .into_iter()
            .enumerate()
            .map(|(place, part)| read_part(place, part))
            .collect::<Result<_, _>>()?,
        metadata: read_map(&mut given, "metadata", "message.metadata")?,
        extensions: read(&mut given, "extensions", "message")?,
        reference_task_ids: read(&mut given, "referenceTaskIds", "message")?,
    })
}

fn read_part(place: usize, part: Value) -> Result<Part, Failure> {
    let field = format!("message.parts[{place}]");
    let Value::Object(mut part) = part else {
        return Err(Failure::invalid(field, "expected an object"));
    };
    let wrong = |why: &str| Failure::invalid(field.clone(), why);
    let metadata = read_map(&mut part, "metadata", &format!("{field}.metadata"))?;
    let kind = part.remove("kind").or_else(|| part.remove("type"));
    let mut media_type = None;
    let mut filename = None;
    let content = match kind.as_ref().and_then(Value::as_str) {
        Some("text") => match part.remove("text") {
            Some(Value::String(text)) => PartContent::Text(text),
            _ => return Err(wrong("text is missing")),
        },
        Some("data") => match part.remove("data") {
            Some(data) => PartContent::Data(data),
            None => return Err(wrong("data is missing")),
        },
        Some("file") => {
            let Some(Value::Object(mut file)) = part.remove("file") else {
                return Err(wrong("file is missing"));
            };
            media_type = read(&mut file, "mimeType", &field)?;
            filename = read(&mut file, "name", &field)?;
            match (file.remove("bytes"), file.remove("uri")) {
                (Some(Value::String(bytes)), _) => PartContent::Raw(
                    BASE64
                        .decode(bytes)
                        .map_err(|_| wrong("file.bytes: expected base64"))?,
                ),
                (_, Some(Value::String(uri))) => PartContent::Url(uri),
                _ => return Err(wrong("file has neither bytes nor uri")),
            }
        }
        _ => return Err(wrong("kind: text, file or data")),
    };
    Ok(Part {
        content,
        filename,
        media_type,
        metadata,
    })
}

fn read<T: serde::de::DeserializeOwned>(
    given: &mut Map<String, Value>,
    name: &str,
    of: &str,
) -> Result<Option<T>, Failure> {
    match given.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => Ok(Some(read_as(&format!("{of}.{name}"), value)?)),
    }
}

fn read_as<T: serde::de::DeserializeOwned>(field: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::invalid(field, error.to_string()))
}

fn read_map(
    given: &mut Map<String, Value>,
    name: &str,
    field: &str,
) -> Result<Option<HashMap<String, Value>>, Failure> {
    match given.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map.into_iter().collect())),
        Some(_) => Err(Failure::invalid(field, "expected an object")),
    }
}

/// Reads the parameters of `tasks/list`.
pub fn read_list(params: Value) -> Result<ListTasksRequest, Failure> {
    let Value::Object(mut params) = params else {
        return Err(Failure::invalid("params", "expected an object"));
    };
    let status = match params.remove("status") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => match read_state(&text) {
            Some(state) => Some(state),
            None => return Err(Failure::invalid("status", "no state of a task")),
        },
        Some(_) => return Err(Failure::invalid("status", "expected a text")),
    };
    Ok(ListTasksRequest {
        context_id: read(&mut params, "contextId", "params")?,
        status,
        page_size: read(&mut params, "pageSize", "params")?,
        page_token: read(&mut params, "pageToken", "params")?,
        history_length: read(&mut params, "historyLength", "params")?,
        status_timestamp_after: read(&mut params, "statusTimestampAfter", "params")?,
        include_artifacts: read(&mut params, "includeArtifacts", "params")?,
        tenant: None,
    })
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

/// Reads the parameters of `tasks/pushNotificationConfig/set`.
pub fn read_push(params: Value) -> Result<TaskPushNotificationConfig, Failure> {
    let Value::Object(mut params) = params else {
        return Err(Failure::invalid("params", "expected an object"));
    };
    let task_id: Option<String> = read(&mut params, "taskId", "params")?;
    let task_id = task_id.ok_or_else(|| Failure::invalid("taskId", "required"))?;
    let field = "pushNotificationConfig";
    let given = params.remove(field).unwrap_or_default();
    Ok(TaskPushNotificationConfig {
        task_id,
        ..read_inner_push(field, given)?
    })
}

fn read_inner_push(field: &str, given: Value) -> Result<TaskPushNotificationConfig, Failure> {
    let Value::Object(mut given) = given else {
        return Err(Failure::invalid(field, "expected an object"));
    };
    let url: Option<String> = read(&mut given, "url", field)?;
    let authentication = match given.remove("authentication") {
        None | Some(Value::Null) => None,
        Some(Value::Object(mut info)) => {
            let schemes: Option<Vec<String>> = read(&mut info, "schemes", field)?;
            let scheme = schemes.unwrap_or_default().into_iter().next();
            Some(AuthenticationInfo {
                scheme: scheme.unwrap_or_else(|| "Bearer".into()),
                credentials: read(&mut info, "credentials", field)?,
            })
        }
        Some(_) => {
            let field = format!("{field}.authentication");
            return Err(Failure::invalid(field, "expected an object"));
        }
    };
    Ok(TaskPushNotificationConfig {
        url: url.ok_or_else(|| Failure::invalid(format!("{field}.url"), "required"))?,
        id: read(&mut given, "id", field)?,
        task_id: String::new(),
        token: read(&mut given, "token", field)?,
        authentication,
        tenant: None,
    })
}

/// Reads the parameters that name a configuration: its task, and its id where it is given.
pub fn read_push_id(params: Value) -> Result<(String, Option<String>), Failure> {
    let Value::Object(mut params) = params else {
        return Err(Failure::invalid("params", "expected an object"));
    };
    let task_id: Option<String> = read(&mut params, "id", "params")?;
    let task_id = task_id.ok_or_else(|| Failure::invalid("id", "required"))?;
    Ok((
        task_id,
        read(&mut params, "pushNotificationConfigId", "params")?,
    ))
}

/// Asks for all configurations of a task.
pub fn list_pushes(task_id: String) -> ListTaskPushNotificationConfigsRequest {
    ListTaskPushNotificationConfigsRequest {
        task_id,
        page_size: None,
        page_token: None,
        tenant: None,
    }
}

/// Asks for one to be removed.
pub fn delete_push(task_id: String, id: String) -> DeleteTaskPushNotificationConfigRequest {
    DeleteTaskPushNotificationConfigRequest {
        task_id,
        id,
        tenant: None,
    }
}
