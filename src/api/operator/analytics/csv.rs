//! Rows of an answer as CSV, for spreadsheets.

use serde_json::Value;

/// Rows as CSV (RFC 4180), fields of nested objects as `outer.inner`.
pub(super) fn csv(rows: &[Value]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut cells = Vec::new();
        flatten("", row, &mut cells);
        if number == 0 {
            let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
            text.push_str(&names.join(","));
            text.push_str("\r\n");
        }
        let values: Vec<String> = cells.into_iter().map(|(_, value)| value).collect();
        text.push_str(&values.join(","));
        text.push_str("\r\n");
    }
    text
}

fn flatten(name: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() {
                    field.clone()
                } else {
                    format!("{name}.{field}")
                };
                flatten(&name, value, cells);
            }
        }
        Value::Null => cells.push((name.into(), String::new())),
        Value::String(text) => cells.push((name.into(), quoted(text))),
        other => cells.push((name.into(), other.to_string())),
    }
}

/// A text as a cell. One that a spreadsheet would take for a formula is kept from being one.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_quotes_flattens_and_disarms() {
        let rows = [
            json!({ "a": "x\"y", "b": { "c": 1, "d": null } }),
            json!({ "a": "=1+1", "b": { "c": 2, "d": 3 } }),
        ];
        let expected = "a,b.c,b.d\r\n\"x\"\"y\",1,\r\n\"'=1+1\",2,3\r\n";
        assert_eq!(csv(&rows), expected);
        assert_eq!(csv(&[]), "");
    }
}
