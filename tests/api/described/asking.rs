//! Requests made from the description, with the right credentials.

use bytes::Bytes;
use serde_json::Value;

use super::document::{Asker, Document, Operation};
use crate::support::{Agent, Answer, Http, Operator, Relay, now_iso, uuid};

/// Somebody of each kind.
pub struct Askers {
    pub operator: Operator,
    pub agent: Agent,
    http: Http,
    url: String,
}

impl Askers {
    pub async fn of(relay: &Relay) -> Askers {
        let [agent] = relay.agents(["asker"]).await;
        Askers {
            operator: relay.operator().await,
            agent,
            http: Http::pooled(),
            url: relay.url(),
        }
    }

    /// Sends a request as somebody who may.
    pub async fn ask(&self, method: &str, asker: Asker, target: &str, body: Bytes) -> Answer {
        let url = format!("{}{target}", self.url);
        let mut headers = vec![("content-type".to_string(), "application/json".to_string())];
        match asker {
            Asker::Anyone => {}
            Asker::Operator => {
                headers.push((
                    "authorization".into(),
                    format!("Bearer {}", self.operator.token),
                ));
            }
            Asker::Agent => return self.agent.call(method, target, body).await,
        }
        self.http.send(method, &url, &headers, body).await
    }

    /// Sends a request with these headers instead of credentials.
    pub async fn ask_with(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let own = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let own: Vec<(String, String)> = own.collect();
        self.http
            .send(method, &format!("{}{target}", self.url), &own, "{}".into())
            .await
    }

    /// Credentials that are none, by kind.
    pub fn wrong_credentials(&self, asker: Asker) -> Vec<Vec<(String, String)>> {
        let header = |name: &str, value: &str| (name.to_string(), value.to_string());
        match asker {
            Asker::Anyone => vec![],
            Asker::Operator => vec![
                vec![],
                vec![header("authorization", "Bearer ekho_wrong")],
                vec![header(
                    "authorization",
                    &format!("Basic {}", self.operator.token),
                )],
                vec![
                    header("cookie", "ekho_session=wrong"),
                    header("x-ekho-csrf", "1"),
                ],
            ],
            Asker::Agent => {
                let headers = |id: &str, at: &str, signature: &str| {
                    vec![
                        header("x-ekho-agent-id", id),
                        header("x-ekho-timestamp", at),
                        header("x-ekho-nonce", &uuid()),
                        header("x-ekho-signature", signature),
                    ]
                };
                let zeros = "0".repeat(64);
                vec![
                    vec![],
                    vec![header("x-ekho-agent-id", &self.agent.id)],
                    vec![header(
                        "authorization",
                        &format!("Bearer {}", self.operator.token),
                    )],
                    headers(&self.agent.id, &now_iso(), &zeros),
                    headers(&self.agent.id, "yesterday", &zeros),
                    headers("agent_nobody", &now_iso(), &zeros),
                ]
            }
        }
    }
}

/// A target with these ids in its path, and what its query must have.
pub fn target(document: &Document, operation: &Operation<'_>, id: &str) -> String {
    let path = operation
        .path
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => id,
            false => segment,
        });
    let path = path.collect::<Vec<_>>().join("/");
    let needed = operation.required_query();
    let query = operation
        .query()
        .into_iter()
        .filter(|(name, _)| needed.contains(name));
    let query = query.map(|(name, schema)| {
        let value = document.example(&schema.into());
        format!(
            "{name}={}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string)
        )
    });
    let query = query.collect::<Vec<_>>().join("&");
    match query.is_empty() {
        true => path,
        false => format!("{path}?{query}"),
    }
}

/// The smallest body that the operation takes.
pub fn body(document: &Document, operation: &Operation<'_>) -> Value {
    operation
        .body()
        .map(|schema| document.example(schema))
        .unwrap_or_default()
}
