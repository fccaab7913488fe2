//! The one place where errors become answers: status, `error`, stable `code`, request id.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::code::Code;
use super::fields::Invalid;
use super::observe::request_id;
use crate::ingress::oidc::OidcError;
use crate::machine::outcome::{HeldStatus, Refusal};
use crate::service::ServiceError;

/// When to try again what an extension that does not answer must be asked about.
const EXTENSION_RETRY_SECONDS: u64 = 5;
/// Clients take a longer `Retry-After` for a failure.
const FLOOR_RETRY_SECONDS: u64 = 30;

/// An error as the client sees it.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    error: Value,
    more: Map<String, Value>,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// An error with a text; its status is the code's.
    pub fn new(code: Code, error: impl Into<String>) -> Self {
        ApiError {
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

    /// When to try again, in the header and in the body.
    fn wait(self, retry_after_ms: u64) -> Self {
        let seconds = retry_after_ms.div_ceil(1000).max(1);
        self.with("retry_after_seconds", seconds)
            .retry_after(seconds)
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// What it is, for programs.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// What it is, in one line for people.
    pub fn text(&self) -> String {
        match &self.error {
            Value::String(text) => text.clone(),
            fields => fields.to_string(),
        }
    }

    /// When to try again.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The body, without a request id: one result of a batch.
    pub fn into_body(self) -> (StatusCode, Map<String, Value>) {
        let mut body = self.more;
        body.insert("error".into(), self.error);
        body.insert("code".into(), self.code.as_str().into());
        (self.code.status(), body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, retry_after) = (self.code, self.retry_after_seconds);
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
        // For whoever counts them.
        response.extensions_mut().insert(code);
        response
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        let mut error = ApiError::new(Code::ValidationFailed, "");
        error.error = json!({ "formErrors": invalid.form, "fieldErrors": invalid.fields });
        error
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let new = |code, error: &str| ApiError::new(code, error);
        match refusal {
            Refusal::InvalidCredentials => {
                new(Code::InvalidCredentials, "invalid agent credentials")
            }
            Refusal::TimestampSkew => new(Code::TimestampSkew, "timestamp outside allowed skew"),
            Refusal::ReplayedNonce => new(Code::ReplayedNonce, "replayed nonce"),
            Refusal::Held(status) => {
                let code = match status {
                    HeldStatus::Paused => Code::AgentPaused,
                    HeldStatus::Quarantined => Code::AgentQuarantined,
                };
                new(code, &format!("agent is {}", status.as_str()))
            }
            Refusal::UnknownRecipient => new(Code::UnknownRecipient, "unknown recipient"),
            Refusal::RoomConversation => new(
                Code::RoomConversation,
                "messages under a room's conversation id go to the room: recipient {kind: group, id: room}",
            ),
            Refusal::TooManyRecipients { limit } => new(
                Code::TooManyRecipients,
                &format!("a message reaches at most {limit} agents"),
            ),
            Refusal::RateLimited { retry_after_ms } => {
                new(Code::RateLimited, "rate limit exceeded").wait(retry_after_ms)
            }
            Refusal::IdempotencyConflict => new(
                Code::IdempotencyConflict,
                "the idempotency key was used for another request",
            ),
            Refusal::InvalidToken => new(Code::InvalidToken, "invalid or expired token"),
            Refusal::NotFound => new(Code::NotFound, "not found"),
            Refusal::Conflict(why) => new(Code::Conflict, &why),
            Refusal::AlreadySetUp => new(Code::AlreadySetUp, "the relay is set up already"),
            Refusal::NotSignedIn => ServiceError::NotSignedIn.into(),
            Refusal::Forbidden(scope) => new(
                Code::Forbidden,
                &format!("this needs the scope {}", scope.as_str()),
            )
            .with("scope", scope.as_str()),
            Refusal::PolicyDenied(name) => {
                new(Code::PolicyDenied, "blocked by policy").with("policy", name)
            }
            Refusal::ExtensionBlocked { extension, reason } => new(
                Code::BlockedByExtension,
                &format!("blocked by extension {extension}: {reason}"),
            )
            .with("extension", extension),
            Refusal::ExtensionUnavailable { extension } => new(
                Code::ExtensionUnavailable,
                &format!("blocked by extension {extension}: unavailable"),
            )
            .with("extension", extension)
            .retry_after(EXTENSION_RETRY_SECONDS),
            Refusal::ExtensionsNotAsked => {
                new(Code::ExtensionUnavailable, "extensions are being changed").retry_after(1)
            }
            Refusal::LoginOnly => new(
                Code::LoginOnly,
                "only somebody who signed in may do this, no API token",
            ),
            Refusal::LockedOut { retry_after_ms } => {
                new(Code::LockedOut, "too many failed tries; wait").wait(retry_after_ms)
            }
            Refusal::LicenseRequired { feature } => new(
                Code::LicenseRequired,
                &format!("this needs a licence for {}", feature.as_str()),
            )
            .with("feature", feature.as_str()),
            Refusal::KeyRevoked => new(Code::KeyRevoked, "the key was revoked, for good"),
            Refusal::TotpRequired => {
                new(Code::TotpRequired, "a code of the second factor is needed")
            }
            Refusal::NoOperator => new(Code::NoOperator, "no operator of the fleet has this email"),
            Refusal::OnlyA2a => new(
                Code::Conflict,
                "the agent is elsewhere: ask it by A2A, at /agents/{id}/a2a",
            ),
            Refusal::TaskOver(state) => new(
                Code::Conflict,
                &format!("the task is {}, and stays so", state.as_str()),
            )
            .with("state", state.as_str()),
            Refusal::TaskFull { what, limit } => new(
                Code::LimitReached,
                &format!("a task holds at most {limit} {}", what.as_str()),
            ),
            Refusal::AttachmentTooLarge { limit_bytes } => new(
                Code::PayloadTooLarge,
                &format!("an attachment has at most {limit_bytes} bytes"),
            ),
            Refusal::AttachmentQuota { limit_bytes } => new(
                Code::AttachmentQuota,
                &format!("the attachments of a fleet take at most {limit_bytes} bytes"),
            ),
            // The client's bytes are no longer sure to be kept; it sends them again.
            Refusal::AttachmentLate => {
                new(Code::Overloaded, "storing the attachment took too long").retry_after(1)
            }
            Refusal::SealedBefore => new(
                Code::SecretChanged,
                "the master secret was changed at this moment",
            )
            .retry_after(1),
            Refusal::UnknownAttachment => new(Code::UnknownAttachment, "unknown attachment"),
            Refusal::LimitReached { limit } => new(
                Code::LimitReached,
                &format!("there are {limit} already, which is the limit"),
            ),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let new = |code, error: &str| ApiError::new(code, error);
        match error {
            ServiceError::Refused(refusal) => refusal.into(),
            ServiceError::MissingHeaders => new(Code::MissingAuthHeaders, "missing auth headers"),
            ServiceError::InvalidSignature => new(Code::InvalidSignature, "invalid signature"),
            ServiceError::SecretNotShown => new(
                Code::SecretNotShown,
                "the agent was imported: show its secret once in x-ekho-agent-secret, over TLS",
            ),
            ServiceError::SecretInTheOpen => new(
                Code::SecretInTheOpen,
                "the secret of an imported agent is looked at over TLS only",
            ),
            ServiceError::BadSignature { field, statement } => {
                let text = format!("no signature by the key of this text: {statement:?}");
                Invalid::field(field, text).into()
            }
            ServiceError::BeforeLeadership => new(
                Code::TimestampBeforeLeadership,
                "timestamp outside allowed skew",
            )
            .retry_after(1),
            ServiceError::BeforeFloor { retry_after_ms } => new(
                Code::TimestampBeforeLeadership,
                "timestamp outside allowed skew",
            )
            .retry_after(retry_after_ms.div_ceil(1000).min(FLOOR_RETRY_SECONDS)),
            ServiceError::NotSignedIn => new(Code::NotSignedIn, "sign in first"),
            ServiceError::NoLeader { retry_after_ms }
            | ServiceError::NotAnswered { retry_after_ms } => {
                new(Code::NoLeader, "no leader").retry_after(retry_after_ms.div_ceil(1000))
            }
            error @ ServiceError::FeatureLevel { .. } => new(Code::Conflict, &error.to_string()),
            ServiceError::NextSecretMissing { nodes } => {
                let numbers: Vec<String> = nodes.iter().map(u64::to_string).collect();
                let text = format!(
                    "not known to hold the same next master secret: node {}; give it to them, and \
                     start them again",
                    numbers.join(", node ")
                );
                new(Code::NextSecretMissing, &text).with("nodes", nodes)
            }
            ServiceError::OutboxFull => {
                new(Code::EdgeOutboxFull, "the outbox of this edge node is full").retry_after(5)
            }
            ServiceError::OutcomeUnknown => new(
                Code::OutcomeUnknown,
                "the outcome is unknown; try again with the same idempotency key",
            )
            .retry_after(1),
            ServiceError::Overloaded => {
                new(Code::Overloaded, "too much is under way").retry_after(1)
            }
            ServiceError::DiskFull => new(Code::DiskFull, "the disk is full").retry_after(5),
            ServiceError::UnsupportedType(why) => new(Code::UnsupportedMediaType, &why),
            ServiceError::NotReplicated { retry_after_ms } => new(
                Code::AttachmentNotStored,
                "too few nodes could store the attachment",
            )
            .retry_after(retry_after_ms.div_ceil(1000)),
            ServiceError::NoNodeHasIt { retry_after_ms } => new(
                Code::AttachmentUnavailable,
                "no node that can be reached has the file of the attachment",
            )
            .retry_after(retry_after_ms.div_ceil(1000)),
            ServiceError::Stopping => new(Code::Stopping, "the node is stopping").retry_after(1),
            ServiceError::TooLarge { limit_bytes, .. } => too_large(limit_bytes),
            ServiceError::Oidc(error) => error.into(),
            ServiceError::Internal(detail) => {
                tracing::error!(detail, request_id = request_id(), "internal error");
                new(Code::Internal, "internal error")
            }
        }
    }
}

impl From<OidcError> for ApiError {
    fn from(error: OidcError) -> Self {
        let text = error.to_string();
        match error {
            OidcError::NotConfigured => ApiError::new(Code::NotFound, text),
            OidcError::Flow => ApiError::new(Code::OidcFlow, text),
            OidcError::Refused(_) => {
                tracing::info!(
                    reason = text,
                    request_id = request_id(),
                    "no sign-in by OIDC"
                );
                ApiError::new(Code::OidcRefused, text)
            }
            OidcError::Unavailable(_) => {
                tracing::warn!(
                    reason = text,
                    request_id = request_id(),
                    "no sign-in by OIDC"
                );
                let text = "the OpenID provider cannot be used now";
                ApiError::new(Code::OidcUnavailable, text).retry_after(5)
            }
            OidcError::Overloaded => ApiError::new(Code::Overloaded, text).retry_after(1),
        }
    }
}

/// The answer to a body beyond the limit.
pub fn too_large(limit_bytes: usize) -> ApiError {
    let text = format!("the request is larger than {limit_bytes} bytes");
    ApiError::new(Code::PayloadTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is refused long after it was stored is told under the code it would have had at once.
    #[test]
    fn a_control_says_the_code_that_an_answer_would() {
        let text = || "x".to_string();
        for refusal in [
            Refusal::InvalidCredentials,
            Refusal::ReplayedNonce,
            Refusal::Held(HeldStatus::Paused),
            Refusal::Held(HeldStatus::Quarantined),
            Refusal::UnknownRecipient,
            Refusal::RoomConversation,
            Refusal::TooManyRecipients { limit: 1 },
            Refusal::IdempotencyConflict,
            Refusal::PolicyDenied(text()),
            Refusal::KeyRevoked,
            Refusal::UnknownAttachment,
            Refusal::ExtensionBlocked {
                extension: text(),
                reason: text(),
            },
        ] {
            let (told, _) = refusal.of_message();
            assert_eq!(ApiError::from(refusal).code.as_str(), told);
        }
    }
}
