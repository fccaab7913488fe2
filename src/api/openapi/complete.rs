//! What holds for many endpoints at once, added to the description: who may ask, ids in paths,
//! whether a body is needed, and the errors that any endpoint of its kind can answer.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{COOKIE, CSRF, OPERATOR, SIGNATURE};
use crate::api::code::Code;

/// Methods that an endpoint can have.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Who may ask an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Anyone,
    Agent,
    Operator,
}

impl Asker {
    /// By the path, unless the endpoint says that it is open to anyone (`security(())`).
    fn of(path: &str, operation: &Value) -> Asker {
        if operation.get("security").is_some() || !path.starts_with("/v1/") {
            Asker::Anyone
        } else if path.starts_with("/v1/operator/") {
            Asker::Operator
        } else {
            Asker::Agent
        }
    }
}

/// Completes a description.
pub fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let mut responses = Map::new();
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, item) in paths {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                let one = Operation {
                    path,
                    method,
                    asker: Asker::of(path, operation),
                };
                one.complete(operation, &schemas, &mut responses);
            }
        }
    }
    document["components"]["responses"] = Value::Object(responses);
    allow_null(document);
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    document["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"] = json!(codes);
}

struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    asker: Asker,
}

impl Operation<'_> {
    fn complete(&self, operation: &mut Value, schemas: &Value, errors: &mut Map<String, Value>) {
        if operation.get("tags").is_none() {
            operation["tags"] = json!([self.tag()]);
        }
        operation["security"] = self.security();
        self.parameters(operation);
        body_needed(operation, schemas);
        name_answers(operation);
        let codes = self.codes(operation);
        let known = |code: &Value| code.as_str().and_then(Code::named).is_some();
        if operation["x-codes"]
            .as_array()
            .is_none_or(|own| own.iter().all(known))
        {
            // What is left is a mistake, which a test finds.
            operation
                .as_object_mut()
                .map(|operation| operation.remove("x-codes"));
        }
        for status in codes
            .iter()
            .map(|code| code.status().as_u16())
            .collect::<BTreeSet<_>>()
        {
            let of_status = codes
                .iter()
                .copied()
                .filter(|code| code.status().as_u16() == status);
            let name = shared_answer(of_status.collect(), errors);
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            operation["responses"][status.to_string()] = reference;
        }
    }

    /// Under which heading it is shown.
    fn tag(&self) -> &str {
        match self.asker {
            Asker::Agent => "agent API",
            _ => match self.path.strip_prefix("/v1/operator/") {
                Some(rest) => rest.split('/').next().unwrap_or(rest),
                None if self.path.starts_with("/v1/") => "agent API",
                None => "system",
            },
        }
    }

    fn security(&self) -> Value {
        match self.asker {
            Asker::Anyone => json!([]),
            Asker::Agent => {
                let headers = SIGNATURE.map(|(name, _, _)| (name.to_string(), json!([])));
                json!([Map::from_iter(headers)])
            }
            Asker::Operator if self.method == "get" => json!([{ OPERATOR: [] }, { COOKIE: [] }]),
            Asker::Operator => json!([{ OPERATOR: [] }, { COOKIE: [], CSRF: [] }]),
        }
    }

    /// Ids of the path, which no endpoint has to describe; and what is left out of a query is left
    /// out, never null.
    fn parameters(&self, operation: &mut Value) {
        let mut parameters = match operation["parameters"].take() {
            Value::Array(parameters) => parameters,
            _ => Vec::new(),
        };
        for parameter in &mut parameters {
            if parameter["in"] == "query" {
                never_null(&mut parameter["schema"]);
            }
        }
        let mut before = "";
        for segment in self.path.split('/') {
            let name = segment
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'));
            if let Some(name) = name {
                let described = parameters
                    .iter()
                    .any(|one| one["in"] == "path" && one["name"] == name);
                if !described {
                    parameters.push(json!({
                        "name": name,
                        "in": "path",
                        "required": true,
                        "description": format!("Which of the {before}: its id."),
                        "schema": { "type": "string", "minLength": 1 },
                    }));
                }
            }
            before = segment;
        }
        match parameters.is_empty() {
            true => {
                operation
                    .as_object_mut()
                    .map(|operation| operation.remove("parameters"));
            }
            false => operation["parameters"] = Value::Array(parameters),
        }
    }

    /// Its own codes, and those of anything like it.
    fn codes(&self, operation: &Value) -> BTreeSet<Code> {
        let own = operation["x-codes"].as_array();
        let own = own.into_iter().flatten().filter_map(Value::as_str);
        let mut codes: BTreeSet<Code> = own.filter_map(Code::named).collect();
        let writes = self.method != "get";
        let is_api = self.path.starts_with("/v1/");
        let takes_body = operation.get("requestBody").is_some();
        let asked = operation["parameters"].as_array().into_iter().flatten();
        let places: Vec<&str> = asked.filter_map(|one| one["in"].as_str()).collect();
        if is_api {
            codes.extend([
                Code::Internal,
                Code::NoLeader,
                Code::Overloaded,
                Code::Stopping,
            ]);
        }
        if is_api && writes {
            codes.extend([Code::OutcomeUnknown, Code::DiskFull]);
        }
        if self.path.starts_with("/v1/operator/") {
            codes.insert(Code::TailnetRequired);
        }
        if takes_body || self.asker == Asker::Agent {
            codes.extend([
                Code::ValidationFailed,
                Code::BodyIncomplete,
                Code::PayloadTooLarge,
            ]);
        }
        if places.contains(&"query") || places.contains(&"header") {
            codes.insert(Code::ValidationFailed);
        }
        if places.contains(&"path") {
            codes.insert(Code::NotFound);
        }
        match self.asker {
            Asker::Anyone => {}
            Asker::Agent => codes.extend([
                Code::MissingAuthHeaders,
                Code::InvalidCredentials,
                Code::TimestampSkew,
                Code::TimestampBeforeLeadership,
                Code::InvalidSignature,
                Code::SecretNotShown,
                Code::SecretInTheOpen,
                Code::ReplayedNonce,
            ]),
            Asker::Operator => {
                codes.extend([Code::NotSignedIn, Code::Forbidden]);
                if writes {
                    codes.insert(Code::Csrf);
                }
            }
        }
        codes
    }
}

/// A body is needed where it has a field that is.
fn body_needed(operation: &mut Value, schemas: &Value) {
    let Some(body) = operation.get_mut("requestBody") else {
        return;
    };
    let schema = &body["content"]["application/json"]["schema"];
    let name = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let schema = name.map_or(schema, |name| &schemas[name]);
    let needed = schema["required"]
        .as_array()
        .is_some_and(|fields| !fields.is_empty());
    body["required"] = (needed || schema["oneOf"].is_array()).into();
}

/// An answer has a description, even where there is nothing to say.
fn name_answers(operation: &mut Value) {
    let Some(answers) = operation["responses"].as_object_mut() else {
        return;
    };
    for answer in answers.values_mut() {
        if answer.get("$ref").is_none() && answer["description"].as_str().is_none_or(str::is_empty)
        {
            answer["description"] = "Done.".into();
        }
    }
}

fn never_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array() {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        schema["type"] = kind.unwrap_or_default();
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let choice = choices.iter().find(|one| one["type"] != "null").cloned();
        *schema = choice.unwrap_or_default();
    }
}

/// The error answer with these codes, which all have one status, shared by all who answer it.
fn shared_answer(codes: Vec<Code>, errors: &mut Map<String, Value>) -> String {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let name = names.join(".");
    let meanings = codes
        .iter()
        .map(|code| format!("`{}`: {}.", code.as_str(), code.meaning()));
    let mut answer = json!({
        "description": meanings.collect::<Vec<_>>().join("\n"),
        "content": { "application/json": { "schema": { "allOf": [
            { "$ref": "#/components/schemas/ErrorBody" },
            { "type": "object", "properties": { "code": { "enum": names } } },
        ] } } },
    });
    if codes
        .iter()
        .any(|code| matches!(code.status().as_u16(), 429 | 503))
    {
        answer["headers"] = json!({ "Retry-After": {
            "description": "Seconds after which it is worth trying again.",
            "schema": { "type": "integer", "minimum": 1 },
        } });
    }
    errors.insert(name.clone(), answer);
    name
}

/// In a request, null counts as left out: fields that may be left out may be null.
fn allow_null(document: &mut Value) {
    let mut names = BTreeSet::new();
    let mut places = Vec::new();
    for item in document["paths"]
        .as_object()
        .into_iter()
        .flat_map(Map::values)
    {
        places.extend(METHODS.iter().map(|method| &item[*method]["requestBody"]));
    }
    while let Some(place) = places.pop() {
        for name in references(place) {
            if names.insert(name.to_string()) {
                places.push(&document["components"]["schemas"][name]);
            }
        }
    }
    for name in names {
        let schema = &mut document["components"]["schemas"][&name];
        optional_fields_nullable(schema);
        let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            optional_fields_nullable(part);
        }
    }
}

/// Names of the schemas that a part of the description refers to.
fn references(place: &Value) -> Vec<&str> {
    match place {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|path| path.rsplit('/').next());
            let inner = fields.values().flat_map(references);
            own.into_iter().chain(inner).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn optional_fields_nullable(schema: &mut Value) {
    let required = schema["required"].clone();
    let required = required.as_array().map(Vec::as_slice).unwrap_or_default();
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    let fields = fields.into_iter().flatten();
    for (_, field) in fields.filter(|(name, _)| !required.iter().any(|one| one == *name)) {
        if let Some(kind) = field["type"].as_str() {
            field["type"] = json!([kind, "null"]);
        } else if field.get("$ref").is_some() {
            *field = json!({ "oneOf": [field.take(), { "type": "null" }] });
        } else if let Some(choices) = field.get_mut("oneOf").and_then(Value::as_array_mut)
            && !choices.iter().any(|one| one["type"] == "null")
        {
            choices.push(json!({ "type": "null" }));
        }
        if let Some(words) = field.get_mut("enum").and_then(Value::as_array_mut)
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
    }
}
