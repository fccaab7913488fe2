//! An A2A client with a bearer token, as the protocol's bindings are on the wire.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Agent, Answer, Events, Http, Operator, uuid};

/// A client that an operator made.
#[derive(Clone)]
pub struct A2aClient {
    /// Public id, as an agent's.
    pub id: String,
    /// Bearer token.
    pub token: String,
    /// Public id of the token.
    pub token_id: String,
    /// Where the relay is.
    pub relay_url: String,
    /// How requests go out.
    pub http: Http,
}

impl Operator {
    /// Makes an A2A client that may reach every agent.
    pub async fn a2a_client(&self, name: &str) -> A2aClient {
        self.a2a_client_as(&json!({ "name": name })).await
    }

    /// Makes an A2A client as it is asked for.
    pub async fn a2a_client_as(&self, request: &Value) -> A2aClient {
        let answer = self.post("/v1/operator/a2a/clients", request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = answer.json();
        let text = |name: &str| made[name].as_str().expect("a text").to_string();
        A2aClient {
            id: text("client_id"),
            token: text("token"),
            token_id: text("token_id"),
            relay_url: self.relay_url.clone(),
            http: self.http.clone(),
        }
    }
}

/// A message of one part of text, with an id of its own.
pub fn a2a_message(text: &str) -> Value {
    json!({
        "messageId": uuid(),
        "role": "ROLE_USER",
        "parts": [{ "text": text }],
    })
}

/// A request of JSON-RPC.
pub fn rpc(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

impl A2aClient {
    fn headers(&self, version: &str) -> Vec<(String, String)> {
        let mut headers = vec![
            ("authorization".into(), format!("Bearer {}", self.token)),
            ("content-type".into(), "application/json".into()),
        ];
        if !version.is_empty() {
            headers.push(("a2a-version".into(), version.into()));
        }
        headers
    }

    /// Any request in a version; none where that is empty.
    pub async fn call_as(
        &self,
        version: &str,
        method: &str,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let url = format!("{}{target}", self.relay_url);
        let headers = self.headers(version);
        self.http.send(method, &url, &headers, body.into()).await
    }

    /// A method of JSON-RPC 1.0 at an address: its whole answer.
    pub async fn ask(&self, target: &str, method: &str, params: &Value) -> Value {
        let body = rpc(method, params).to_string();
        self.call_as("1.0", "POST", target, body).await.json()
    }

    /// The same: its result.
    pub async fn result(&self, target: &str, method: &str, params: &Value) -> Value {
        let answer = self.ask(target, method, params).await;
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The same: its error.
    pub async fn error(&self, target: &str, method: &str, params: &Value) -> Value {
        let answer = self.ask(target, method, params).await;
        assert!(answer["error"].is_object(), "{method}: {answer}");
        answer["error"].clone()
    }

    /// Sends a message to an agent and does not wait for what becomes of it: the task.
    pub async fn send(&self, agent: &Agent, message: &Value) -> Value {
        let params = json!({
            "message": message,
            "configuration": { "returnImmediately": true },
        });
        let target = format!("/agents/{}/a2a", agent.id);
        self.result(&target, "SendMessage", &params).await["task"].clone()
    }

    /// The task as it stands.
    pub async fn task(&self, task: &Value) -> Value {
        let params = json!({ "id": task["id"] });
        self.result("/a2a", "GetTask", &params).await
    }

    /// A streaming method.
    pub async fn stream(&self, target: &str, method: &str, params: &Value) -> Events {
        let url = format!("{}{target}", self.relay_url);
        let body = Bytes::from(rpc(method, params).to_string());
        let answer = self
            .http
            .open("POST", &url, &self.headers("1.0"), body)
            .await;
        Events::of(answer.expect("an answer"))
    }
}

impl Agent {
    /// Takes the one message that waits, and acks it: its body.
    pub async fn take(&self) -> Value {
        let messages = self.receive().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        let id = messages[0]["message_id"].as_str().expect("an id");
        assert_eq!(self.ack(&[id]).await, 1);
        messages[0].clone()
    }

    /// Says how far a task is.
    pub async fn set_status(&self, task: &Value, status: &Value) -> Answer {
        let id = task["id"].as_str().expect("a task's id");
        self.post(&format!("/v1/tasks/{id}/status"), status).await
    }

    /// Adds an artifact, or a part of one, to a task.
    pub async fn add_artifact(&self, task: &Value, artifact: &Value) -> Answer {
        let id = task["id"].as_str().expect("a task's id");
        self.post(&format!("/v1/tasks/{id}/artifacts"), artifact)
            .await
    }
}
