//! The extractor for signed requests: body read, signature checked, agent known.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures::StreamExt;

use super::code::Code;
use super::error::too_large;
use super::fields::Invalid;
use super::{ApiError, App};
use crate::ingress::authenticate::authenticate;
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
        let (caller, body_hash) = authenticate(
            &app.service,
            &parts.method,
            parts.uri.path(),
            &parts.headers,
            &body,
        )
        .await?;
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

/// A body up to as many times too long is read to its end: a connection that closes while the
/// client still writes takes the answer with it.
const HEARD_OUT: u64 = 4;

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
        // Who asked first is told before it sends anything; who says too much is not listened to.
        let asked = headers.contains_key(header::EXPECT);
        if !asked && bytes <= (limit_bytes as u64).saturating_mul(HEARD_OUT) {
            let mut rest = body.into_data_stream();
            while let Some(Ok(_)) = rest.next().await {}
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
