//! An enrolled agent, and its signed requests byte for byte. Shares no code with the SDKs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ekho_client::{ClientBuilder, EkhoAgentClient};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, DEADLINE, Http, now_iso};

/// SHA-256 of a body, in hex.
pub fn body_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The signature of contract.md, from its parts as they go over the wire.
pub fn signature(
    secret: &str,
    method: &str,
    target: &str,
    timestamp: &str,
    nonce: &str,
    body: &[u8],
) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let canonical = format!(
        "{method}\n{path}\n{timestamp}\n{nonce}\n{}",
        body_hash(body)
    );
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("hmac takes any key");
    hex::encode(
        mac.chain_update(canonical.as_bytes())
            .finalize()
            .into_bytes(),
    )
}

/// A text nobody used before: nonces, conversations, keys.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The smallest message to `recipient`.
pub fn message_to(recipient: Value, text: &str) -> Value {
    json!({
        "recipient": recipient,
        "message_type": "direct",
        "body": { "text": text },
        "conversation_id": "conversation",
        "correlation_id": "correlation",
    })
}

/// The smallest message to one agent.
pub fn direct(agent_id: &str, text: &str) -> Value {
    message_to(json!({ "kind": "agent", "id": agent_id }), text)
}

/// An agent as it is after enrolment.
#[derive(Clone)]
pub struct Agent {
    /// Public id.
    pub id: String,
    /// HMAC key.
    pub secret: String,
    /// Where its relay is.
    pub relay_url: String,
    /// How requests go out.
    pub http: Http,
}

/// A request with everything that is signed, which can be sent as often as wanted.
#[derive(Clone)]
pub struct SignedRequest {
    /// Method.
    pub method: String,
    /// Path and query, as they go over the wire.
    pub target: String,
    /// Body, as it goes over the wire.
    pub body: Bytes,
    /// Header value.
    pub agent_id: String,
    /// Header value.
    pub timestamp: String,
    /// Header value.
    pub nonce: String,
    /// Header value; computed when it is none.
    pub signature: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// HMAC key.
    pub secret: String,
    /// Where it goes.
    pub relay_url: String,
    /// How it goes out.
    pub http: Http,
}

impl Agent {
    /// A request by this agent, now, with a nonce of its own.
    pub fn request(&self, method: &str, target: &str) -> SignedRequest {
        SignedRequest {
            method: method.into(),
            target: target.into(),
            body: Bytes::new(),
            agent_id: self.id.clone(),
            timestamp: now_iso(),
            nonce: uuid(),
            signature: None,
            headers: Vec::new(),
            secret: self.secret.clone(),
            relay_url: self.relay_url.clone(),
            http: self.http.clone(),
        }
    }

    /// Sends with a fresh signature. Signs again while the relay is only beginning to lead, as the
    /// SDKs do: 503 `no_leader`, and 401 `timestamp_before_leadership`.
    pub async fn call(&self, method: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        self.call_with(method, target, body, &[]).await
    }

    /// As [`Agent::call`], with further headers.
    pub async fn call_with(
        &self,
        method: &str,
        target: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.into();
        let began = Instant::now();
        loop {
            let mut request = self.request(method, target).body(body.clone());
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = request.send().await;
            let young = match answer.status {
                401 => answer.code() == "timestamp_before_leadership",
                503 => answer.code() == "no_leader",
                _ => false,
            };
            if !young || began.elapsed() > DEADLINE {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// POST of JSON.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, body.to_string()).await
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, Bytes::new()).await
    }

    /// Sends a message and returns its id.
    pub async fn send(&self, message: &Value) -> String {
        let answer = self.post("/v1/messages", message).await.ok();
        answer["message_id"]
            .as_str()
            .expect("a message id")
            .to_string()
    }

    /// Takes what is in the inbox.
    pub async fn inbox(&self) -> Vec<Value> {
        let answer = self.get("/v1/inbox?limit=100").await.ok();
        answer["messages"].as_array().expect("messages").clone()
    }

    /// Waits for at least one message.
    pub async fn receive(&self) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let answer = self.get("/v1/inbox?limit=100&wait=20").await.ok();
            let messages = answer["messages"].as_array().expect("messages").clone();
            if !messages.is_empty() {
                return messages;
            }
            assert!(began.elapsed() < DEADLINE, "{} received nothing", self.id);
        }
    }

    /// Acks messages; how many were open.
    pub async fn ack(&self, message_ids: &[&str]) -> u64 {
        let acks: Vec<Value> = message_ids
            .iter()
            .map(|id| json!({ "message_id": id, "status": "received", "received_at": now_iso() }))
            .collect();
        let answer = self.post("/v1/acks", &json!({ "acks": acks })).await.ok();
        answer["updated"].as_u64().expect("a count")
    }

    /// GET /v1/messages/{id} of a message this agent sent.
    pub async fn status(&self, message_id: &str) -> Value {
        self.get(&format!("/v1/messages/{message_id}")).await.ok()
    }

    /// The Rust SDK's builder with this agent's credentials and relay.
    pub fn builder(&self) -> ClientBuilder {
        EkhoAgentClient::builder(&self.id, &self.secret).relay(&self.relay_url)
    }

    /// The Rust SDK's client of this agent.
    pub fn client(&self) -> EkhoAgentClient {
        self.builder().build().expect("a client")
    }
}

impl SignedRequest {
    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With this JSON as body.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// With a further header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this nonce.
    pub fn nonce(mut self, nonce: &str) -> Self {
        self.nonce = nonce.into();
        self
    }

    /// With this timestamp.
    pub fn timestamp(mut self, timestamp: &str) -> Self {
        self.timestamp = timestamp.into();
        self
    }

    /// With this signature instead of the right one.
    pub fn signature(mut self, signature: &str) -> Self {
        self.signature = Some(signature.into());
        self
    }

    /// Fixes the signature that belongs to the request as it is now; what is changed afterwards
    /// is a forgery.
    pub fn sealed(self) -> Self {
        let right = self.right_signature();
        self.signature(&right)
    }

    /// The signature that belongs to the request.
    pub fn right_signature(&self) -> String {
        signature(
            &self.secret,
            &self.method,
            &self.target,
            &self.timestamp,
            &self.nonce,
            &self.body,
        )
    }

    /// All headers as they go over the wire.
    pub fn all_headers(&self) -> Vec<(String, String)> {
        let signature = self
            .signature
            .clone()
            .unwrap_or_else(|| self.right_signature());
        let mut headers = vec![
            ("x-ekho-agent-id".into(), self.agent_id.clone()),
            ("x-ekho-timestamp".into(), self.timestamp.clone()),
            ("x-ekho-nonce".into(), self.nonce.clone()),
            ("x-ekho-signature".into(), signature),
        ];
        let named = self.headers.iter().any(|(name, _)| name == "content-type");
        if !self.body.is_empty() && !named {
            headers.push(("content-type".into(), "application/json".into()));
        }
        headers.extend(self.headers.iter().cloned());
        headers
    }

    /// Sends it as it is. Can be called again: the same bytes go out.
    pub async fn send(&self) -> Answer {
        let url = format!("{}{}", self.relay_url, self.target);
        self.http
            .send(&self.method, &url, &self.all_headers(), self.body.clone())
            .await
    }

    /// As [`SignedRequest::send`]; an error says that no whole answer came.
    pub async fn try_send(&self, limit: Duration) -> Result<Answer, String> {
        let url = format!("{}{}", self.relay_url, self.target);
        self.http
            .try_send(
                &self.method,
                &url,
                &self.all_headers(),
                self.body.clone(),
                limit,
            )
            .await
    }
}
