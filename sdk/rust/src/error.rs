//! The one error type of the crate and what may be read from a refusal.

use std::time::Duration;

use serde_json::Value;

/// The relay answered, and the answer is a refusal (any status but 2xx).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{path}: {status_code} {}", self.message())]
#[non_exhaustive]
pub struct EkhoRequestError {
    /// Path of the call, with its query string.
    pub path: String,
    /// HTTP status of the answer.
    pub status_code: u16,
    /// The answer's JSON; a JSON string with the text where it was not JSON.
    pub body: Value,
    /// Stable name of the refusal (`code` in the body), where the relay gives one.
    pub code: Option<String>,
    /// Id under which the relay logged the request.
    pub request_id: Option<String>,
    /// How long the relay asks the caller to wait (Retry-After, else `retry_after_seconds`).
    pub retry_after_seconds: Option<u64>,
}

impl EkhoRequestError {
    /// Reads the refusal from what came over the wire. `retry_after_seconds` and `request_id` are
    /// those of the headers; the body's stand in where a header is missing.
    pub(crate) fn from_answer(
        path: &str,
        status_code: u16,
        body: &[u8],
        retry_after_seconds: Option<u64>,
        request_id: Option<String>,
    ) -> Self {
        let body: Value = serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
        let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
        Self {
            path: path.to_owned(),
            status_code,
            code: text("code"),
            request_id: text("request_id").or(request_id),
            retry_after_seconds: retry_after_seconds
                .or_else(|| body.get("retry_after_seconds").and_then(Value::as_u64)),
            body,
        }
    }

    /// The refusal that a JSON-RPC answer carries, which is an HTTP success.
    pub(crate) fn of_rpc(path: String, error: Value) -> Self {
        let reason = error["data"][0]["reason"].as_str();
        Self {
            path,
            status_code: 200,
            code: reason.map(str::to_lowercase),
            request_id: None,
            retry_after_seconds: None,
            body: serde_json::json!({ "error": error["message"], "rpc_error": error }),
        }
    }

    /// The refusal in words: the body's `error` text, or the JSON of a validation failure.
    pub fn message(&self) -> String {
        match self.body.get("error").unwrap_or(&self.body) {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_seconds.map(Duration::from_secs)
    }
}

/// What can go wrong in a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EkhoError {
    /// The relay refused the request.
    #[error(transparent)]
    Request(#[from] Box<EkhoRequestError>),
    /// No usable answer came: connection, TLS or timeout.
    #[error("{path}: no answer from the relay")]
    Transport {
        /// Path of the call, with its query string.
        path: String,
        /// What the HTTP client reports.
        source: reqwest::Error,
    },
    /// A stream was opened or read, and nothing came in time.
    #[error("{path}: nothing from the relay for {waited:?}")]
    Timeout {
        /// Path of the call, with its query string.
        path: String,
        /// How long the client waited.
        waited: Duration,
    },
    /// A 2xx answer, or an event of a stream, that is not what the contract says.
    #[error("{path}: answer not understood: {source}")]
    Decode {
        /// Path of the call, with its query string.
        path: String,
        /// Where the JSON differs.
        source: serde_json::Error,
    },
    /// An answer, or one event of a stream, larger than this client is willing to hold.
    #[error("{path}: answer larger than {limit_bytes} bytes")]
    AnswerTooLarge {
        /// Path of the call, with its query string.
        path: String,
        /// The limit that was passed.
        limit_bytes: usize,
    },
    /// The caller's input cannot be sent; nothing was.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
    /// An agent that a message was to be encrypted to has published no key; nothing was sent.
    #[error("{0} has published no encryption key")]
    NoEncryptionKey(String),
    /// No identity key of the agent's in the ring signed its encryption key; nothing was sent.
    #[error("no identity key of {0} that is believed signed its encryption key")]
    EncryptionKeyNotTrusted(String),
    /// The `before_action` hook refused the action; nothing was sent.
    #[error("refused before it was proposed: {0}")]
    RefusedByHook(Box<dyn std::error::Error + Send + Sync>),
    /// The adapter was stopped while the call waited.
    #[error("the adapter was stopped")]
    Stopped,
}

impl EkhoError {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidArgument(text.into())
    }

    /// The refusal, if the relay answered with one.
    pub fn request(&self) -> Option<&EkhoRequestError> {
        match self {
            Self::Request(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// HTTP status of the refusal, if the relay answered with one.
    pub fn status_code(&self) -> Option<u16> {
        self.request().map(|refusal| refusal.status_code)
    }

    /// Stable code of the refusal, if the relay gave one, or of what cannot be encrypted.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::NoEncryptionKey(_) => Some("no_encryption_key"),
            Self::EncryptionKeyNotTrusted(_) => Some("encryption_key_not_trusted"),
            _ => self.request()?.code.as_deref(),
        }
    }

    /// True where the same call may well succeed a little later: no answer, 429, 502, 503, 504, or
    /// a signature older than the present leader.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !source.is_builder(),
            Self::Timeout { .. } => true,
            Self::Request(refusal) => {
                matches!(refusal.status_code, 429 | 502 | 503 | 504)
                    || is_before_leadership(refusal)
            }
            _ => false,
        }
    }
}

/// A new leader takes no timestamp from before it led; a fresh signature is accepted.
pub(crate) fn is_before_leadership(refusal: &EkhoRequestError) -> bool {
    refusal.status_code == 401 && refusal.code.as_deref() == Some("timestamp_before_leadership")
}

#[cfg(test)]
mod tests {
    use super::{EkhoError, EkhoRequestError};

    #[test]
    fn reads_a_refusal_of_json() {
        let body = br#"{"error":"rate limit exceeded","code":"rate_limited","request_id":"req_1","retry_after_seconds":7}"#;
        let refusal = EkhoRequestError::from_answer("/v1/messages", 429, body, None, None);
        assert_eq!(refusal.code.as_deref(), Some("rate_limited"));
        assert_eq!(refusal.request_id.as_deref(), Some("req_1"));
        assert_eq!(refusal.retry_after_seconds, Some(7));
        assert_eq!(refusal.to_string(), "/v1/messages: 429 rate limit exceeded");
        assert!(EkhoError::from(Box::new(refusal)).is_transient());
    }

    #[test]
    fn headers_fill_in_what_a_proxy_left_out() {
        let refusal = EkhoRequestError::from_answer(
            "/v1/acks",
            502,
            b"bad gateway",
            Some(3),
            Some("x".into()),
        );
        assert_eq!(refusal.message(), "bad gateway");
        assert_eq!(refusal.retry_after_seconds, Some(3));
        assert_eq!(refusal.request_id.as_deref(), Some("x"));
        assert_eq!(refusal.code, None);
    }

    #[test]
    fn validation_failures_keep_their_fields() {
        let body = br#"{"error":{"formErrors":[],"fieldErrors":{"ttl_seconds":["too large"]}}}"#;
        let refusal = EkhoRequestError::from_answer("/v1/messages", 400, body, None, None);
        assert!(refusal.message().contains("ttl_seconds"));
        assert!(!EkhoError::from(Box::new(refusal)).is_transient());
    }

    #[test]
    fn only_the_leadership_kind_of_401_is_transient() {
        for (code, expected) in [
            ("timestamp_before_leadership", true),
            ("replayed_nonce", false),
        ] {
            let body = format!(r#"{{"error":"timestamp outside allowed skew","code":"{code}"}}"#);
            let refusal =
                EkhoRequestError::from_answer("/v1/inbox", 401, body.as_bytes(), None, None);
            assert_eq!(EkhoError::from(Box::new(refusal)).is_transient(), expected);
        }
    }
}
