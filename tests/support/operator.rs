//! A signed-in operator.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Agent, Answer, Http};

/// What an operator does over HTTP.
#[derive(Clone)]
pub struct Operator {
    /// Bearer token.
    pub token: String,
    /// The fleet.
    pub fleet_id: String,
    /// Where the relay is.
    pub relay_url: String,
    /// How requests go out.
    pub http: Http,
}

impl Operator {
    /// Any call with the bearer token.
    pub async fn call(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let mut headers = vec![(
            "authorization".to_string(),
            format!("Bearer {}", self.token),
        )];
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            headers.push(("content-type".into(), "application/json".into()));
            bytes = Bytes::from(body.to_string());
        }
        self.http
            .send(
                method,
                &format!("{}{target}", self.relay_url),
                &headers,
                bytes,
            )
            .await
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, None).await
    }

    /// POST.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, target: &str, body: &Value) -> Answer {
        self.call("PUT", target, Some(body)).await
    }

    /// A fresh enrolment token.
    pub async fn enrollment_token(&self) -> String {
        let answer = self
            .post("/v1/operator/enrollment-tokens", &json!({}))
            .await
            .ok();
        answer["token"].as_str().expect("a token").to_string()
    }

    /// Enrols an agent.
    pub async fn enrol(&self, name: &str) -> Agent {
        let request = json!({
            "fleet_id": self.fleet_id,
            "token": self.enrollment_token().await,
            "display_name": name,
            "runtime": "custom",
        });
        let answer = self
            .http
            .post(&format!("{}/v1/enroll", self.relay_url), &request)
            .await
            .ok();
        Agent {
            id: answer["agent_id"]
                .as_str()
                .expect("an agent id")
                .to_string(),
            secret: answer["secret"].as_str().expect("a secret").to_string(),
            relay_url: self.relay_url.clone(),
            http: self.http.clone(),
        }
    }

    /// pause, resume, quarantine or revoke; must succeed.
    pub async fn order(&self, agent: &Agent, order: &str) {
        let target = format!("/v1/operator/agents/{}/{order}", agent.id);
        self.post(&target, &json!({ "reason": format!("test {order}") }))
            .await
            .ok();
    }

    /// An agent as the operator sees it.
    pub async fn agent(&self, agent: &Agent) -> Value {
        self.get(&format!("/v1/operator/agents/{}", agent.id))
            .await
            .ok()["agent"]
            .clone()
    }
}
