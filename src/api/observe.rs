//! Around every request: its id, its measurement, its log line.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::App;
use super::code::Code;
use crate::id;
use crate::telemetry::trace::{self, Span};

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a span shows of a method that a client made up.
const METHOD_SHOWN_MAX: usize = 32;

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
        path = request.uri().path(),
        trace_id = tracing::field::Empty,
    );
    let mut traced = traced(&request, route.as_ref(), &id);
    if let Some(traced) = &traced {
        span.record("trace_id", traced.trace_id());
    }
    let answered = CURRENT
        .scope(id.clone(), next.run(request))
        .instrument(span.clone());
    let mut response = trace::within(traced.as_ref(), answered).await;
    response.headers_mut().insert(REQUEST_ID, id);
    let route = route.as_ref().map_or("other", |route| route.as_str());
    if let Some(traced) = &mut traced {
        answered_with(traced, &response);
    }
    let status = response.status();
    if let Some(code) = response.extensions().get::<Code>() {
        app.service.metrics.error_answered(code.as_str());
    }
    app.service
        .metrics
        .observe_request(route, method.as_str(), status.as_u16(), began.elapsed());
    let took_us = began.elapsed().as_micros() as u64;
    span.in_scope(|| tracing::debug!(status = status.as_u16(), took_us, "answered"));
    response
}

/// The span of a request. What asks again and again how the relay is has none.
fn traced(request: &Request, route: Option<&MatchedPath>, id: &HeaderValue) -> Option<Span> {
    const PASSED_OVER: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
    if !trace::is_on() {
        return None;
    }
    let route = route.map_or("other", |route| route.as_str());
    if PASSED_OVER.contains(&route) {
        return None;
    }
    let traceparent = request.headers().get("traceparent");
    let method = known_method(request.method());
    let name = format!("{} {route}", method.unwrap_or("HTTP"));
    let mut span = Span::of_request(name, traceparent)?;
    span.attribute("http.request.method", method.unwrap_or("_OTHER"));
    if method.is_none() {
        let original = request.method().as_str();
        let original: String = original.chars().take(METHOD_SHOWN_MAX).collect();
        span.attribute("http.request.method_original", original);
    }
    span.attribute("http.route", route.to_string());
    if let Ok(id) = id.to_str() {
        span.attribute("ekho.request_id", id.to_string());
    }
    Some(span)
}

/// A method that names of spans may have, of which there must be few; none of one that a client made
/// up. OpenTelemetry's conventions have them as `HTTP` in names and `_OTHER` as an attribute.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE",
    ];
    KNOWN.into_iter().find(|known| method == known)
}

fn answered_with(span: &mut Span, response: &Response) {
    let status = response.status();
    span.attribute("http.response.status_code", i64::from(status.as_u16()));
    if let Some(code) = response.extensions().get::<Code>() {
        span.attribute("error.type", code.as_str());
    }
    if status.is_server_error() {
        span.failed("");
    }
}

/// Ids are echoed into headers, bodies and logs; only harmless ones are taken over.
fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}
