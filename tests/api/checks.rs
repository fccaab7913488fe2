//! Small checks that several modules use.

use serde_json::Value;

/// Every field is there; null counts as there.
pub fn assert_fields(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "no {field} in {value}");
    }
}

/// Exactly these fields are there.
pub fn assert_only_fields(value: &Value, fields: &[&str]) {
    assert_fields(value, fields);
    let object = value.as_object().expect("an object");
    assert_eq!(
        object.len(),
        fields.len(),
        "more than {fields:?} in {value}"
    );
}

/// An id with this prefix.
pub fn assert_id(value: &Value, prefix: &str) -> String {
    let id = value
        .as_str()
        .unwrap_or_else(|| panic!("not an id: {value}"));
    assert!(
        id.len() > prefix.len() && id.starts_with(prefix),
        "{id} is no {prefix} id"
    );
    id.to_string()
}

/// A time as contract.md writes it: ISO 8601, UTC, milliseconds, `Z`. In milliseconds.
pub fn assert_time(value: &Value) -> i64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("not a time: {value}"));
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
    let at: jiff::Timestamp = text.parse().expect("a time");
    at.as_millisecond()
}

/// Texts of one field of every item.
pub fn texts<'a>(items: &'a [Value], field: &str) -> Vec<&'a str> {
    items
        .iter()
        .map(|item| item[field].as_str().unwrap_or_default())
        .collect()
}
