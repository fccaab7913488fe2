//! The description is the one that is checked in, and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
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
    let checked_in = fs::read_to_string(path).unwrap_or_default();
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
            .filter(|(status, _)| status.starts_with(['2', '3']))
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

/// The interface's source, by file.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            panic!("{folder:?} cannot be read")
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), fs::read_to_string(&path).unwrap_or_default())),
            }
        }
    }
    found
}

/// Two schemas of one name would silently become one.
#[test]
fn a_schema_has_its_name_to_itself() {
    let shape = r"#\[derive\([^)]*ToSchema[^)]*\)\]((?s:.*?))\b(?:struct|enum) (\w+)";
    let (Ok(shape), Ok(renamed)) = (Regex::new(shape), Regex::new(r"schema\(as = (\w+)\)")) else {
        panic!("two patterns")
    };
    let mut names = BTreeMap::new();
    for (path, text) in sources() {
        for found in shape.captures_iter(&text) {
            let name = renamed
                .captures(&found[1])
                .map_or(&found[2], |name| name.extract::<1>().1[0]);
            if let Some(other) = names.insert(name.to_string(), path.clone()) {
                panic!("{name} is in {other:?} and in {path:?}");
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
}

/// A route that is made without `routes!` has no description. Those of A2A have that of the protocol.
#[test]
fn no_route_is_made_without_its_description() {
    for (path, text) in sources() {
        let is_docs = path.ends_with("openapi/docs.rs");
        let is_test = path.ends_with("openapi/tests.rs");
        let is_console = path.ends_with("api/console.rs");
        let is_a2a = path
            .parent()
            .is_some_and(|folder| folder.ends_with("api/a2a"));
        assert!(
            is_docs || is_test || is_console || is_a2a || !text.contains(".route("),
            "{path:?} has a bare route"
        );
    }
}
