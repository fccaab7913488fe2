//! Messages that wait for somebody, and those that were given up. What ended well is history.

use serde::Serialize;
use serde_json::value::RawValue;

use super::database::{DatabaseError, Row, Table};
use super::read::{Out, Reader, after_seconds, native_id};

const TABLE: &str = "messages";
const DEAD: &str = "dead_letters";
const TTL_MAX_SECONDS: i64 = 86_400;
/// Of a message that does not say how long it lasts.
const TTL_SECONDS: i64 = 900;
const REASON_MAX_BYTES: usize = 1000;

/// A message as the API takes it. Body and metadata stay the bytes that the original stored.
#[derive(Serialize)]
struct Message {
    kind: &'static str,
    id: String,
    sender_agent_id: Option<String>,
    recipient: Recipient,
    message_type: Option<String>,
    priority: Option<String>,
    ttl_seconds: u64,
    requires_approval: bool,
    body: Option<Box<RawValue>>,
    metadata: Option<Box<RawValue>>,
    conversation_id: Option<String>,
    correlation_id: String,
    created_at: String,
    expires_at: String,
    deliveries: Vec<Delivery>,
}

#[derive(Serialize)]
struct Recipient {
    kind: String,
    id: Option<String>,
}

#[derive(Serialize)]
struct Delivery {
    agent_id: String,
    given_up: Option<GivenUp>,
}

#[derive(Serialize)]
struct GivenUp {
    reason: String,
    retries: u64,
}

const COLUMNS: [&str; 19] = [
    "id",
    "conversation_id",
    "correlation_id",
    "sender_agent_id",
    "recipient_kind",
    "recipient_id",
    "message_type",
    "priority",
    "requires_approval",
    "body_json",
    "body",
    "metadata_json",
    "metadata",
    "ttl_seconds",
    "created_at",
    "queued_at",
    "expires_at",
    "deadline_at",
    "status",
];

/// The states of a delivery that has not ended well.
const OPEN: &str = "('queued', 'delivered', 'dead_lettered')";

/// A message without its deliveries; or why it cannot be taken over.
fn message(id: &str, row: &Row) -> Result<Message, String> {
    let ttl = row.number(&["ttl_seconds"]).unwrap_or(TTL_SECONDS);
    let created_ms = row.time_ms(&["created_at", "queued_at"]);
    let recipient_id = row.text(&["recipient_id"]);
    let kind = row.text(&["recipient_kind"]);
    let kind = kind.unwrap_or_else(|| "agent".into());
    let recipient = Recipient {
        id: recipient_id.filter(|_| kind != "broadcast"),
        kind,
    };
    let message = told(id, row, recipient, created_ms, ttl)?;
    let expires_at = row.time(&["expires_at", "deadline_at"]);
    Ok(Message {
        requires_approval: row.flag(&["requires_approval"]).unwrap_or(false),
        expires_at: expires_at.unwrap_or(message.expires_at),
        ..message
    })
}

/// What is left of a message that was given up, without its deliveries.
fn dead_letter(id: &str, agent_id: &str, row: &Row) -> Result<Message, String> {
    let recipient = Recipient {
        kind: "agent".into(),
        id: Some(agent_id.into()),
    };
    let at_ms = row.time_ms(&["created_at", "dead_lettered_at"]);
    told(id, row, recipient, at_ms, TTL_SECONDS)
}

/// What a row of either table says.
fn told(
    id: &str,
    row: &Row,
    recipient: Recipient,
    created_ms: Option<u64>,
    ttl_seconds: i64,
) -> Result<Message, String> {
    let created_ms = created_ms.ok_or("its time is not understood")?;
    let ttl_seconds = ttl_seconds.clamp(1, TTL_MAX_SECONDS).unsigned_abs();
    Ok(Message {
        kind: "message",
        id: native_id("msg_", id),
        sender_agent_id: row.text(&["sender_agent_id"]),
        recipient,
        message_type: row.text(&["message_type"]),
        priority: row.text(&["priority"]),
        ttl_seconds,
        requires_approval: false,
        body: row.json(&["body_json", "body"])?,
        metadata: row.json(&["metadata_json", "metadata"])?,
        conversation_id: row.text(&["conversation_id"]),
        correlation_id: row
            .text(&["correlation_id"])
            .unwrap_or_else(|| id.to_string()),
        created_at: after_seconds(created_ms, 0),
        expires_at: after_seconds(created_ms, ttl_seconds),
        deliveries: Vec::new(),
    })
}

fn given_up(why: Option<String>, retries: Option<i64>) -> GivenUp {
    let mut reason = why.unwrap_or_else(|| "max_retries_exceeded".into());
    reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
    GivenUp {
        reason,
        retries: retries.unwrap_or(0).clamp(0, 1000).unsigned_abs(),
    }
}

/// Hands on messages with deliveries that wait or were given up, in the order in which they were
/// accepted, so that each recipient gets them in that order here.
pub fn waiting(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    let database = reader.database;
    let messages = database.table(TABLE)?;
    let deliveries = database.table("message_deliveries")?;
    let (Some(messages), Some(deliveries)) = (messages, deliveries) else {
        return Ok(true);
    };
    messages.understands(&COLUMNS);
    deliveries.understands(&[
        "id",
        "delivered_at",
        "acked_at",
        "queued_at",
        "next_retry_at",
    ]);
    let Some(names) = Names::of(&messages, &deliveries) else {
        let rows = database.tables().get(TABLE).copied().unwrap_or(0);
        let why = "a column is missing: id, message_id, recipient_agent_id, status or created_at";
        out.report.leaves_out_many(TABLE, rows, why);
        return Ok(true);
    };
    let of_fleet = reader.of_fleet(&messages, "m.");
    let Names {
        id,
        of_message,
        to,
        status,
        created,
        why,
        retries,
    } = &names;
    let join = format!(
        "FROM {} d JOIN {} m ON m.{id} = d.{of_message} WHERE {of_fleet}",
        deliveries.sql(),
        messages.sql()
    );
    let is_open = format!("d.{status} IN {OPEN}");
    let fleet = &reader.fleet.id;
    let ended = database.count(
        &format!(
            "SELECT count(*) FROM {m} m WHERE {of_fleet} AND NOT EXISTS \
             (SELECT 1 FROM {d} d WHERE d.{of_message} = m.{id} AND {is_open})",
            m = messages.sql(),
            d = deliveries.sql()
        ),
        &[fleet],
    )?;
    let history = "they are over, or the original delivered them to nobody: keep the file";
    out.report.leaves_out_many(TABLE, ended, history);
    let closed = database.count(
        &format!("SELECT count(*) {join} AND NOT {is_open}"),
        &[fleet],
    )?;
    let over = "acked or expired: history stays in the file";
    out.report
        .leaves_out_many("message_deliveries", closed, over);
    let query = format!(
        "SELECT m.*, d.{to} AS ekho_to, d.{status} AS ekho_state, {why} AS ekho_why, \
         {retries} AS ekho_retries {join} AND {is_open} ORDER BY m.{created}, m.rowid, d.rowid"
    );
    let mut go_on = true;
    let mut present = Present::default();
    database.each(&query, &[fleet], |row| {
        let id = row.text(&["id"]).unwrap_or_default();
        go_on = present.turn_to(TABLE, &id, out, || message(&id, &row));
        if let (Some(message), Some(agent_id)) = (present.message(), row.text(&["ekho_to"])) {
            let is_dead = row.text(&["ekho_state"]).as_deref() == Some("dead_lettered");
            let given_up =
                is_dead.then(|| given_up(row.text(&["ekho_why"]), row.number(&["ekho_retries"])));
            message.deliveries.push(Delivery { agent_id, given_up });
            out.report.attached("message_deliveries", "messages");
        }
        Ok(go_on)
    })?;
    go_on = go_on && present.hand_on(TABLE, out);
    out.report.ignores_columns(TABLE, messages.not_understood());
    out.report
        .ignores_columns("message_deliveries", deliveries.not_understood());
    Ok(go_on)
}

/// The message of which rows are being read; those of one follow each other.
#[derive(Default)]
struct Present(Option<(String, Option<Message>)>);

impl Present {
    /// Begins with another message where the row is of another one; false where nothing more is
    /// wanted.
    fn turn_to(
        &mut self,
        table: &'static str,
        id: &str,
        out: &mut Out,
        read: impl FnOnce() -> Result<Message, String>,
    ) -> bool {
        if self.0.as_ref().is_some_and(|(known, _)| known == id) {
            return true;
        }
        let go_on = self.hand_on(table, out);
        let message = read()
            .inspect_err(|why| out.report.leaves_out(table, id, why))
            .ok();
        self.0 = Some((id.to_string(), message));
        go_on
    }

    /// The message, where it could be read.
    fn message(&mut self) -> Option<&mut Message> {
        self.0.as_mut()?.1.as_mut()
    }

    /// Hands on what was read; false where nothing more is wanted.
    fn hand_on(&mut self, table: &'static str, out: &mut Out) -> bool {
        match self.0.take() {
            Some((id, Some(message))) => out.row(table, &id, &message),
            _ => true,
        }
    }
}

/// What columns are called that messages and their deliveries must have.
struct Names {
    id: String,
    of_message: String,
    to: String,
    status: String,
    created: String,
    /// An expression, as the next.
    why: String,
    retries: String,
}

impl Names {
    fn of(messages: &Table, deliveries: &Table) -> Option<Self> {
        let optional = |names: &[&str]| match deliveries.column(names) {
            Some(column) => format!("d.{column}"),
            None => "NULL".into(),
        };
        Some(Names {
            id: messages.column(&["id"])?,
            created: messages.column(&["created_at", "queued_at"])?,
            of_message: deliveries.column(&["message_id"])?,
            to: deliveries.column(&["recipient_agent_id", "agent_id"])?,
            status: deliveries.column(&["status", "state"])?,
            why: optional(&["last_failure_reason", "failure_reason"]),
            retries: optional(&["retry_count", "delivery_attempts", "attempts"]),
        })
    }
}

/// Hands on dead letters whose message is gone from the other tables; the others came with it.
pub fn dead_letters(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    let database = reader.database;
    let Some(table) = database.table(DEAD)? else {
        return Ok(true);
    };
    table.understands(&COLUMNS);
    table.understands(&["original_delivery_id"]);
    let original = table.column(&["original_message_id", "message_id"]);
    let to = table.column(&["recipient_agent_id"]);
    let at = table.column(&["dead_lettered_at"]);
    table.understands(&["retry_count", "failure_reason"]);
    let (Some(original), Some(_), Some(at)) = (original, to, at) else {
        let rows = database.tables().get(DEAD).copied().unwrap_or(0);
        let why =
            "a column is missing: original_message_id, recipient_agent_id or dead_lettered_at";
        out.report.leaves_out_many(DEAD, rows, why);
        return Ok(true);
    };
    let of_fleet = reader.of_fleet(&table, "l.");
    let from = format!("FROM {} l WHERE {of_fleet}", table.sql());
    let fleet = &reader.fleet.id;
    let tables = (
        database.table("messages")?,
        database.table("message_deliveries")?,
    );
    let names = match &tables {
        (Some(messages), Some(deliveries)) => Names::of(messages, deliveries),
        _ => None,
    };
    let is_known = names.map_or("0".into(), |names| {
        let (id, of_message, status) = (&names.id, &names.of_message, &names.status);
        format!(
            "EXISTS (SELECT 1 FROM messages m JOIN message_deliveries d ON d.{of_message} = m.{id} \
             WHERE m.{id} = l.{original} AND d.{status} IN {OPEN})"
        )
    });
    let known = database.count(&format!("SELECT count(*) {from} AND {is_known}"), &[fleet])?;
    out.report
        .leaves_out_many(DEAD, known, "they come with their messages");
    // One message may have been given up for several recipients.
    let query = format!(
        "SELECT l.* {from} AND NOT {is_known} \
         ORDER BY min(l.{at}) OVER (PARTITION BY l.{original}), l.{original}, l.rowid"
    );
    let mut go_on = true;
    let mut present = Present::default();
    database.each(&query, &[fleet], |row| {
        let id = row
            .text(&["original_message_id", "message_id"])
            .unwrap_or_default();
        let Some(agent_id) = row.text(&["recipient_agent_id"]) else {
            out.report.leaves_out(DEAD, &id, "it has no recipient");
            return Ok(true);
        };
        go_on = present.turn_to(DEAD, &id, out, || dead_letter(&id, &agent_id, &row));
        if let Some(message) = present.message() {
            if !message.deliveries.is_empty() {
                out.report.attached(DEAD, "messages");
            }
            let given_up = given_up(row.text(&["failure_reason"]), row.number(&["retry_count"]));
            message.deliveries.push(Delivery {
                agent_id,
                given_up: Some(given_up),
            });
        }
        Ok(go_on)
    })?;
    go_on = go_on && present.hand_on(DEAD, out);
    out.report.ignores_columns(DEAD, table.not_understood());
    Ok(go_on)
}
