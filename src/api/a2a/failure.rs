//! Every error of the protocol, in the form of each binding (3.3.2, 5.4, 9.5, 10.6, 11.6).

use std::collections::HashMap;
use std::ops::Deref;
use std::time::Duration;

use a2a::{BAD_REQUEST_TYPE, ERROR_INFO_TYPE, PROTOCOL_DOMAIN, error_code, error_reason};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::ApiError;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;

/// The domain of errors that are the relay's own.
const OWN_DOMAIN: &str = "ekho";
/// The code of errors that neither JSON-RPC nor the protocol has one for.
const OWN_CODE: i32 = -32000;
/// Over gRPC errors travel in headers, of which clients take some 8 KiB.
const GRPC_TEXT_MAX_BYTES: usize = 1000;
/// How a client that showed nothing can show who it is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"ekho\"");

/// Why something was not done. Boxed, for every result has room for it.
#[derive(Debug)]
pub struct Failure(Box<Told>);

#[derive(Debug)]
pub struct Told {
    /// The code of JSON-RPC.
    code: i32,
    /// The status of HTTP+JSON; for JSON-RPC as well where the error is the relay's own.
    status: StatusCode,
    /// What it is, for programs.
    reason: String,
    domain: &'static str,
    message: String,
    /// More about it: names and values.
    metadata: Vec<(&'static str, String)>,
    /// What is wrong with which parameter.
    violations: Vec<(String, String)>,
    retry_after_seconds: Option<u64>,
}

impl Deref for Failure {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl Failure {
    /// An error of the protocol or of JSON-RPC.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        let status = match code {
            error_code::TASK_NOT_FOUND => StatusCode::NOT_FOUND,
            error_code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
            error_code::INTERNAL_ERROR | error_code::INVALID_AGENT_RESPONSE => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Failure(Box::new(Told {
            code,
            status,
            reason: error_reason(code).into(),
            domain: PROTOCOL_DOMAIN,
            message: message.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            retry_after_seconds: None,
        }))
    }

    /// Something is wrong with a parameter.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        let mut failure = Failure::new(error_code::INVALID_PARAMS, format!("{field}: {why}"));
        failure.0.violations.push((field, why));
        failure
    }

    /// What is wrong, for people.
    pub fn text(&self) -> &str {
        &self.message
    }

    /// No such task, for the caller.
    pub fn no_task(task_id: &str) -> Self {
        Failure::new(
            error_code::TASK_NOT_FOUND,
            "the task does not exist or is not accessible",
        )
        .with("taskId", task_id)
    }

    /// It cannot be done here, or not now.
    pub fn unsupported(why: impl Into<String>) -> Self {
        Failure::new(error_code::UNSUPPORTED_OPERATION, why)
    }

    /// The version that the client asked for is not one of those here.
    pub fn version(asked: &str, supported: &str) -> Self {
        let text = format!("version {asked:?} of A2A is not spoken here, but {supported}");
        Failure::new(error_code::VERSION_NOT_SUPPORTED, text).with("supportedVersions", supported)
    }

    /// More about it.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((name, value.into()));
        self
    }

    /// What a refusal is when somebody asks for something about a task.
    pub fn of_task(error: ServiceError, task_id: &str) -> Self {
        match error {
            ServiceError::Refused(Refusal::NotFound) => Failure::no_task(task_id),
            error => error.into(),
        }
    }

    fn details(&self) -> Vec<Value> {
        let mut details = Vec::new();
        if !self.violations.is_empty() {
            let violation =
                |(field, why): &(String, String)| json!({ "field": field, "description": why });
            let violations: Vec<Value> = self.violations.iter().map(violation).collect();
            details.push(json!({ "@type": BAD_REQUEST_TYPE, "fieldViolations": violations }));
        }
        let mut info = json!({
            "@type": ERROR_INFO_TYPE,
            "reason": self.reason,
            "domain": self.domain,
        });
        if !self.metadata.is_empty() {
            let metadata = self.metadata.iter();
            info["metadata"] = metadata
                .map(|(name, value)| ((*name).to_string(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        details.push(info);
        details
    }

    /// The error object of JSON-RPC (9.5).
    pub fn to_jsonrpc(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "data": self.details() })
    }

    /// The error object of HTTP+JSON (11.6).
    pub fn to_rest(&self) -> Value {
        json!({ "error": {
            "code": self.status.as_u16(),
            "status": self.rpc_code().1,
            "message": self.message,
            "details": self.details(),
        } })
    }

    /// The status that an answer of JSON-RPC has: most errors are part of a good answer; those
    /// that any HTTP client must understand, such as that it may not ask, are not.
    pub fn jsonrpc_status(&self) -> StatusCode {
        match self.domain {
            OWN_DOMAIN if self.code == OWN_CODE || self.status.is_server_error() => self.status,
            _ => StatusCode::OK,
        }
    }

    /// Headers that go with it.
    pub fn mark(&self, response: &mut Response) {
        if let Some(seconds) = self.retry_after_seconds {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
    }

    /// The status of gRPC with its details (10.6).
    pub fn to_grpc(&self) -> tonic::Status {
        let metadata = self.metadata.iter();
        let metadata: HashMap<_, _> = metadata
            .map(|(name, value)| ((*name).to_string(), clipped(value)))
            .collect();
        let mut details = ErrorDetails::with_error_info(&self.reason, self.domain, metadata);
        for (field, why) in &self.violations {
            details.add_bad_request_violation(field, clipped(why));
        }
        if let Some(seconds) = self.retry_after_seconds {
            details.set_retry_info(Some(Duration::from_secs(seconds)));
        }
        tonic::Status::with_error_details(self.rpc_code().0, clipped(&self.message), details)
    }

    /// The status of gRPC, and its name, which HTTP+JSON tells as well.
    fn rpc_code(&self) -> (Code, &'static str) {
        match (self.code, self.status) {
            (error_code::TASK_NOT_FOUND, _) => (Code::NotFound, "NOT_FOUND"),
            (
                error_code::TASK_NOT_CANCELABLE
                | error_code::PUSH_NOTIFICATION_NOT_SUPPORTED
                | error_code::UNSUPPORTED_OPERATION
                | error_code::EXTENDED_CARD_NOT_CONFIGURED
                | error_code::EXTENSION_SUPPORT_REQUIRED
                | error_code::VERSION_NOT_SUPPORTED,
                _,
            )
            | (_, StatusCode::CONFLICT) => (Code::FailedPrecondition, "FAILED_PRECONDITION"),
            (_, StatusCode::UNAUTHORIZED) => (Code::Unauthenticated, "UNAUTHENTICATED"),
            (_, StatusCode::FORBIDDEN) => (Code::PermissionDenied, "PERMISSION_DENIED"),
            (_, StatusCode::NOT_FOUND) => (Code::NotFound, "NOT_FOUND"),
            (_, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS) => {
                (Code::ResourceExhausted, "RESOURCE_EXHAUSTED")
            }
            (_, StatusCode::SERVICE_UNAVAILABLE) => (Code::Unavailable, "UNAVAILABLE"),
            (_, status) if status.is_server_error() => (Code::Internal, "INTERNAL"),
            _ => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        }
    }
}

/// A text that may stand in a header; it can hold what the client sent.
fn clipped(text: &str) -> String {
    text[..text.floor_char_boundary(GRPC_TEXT_MAX_BYTES)].into()
}

/// As HTTP+JSON answers it (11.6).
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_rest())).into_response();
        let kind = HeaderValue::from_static(super::rest::MEDIA_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        self.mark(&mut response);
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = error.status();
        let code = match status {
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                error_code::INVALID_PARAMS
            }
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => {
                error_code::INTERNAL_ERROR
            }
            _ => OWN_CODE,
        };
        Failure(Box::new(Told {
            code,
            status,
            reason: error.code().to_uppercase(),
            domain: OWN_DOMAIN,
            message: error.text(),
            metadata: Vec::new(),
            violations: Vec::new(),
            retry_after_seconds: error.retry_after_seconds(),
        }))
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(Refusal::TaskOver(state)) => {
                let text = format!("the task is {}, and stays so", state.as_str());
                Failure::unsupported(text).with("state", state.as_str())
            }
            ServiceError::Refused(Refusal::IdempotencyConflict) => Failure::invalid(
                "message.messageId",
                "another message was sent under this id",
            ),
            error => ApiError::from(error).into(),
        }
    }
}
