//! The extractor for signed requests: body read, signature checked, agent known.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::http::request::Parts;
use futures::StreamExt;

use super::code::Code;
use super::error::too_large;
use super::fields::Invalid;
use super::{ApiError, App};
use crate::ingress::authenticate::{Received, authenticate};
use crate::ingress::channel::is_private;
use crate::service::Caller;

/// A request whose signature was checked. Its nonce is not used up yet.
pub struct Signed {
    /// Who signed it.
    pub caller: Caller,
    /// The exact bytes that were signed.
    pub body: Bytes,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// `Idempotency-Key`, where it was sent.
    pub idempotency_key: Option<String>,
    /// `Last-Event-ID`, where it was sent.
    pub last_event_id: Option<String>,
    /// The query, as sent.
    pub query: Option<String>,
}

impl FromRequest<App> for Signed {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read_body(&parts.headers, body, app.body_limit_bytes).await?;
        let received = received(app, &parts);
        let (caller, body_hash) =
            authenticate(&app.service, received, &parts.headers, &body).await?;
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_string)
        };
        // A key that cannot be read must not be passed over: the sender counts on it.
        let idempotency_key = match parts.headers.get("idempotency-key") {
            Some(value) => match std::str::from_utf8(value.as_bytes()) {
                Ok(key) => Some(key.to_string()),
                Err(_) => return Err(Invalid::field("Idempotency-Key", "expected UTF-8").into()),
            },
            None => None,
        };
        Ok(Signed {
            caller,
            body,
            body_hash,
            idempotency_key,
            last_event_id: text("last-event-id"),
            query: parts.uri.query().map(str::to_string),
        })
    }
}

/// What of a request is signed, and how it came.
pub fn received<'a>(app: &App, parts: &'a Parts) -> Received<'a> {
    Received {
        method: &parts.method,
        path: parts.uri.path(),
        is_private: is_private(&app.proxies, &parts.extensions, &parts.headers),
    }
}

/// A body up to as many times too long is read to its end: a connection that closes while the
/// client still writes takes the answer with it.
const HEARD_OUT: u64 = 4;
/// The next piece of a long body has to come within this time.
pub const PIECE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Reads what nobody keeps, so that its sender hears the answer. Who asked first is told before it
/// sends anything; who says too much is not listened to.
pub async fn hear_out(headers: &axum::http::HeaderMap, body: axum::body::Body, limit_bytes: u64) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    hear_rest(&mut body.into_data_stream(), limit_bytes).await;
}

/// The same for a body that was read in part.
pub async fn hear_rest(rest: &mut axum::body::BodyDataStream, limit_bytes: u64) {
    let most_bytes = limit_bytes.saturating_mul(HEARD_OUT);
    let mut heard_bytes = 0;
    while let Ok(Some(Ok(piece))) = tokio::time::timeout(PIECE_TIMEOUT, rest.next()).await {
        heard_bytes += piece.len() as u64;
        if heard_bytes > most_bytes {
            return;
        }
    }
}

/// Reads a body up to the limit. One that says beforehand that it is larger is not kept.
pub async fn read_body(
    headers: &axum::http::HeaderMap,
    body: axum::body::Body,
    limit_bytes: usize,
) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if let Some(bytes) = announced.filter(|bytes| *bytes > limit_bytes as u64) {
        if bytes <= (limit_bytes as u64).saturating_mul(HEARD_OUT) {
            hear_out(headers, body, limit_bytes as u64).await;
        }
        return Err(too_large(limit_bytes));
    }
    axum::body::to_bytes(body, limit_bytes)
        .await
        .map_err(|error| {
            use std::error::Error;
            let limited = error
                .source()
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            if limited {
                return too_large(limit_bytes);
            }
            ApiError::new(Code::BodyIncomplete, "the body could not be read")
        })
}
