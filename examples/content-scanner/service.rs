//! The hook: takes signed requests from a relay and answers what the scanner says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::scan::{Scanner, Verdict};

/// As large as the largest request of a relay that was set up otherwise than usual.
const REQUEST_MAX_BYTES: usize = 256 << 20;

/// What the hook works with.
pub struct Hook {
    webhook: Webhook,
    scanner: Scanner,
    scanned: AtomicU64,
    blocked: AtomicU64,
}

impl Hook {
    /// A hook that believes who signs with this secret.
    pub fn new(secret: &str, scanner: Scanner) -> Result<Self, standardwebhooks::WebhookError> {
        Ok(Hook {
            webhook: Webhook::new(secret)?,
            scanner,
            scanned: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
        })
    }

    /// Its HTTP interface: one address for everything.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", post(take))
            .layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES))
            .with_state(Arc::new(self))
    }

    fn answer(&self, request: &Value) -> Value {
        match request["type"].as_str() {
            Some("before_message") => {
                let message = &request["data"]["message"];
                self.scanned.fetch_add(1, Ordering::Relaxed);
                match self.scanner.judge(&message["body"], &message["metadata"]) {
                    Verdict::Allow { tags } => json!({ "action": "allow", "tags": tags }),
                    Verdict::Block { reason } => {
                        self.blocked.fetch_add(1, Ordering::Relaxed);
                        json!({ "action": "block", "reason": reason })
                    }
                }
            }
            Some("overview") => json!({
                "scanned": self.scanned.load(Ordering::Relaxed),
                "blocked": self.blocked.load(Ordering::Relaxed),
            }),
            // A ping, or something that a later relay tells.
            _ => json!({}),
        }
    }
}

async fn take(State(hook): State<Arc<Hook>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(error) = hook.webhook.verify(&body, &headers) {
        return (StatusCode::UNAUTHORIZED, error.to_string()).into_response();
    }
    match serde_json::from_slice(&body) {
        Ok(request) => Json(hook.answer(&request)).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
