//! A relay small enough to be read whole: one axum handler over state in memory. It verifies
//! signatures with code of its own, remembers every request, and has faults injected by path.

mod answers;
mod listener;
mod verify;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use listener::{Cutter, FaultyListener};

pub const AGENT: &str = "agent_1";
pub const SECRET: &str = "ключ-of-agent-1";

/// What shall go wrong with the next request to a path.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answer so, without carrying anything out.
    Refuse(u16, Value),
    /// The same with a Retry-After in seconds.
    RefuseUntil(u16, u64),
    /// Close the connection without carrying anything out.
    DropRequest,
    /// Carry it out, then close the connection instead of answering.
    DropAnswer,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
pub struct Book {
    pub secrets: HashMap<String, String>,
    nonces: HashSet<String>,
    faults: HashMap<String, VecDeque<Fault>>,
    pub seen: Vec<Seen>,
    /// Messages accepted from clients, with their id.
    pub stored: Vec<Value>,
    by_key: HashMap<String, Value>,
    /// What the next polls hand out.
    pub inbox: VecDeque<Value>,
    pub controls: Vec<Value>,
    controls_shown: usize,
    pub acked: Vec<String>,
    pub nacked: Vec<Value>,
    pub leased: Vec<String>,
    pub approval_status: String,
    pub task_state: String,
    cancelled: HashSet<String>,
    /// Bytes that each opening of the stream answers with, one after the other.
    pub streams: VecDeque<Vec<u8>>,
    pub refused_signatures: Vec<String>,
}

pub struct Shared {
    book: Mutex<Book>,
    changed: Notify,
    cutter: Cutter,
}

/// A running relay; gone when dropped.
pub struct Relay {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Relay {
    pub async fn start() -> Self {
        let book = Book {
            secrets: HashMap::from([(AGENT.to_owned(), SECRET.to_owned())]),
            approval_status: "pending".to_owned(),
            task_state: "submitted".to_owned(),
            ..Book::default()
        };
        let cutter = Cutter::default();
        let listener = FaultyListener::bind(cutter.clone()).await;
        let url = format!("http://{}", listener.address());
        let shared = Arc::new(Shared {
            book: Mutex::new(book),
            changed: Notify::new(),
            cutter,
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, shared, task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap()
    }

    /// Injects faults for the next requests to `path`.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut book = self.book();
        book.faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Requests to `path` so far.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let book = self.book();
        book.seen
            .iter()
            .filter(|seen| seen.path == path)
            .cloned()
            .collect()
    }

    /// Puts a message into the inbox.
    pub fn deliver(&self, message_id: &str, conversation_id: &str, body: Value) {
        self.deliver_type(message_id, conversation_id, "direct", body);
    }

    pub fn deliver_type(&self, message_id: &str, conversation_id: &str, kind: &str, body: Value) {
        self.book().inbox.push_back(json!({
            "message_id": message_id, "conversation_id": conversation_id, "correlation_id": "r",
            "sender_agent_id": "agent_2", "message_type": kind, "priority": "normal",
            "body": body, "metadata": null, "created_at": "2026-11-23T03:36:00.000Z",
            "deadline_at": "2026-11-23T03:51:00.000Z",
        }));
        self.shared.changed.notify_waiters();
    }

    /// Lists a control, newest first.
    pub fn control(&self, control_id: &str, action: &str) {
        let control = json!({"control_id": control_id, "action": action, "reason": "test"});
        self.book().controls.insert(0, control);
        self.shared.changed.notify_waiters();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 4 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    let seen = Seen {
        method: head.method.to_string(),
        path: path.clone(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let fault = {
        let mut book = shared.book.lock().unwrap();
        book.seen.push(seen.clone());
        if path != "/v1/enroll"
            && let Err(error) = check(&mut book, &seen, &body)
        {
            book.refused_signatures.push(error.to_owned());
            return (
                axum::http::StatusCode::UNAUTHORIZED,
                json!({"error": error}).to_string(),
            )
                .into_response();
        }
        book.faults.get_mut(&path).and_then(VecDeque::pop_front)
    };
    match fault {
        Some(Fault::Refuse(status, body)) => render(status, &body),
        Some(Fault::RefuseUntil(status, seconds)) => {
            let mut response = render(status, &json!({"error": "not now"}));
            response.headers_mut().insert("retry-after", seconds.into());
            response
        }
        Some(Fault::DropRequest) => {
            shared.cutter.cut_next_write();
            render(200, &Value::Null)
        }
        Some(Fault::DropAnswer) => {
            let response = answers::route(&shared, &seen).await;
            shared.cutter.cut_next_write();
            response
        }
        None => answers::route(&shared, &seen).await,
    }
}

/// Signature first, then the nonce, which is used up by an accepted signature only.
fn check(book: &mut Book, seen: &Seen, body: &Bytes) -> Result<(), &'static str> {
    let agent = seen.header("x-ekho-agent-id");
    let secret = book.secrets.get(agent).ok_or("invalid agent credentials")?;
    if !verify::signature_is_right(secret, seen, body) {
        return Err("invalid signature");
    }
    if !book
        .nonces
        .insert(format!("{agent} {}", seen.header("x-ekho-nonce")))
    {
        return Err("replayed nonce");
    }
    Ok(())
}

fn render(status: u16, body: &Value) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-request-id", "req_from_header")
        .body(Body::from(body.to_string()))
        .unwrap()
}
