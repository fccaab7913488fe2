//! How answers look to people: tables and fields. What agents and others wrote is shown without
//! the control characters that could write over the terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

/// Titles of columns, and where in a row each value is: names joined by dots.
pub(super) type Columns<'a> = &'a [(&'a str, &'a str)];

/// Rows as a table as wide as the terminal; the first column is never broken.
pub(super) fn table(columns: Columns<'_>, rows: &[Value]) -> String {
    let cells = |row: &Value| -> Vec<String> {
        let cells = columns.iter().map(|(_, place)| cell(place, at(row, place)));
        cells.collect()
    };
    let mut table = new_table();
    table.set_header(columns.iter().map(|(title, _)| title.to_uppercase()));
    for row in rows {
        table.add_row(cells(row));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    trimmed(&table)
}

/// One row without a table around it.
pub(super) fn line(columns: Columns<'_>, row: &Value) -> String {
    let cells = columns.iter().map(|(_, place)| cell(place, at(row, place)));
    let cells: Vec<String> = cells.map(|cell| cell.replace('\n', " ")).collect();
    cells.join("  ")
}

/// The fields of a thing, one a line, its id first; inner things as JSON.
pub(super) fn fields(thing: &Value) -> String {
    let mut table = new_table();
    let id = thing.get("id").map(|id| ("id", id));
    let others = thing.as_object().into_iter().flatten();
    let others = others.map(|(name, value)| (name.as_str(), value));
    for (name, value) in id
        .into_iter()
        .chain(others.filter(|(name, _)| *name != "id"))
    {
        table.add_row([clean(name), cell(name, value)]);
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    trimmed(&table)
}

/// Columns narrower than this are of no use; some terminals say that they have none.
const NARROW: u16 = 40;

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if table.width().is_none_or(|width| width >= NARROW) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Without the blanks that fill up lines.
fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(|line| line.trim_end()).collect();
    lines
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

fn at<'a>(row: &'a Value, place: &str) -> &'a Value {
    place.split('.').fold(row, |value, name| &value[name])
}

/// A value in a cell. Times are written for people, in UTC.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) if name.ends_with("_at") || name.ends_with("from") => time(text),
        Value::String(text) => clean(text),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) if !items.iter().any(|item| item.is_object() || item.is_array()) => {
            let items: Vec<String> = items.iter().map(|item| cell("", item)).collect();
            items.join(", ")
        }
        other => clean(&other.to_string()),
    }
}

/// `2026-01-31T12:00:00.000Z` without what nobody reads; any other text as it is.
fn time(text: &str) -> String {
    match (text.split_once('T'), text.len()) {
        (Some((day, time)), 24) if time.ends_with('Z') => {
            format!("{day} {}Z", time.get(..8).unwrap_or(time))
        }
        _ => clean(text),
    }
}

/// A text without control characters but line ends.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_become_a_table() {
        let rows = [
            json!({ "id": "a1", "rule": { "action": "deny" }, "at": null, "tags": ["x", "y"] }),
            json!({ "id": "a2", "rule": { "action": "allow" }, "created_at": "2026-01-31T12:00:00.000Z" }),
        ];
        let columns = [
            ("id", "id"),
            ("action", "rule.action"),
            ("tags", "tags"),
            ("since", "created_at"),
        ];
        assert_eq!(
            table(&columns, &rows),
            "ID  ACTION  TAGS  SINCE\n\
             a1  deny    x, y  -\n\
             a2  allow   -     2026-01-31 12:00:00Z"
        );
        assert_eq!(table(&columns, &[]), "ID  ACTION  TAGS  SINCE");
    }

    #[test]
    fn what_others_wrote_cannot_write_over_the_terminal() {
        let evil = json!({ "name": "\u{1b}[2J\u{7}gone", "body": { "text": "\u{1b}]0;x" } });
        let shown = fields(&evil);
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{7}'),
            "{shown:?}"
        );
        assert!(shown.contains("gone"), "{shown}");
    }
}
