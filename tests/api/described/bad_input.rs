//! Every endpoint, with everything that is not right: refused with the status and the code that the
//! description says, and the name of the field. Nothing here changes anything, so that the relay is
//! shared.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::asking::{Askers, body, target};
use super::document::{Asker, Document, Operation};
use crate::support::{Answer, shared};

/// An id that names nothing.
const NOBODY: &str = "nobody";

/// What went wrong, all of it, before the test fails.
#[derive(Default)]
struct Findings {
    requests: usize,
    found: Vec<String>,
}

impl Findings {
    /// An answer must be a refusal as described; with `field`, one of that field.
    fn refused(
        &mut self,
        operation: &Operation<'_>,
        what: &str,
        answer: &Answer,
        field: Option<&str>,
    ) {
        self.requests += 1;
        let code = serde_json::from_slice::<Value>(&answer.bytes).unwrap_or_default();
        let code = code["code"].as_str().unwrap_or_default().to_string();
        let mut wrong = Vec::new();
        if !(400..500).contains(&answer.status) {
            wrong.push("no refusal".to_string());
        }
        if !["application/json"].contains(&answer.header("content-type").unwrap_or_default()) {
            wrong.push("no JSON".into());
        }
        wrong.extend(operation.undescribed(answer.status, &code));
        if let Some(field) = field {
            if (answer.status, code.as_str()) != (400, "validation_failed") {
                wrong.push("not 400 validation_failed".into());
            } else if !field.is_empty() && !names(answer, field) {
                wrong.push(format!("does not name {field}"));
            }
        }
        for why in wrong {
            self.found.push(format!(
                "{}: {what}: {why}: {} {}",
                operation.name(),
                answer.status,
                answer.text()
            ));
        }
    }

    fn check(self) {
        eprintln!("summary: {} bad requests", self.requests);
        let found = self.found.len();
        assert!(found == 0, "{found} findings:\n{}", self.found.join("\n"));
    }
}

/// Whether a refusal names a field. A field that stands for others, such as one of two that must be
/// given, may be named by the one that is asked for first.
fn names(answer: &Answer, field: &str) -> bool {
    let errors = &answer.json()["error"]["fieldErrors"];
    let texts = errors.as_object().into_iter().flatten();
    texts
        .filter(|(name, _)| *name == field)
        .any(|(_, texts)| texts[0].is_string())
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let mut findings = Findings::default();
    for operation in document.operations() {
        if operation.body().is_none() {
            continue;
        }
        let target = target(&document, &operation, NOBODY);
        for text in [
            "{\"a\":",
            "[]",
            "[{}]",
            "\"text\"",
            "5",
            "true",
            "null",
            "{} {}",
            "\u{feff}{}",
        ] {
            let answer = askers
                .ask(&operation.method, operation.asker, &target, text.into())
                .await;
            findings.refused(&operation, text, &answer, Some(""));
        }
    }
    findings.check();
}

/// Values of another kind than the schema's, and beyond its limits.
fn bad_values(schema: &Map<String, Value>, document: &Document) -> Vec<Value> {
    let whole = Value::Object(schema.clone());
    let number = |name: &str| schema.get(name).and_then(Value::as_u64);
    let mut values = Vec::new();
    // What may be a text, or else a list or an object, is wrong only where it is neither.
    let choices = schema.get("oneOf").and_then(Value::as_array);
    let may_be = |kind: &str| {
        let mut choices = choices.into_iter().flatten();
        choices.any(|one| document.plain(one).get("type") == Some(&json!(kind)))
    };
    if may_be("array") {
        return vec![json!(5), json!({}), json!([5])];
    }
    if may_be("string") && may_be("object") {
        return vec![json!(5), json!(true), json!([])];
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => {
            values.extend([json!(5), json!(true), json!([]), json!({}), json!("")]);
            if let Some(most) = number("maxLength") {
                // Texts are counted in bytes or in characters.
                values.push(json!("x".repeat(4 * most as usize + 1)));
            }
            if let Some(least) = number("minLength").filter(|least| *least > 1) {
                values.push(json!("x".repeat(least as usize - 1)));
            }
            if schema.contains_key("enum") {
                values.extend([json!("nonsense"), json!("x".repeat(10_000))]);
            }
            if schema.get("format") == Some(&json!("date-time")) {
                values.extend([json!("yesterday"), json!("2026-13-01T00:00:00Z")]);
            }
        }
        Some("integer") => {
            values.extend([
                json!("x"),
                json!("5"),
                json!(true),
                json!([]),
                json!({}),
                json!(0.5),
                json!(-1),
            ]);
            values.extend(
                number("minimum")
                    .filter(|least| *least > 0)
                    .map(|least| json!(least - 1)),
            );
            values.extend(number("maximum").map(|most| json!(most + 1)));
        }
        Some("boolean") => values.extend([json!("true"), json!(1), json!([]), json!({})]),
        Some("array") => {
            values.extend([json!("x"), json!(5), json!(true), json!({}), json!([[]])]);
            let items = document.plain(&schema.get("items").cloned().unwrap_or_default());
            match items.get("type").and_then(Value::as_str) {
                Some("string") => values.push(json!([5])),
                _ => values.push(json!(["x"])),
            }
            if let Some(most) = number("maxItems") {
                let item = document.example(&schema.get("items").cloned().unwrap_or_default());
                values.push(Value::Array(vec![item; most as usize + 1]));
            }
            if number("minItems").is_some_and(|least| least > 0) {
                values.push(json!([]));
            }
        }
        Some("object") => {
            values.extend([json!("x"), json!(5), json!(true), json!([])]);
            if !document.required(&whole).is_empty() {
                values.push(json!({}));
            }
        }
        _ => {}
    }
    values
}

/// Every way to spoil one field of a body: its name as errors have it, and the whole body.
fn spoilt(document: &Document, schema: &Value, place: &str) -> Vec<(String, Value)> {
    let mut bodies = Vec::new();
    let whole = document.example(schema);
    let required = document.required(schema);
    let with = |name: &str, value: Value| {
        let mut body = whole.clone();
        body[name] = value;
        body
    };
    for (name, field) in document.fields(schema) {
        let full = format!("{place}{name}");
        for value in bad_values(&field, document) {
            // What is wrong with a field of an object or an item of a list is said of it.
            bodies.push((full.clone(), with(&name, value)));
        }
        if required.contains(&name) {
            let mut body = whole.clone();
            body.as_object_mut().expect("an object").remove(&name);
            bodies.push((full.clone(), body));
            bodies.push((full.clone(), with(&name, Value::Null)));
        }
        let inner = match field.get("type").and_then(Value::as_str) {
            Some("object") => spoilt(document, &field.clone().into(), &format!("{full}.")),
            Some("array") => {
                let items = field["items"].clone();
                match document.plain(&items).get("type") == Some(&json!("object")) {
                    true => {
                        let inner = spoilt(document, &items, &format!("{full}.0."));
                        inner
                            .into_iter()
                            .map(|(name, item)| (name, json!([item])))
                            .collect()
                    }
                    false => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        bodies.extend(
            inner
                .into_iter()
                .map(|(inner, value)| (inner, with(&name, value))),
        );
    }
    bodies
}

/// Whether a refusal of a field may name it in this way: by its path, or by a part of it that is
/// wrong within.
fn named(answer: &Answer, field: &str) -> bool {
    let errors = &answer.json()["error"]["fieldErrors"];
    let mut texts = errors.as_object().into_iter().flatten();
    texts.any(|(name, _)| name == field || name.starts_with(&format!("{field}.")))
}

#[tokio::test]
async fn fields_that_are_not_right_are_refused_by_name() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let mut findings = Findings::default();
    for operation in document.operations() {
        let Some(schema) = operation.body() else {
            continue;
        };
        let target = target(&document, &operation, NOBODY);
        for (field, body) in spoilt(&document, schema, "") {
            let text = body.to_string();
            let shown: String = text.chars().take(200).collect();
            let answer = askers
                .ask(&operation.method, operation.asker, &target, text.into())
                .await;
            let is_named = answer.status == 400
                && answer.code() == "validation_failed"
                && named(&answer, &field);
            findings.refused(
                &operation,
                &format!("{field} in {shown}"),
                &answer,
                Some(""),
            );
            if !is_named {
                let said = answer.text();
                let name = operation.name();
                findings
                    .found
                    .push(format!("{name}: {field} is not named: {shown}: {said}"));
            }
        }
    }
    findings.check();
}

#[tokio::test]
async fn queries_that_are_not_right_are_refused_by_name() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let mut findings = Findings::default();
    for operation in document.operations() {
        let (plain, needed) = (
            target(&document, &operation, NOBODY),
            operation.required_query(),
        );
        let path = plain.split('?').next().unwrap_or_default().to_string();
        for (name, schema) in operation.query() {
            let kind = schema
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let mut values: Vec<String> = Vec::new();
            if kind == "integer" {
                values.extend(
                    ["x", "-1", "1.5", "99999999999999999999", "", "%FF"].map(str::to_string),
                );
                let beyond = schema
                    .get("maximum")
                    .and_then(Value::as_u64)
                    .map(|most| most + 1);
                values.extend(beyond.map(|number| number.to_string()));
            }
            if schema.contains_key("enum") {
                values.push("nonsense".into());
            }
            if schema.get("format") == Some(&json!("date-time")) {
                values.extend(["yesterday", "2026-01-01", "5"].map(str::to_string));
            }
            if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
                values.push("x".repeat(most as usize + 1));
            }
            if name == "cursor" {
                // A cursor of rooms may be any text up to a length.
                values.push("!".repeat(300));
            }
            values.push(format!("a&{name}=b"));
            for value in values {
                let target = format!("{path}?{name}={value}");
                let answer = askers
                    .ask(&operation.method, operation.asker, &target, "".into())
                    .await;
                findings.refused(&operation, &target, &answer, Some(&name));
            }
        }
        for name in needed {
            let answer = askers
                .ask(&operation.method, operation.asker, &path, "".into())
                .await;
            findings.refused(&operation, &format!("without {name}"), &answer, Some(&name));
        }
    }
    findings.check();
}

#[tokio::test]
async fn ids_that_name_nothing_are_refused() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let mut findings = Findings::default();
    for operation in document.operations() {
        if !operation.path.contains('{') {
            continue;
        }
        let body = body(&document, &operation).to_string();
        let zeros = "msg_00000000000000000000000000000000";
        let long = "x".repeat(300);
        for id in [
            NOBODY,
            zeros,
            "%FF",
            "%00",
            "..%2F..",
            "%F0%9F%92%A9",
            long.as_str(),
        ] {
            let target = target(&document, &operation, id);
            let answer = askers
                .ask(
                    &operation.method,
                    operation.asker,
                    &target,
                    body.clone().into(),
                )
                .await;
            findings.refused(&operation, id, &answer, None);
        }
    }
    findings.check();
}

#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let mut findings = Findings::default();
    for operation in document.operations() {
        let target = target(&document, &operation, NOBODY);
        for headers in askers.wrong_credentials(operation.asker) {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let answer = askers.ask_with(&operation.method, &target, &headers).await;
            findings.refused(&operation, &format!("{headers:?}"), &answer, None);
            if answer.status != 401 {
                let name = operation.name();
                findings
                    .found
                    .push(format!("{name}: {headers:?}: {}", answer.status));
            }
        }
        if operation.asker == Asker::Operator && operation.method != "GET" {
            let cookie = format!("ekho_session={}", askers.operator.token);
            let answer = askers
                .ask_with(&operation.method, &target, &[("cookie", &cookie)])
                .await;
            findings.refused(&operation, "a cookie alone", &answer, None);
            if answer.code() != "csrf" {
                findings.found.push(format!(
                    "{}: a cookie alone: {}",
                    operation.name(),
                    answer.text()
                ));
            }
        }
    }
    findings.check();
}

#[tokio::test]
async fn methods_that_are_not_there_are_refused() {
    let relay = shared().await;
    let (document, askers) = (Document::of(&relay).await, Askers::of(&relay).await);
    let operations = document.operations();
    let paths: BTreeSet<&str> = operations.iter().map(|one| one.path.as_str()).collect();
    for path in paths {
        let of_path: Vec<&Operation<'_>> =
            operations.iter().filter(|one| one.path == path).collect();
        let target = target(&document, of_path[0], NOBODY);
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            if of_path.iter().any(|one| one.method == method) {
                continue;
            }
            let answer = askers.ask_with(method, &target, &[]).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            let allowed = answer.header("allow").unwrap_or_default().to_string();
            for one in &of_path {
                assert!(
                    allowed.contains(&one.method),
                    "{method} {path}: allow: {allowed}"
                );
            }
        }
    }
}
