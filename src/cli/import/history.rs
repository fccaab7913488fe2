//! Events of the original as JSON lines, oldest first, for keeping: the audit log here is a chain
//! that begins with the import.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::database::{Database, DatabaseError, Row, Table};
use super::read::{EVENTS, Fleet, Reader};
use crate::cli::CliError;

const FORM: u32 = 1;
const COLUMNS: [&str; 11] = [
    "id",
    "event_type",
    "type",
    "actor_kind",
    "actor_id",
    "resource_kind",
    "resource_id",
    "conversation_id",
    "payload_json",
    "payload",
    "created_at",
];

/// Refuses a file that is there, since it may be the history of another fleet, and one that cannot
/// be made.
pub fn check(path: &Path) -> Result<(), CliError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::metadata(folder).map_err(at(path))?;
    }
    match fs::symlink_metadata(path) {
        Ok(_) => Err(CliError::Usage(format!(
            "--history {}: the file is there already, and is not written over",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(path)(error)),
    }
}

/// How many events of a fleet there are, and columns of which nothing is written.
pub fn count(database: &Database, fleet: &Fleet) -> Result<(u64, Vec<String>), DatabaseError> {
    let reader = Reader { database, fleet };
    let Some(table) = table(database)? else {
        return Ok((0, Vec::new()));
    };
    let of_fleet = reader.of_fleet(&table, "");
    let query = format!("SELECT count(*) FROM {} WHERE {of_fleet}", table.sql());
    let rows = database.count(&query, &[&fleet.id])?;
    Ok((rows, table.not_understood()))
}

/// Writes the events of a fleet into a file that is not there yet, for its owner's eyes only.
pub fn write(
    database: &Database,
    fleet: &Fleet,
    path: &Path,
    mut written: impl FnMut(),
) -> Result<(), Failed> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    let file = made.map_err(Failed::File)?;
    let done = write_into(database, fleet, &file, &mut written);
    if done.is_err() {
        // Half of it would be in the way of the next attempt. What is wrong is said already.
        let _ = fs::remove_file(path);
    }
    done
}

/// What failed: the database that is read, or the file that is written.
pub enum Failed {
    Database(DatabaseError),
    File(io::Error),
}

impl Failed {
    /// What to tell people; `unusable` tells it of the database.
    pub fn told(self, path: &Path, unusable: impl FnOnce(DatabaseError) -> CliError) -> CliError {
        match self {
            Failed::Database(error) => unusable(error),
            Failed::File(error) => at(path)(error),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_path_buf();
    move |source| CliError::File { path, source }
}

fn table(database: &Database) -> Result<Option<Table>, DatabaseError> {
    let table = database.table(EVENTS)?;
    if let Some(table) = &table {
        table.understands(&COLUMNS);
    }
    Ok(table)
}

fn write_into(
    database: &Database,
    fleet: &Fleet,
    file: &File,
    written: &mut impl FnMut(),
) -> Result<(), Failed> {
    let mut sink = BufWriter::new(file);
    let mut line = |value: &Value| writeln!(sink, "{value}");
    let head = json!({ "ekho_history": FORM, "fleet_id": fleet.id, "fleet_name": fleet.name });
    line(&head).map_err(Failed::File)?;
    let mut events: u64 = 0;
    if let Some(table) = table(database).map_err(Failed::Database)? {
        let reader = Reader { database, fleet };
        let of_fleet = reader.of_fleet(&table, "");
        // The original only ever added to it.
        let query = format!(
            "SELECT * FROM {} WHERE {of_fleet} ORDER BY rowid",
            table.sql()
        );
        let mut failed = None;
        let read = database.each(&query, &[&fleet.id], |row| {
            if let Err(error) = line(&event(&row)) {
                failed = Some(error);
                return Ok(false);
            }
            events += 1;
            written();
            Ok(true)
        });
        read.map_err(Failed::Database)?;
        if let Some(error) = failed {
            return Err(Failed::File(error));
        }
    }
    line(&json!({ "end": true, "events": events })).map_err(Failed::File)?;
    sink.flush().map_err(Failed::File)?;
    file.sync_all().map_err(Failed::File)
}

/// An event as `ekho audit export` writes those of this relay, without what makes a chain.
fn event(row: &Row) -> Value {
    let payload = row.text(&["payload_json", "payload"]);
    let payload = payload.map(|text| match serde_json::from_str(&text) {
        Ok(payload) => payload,
        // Nothing is made of it, so it may be what it is.
        Err(_) => Value::String(text),
    });
    let at = row.time(&["created_at"]);
    json!({
        "id": row.text(&["id"]),
        "event_type": row.text(&["event_type", "type"]),
        "actor_kind": row.text(&["actor_kind"]),
        "actor_id": row.text(&["actor_id"]),
        "resource_kind": row.text(&["resource_kind"]),
        "resource_id": row.text(&["resource_id"]),
        "conversation_id": row.text(&["conversation_id"]),
        "payload": payload,
        "created_at": at.or_else(|| row.text(&["created_at"])),
    })
}
