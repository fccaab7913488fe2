//! The owner of the fleet under test: signs in, enrols agents, makes rooms.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actor::Nodes;
use crate::client::{Answer, Client};
use crate::record::Done;
use crate::sign::{Agent, Request};

/// How long setting up may take; a relay in good health needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What setup wrote to `credentials.json`.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Credentials {
    /// Name of the fleet.
    pub fleet_name: String,
    /// Owner.
    pub email: String,
    /// Owner's password.
    pub password: String,
}

/// Somebody who is signed in. Each clone asks on connections of its own.
pub struct Operator {
    /// Bearer token.
    pub token: String,
    /// The fleet.
    pub fleet_id: String,
    nodes: Nodes,
    client: Client,
}

impl Operator {
    /// Signs in.
    pub async fn sign_in(nodes: &Nodes, credentials: &Credentials) -> Result<Self, String> {
        let login = json!({
            "fleet_name": credentials.fleet_name,
            "email": credentials.email,
            "password": credentials.password,
        });
        let request = Request::unsigned("POST", "/v1/operator/login", &login.to_string());
        let mut client = Client::new(nodes, 0);
        let answer = until_done(&mut client, || request.clone()).await?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
        Ok(Operator {
            token: text("token"),
            fleet_id: text("fleet_id"),
            nodes: nodes.clone(),
            client,
        })
    }

    /// The same person with connections of their own, who begins with this node.
    pub fn at(&self, first: usize) -> Self {
        Operator {
            token: self.token.clone(),
            fleet_id: self.fleet_id.clone(),
            nodes: self.nodes.clone(),
            client: Client::new(&self.nodes, first),
        }
    }

    /// Asks this node the next time.
    pub fn turn_to(&mut self, node: usize) {
        self.client.turn_to(node);
    }

    /// Asks once.
    pub async fn ask(&mut self, method: &str, target: &str, body: &Value) -> Answer {
        let request = self.request(method, target, body);
        self.client.ask(&request).await
    }

    /// Asks until it is done; for what may be done twice.
    pub async fn insist(
        &mut self,
        method: &str,
        target: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let request = self.request(method, target, body);
        until_done(&mut self.client, || request.clone()).await
    }

    fn request(&self, method: &str, target: &str, body: &Value) -> Request {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        Request::of_operator(&self.token, method, target, &body)
    }

    /// Enrols an agent.
    pub async fn enrol(&mut self, name: &str) -> Result<Agent, String> {
        let target = "/v1/operator/enrollment-tokens";
        let token = self.insist("POST", target, &json!({})).await?;
        let enrolment = json!({
            "fleet_id": self.fleet_id,
            "token": token["token"],
            "display_name": name,
            "runtime": "custom",
        });
        let request = Request::unsigned("POST", "/v1/enroll", &enrolment.to_string());
        let answer = until_done(&mut self.client, || request.clone()).await?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
        Ok(Agent {
            id: text("agent_id"),
            secret: text("secret"),
        })
    }

    /// Makes a room of this agent with others; its id.
    pub async fn room(&mut self, agent: &Agent, members: &[&str]) -> Result<String, String> {
        let room = json!({ "name": "everybody", "member_agent_ids": members }).to_string();
        let make = || agent.request("POST", "/v1/rooms", room.clone());
        let answer = until_done(&mut self.client, make).await?;
        Ok(answer["id"].as_str().unwrap_or_default().to_string())
    }
}

/// Asks until it is done.
async fn until_done(client: &mut Client, make: impl Fn() -> Request) -> Result<Value, String> {
    let began = Instant::now();
    loop {
        let request = make();
        let answer = client.ask(&request).await;
        match answer.done() {
            Done::Yes => return Ok(answer.body),
            Done::No if !answer.is_trouble() => {
                let Request { method, target, .. } = request;
                let Answer { status, body, .. } = answer;
                return Err(format!("{method} {target}: {status} {body}"));
            }
            _ if began.elapsed() > PATIENCE => {
                let Request { method, target, .. } = request;
                return Err(format!("{method} {target}: nothing within {PATIENCE:?}"));
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
