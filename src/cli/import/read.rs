//! The original's tables as rows of the import API, in the order in which they must be taken over:
//! who there is before what they said.
//!
//! Runs on a thread of its own and hands batches on as fast as they are wanted, so that no more
//! than a few of them are in memory.

use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc::Sender;

use super::database::{Database, DatabaseError, Row, Table};
use super::report::Report;
use super::{messages, people, rules, tasks};
use crate::clock::Iso;

/// Rows that go together.
pub const BATCH_ROWS: usize = 100;
/// Bytes of rows that go together; a row that is larger goes alone.
const BATCH_BYTES: usize = 256 << 10;

/// History of the other relay, for a file.
pub const EVENTS: &str = "events";

/// Tables that are read, for the report.
const READ: [&str; 14] = [
    "fleets",
    "operators",
    "agents",
    "agent_credentials",
    "rooms",
    "room_members",
    "policies",
    "approvals",
    "messages",
    "message_deliveries",
    "dead_letters",
    "enrollment_tokens",
    "a2a_tasks",
    EVENTS,
];
/// Tables that are known and not taken over, and why.
const LEFT: [(&str, &str); 13] = [
    (
        "a2a_task_messages",
        "only the history that is in a2a_tasks is read",
    ),
    ("attachments", "files are not taken over: send them again"),
    (
        "control_actions",
        "the holds that are in force come with the agents",
    ),
    ("heartbeats", "the last one comes with the agent"),
    (
        "replay_nonces",
        "no signature of the other relay's time is accepted here",
    ),
    ("rate_limit_counters", "windows begin anew"),
    ("rate_limit_violations", "violations are counted anew"),
    ("conversation_floors", "floors last minutes"),
    (
        "operator_keys",
        "keys are registered anew, with a proof that their owner has them",
    ),
    ("operator_key_endorsements", "keys are registered anew"),
    ("schema_migrations", "it concerns the other relay only"),
    ("migrations", "it concerns the other relay only"),
    ("licenses", "install the licence anew"),
];

/// A row on its way to the relay.
pub struct Entry {
    /// The table it counts for.
    pub table: &'static str,
    /// Its id, for people.
    pub id: String,
    /// As the API takes it.
    pub row: Box<RawValue>,
}

/// Hands rows on, in batches.
pub struct Out {
    sender: Sender<Vec<Entry>>,
    batch: Vec<Entry>,
    bytes: usize,
    /// What is left out before the relay is asked.
    pub report: Report,
}

impl Out {
    /// Hands rows on to `sender`.
    pub fn new(sender: Sender<Vec<Entry>>) -> Self {
        Out {
            sender,
            batch: Vec::new(),
            bytes: 0,
            report: Report::default(),
        }
    }

    /// Hands a row on. False once nobody wants more.
    pub fn row(&mut self, table: &'static str, id: &str, row: &impl serde::Serialize) -> bool {
        let Ok(row) = to_raw_value(row) else {
            self.report.leaves_out(table, id, "it is no JSON");
            return true;
        };
        let bytes = row.get().len();
        let is_full = self.batch.len() == BATCH_ROWS || self.bytes + bytes > BATCH_BYTES;
        if is_full && !self.flush() {
            return false;
        }
        self.bytes += bytes;
        let id = id.to_string();
        self.batch.push(Entry { table, id, row });
        true
    }

    /// Hands on what is left. False once nobody wants more.
    pub fn flush(&mut self) -> bool {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.sender.blocking_send(batch).is_ok()
    }
}

/// Which fleet of the file is taken over.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its id there.
    pub id: String,
    /// Its name there.
    pub name: String,
}

/// The fleets of the file, at most `limit`.
pub fn fleets(database: &Database, limit: usize) -> Result<Vec<Fleet>, DatabaseError> {
    let mut fleets = Vec::new();
    database.each("SELECT * FROM fleets ORDER BY rowid", &[], |row| {
        let id = row.text(&["id", "fleet_id"]).unwrap_or_default();
        let name = row
            .text(&["name", "fleet_name"])
            .unwrap_or_else(|| id.clone());
        fleets.push(Fleet { id, name });
        Ok(fleets.len() < limit)
    })?;
    Ok(fleets)
}

/// Reads everything of a fleet.
pub fn all(database: &Database, fleet: &Fleet, out: &mut Out) -> Result<(), DatabaseError> {
    for (name, rows) in database.tables() {
        let known = READ.iter().find(|known| *known == name);
        let left = LEFT.iter().find(|(known, _)| known == name);
        match (known, left) {
            (Some(known), _) => out.report.has(known, *rows),
            (None, Some((known, why))) => {
                out.report.has(known, *rows);
                out.report.leaves_out_many(known, *rows, why);
            }
            (None, None) => out.report.ignores_table(name, *rows),
        }
    }
    let reader = Reader { database, fleet };
    reader.other_fleets(out)?;
    let go_on = people::operators(&reader, out)?
        && people::agents(&reader, out)?
        && people::enrollment_tokens(&reader, out)?
        && rules::rooms(&reader, out)?
        && rules::policies(&reader, out)?
        && rules::approvals(&reader, out)?
        && tasks::tasks(&reader, out)?
        && messages::waiting(&reader, out)?
        && messages::dead_letters(&reader, out)?;
    if go_on {
        out.flush();
    }
    Ok(())
}

/// Reads one fleet.
pub struct Reader<'a> {
    pub database: &'a Database,
    pub fleet: &'a Fleet,
}

impl Reader<'_> {
    /// A condition that keeps other fleets out, over the parameter 1.
    pub fn of_fleet(&self, table: &Table, alias: &str) -> String {
        match table.column(&["fleet_id", "fleet"]) {
            Some(column) => format!("{alias}{column} = ?1"),
            None => "?1 = ?1".into(),
        }
    }

    /// Hands on the rows of a table that belong to the fleet, in the order of their making, each
    /// with its id.
    pub fn each(
        &self,
        name: &'static str,
        out: &mut Out,
        understands: &[&str],
        mut take: impl FnMut(&mut Out, &str, &Row) -> Result<bool, DatabaseError>,
    ) -> Result<bool, DatabaseError> {
        let Some(table) = self.database.table(name)? else {
            return Ok(true);
        };
        table.understands(understands);
        let mut go_on = true;
        if table.column(&["id"]).is_some() {
            let (sql, of_fleet) = (table.sql(), self.of_fleet(&table, ""));
            let query = format!("SELECT * FROM {sql} WHERE {of_fleet} ORDER BY rowid");
            self.database.each(&query, &[&self.fleet.id], |row| {
                match row.text(&["id"]) {
                    Some(id) => go_on = take(out, &id, &row)?,
                    None => out.report.leaves_out(name, "", "it has no id"),
                }
                Ok(go_on)
            })?;
        } else {
            let rows = self.database.tables().get(name).copied().unwrap_or(0);
            out.report
                .leaves_out_many(name, rows, "the table has no column id");
        }
        out.report.ignores_columns(name, table.not_understood());
        Ok(go_on)
    }

    /// Counts what belongs to other fleets of the file.
    fn other_fleets(&self, out: &mut Out) -> Result<(), DatabaseError> {
        const WHY: &str = "it belongs to another fleet: import that one too, with --fleet";
        for name in READ {
            let Some(table) = self.database.table(name)? else {
                continue;
            };
            let column = match name {
                "fleets" => table.column(&["id"]),
                _ => table.column(&["fleet_id", "fleet"]),
            };
            if let Some(column) = column {
                let sql = table.sql();
                let query = format!("SELECT count(*) FROM {sql} WHERE {column} IS NOT ?1");
                let rows = self.database.count(&query, &[&self.fleet.id])?;
                out.report.leaves_out_many(name, rows, WHY);
            }
            if name == "fleets" {
                table.understands(&["name", "fleet_name", "created_at"]);
                out.report.ignores_columns(name, table.not_understood());
            }
        }
        out.report.attached("fleets", "the fleet of who imports");
        Ok(())
    }
}

/// An id as this relay has it: those with dashes are written without. Any other stays, and is
/// refused with a reason where it cannot be.
pub fn native_id(prefix: &str, id: &str) -> String {
    let digits = id
        .strip_prefix(prefix)
        .unwrap_or(id)
        .replace('-', "")
        .to_lowercase();
    match digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => format!("{prefix}{digits}"),
        false => id.to_string(),
    }
}

/// A time of this relay's clock, as the API takes it.
pub fn after_seconds(at_ms: u64, seconds: u64) -> String {
    Iso(at_ms.saturating_add(seconds.saturating_mul(1000))).to_string()
}
