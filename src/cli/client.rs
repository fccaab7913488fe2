//! A client of the operator API: requests by path, answers as JSON, refusals as one sentence.
//! Knows nothing of what the answers mean.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use crate::loopback::is_loopback;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Orders that go through many rows step by step: all dead letters, a whole inbox.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// An export of millions of rows, over a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is written otherwise in a part of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// Why a call to the relay failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The relay's address is not usable.
    #[error("{url} is not the address of a relay: {why}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file of certificates is not usable.
    #[error("{path}: {why}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No answer.
    #[error("no answer from {url}: {why}; is the relay running? (`ekho serve`, `ekho doctor`)")]
    NoAnswer {
        /// The relay.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// The relay refused.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// The answer is not one of a relay.
    #[error("{call}: the answer has no {field}; is {url} a relay?")]
    NotARelay {
        /// Method and path.
        call: String,
        /// What is missing.
        field: &'static str,
        /// Who answered.
        url: String,
    },
}

/// An answer that is no 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Method and path.
    pub call: String,
    /// Of the answer.
    pub status: u16,
    /// The stable code; empty where the answer has none.
    pub code: String,
    /// What is wrong, fields by name.
    pub message: String,
    /// By which the relay's log knows the request.
    pub request_id: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was refused", self.call)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, " ({}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")?;
        match self.code.as_str() {
            "not_signed_in" => f.write_str("; sign in again with `ekho login`"),
            "totp_required" => f.write_str("; sign in with `ekho login`, which asks for it"),
            _ => Ok(()),
        }
    }
}

impl Refused {
    fn read(call: String, status: StatusCode, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| value[name].as_str().map(str::to_string);
        Refused {
            call,
            status: status.as_u16(),
            code: text("code").unwrap_or_default(),
            message: message(&value["error"]),
            request_id: text("request_id"),
        }
    }
}

/// The error of an answer: a text, or what is wrong with which field.
fn message(error: &Value) -> String {
    if let Some(text) = error.as_str() {
        return text.to_string();
    }
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = list.iter().filter_map(Value::as_str);
        texts.map(str::to_string).collect()
    };
    let mut parts = texts(&error["formErrors"]);
    if let Some(fields) = error["fieldErrors"].as_object() {
        parts.extend(
            fields
                .iter()
                .map(|(name, list)| format!("{name}: {}", texts(list).join(", "))),
        );
    }
    parts.join("; ")
}

/// Names and values of a query.
pub(super) type Query = Vec<(&'static str, String)>;

/// A client of the operator API, signed in once it has a token.
pub(super) struct Client {
    url: String,
    http: reqwest::Client,
    token: Option<Zeroizing<String>>,
}

/// What a sign-in gives.
pub(super) struct SignedIn {
    pub token: Zeroizing<String>,
    pub fleet_id: String,
    pub expires_at: Option<String>,
}

impl Client {
    /// A client for the relay at `url`, which trusts the certificates in `ca_file` too.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let refuse = |why: String| ClientError::Url {
            url: url.to_string(),
            why,
        };
        let parsed: Url = url.parse().map_err(|_| refuse("not a URL".into()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(refuse("http://HOST:PORT or https://… is needed".into()));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("ekho/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the owner's password elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let refuse = |why: String| ClientError::Certificates {
                path: path.to_path_buf(),
                why,
            };
            let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| refuse(with_causes(&error)))?;
            if certificates.is_empty() {
                return Err(refuse("no certificate in PEM form".into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| refuse(with_causes(&error)))?;
        Ok(Client {
            url: url.trim_end_matches('/').to_string(),
            http,
            token: None,
        })
    }

    /// Where the relay is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Acts with this bearer token from now on.
    pub fn set_token(&mut self, token: Zeroizing<String>) {
        self.token = Some(token);
    }

    /// POST /v1/operator/login; the client acts with the session from now on.
    pub async fn sign_in(&mut self, who: &Credentials) -> Result<SignedIn, ClientError> {
        self.sign_in_with(who, None).await
    }

    /// The same, with a code of the second factor: the name of its field, and the code.
    pub async fn sign_in_with(
        &mut self,
        who: &Credentials,
        second: Option<(&str, &str)>,
    ) -> Result<SignedIn, ClientError> {
        const PATH: &str = "/v1/operator/login";
        let mut body = json!({
            "fleet_name": who.fleet_name,
            "email": who.email,
            "password": who.password,
        });
        if let Some((field, code)) = second {
            body[field] = code.into();
        }
        let answer = self.post(PATH, &body).await?;
        let text = |field: &'static str| match answer[field].as_str() {
            Some(text) => Ok(text.to_string()),
            None => Err(ClientError::NotARelay {
                call: format!("POST {PATH}"),
                field,
                url: self.url.clone(),
            }),
        };
        let token = Zeroizing::new(text("token")?);
        let fleet_id = text("fleet_id")?;
        self.token = Some(token.clone());
        Ok(SignedIn {
            token,
            fleet_id,
            expires_at: answer["expires_at"].as_str().map(str::to_string),
        })
    }

    /// POST /v1/operator/logout
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        self.post("/v1/operator/logout", &json!({})).await?;
        Ok(())
    }

    /// GET
    pub async fn get(&self, path: &str, query: &Query) -> Result<Value, ClientError> {
        let request = self.request(Method::GET, path).query(query);
        self.send(call(Method::GET, path), request.timeout(TIMEOUT))
            .await
    }

    /// POST
    pub async fn post(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<Value, ClientError> {
        self.order(Method::POST, path, body, None).await
    }

    /// POST, with an idempotency key where there is one.
    pub async fn post_once(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, ClientError> {
        self.order(Method::POST, path, body, key).await
    }

    /// PUT
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.order(Method::PUT, path, body, None).await
    }

    /// DELETE
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        let request = self.request(Method::DELETE, path).timeout(TIMEOUT);
        self.send(call(Method::DELETE, path), request).await
    }

    async fn order(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + ?Sized),
        idempotency_key: Option<&str>,
    ) -> Result<Value, ClientError> {
        let request = self.request(method.clone(), path).timeout(ORDER_TIMEOUT);
        let request = match idempotency_key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        self.send(call(method, path), request.json(body)).await
    }

    /// Begins a GET whose answer may be long.
    pub async fn download(&self, path: &str, query: &Query) -> Result<Response, ClientError> {
        let request = self.request(Method::GET, path).query(query);
        let request = request.timeout(DOWNLOAD_TIMEOUT);
        self.begin(call(Method::GET, path), request).await
    }

    /// The next piece of a long answer; none at its end.
    pub async fn next_chunk(&self, answer: &mut Response) -> Result<Option<Bytes>, ClientError> {
        answer.chunk().await.map_err(|error| self.no_answer(&error))
    }

    /// Begins a GET that has no end.
    pub async fn follow(
        &self,
        path: &str,
        query: &Query,
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let mut request = self.request(Method::GET, path).query(query);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        self.begin(call(Method::GET, path), request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    async fn send(&self, call: String, request: RequestBuilder) -> Result<Value, ClientError> {
        let answer = self.begin(call.clone(), request).await?;
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|_| ClientError::NotARelay {
            call,
            field: "JSON",
            url: self.url.clone(),
        })
    }

    async fn begin(&self, call: String, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.body(answer).await?;
        Err(ClientError::Refused(Box::new(Refused::read(
            call, status, &body,
        ))))
    }

    async fn body(&self, answer: Response) -> Result<Bytes, ClientError> {
        answer.bytes().await.map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &reqwest::Error) -> ClientError {
        ClientError::NoAnswer {
            url: self.url.clone(),
            why: with_causes(error),
        }
    }
}

fn call(method: Method, path: &str) -> String {
    format!("{method} {path}")
}

/// A path with an id in it: whatever the id holds, it stays one part of the path.
pub(super) fn under(base: &str, id: &str, rest: &str) -> String {
    format!("{base}/{}{rest}", utf8_percent_encode(id, ENCODED))
}

/// The innermost causes say what happened; the outermost only that it did.
fn with_causes(error: &dyn Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.dedup();
    if causes.is_empty() {
        error.to_string()
    } else {
        causes.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_sentence_with_all_that_helps() {
        let body = json!({
            "error": { "formErrors": [], "fieldErrors": {
                "reason": ["required"], "expires_at": ["must be in the future"] } },
            "code": "validation_failed", "request_id": "req_1",
        });
        let read = |status, body: &[u8]| {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            Refused::read("POST /x".into(), status, body).to_string()
        };
        assert_eq!(
            read(400, body.to_string().as_bytes()),
            "POST /x was refused: expires_at: must be in the future; reason: required \
             (400 validation_failed, request req_1)"
        );
        let over = br#"{"error": "sign in first", "code": "not_signed_in"}"#;
        assert_eq!(
            read(401, over),
            "POST /x was refused: sign in first (401 not_signed_in); \
             sign in again with `ekho login`"
        );
        assert_eq!(read(502, b"<html>"), "POST /x was refused (502)");
    }

    #[test]
    fn an_id_stays_one_part_of_a_path() {
        assert_eq!(
            under("/v1/agents", "agent_1", "/pause"),
            "/v1/agents/agent_1/pause"
        );
        assert_eq!(under("/v1", "a/../b?c", ""), "/v1/a%2F..%2Fb%3Fc");
    }
}
