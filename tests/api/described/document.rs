//! The description, read: operations, their fields, and examples of what they take.

use serde_json::{Map, Value, json};

use crate::support::Relay;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Anyone,
    Agent,
    Operator,
}

/// The description that a relay serves.
pub struct Document(Value);

/// One operation.
pub struct Operation<'a> {
    document: &'a Document,
    pub method: String,
    pub path: String,
    pub asker: Asker,
    described: &'a Value,
}

impl Document {
    pub async fn of(relay: &Relay) -> Document {
        Document(relay.get("/openapi.json").await.ok())
    }

    /// All operations.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().expect("paths");
        let mut operations = Vec::new();
        for (path, item) in paths {
            for (method, described) in item.as_object().expect("a path") {
                let security = described["security"].to_string();
                let asker = match () {
                    () if security.contains("operator_token") => Asker::Operator,
                    () if security.contains("agent_signature") => Asker::Agent,
                    () => Asker::Anyone,
                };
                operations.push(Operation {
                    document: self,
                    method: method.to_uppercase(),
                    path: path.clone(),
                    asker,
                    described,
                });
            }
        }
        operations
    }

    /// What a reference leads to; anything else as it is.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(path) => self.resolve(self.0.pointer(&path[1..]).expect("what is referred to")),
            None => value,
        }
    }

    /// A schema with its parts put together, the first of several choices taken, null left out.
    pub fn plain(&self, schema: &Value) -> Map<String, Value> {
        let schema = self.resolve(schema);
        let mut whole = schema.as_object().cloned().unwrap_or_default();
        let parts = schema["allOf"].as_array().cloned().unwrap_or_default();
        for choices in ["oneOf", "anyOf"] {
            let choices = schema[choices].as_array().into_iter().flatten();
            let first = choices
                .map(|one| self.plain(one))
                .find(|one| one.get("type") != Some(&json!("null")));
            whole.extend(first.unwrap_or_default());
        }
        for part in parts {
            for (name, value) in self.plain(&part) {
                match (whole.get_mut(&name), value) {
                    (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                    (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                    (_, value) => drop(whole.insert(name, value)),
                }
            }
        }
        if let Some(Value::Array(kinds)) = whole.get("type") {
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            whole.insert("type".into(), kind.expect("a type"));
        }
        whole
    }

    /// Names and schemas of an object's fields.
    pub fn fields(&self, schema: &Value) -> Vec<(String, Map<String, Value>)> {
        let plain = self.plain(schema);
        let fields = plain.get("properties").and_then(Value::as_object);
        let fields = fields.into_iter().flatten();
        fields
            .map(|(name, schema)| (name.clone(), self.plain(schema)))
            .collect()
    }

    /// Names of the fields that an object must have.
    pub fn required(&self, schema: &Value) -> Vec<String> {
        let plain = self.plain(schema);
        let names = plain.get("required").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_string).collect()
    }

    /// The smallest value that the schema allows.
    pub fn example(&self, schema: &Value) -> Value {
        let plain = self.plain(schema);
        if let Some(word) = plain.get("enum").and_then(|words| words.get(0)) {
            return word.clone();
        }
        match plain.get("type").and_then(Value::as_str) {
            Some("string") if plain.get("format") == Some(&json!("date-time")) => {
                json!("2999-01-01T00:00:00.000Z")
            }
            Some("string") => {
                let length = plain.get("minLength").and_then(Value::as_u64).unwrap_or(1);
                json!("x".repeat(length.max(1) as usize))
            }
            Some("integer" | "number") => plain.get("minimum").cloned().unwrap_or(json!(1)),
            Some("boolean") => json!(true),
            Some("array") => {
                let items = plain.get("items").cloned().unwrap_or_default();
                json!([self.example(&items)])
            }
            Some("object") => {
                let required = self.required(schema);
                let fields = self.fields(schema).into_iter();
                let fields = fields.filter(|(name, _)| required.contains(name));
                Value::Object(
                    fields
                        .map(|(name, field)| (name, self.example(&field.into())))
                        .collect(),
                )
            }
            _ => json!({}),
        }
    }
}

impl Operation<'_> {
    /// As it is called in messages of failed tests.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The schema of its body.
    pub fn body(&self) -> Option<&Value> {
        let body = self.described.get("requestBody")?;
        body["content"]["application/json"].get("schema")
    }

    /// Names and schemas of its parameters in the query.
    pub fn query(&self) -> Vec<(String, Map<String, Value>)> {
        let parameters = self.described["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        parameters
            .filter(|one| one["in"] == "query")
            .map(|one| {
                (
                    one["name"].as_str().expect("a name").into(),
                    self.document.plain(&one["schema"]),
                )
            })
            .collect()
    }

    /// Names of the parameters in the query that must be there.
    pub fn required_query(&self) -> Vec<String> {
        let parameters = self.described["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        let needed = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
        needed
            .map(|one| one["name"].as_str().expect("a name").into())
            .collect()
    }

    /// Why an answer is not among those described.
    pub fn undescribed(&self, status: u16, code: &str) -> Option<String> {
        let Some(answer) = self.described["responses"].get(status.to_string()) else {
            return Some(format!("status {status} is not described"));
        };
        let schema = &self.document.resolve(answer)["content"]["application/json"]["schema"];
        let plain = self.document.plain(schema);
        let codes = &plain["properties"]["code"]["enum"];
        let described = codes
            .as_array()
            .is_some_and(|codes| codes.contains(&json!(code)));
        (!described).then(|| format!("code {code:?} is not described for {status}"))
    }
}
