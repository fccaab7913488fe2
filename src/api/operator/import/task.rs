//! Reading A2A tasks of another relay: texts in the form of version 0.3, in which the original kept
//! them, written as they are written now.

use a2a::{Message, Role};
use ekho_storage::tables::task::TaskState;
use serde_json::{Map, Value};

use super::read::{ID_MAX_BYTES, required_time, uuid_id};
use crate::api::a2a::sending::check_parts;
use crate::api::a2a::v03;
use crate::api::fields::Fields;
use crate::id;
use crate::machine::command::{ImportRow, ImportSaid, ImportTask, ImportText};
use crate::machine::task::{ARTIFACTS_MAX, MESSAGES_MAX};
use crate::service::import::GivenRow;
use crate::service::protocol::{TASK_PREFIX, task_id};

/// Where a task can stand.
pub const STATES: [(&str, TaskState); 8] = [
    ("submitted", TaskState::Submitted),
    ("working", TaskState::Working),
    ("input-required", TaskState::InputRequired),
    ("auth-required", TaskState::AuthRequired),
    ("completed", TaskState::Completed),
    ("failed", TaskState::Failed),
    ("canceled", TaskState::Canceled),
    ("rejected", TaskState::Rejected),
];
const METADATA_MAX_BYTES: usize = 64 << 10;
const REASON_MAX_BYTES: usize = 1000;

/// Reads a task; what is wrong with it is noted.
pub fn read(fields: &mut Fields<'_>) -> GivenRow {
    let uuid = uuid_id(fields, TASK_PREFIX);
    let context_id = fields.text("context_id", ID_MAX_BYTES);
    let state = fields.choice("state", &STATES, None);
    let message = match fields.has("message_id") {
        true => {
            let text = fields.text("message_id", ID_MAX_BYTES);
            let message = id::to_uuid("msg_", &text);
            if message.is_none() {
                fields.wrong("message_id", "msg_ and 32 hexadecimal digits");
            }
            message
        }
        false => None,
    };
    let of = (uuid, context_id.as_str());
    let history = texts(fields, "history", MESSAGES_MAX, |given| {
        written(&said(given, of)?)
    });
    let artifacts = texts(fields, "artifacts", ARTIFACTS_MAX, |given| {
        let artifact = v03::read_artifact(given).map_err(|failure| failure.text().to_string())?;
        has_parts("artifact.parts", artifact.parts.len())?;
        match artifact.artifact_id.as_str() {
            "" => Err("artifactId: required".into()),
            id if id.len() > ID_MAX_BYTES => {
                Err(format!("artifactId: at most {ID_MAX_BYTES} bytes"))
            }
            id => Ok((id.to_string(), written(&artifact)?)),
        }
    });
    let task = ImportTask {
        uuid,
        client_id: fields.text("client_agent_id", ID_MAX_BYTES),
        agent_id: fields.text("agent_id", ID_MAX_BYTES),
        state: state.unwrap_or(TaskState::Failed),
        status_ms: required_time(fields, "updated_at"),
        said: status_message(fields, of),
        created_ms: required_time(fields, "created_at"),
        message,
        metadata: fields
            .object("metadata", METADATA_MAX_BYTES)
            .map(str::to_string),
        history,
        artifacts,
        context_id,
    };
    GivenRow::Other(ImportRow::Task(Box::new(task)))
}

/// A list of objects, each read by `read`.
fn texts<T>(
    fields: &mut Fields<'_>,
    name: &str,
    limit: u32,
    mut read: impl FnMut(Map<String, Value>) -> Result<T, String>,
) -> Vec<T> {
    if !fields.has(name) {
        return Vec::new();
    }
    let found = fields.list_or_empty(name, limit as usize, |one, text| {
        let read = match serde_json::from_str(text) {
            Ok(given) => read(given),
            Err(error) => Err(error.to_string()),
        };
        read.map_err(|why| one.wrong("text", why)).ok()
    });
    found.into_iter().flatten().collect()
}

/// A message of a task, which it belongs to whatever it says itself.
fn said(given: Map<String, Value>, (task, context_id): (u128, &str)) -> Result<Message, String> {
    let message = v03::read_message(given).map_err(|failure| failure.text().to_string())?;
    if message.message_id.is_empty() {
        return Err("message.messageId: required".into());
    }
    has_parts("message.parts", message.parts.len())?;
    Ok(Message {
        task_id: Some(task_id(task)),
        context_id: Some(context_id.to_string()),
        ..message
    })
}

/// Reads what was said with the status: a message of the agent, or a text of the other relay.
fn status_message(fields: &mut Fields<'_>, of: (u128, &str)) -> Option<ImportSaid> {
    let given = fields.any("status_message", usize::MAX)?;
    let read = match serde_json::from_str(given) {
        Ok(Value::String(text)) if text.len() <= REASON_MAX_BYTES => Ok(ImportSaid::Reason(text)),
        Ok(Value::Object(given)) => said(given, of).and_then(|message| {
            let role = Role::Agent;
            written(&Message { role, ..message }).map(ImportSaid::Message)
        }),
        _ => Err(format!(
            "expected a message, or a text of at most {REASON_MAX_BYTES} bytes"
        )),
    };
    read.map_err(|why| fields.wrong("status_message", why)).ok()
}

fn has_parts(field: &str, parts: usize) -> Result<(), String> {
    check_parts(field, parts).map_err(|failure| failure.text().to_string())
}

fn written(text: &impl serde::Serialize) -> Result<ImportText, String> {
    Ok(ImportText {
        content: id::new_uuid(),
        text: serde_json::to_vec(text).map_err(|error| error.to_string())?,
    })
}
