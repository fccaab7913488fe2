//! The database of the original relay, opened to be read: its tables, and rows whose columns may
//! be called by one of several names.
//!
//! What a column is called is found out from the file (`PRAGMA table_info`), because releases of
//! the original differ. The file is never written: it may be the only copy. Where its relay kept a
//! write-ahead log, SQLite reads that too, and may make the files `-wal` and `-shm` beside it; the
//! folder has to allow that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags, ToSql};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::clock::{Iso, parse_iso};

/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Numbers from here on are milliseconds, smaller ones seconds: the year 5138, and 1973.
const MS_FROM: i64 = 100_000_000_000;

/// Why a database cannot be read.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is something else.
    #[error("it is no SQLite database")]
    NotSqlite,
    /// The file is damaged.
    #[error(
        "the database is damaged: {0}; restore it from a backup, or see `sqlite3 FILE .recover`"
    )]
    Damaged(String),
    /// It holds something else.
    #[error("it has no tables fleets and agents: is it the database of an Ekho relay?")]
    NotEkho,
    /// SQLite failed.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A table that is there.
#[derive(Debug)]
pub struct Table {
    name: &'static str,
    columns: Vec<String>,
    /// Columns that somebody asked for, under whatever name.
    asked: RefCell<BTreeSet<String>>,
}

/// The database.
pub struct Database {
    connection: Connection,
    tables: BTreeMap<String, u64>,
}

/// A row of a query.
pub struct Row {
    columns: Rc<Vec<String>>,
    values: Vec<Sql>,
}

impl Database {
    /// Opens a file and checks every page of it.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let mut magic = [0; 16];
        let mut file = File::open(path)?;
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(DatabaseError::NotSqlite);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let damaged = |error: rusqlite::Error| DatabaseError::Damaged(error.to_string());
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(damaged)?;
        if found != "ok" {
            return Err(DatabaseError::Damaged(found));
        }
        let mut tables = BTreeMap::new();
        let names: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for name in names
            .into_iter()
            .filter(|name| !name.starts_with("sqlite_"))
        {
            let count = format!("SELECT count(*) FROM {}", quoted(&name));
            let rows: i64 = connection.query_row(&count, [], |row| row.get(0))?;
            tables.insert(name, rows.unsigned_abs());
        }
        if !tables.contains_key("fleets") || !tables.contains_key("agents") {
            return Err(DatabaseError::NotEkho);
        }
        Ok(Database { connection, tables })
    }

    /// Names of all tables, with their rows.
    pub fn tables(&self) -> &BTreeMap<String, u64> {
        &self.tables
    }

    /// A table, where it is there.
    pub fn table(&self, name: &'static str) -> Result<Option<Table>, DatabaseError> {
        if !self.tables.contains_key(name) {
            return Ok(None);
        }
        let columns = self
            .connection
            .prepare(&format!("PRAGMA table_info({})", quoted(name)))?
            .query_map([], |row| row.get(1))?
            .collect::<Result<_, _>>()?;
        Ok(Some(Table {
            name,
            columns,
            asked: RefCell::default(),
        }))
    }

    /// A number that a query gives.
    pub fn count(&self, query: &str, values: &[&dyn ToSql]) -> Result<u64, DatabaseError> {
        let count: i64 = self.connection.query_row(query, values, |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Hands on the rows of a query one by one, until `take` has enough.
    pub fn each(
        &self,
        query: &str,
        values: &[&dyn ToSql],
        mut take: impl FnMut(Row) -> Result<bool, DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut statement = self.connection.prepare(query)?;
        let names = statement.column_names();
        let columns: Rc<Vec<String>> = Rc::new(names.into_iter().map(str::to_string).collect());
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let values = (0..columns.len()).map(|at| row.get(at));
            let row = Row {
                columns: Rc::clone(&columns),
                values: values.collect::<Result<_, _>>()?,
            };
            if !take(row)? {
                break;
            }
        }
        Ok(())
    }
}

/// A name as SQL takes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    /// Its name, as SQL takes it.
    pub fn sql(&self) -> String {
        quoted(self.name)
    }

    /// What a column is called here, the first of several names that is there.
    pub fn column(&self, names: &[&str]) -> Option<String> {
        let found = names
            .iter()
            .find(|name| self.columns.iter().any(|one| one == *name))?;
        self.asked.borrow_mut().insert(found.to_string());
        Some(quoted(found))
    }

    /// Notes that these columns are understood.
    pub fn understands(&self, names: &[&str]) {
        let mut asked = self.asked.borrow_mut();
        asked.extend(names.iter().map(ToString::to_string));
    }

    /// Columns nobody asked for.
    pub fn not_understood(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let rest = self.columns.iter().filter(|name| !asked.contains(*name));
        rest.cloned().collect()
    }
}

impl Row {
    fn value(&self, names: &[&str]) -> Option<&Sql> {
        let found = names
            .iter()
            .find_map(|name| self.columns.iter().position(|one| one == name));
        self.values.get(found?).filter(|value| **value != Sql::Null)
    }

    /// A text that is not empty.
    pub fn text(&self, names: &[&str]) -> Option<String> {
        let text = match self.value(names)? {
            Sql::Text(text) => text.clone(),
            Sql::Integer(number) => number.to_string(),
            Sql::Real(number) => number.to_string(),
            Sql::Blob(bytes) => String::from_utf8(bytes.clone()).ok()?,
            Sql::Null => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A whole number.
    pub fn number(&self, names: &[&str]) -> Option<i64> {
        match self.value(names)? {
            Sql::Integer(number) => Some(*number),
            Sql::Real(number) => Some(*number as i64),
            Sql::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether a column says yes; none where it says nothing.
    pub fn flag(&self, names: &[&str]) -> Option<bool> {
        match self.value(names)? {
            Sql::Text(text) => Some(matches!(text.as_str(), "1" | "true")),
            Sql::Integer(number) => Some(*number != 0),
            _ => None,
        }
    }

    /// A time as the API takes it.
    pub fn time(&self, names: &[&str]) -> Option<String> {
        self.time_ms(names).map(|at_ms| Iso(at_ms).to_string())
    }

    /// A time.
    pub fn time_ms(&self, names: &[&str]) -> Option<u64> {
        match self.value(names)? {
            Sql::Integer(number) => number_ms(*number),
            Sql::Real(number) => u64::try_from((*number * 1000.0) as i64).ok(),
            Sql::Text(text) => text_ms(text.trim()),
            _ => None,
        }
    }

    /// JSON as it was stored; none where there is nothing. What is no JSON is no reason to say that
    /// there was nothing.
    pub fn json(&self, names: &[&str]) -> Result<Option<Box<RawValue>>, String> {
        let Some(text) = self.text(names) else {
            return Ok(None);
        };
        serde_json::from_str(&text).map_err(|_| format!("its {} is no JSON", names[0]))
    }
}

fn number_ms(number: i64) -> Option<u64> {
    let ms = match number >= MS_FROM {
        true => number,
        false => number.checked_mul(1000)?,
    };
    u64::try_from(ms).ok()
}

/// ISO 8601 with an offset; or as SQLite writes times itself, in UTC; or a number.
fn text_ms(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return number_ms(number);
    }
    parse_iso(text).or_else(|| parse_iso(&format!("{}Z", text.replacen(' ', "T", 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_databases_hold() {
        let at_ms = Some(1_795_404_960_000);
        for text in [
            "2026-11-23T03:36:00.000Z",
            "2026-11-23T04:36:00+01:00",
            "2026-11-23 03:36:00",
            "2026-11-23 03:36:00.000",
            "1795404960",
            "1795404960000",
        ] {
            assert_eq!(text_ms(text), at_ms, "{text}");
        }
        for text in ["", "soon", "-5", "2026-11-23"] {
            assert_eq!(text_ms(text), None, "{text}");
        }
    }
}
