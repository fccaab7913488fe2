//! A2A tasks: before the messages that belong to them, so that what becomes of those moves them.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::database::{DatabaseError, Row};
use super::read::{Out, Reader, native_id};

const TABLE: &str = "a2a_tasks";
const CLIENT: [&str; 4] = [
    "client_agent_id",
    "caller_agent_id",
    "requester_agent_id",
    "sender_agent_id",
];
const AGENT: [&str; 2] = ["recipient_agent_id", "target_agent_id"];
const STATE: [&str; 2] = ["state", "status"];
const MESSAGE: [&str; 1] = ["message_id"];
const HISTORY: [&str; 2] = ["history_json", "history"];
const ARTIFACTS: [&str; 2] = ["artifacts_json", "artifacts"];
const SAID: [&str; 2] = ["status_message_json", "status_message"];
const METADATA: [&str; 2] = ["metadata_json", "metadata"];
const OTHER: [&str; 5] = ["id", "context_id", "created_at", "updated_at", "fleet_id"];

/// Hands on the tasks. Who asked, who works and what was asked is in the message of a task as well,
/// where the task itself does not say it.
pub fn tasks(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    let database = reader.database;
    let Some(table) = database.table(TABLE)? else {
        return Ok(true);
    };
    for names in [
        CLIENT.as_slice(),
        &AGENT,
        &STATE,
        &MESSAGE,
        &HISTORY,
        &ARTIFACTS,
        &SAID,
        &METADATA,
        &OTHER,
    ] {
        table.understands(names);
    }
    out.report.ignores_columns(TABLE, table.not_understood());
    if table.column(&["id"]).is_none() {
        let rows = database.tables().get(TABLE).copied().unwrap_or(0);
        let why = "the table has no column id";
        out.report.leaves_out_many(TABLE, rows, why);
        return Ok(true);
    }
    let mut asked = "NULL AS ekho_from, NULL AS ekho_to, NULL AS ekho_body".to_string();
    let mut join = String::new();
    if let Some(messages) = database.table("messages")?
        && let (Some(of), Some(id)) = (table.column(&MESSAGE), messages.column(&["id"]))
    {
        let column = |names: &[&str]| match messages.column(names) {
            Some(column) => format!("m.{column}"),
            None => "NULL".into(),
        };
        let (from, to) = (column(&["sender_agent_id"]), column(&["recipient_id"]));
        let body = column(&["body_json", "body"]);
        asked = format!("{from} AS ekho_from, {to} AS ekho_to, {body} AS ekho_body");
        join = format!("LEFT JOIN messages m ON m.{id} = t.{of}");
    }
    let query = format!(
        "SELECT t.*, {asked} FROM {} t {join} WHERE {} ORDER BY t.rowid",
        table.sql(),
        reader.of_fleet(&table, "t.")
    );
    let mut go_on = true;
    database.each(&query, &[&reader.fleet.id], |row| {
        let id = row.text(&["id"]).unwrap_or_default();
        match task(&id, &row) {
            Ok(task) => go_on = out.row(TABLE, &id, &task),
            Err(why) => out.report.leaves_out(TABLE, &id, &why),
        }
        Ok(go_on)
    })?;
    Ok(go_on)
}

/// A task as the API takes it; or why it cannot be taken over.
fn task(id: &str, row: &Row) -> Result<Value, String> {
    let history = match row.json(&HISTORY)? {
        Some(history) if history.get() != "[]" => Some(history),
        // What the agent was asked is all that is known to have been said.
        _ => asked(row).and_then(|asked| to_raw_value(&[asked]).ok()),
    };
    let created_at = row.time(&["created_at"]);
    let message = row.text(&MESSAGE);
    Ok(json!({
        "kind": "task",
        "id": native_id("task_", id),
        "context_id": row.text(&["context_id"]),
        "client_agent_id": row.text(&CLIENT).or_else(|| row.text(&["ekho_from"])),
        "agent_id": row.text(&AGENT).or_else(|| row.text(&["ekho_to"])),
        "state": row.text(&STATE).map(|state| native_state(&state)),
        "status_message": said(row)?,
        "message_id": message.map(|message| native_id("msg_", &message)),
        "metadata": row.json(&METADATA)?,
        "history": history,
        "artifacts": row.json(&ARTIFACTS)?,
        "updated_at": row.time(&["updated_at"]).or_else(|| created_at.clone()),
        "created_at": created_at,
    }))
}

/// The message by which the agent was asked, where it is one of the protocol.
fn asked(row: &Row) -> Option<Value> {
    let body: Value = serde_json::from_str(&row.text(&["ekho_body"])?).ok()?;
    (body["a2a"] == true).then_some(body)
}

/// The same word as others spell it.
fn native_state(state: &str) -> String {
    match state.to_lowercase().replace('_', "-").as_str() {
        "cancelled" => "canceled".into(),
        state => state.into(),
    }
}

/// What was said with the status: a message, or a text.
fn said(row: &Row) -> Result<Option<Box<RawValue>>, String> {
    match row.text(&SAID) {
        Some(text) if !text.starts_with('{') => to_raw_value(&text)
            .map(Some)
            .map_err(|error| error.to_string()),
        _ => row.json(&SAID),
    }
}
