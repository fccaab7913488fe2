//! Reading what clients of 0.3 write.

use std::collections::HashMap;

use a2a::{
    Artifact, AuthenticationInfo, DeleteTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest, ListTasksRequest, Message, Part, PartContent, Role,
    SendMessageConfiguration, SendMessageRequest, TaskPushNotificationConfig,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::{RECIPIENT, read_state};

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

/// Reads a message.
pub fn read_message(mut given: Map<String, Value>) -> Result<Message, Failure> {
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
        parts: read_parts(parts)?,
        metadata: read_map(&mut given, "metadata", "message.metadata")?,
        extensions: read(&mut given, "extensions", "message")?,
        reference_task_ids: read(&mut given, "referenceTaskIds", "message")?,
    })
}

/// Reads an artifact.
pub fn read_artifact(mut given: Map<String, Value>) -> Result<Artifact, Failure> {
    let Some(Value::Array(parts)) = given.remove("parts") else {
        return Err(Failure::invalid("artifact.parts", "expected an array"));
    };
    Ok(Artifact {
        artifact_id: read(&mut given, "artifactId", "artifact")?.unwrap_or_default(),
        name: read(&mut given, "name", "artifact")?,
        description: read(&mut given, "description", "artifact")?,
        parts: read_parts(parts)?,
        metadata: read_map(&mut given, "metadata", "artifact.metadata")?,
        extensions: read(&mut given, "extensions", "artifact")?,
    })
}

fn read_parts(parts: Vec<Value>) -> Result<Vec<Part>, Failure> {
    let parts = parts.into_iter().enumerate();
    parts.map(|(place, part)| read_part(place, part)).collect()
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
