//! The few operator calls that commands make to a running relay, over its public interface.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::Credentials;

const TIMEOUT: Duration = Duration::from_secs(30);
/// An export of millions of rows, over a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call to the relay failed.
#[derive(Debug, Error)]
pub enum OperatorError {
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
    #[error("{call}: {status} {message}")]
    Refused {
        /// Method and path.
        call: &'static str,
        /// Of the answer.
        status: u16,
        /// Of the answer's body.
        message: String,
    },
    /// The answer is not one of a relay.
    #[error("{call}: the answer has no {field}; is {url} a relay?")]
    NotARelay {
        /// Method and path.
        call: &'static str,
        /// What is missing.
        field: &'static str,
        /// Who answered.
        url: String,
    },
}

/// A client of the operator API.
pub(super) struct Operator {
    url: String,
    http: Client,
}

/// A signed-in operator.
pub(super) struct Session {
    token: Zeroizing<String>,
    pub fleet_id: String,
}

impl Operator {
    /// A client for the relay at `url`, which trusts the certificates in `ca_file` too.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, OperatorError> {
        let refuse = |why: String| OperatorError::Url {
            url: url.to_string(),
            why,
        };
        let parsed: Url = url.parse().map_err(|_| refuse("not a URL".into()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(refuse("http://HOST:PORT or https://… is needed".into()));
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // A redirect would carry the owner's password elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&parsed) {
            // A proxy for the rest of the world cannot reach this machine's own relay.
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let refuse = |why: String| OperatorError::Certificates {
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
        Ok(Operator {
            url: url.trim_end_matches('/').to_string(),
            http,
        })
    }

    /// POST /v1/operator/login
    pub async fn sign_in(&self, owner: &Credentials) -> Result<Session, OperatorError> {
        const CALL: &str = "POST /v1/operator/login";
        let body = json!({
            "fleet_name": owner.fleet_name,
            "email": owner.email,
            "password": owner.password,
        });
        let answer = self
            .send(
                CALL,
                self.http.post(self.path("/v1/operator/login")).json(&body),
            )
            .await?;
        Ok(Session {
            token: Zeroizing::new(self.text(CALL, &answer, "token")?),
            fleet_id: self.text(CALL, &answer, "fleet_id")?,
        })
    }

    /// POST /v1/operator/enrollment-tokens
    pub async fn create_enrollment_token(
        &self,
        session: &Session,
    ) -> Result<Zeroizing<String>, OperatorError> {
        const CALL: &str = "POST /v1/operator/enrollment-tokens";
        let request = self
            .http
            .post(self.path("/v1/operator/enrollment-tokens"))
            .bearer_auth(session.token.as_str())
            .json(&json!({}));
        let answer = self.send(CALL, request).await?;
        Ok(Zeroizing::new(self.text(CALL, &answer, "token")?))
    }

    /// POST /v1/operator/logout
    pub async fn sign_out(&self, session: &Session) -> Result<(), OperatorError> {
        let request = self
            .http
            .post(self.path("/v1/operator/logout"))
            .bearer_auth(session.token.as_str())
            .json(&json!({}));
        self.send("POST /v1/operator/logout", request).await?;
        Ok(())
    }

    /// Begins a GET whose answer may be long.
    pub async fn download(&self, session: &Session, path: &str) -> Result<Response, OperatorError> {
        let request = self
            .http
            .get(self.path(path))
            .timeout(DOWNLOAD_TIMEOUT)
            .bearer_auth(session.token.as_str());
        let answer = request
            .send()
            .await
            .map_err(|error| self.no_answer(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|error| self.no_answer(&error))?;
        Err(refused("GET", status, &body))
    }

    /// The next piece of a long answer; none at its end.
    pub async fn next_chunk(&self, answer: &mut Response) -> Result<Option<Bytes>, OperatorError> {
        answer.chunk().await.map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &reqwest::Error) -> OperatorError {
        OperatorError::NoAnswer {
            url: self.url.clone(),
            why: with_causes(error),
        }
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn send(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Value, OperatorError> {
        let answer = request
            .send()
            .await
            .map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|error| self.no_answer(&error))?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).unwrap_or_default());
        }
        Err(refused(call, status, &body))
    }

    fn text(
        &self,
        call: &'static str,
        answer: &Value,
        field: &'static str,
    ) -> Result<String, OperatorError> {
        answer
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_string)
            .ok_or_else(|| OperatorError::NotARelay {
                call,
                field,
                url: self.url.clone(),
            })
    }
}

fn refused(call: &'static str, status: StatusCode, body: &[u8]) -> OperatorError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = match value.get("error") {
        Some(Value::String(message)) => message.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    OperatorError::Refused {
        call,
        status: status.as_u16(),
        message,
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
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
