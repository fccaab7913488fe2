//! What an import did, or would do: numbers by table, and what was left out and why.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::show;

/// Ids shown for a reason.
const EXAMPLES_MAX: usize = 5;
/// Different reasons of one table; more are counted together.
const REASONS_MAX: usize = 30;
const OTHER_REASONS: &str = "other reasons";

/// Rows left out for one reason.
#[derive(Default)]
struct LeftOut {
    rows: u64,
    examples: Vec<String>,
}

/// One table.
#[derive(Default)]
struct Counts {
    rows: u64,
    imported: u64,
    exists: u64,
    /// Rows that are part of another table's, and which one that is.
    attached: Option<(u64, &'static str)>,
    left_out: BTreeMap<String, LeftOut>,
    ignored_columns: Vec<String>,
}

/// The whole import.
#[derive(Default)]
pub struct Report {
    tables: BTreeMap<&'static str, Counts>,
    ignored_tables: BTreeMap<String, u64>,
    /// Agents that were taken over and have no secret to show.
    without_secret: Vec<String>,
    agents_without_secret: u64,
    /// Operators that were taken over and have no password.
    without_password: Vec<String>,
}

impl Report {
    fn table(&mut self, table: &'static str) -> &mut Counts {
        self.tables.entry(table).or_default()
    }

    /// Rows that the table has.
    pub fn has(&mut self, table: &'static str, rows: u64) {
        self.table(table).rows = rows;
    }

    /// Columns of which nothing was taken.
    pub fn ignores_columns(&mut self, table: &'static str, columns: Vec<String>) {
        self.table(table).ignored_columns = columns;
    }

    /// A table of which nothing was taken, because nobody knows what it is.
    pub fn ignores_table(&mut self, name: &str, rows: u64) {
        self.ignored_tables.insert(name.to_string(), rows);
    }

    /// A row is in the relay now.
    pub fn imported(&mut self, table: &'static str) {
        self.table(table).imported += 1;
    }

    /// A row is part of one of another table.
    pub fn attached(&mut self, table: &'static str, to: &'static str) {
        let attached = self.table(table).attached.get_or_insert((0, to));
        attached.0 += 1;
    }

    /// Many rows are part of something else.
    pub fn attached_many(&mut self, table: &'static str, rows: u64, to: &'static str) {
        if rows > 0 {
            self.table(table).attached = Some((rows, to));
        }
    }

    /// A row was in the relay before.
    pub fn exists(&mut self, table: &'static str) {
        self.table(table).exists += 1;
    }

    /// A row is left out.
    pub fn leaves_out(&mut self, table: &'static str, id: &str, why: &str) {
        let left_out = self.left_out(table, why);
        left_out.rows += 1;
        if left_out.examples.len() < EXAMPLES_MAX && !id.is_empty() {
            left_out.examples.push(id.to_string());
        }
    }

    /// Many rows are left out.
    pub fn leaves_out_many(&mut self, table: &'static str, rows: u64, why: &str) {
        if rows > 0 {
            self.left_out(table, why).rows += rows;
        }
    }

    fn left_out(&mut self, table: &'static str, why: &str) -> &mut LeftOut {
        let reasons = &mut self.table(table).left_out;
        let why = match reasons.len() >= REASONS_MAX && !reasons.contains_key(why) {
            true => OTHER_REASONS,
            false => why,
        };
        reasons.entry(why.to_string()).or_default()
    }

    /// Adds what the relay answered.
    pub fn merge(&mut self, answered: Report) {
        for (table, counts) in answered.tables {
            let own = self.table(table);
            own.imported += counts.imported;
            own.exists += counts.exists;
            for (why, left_out) in counts.left_out {
                let own = self.left_out(table, &why);
                own.rows += left_out.rows;
                own.examples.extend(left_out.examples);
                own.examples.truncate(EXAMPLES_MAX);
            }
        }
    }

    /// An agent has no secret that it could show.
    pub fn has_no_secret(&mut self, id: &str) {
        self.agents_without_secret += 1;
        if self.without_secret.len() < EXAMPLES_MAX {
            self.without_secret.push(id.to_string());
        }
    }

    /// An operator has no password that is understood.
    pub fn has_no_password(&mut self, email: &str) {
        if self.without_password.len() < EXAMPLES_MAX {
            self.without_password.push(email.to_string());
        }
    }

    /// The report for programs.
    pub fn json(&self, file: &str, fleet: &Value, dry_run: bool) -> Value {
        let tables = self.tables.iter().map(|(table, counts)| {
            let left_out = counts.left_out.iter().map(|(reason, left_out)| {
                json!({
                    "reason": reason,
                    "rows": left_out.rows,
                    "examples": left_out.examples,
                })
            });
            json!({
                "table": table,
                "rows": counts.rows,
                "imported": counts.imported,
                "exists": counts.exists,
                "part_of": counts.attached.map(|(_, to)| to),
                "parts": counts.attached.map_or(0, |(rows, _)| rows),
                "left_out": left_out.collect::<Vec<_>>(),
                "ignored_columns": counts.ignored_columns,
            })
        });
        json!({
            "file": file,
            "dry_run": dry_run,
            "fleet": fleet,
            "tables": tables.collect::<Vec<_>>(),
            "ignored_tables": self.ignored_tables,
            "agents_without_secret": self.agents_without_secret,
            "operators_without_password": self.without_password,
        })
    }

    /// The report for people.
    pub fn text(&self, dry_run: bool) -> String {
        let rows: Vec<Value> = self
            .tables
            .iter()
            .filter(|(_, counts)| counts.rows > 0)
            .map(|(table, counts)| {
                let left_out: u64 = counts.left_out.values().map(|one| one.rows).sum();
                json!({
                    "table": table,
                    "rows": counts.rows,
                    "imported": counts.imported,
                    "exists": counts.exists,
                    "left_out": left_out,
                })
            })
            .collect();
        let imported = if dry_run {
            "would be imported"
        } else {
            "imported"
        };
        let columns = [
            ("table", "table"),
            ("rows", "rows"),
            (imported, "imported"),
            ("here already", "exists"),
            ("left out", "left_out"),
        ];
        let mut text = show::table(&columns, &rows);
        for (table, counts) in &self.tables {
            if let Some((rows, to)) = counts.attached {
                text.push_str(&format!("\n{table}: {rows} read as part of {to}"));
            }
            for (reason, left_out) in &counts.left_out {
                let reason = show::clean(reason);
                text.push_str(&format!("\n{table}: {} left out: {reason}", left_out.rows));
                if !left_out.examples.is_empty() {
                    text.push_str(&format!(" ({})", named(&left_out.examples, left_out.rows)));
                }
            }
        }
        for (table, counts) in &self.tables {
            if !counts.ignored_columns.is_empty() {
                let columns = show::clean(&counts.ignored_columns.join(", "));
                text.push_str(&format!("\n{table}: columns not taken over: {columns}"));
            }
        }
        for (name, rows) in &self.ignored_tables {
            let name = show::clean(name);
            text.push_str(&format!(
                "\n{name}: {rows} left out: the table is not known"
            ));
        }
        if self.agents_without_secret > 0 {
            let ids = named(&self.without_secret, self.agents_without_secret);
            text.push_str(&format!(
                "\nagents without a secret that they could show, which need a new one \
                 (`ekho agents new-secret`): {ids}"
            ));
        }
        if !self.without_password.is_empty() {
            let emails = show::clean(&self.without_password.join(", "));
            text.push_str(&format!(
                "\noperators without a password that is understood, for whom an owner sets one: \
                 {emails}"
            ));
        }
        text
    }
}

fn named(examples: &[String], rows: u64) -> String {
    let mut text = show::clean(&examples.join(", "));
    if rows > examples.len() as u64 {
        text.push_str(", …");
    }
    text
}
