//! Around every request: its id, its measurement, its log line.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::App;
use crate::id;

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// The id of the request being answered.
pub fn request_id() -> Option<String> {
    CURRENT
        .try_with(|id| id.to_str().map(str::to_string).unwrap_or_default())
        .ok()
}

/// Gives each request an id (the caller's own, if it sent a plain one), measures and logs it.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned();
    let id = id.unwrap_or_else(|| {
        HeaderValue::from_str(&id::new_id("req_")).unwrap_or(HeaderValue::from_static("req_"))
    });
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::debug_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        %method,
        path = request.uri().path()
    );
    let mut response = CURRENT
        .scope(id.clone(), next.run(request))
        .instrument(span.clone())
        .await;
    response.headers_mut().insert(REQUEST_ID, id);
    let route = route.as_ref().map_or("other", |route| route.as_str());
    let status = response.status();
    app.service
        .metrics
        .observe_request(route, method.as_str(), status.as_u16(), began.elapsed());
    let took_us = began.elapsed().as_micros() as u64;
    span.in_scope(|| tracing::debug!(status = status.as_u16(), took_us, "answered"));
    response
}

/// Ids are echoed into headers, bodies and logs; only harmless ones are taken over.
fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}
