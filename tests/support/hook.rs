//! A hook: a real HTTP server that answers as the test says and remembers what it was asked. It
//! checks signatures with the library of the Standard Webhooks project, not with ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use super::{DEADLINE, Operator, poll_until};

/// A request that a hook got.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Headers.
    pub headers: HeaderMap,
    /// Body as received.
    pub bytes: Bytes,
    /// Body as JSON.
    pub json: Value,
}

/// How a hook answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this.
    Json(Value),
    /// 200 with this text.
    Text(String),
    /// This status and nothing else.
    Status(u16),
    /// To another address.
    Redirect(String),
    /// Not within the time of any test.
    Never,
}

type Answer = Box<dyn FnMut(&Heard) -> Reply + Send>;

#[derive(Clone)]
struct Shared {
    heard: Arc<Mutex<Vec<Heard>>>,
    answer: Arc<Mutex<Answer>>,
}

/// A hook that runs as long as the test.
pub struct HookServer {
    /// Where it is.
    pub url: String,
    shared: Shared,
}

impl Heard {
    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Whether it is signed with this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let webhook = Webhook::new(secret).unwrap();
        webhook.verify(&self.bytes, &self.headers).is_ok()
    }

    /// `type`
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap()
    }

    /// The message that it is about.
    pub fn message(&self) -> &Value {
        &self.json["data"]["message"]
    }

    /// The text of the message that it is about.
    pub fn text(&self) -> String {
        let text = &self.message()["body"]["text"];
        text.as_str().unwrap_or_default().to_string()
    }
}

impl HookServer {
    /// A hook that lets everything pass.
    pub async fn start() -> HookServer {
        Self::answering(|_| Reply::Json(json!({ "action": "allow" }))).await
    }

    /// A hook that answers like this.
    pub async fn answering(answer: impl FnMut(&Heard) -> Reply + Send + 'static) -> HookServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Shared {
            heard: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(answer))),
        };
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        HookServer { url, shared }
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: impl FnMut(&Heard) -> Reply + Send + 'static) {
        *self.shared.answer.lock() = Box::new(answer);
    }

    /// Gives these answers, one after the other, and lets everything pass afterwards.
    pub fn answer_in_turn(&self, replies: impl IntoIterator<Item = Reply>) {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        self.answer(move |_| {
            let pass = Reply::Json(json!({ "action": "allow" }));
            replies.pop_front().unwrap_or(pass)
        });
    }

    /// Everything it was asked so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().clone()
    }

    /// How often it was asked so far.
    pub fn count(&self) -> usize {
        self.shared.heard.lock().len()
    }

    /// Texts of the messages it was asked about so far.
    pub fn texts(&self) -> Vec<String> {
        self.shared.heard.lock().iter().map(Heard::text).collect()
    }

    /// Waits until it was asked that often.
    pub async fn heard_at_least(&self, count: usize) -> Vec<Heard> {
        poll_until(DEADLINE, "requests to the hook", async || {
            Some(self.heard()).filter(|heard| heard.len() >= count)
        })
        .await
    }

    /// Registers it; `more` is put over what every test's hook has. Its id and secret.
    pub async fn register(&self, operator: &Operator, name: &str, more: Value) -> (String, String) {
        let mut hook = json!({
            "name": name,
            "url": self.url,
            "events": ["before_message"],
            "timeout_ms": 5000,
        });
        for (name, value) in more.as_object().unwrap() {
            hook[name] = value.clone();
        }
        let made = operator.post("/v1/operator/hooks", &hook).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let text = |name: &str| made.json()[name].as_str().unwrap().to_string();
        (text("hook_id"), text("secret"))
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Response {
    let heard = Heard {
        headers,
        json: serde_json::from_slice(&bytes).unwrap_or_default(),
        bytes,
    };
    let reply = (shared.answer.lock())(&heard);
    shared.heard.lock().push(heard);
    match reply {
        Reply::Json(value) => Json(value).into_response(),
        Reply::Text(text) => text.into_response(),
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(url) => (StatusCode::FOUND, [("location", url)]).into_response(),
        Reply::Never => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::OK.into_response()
        }
    }
}
