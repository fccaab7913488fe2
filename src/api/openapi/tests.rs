//! The description is the one that is checked in, and whole.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(&super::text().unwrap_or_default()).unwrap_or_default()
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    operations.collect()
}

#[test]
fn the_checked_in_description_is_the_one_the_code_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    let made = super::text().unwrap_or_default();
    let differs = checked_in
        .lines()
        .zip(made.lines())
        .position(|(old, new)| old != new);
    assert!(
        checked_in == made,
        "docs/openapi.json is not what the code says, from line {} on; `./dev openapi` writes it anew",
        differs.unwrap_or_default() + 1,
    );
}

#[test]
fn every_operation_says_what_it_is_and_what_it_answers() {
    let document = document();
    let operations = operations(&document);
    assert!(operations.len() > 10, "{} operations", operations.len());
    let mut ids = BTreeSet::new();
    for (name, operation) in operations {
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(
            !id.is_empty() && ids.insert(id),
            "{name}: operationId {id:?} is there already"
        );
        assert!(operation["summary"].is_string(), "{name}: no summary");
        assert!(
            operation.get("x-codes").is_none(),
            "{name}: unknown codes {}",
            operation["x-codes"]
        );
        let answers = operation["responses"].as_object().into_iter().flatten();
        let good = answers
            .filter(|(status, _)| status.starts_with('2'))
            .count();
        assert!(good > 0, "{name}: no good answer");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let place = reference.strip_prefix('#').unwrap_or_default();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}
