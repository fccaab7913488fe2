//! The one place where errors become answers: status, `error`, stable `code`, request id.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::fields::Invalid;
use super::observe::request_id;
use crate::machine::outcome::{HeldStatus, Refusal};
use crate::service::ServiceError;

/// An error as the client sees it.
#[derive(Debug)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    code: &'static str,
    error: Value,
    more: Map<String, Value>,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// An error with a text.
    pub fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        ApiError {
            status,
            code,
            error: Value::String(error.into()),
            more: Map::new(),
            retry_after_seconds: None,
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// The body, without a request id: one result of a batch.
    pub fn into_body(self) -> (StatusCode, Map<String, Value>) {
        let mut body = self.more;
        body.insert("error".into(), self.error);
        body.insert("code".into(), self.code.into());
        (self.status, body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after_seconds;
        let (status, mut body) = self.into_body();
        if let Some(id) = request_id() {
            body.insert("request_id".into(), id.into());
        }
        let mut response = (status, Json(Value::Object(body))).into_response();
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "validation_failed", "");
        error.error = json!({ "formErrors": invalid.form, "fieldErrors": invalid.fields });
        error
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let new = |status, code, error: &str| ApiError::new(status, code, error);
        match refusal {
            Refusal::InvalidCredentials => new(
                StatusCode::UNAUTHORIZED,
                "invalid_credentials",
                "invalid agent credentials",
            ),
            Refusal::TimestampSkew => new(
                StatusCode::UNAUTHORIZED,
                "timestamp_skew",
                "timestamp outside allowed skew",
            ),
            Refusal::ReplayedNonce => {
                new(StatusCode::UNAUTHORIZED, "replayed_nonce", "replayed nonce")
            }
            Refusal::Held(status) => {
                let code = match status {
                    HeldStatus::Paused => "agent_paused",
                    HeldStatus::Quarantined => "agent_quarantined",
                };
                new(
                    StatusCode::FORBIDDEN,
                    code,
                    &format!("agent is {}", status.as_str()),
                )
            }
            Refusal::UnknownRecipient => new(
                StatusCode::NOT_FOUND,
                "unknown_recipient",
                "unknown recipient",
            ),
            Refusal::RoomConversation => new(
                StatusCode::BAD_REQUEST,
                "room_conversation",
                "messages under a room's conversation id go to the room: recipient {kind: group, id: room}",
            ),
            Refusal::TooManyRecipients { limit } => new(
                StatusCode::BAD_REQUEST,
                "too_many_recipients",
                &format!("a message reaches at most {limit} agents"),
            ),
            Refusal::RateLimited { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1000).max(1);
                new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "rate limit exceeded",
                )
                .with("retry_after_seconds", seconds)
                .retry_after(seconds)
            }
            Refusal::IdempotencyConflict => new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "the idempotency key was used for another request",
            ),
            Refusal::InvalidToken => new(
                StatusCode::BAD_REQUEST,
                "invalid_token",
                "invalid or expired token",
            ),
            Refusal::NotFound => new(StatusCode::NOT_FOUND, "not_found", "not found"),
            Refusal::Conflict(why) => new(StatusCode::CONFLICT, "conflict", &why),
            Refusal::AlreadySetUp => new(
                StatusCode::CONFLICT,
                "already_set_up",
                "the relay is set up already",
            ),
            Refusal::NotSignedIn => ServiceError::NotSignedIn.into(),
            Refusal::Forbidden(scope) => new(
                StatusCode::FORBIDDEN,
                "forbidden",
                &format!("this needs the scope {}", scope.as_str()),
            )
            .with("scope", scope.as_str()),
            Refusal::PolicyDenied(name) => {
                new(StatusCode::FORBIDDEN, "policy_denied", "blocked by policy")
                    .with("policy", name)
            }
            Refusal::LoginOnly => new(
                StatusCode::FORBIDDEN,
                "login_only",
                "only somebody who signed in with a password may do this, no API token",
            ),
            Refusal::LockedOut { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1000).max(1);
                new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "locked_out",
                    "too many failed tries; wait",
                )
                .with("retry_after_seconds", seconds)
                .retry_after(seconds)
            }
            Refusal::LimitReached { limit } => new(
                StatusCode::CONFLICT,
                "limit_reached",
                &format!("there are {limit} already, which is the limit"),
            ),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let unavailable =
            |code, text: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, text);
        match error {
            ServiceError::Refused(refusal) => refusal.into(),
            ServiceError::MissingHeaders => ApiError::new(
                StatusCode::UNAUTHORIZED,
                "missing_auth_headers",
                "missing auth headers",
            ),
            ServiceError::InvalidSignature => ApiError::new(
                StatusCode::UNAUTHORIZED,
                "invalid_signature",
                "invalid signature",
            ),
            ServiceError::BeforeLeadership => ApiError::new(
                StatusCode::UNAUTHORIZED,
                "timestamp_before_leadership",
                "timestamp outside allowed skew",
            )
            .retry_after(1),
            ServiceError::NotSignedIn => {
                ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in first")
            }
            ServiceError::NoLeader { retry_after_ms } => {
                unavailable("no_leader", "no leader").retry_after(retry_after_ms.div_ceil(1000))
            }
            ServiceError::OutcomeUnknown => unavailable(
                "outcome_unknown",
                "the outcome is unknown; try again with the same idempotency key",
            )
            .retry_after(1),
            ServiceError::Overloaded => {
                unavailable("overloaded", "too much is under way").retry_after(1)
            }
            ServiceError::DiskFull => unavailable("disk_full", "the disk is full").retry_after(5),
            ServiceError::Stopping => {
                unavailable("stopping", "the node is stopping").retry_after(1)
            }
            ServiceError::TooLarge { limit_bytes, .. } => too_large(limit_bytes),
            ServiceError::Internal(detail) => {
                tracing::error!(detail, request_id = request_id(), "internal error");
                ApiError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "internal error",
                )
            }
        }
    }
}

/// The answer to a body beyond the limit.
pub fn too_large(limit_bytes: usize) -> ApiError {
    let text = format!("the request is larger than {limit_bytes} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
}
