//! One HTTP exchange. The target and the body go out exactly as given; nothing is normalised.

use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::DEADLINE;

/// A client without certificates, redirects or retries. Belongs to the test that made it: its
/// connections end with that test's runtime.
#[derive(Clone)]
pub struct Http(Client<HttpConnector, Full<Bytes>>);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as received.
    pub bytes: Bytes,
    /// The request, for messages of failed tests.
    pub request: String,
}

impl Http {
    /// A connection for every request, so that a restarted relay is a new one.
    pub fn new() -> Self {
        Http(
            Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        )
    }

    /// Keeps connections open, for many requests in a row.
    pub fn pooled() -> Self {
        Http(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and returns when the answer's head is there; its body is still to come.
    pub async fn open(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>, String> {
        let mut builder = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            builder = builder.header(name.as_str(), value.as_str());
        }
        let request = builder
            .body(Full::new(body))
            .expect("a request that can be sent");
        self.0
            .request(request)
            .await
            .map_err(|error| format!("{method} {url}: {error:?}"))
    }

    /// Sends a request; an error says that no whole answer came.
    pub async fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, String> {
        let request = format!("{method} {url}");
        let exchange = async {
            let (parts, body) = self.open(method, url, headers, body).await?.into_parts();
            let bytes = body
                .collect()
                .await
                .map_err(|error| format!("{request}: {error:?}"))?
                .to_bytes();
            let (status, headers) = (parts.status.as_u16(), parts.headers);
            Ok(Answer {
                status,
                headers,
                bytes,
                request: request.clone(),
            })
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(format!("{request}: no answer within {limit:?}")),
        }
    }

    /// Sends a request; fails the test where no whole answer comes.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Answer {
        match self
            .try_send(method, url, headers, body, DEADLINE * 2)
            .await
        {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }

    /// GET without headers.
    pub async fn get(&self, url: &str) -> Answer {
        self.send("GET", url, &[], Bytes::new()).await
    }

    /// POST of JSON without further headers.
    pub async fn post(&self, url: &str, body: &Value) -> Answer {
        let headers = [("content-type".to_string(), "application/json".to_string())];
        self.send("POST", url, &headers, Bytes::from(body.to_string()))
            .await
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.request, self.text()))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body's `error`, where it is a text.
    pub fn error(&self) -> String {
        self.json()["error"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    }

    /// The body's `code`, or the reason of an A2A error.
    pub fn code(&self) -> String {
        let body = self.json();
        let reason = body["error"]["data"][0]["reason"].as_str();
        let code = body["code"].as_str().map(str::to_string);
        code.or(reason.map(str::to_lowercase)).unwrap_or_default()
    }

    /// The body of an answer that must be a success.
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {} {}",
            self.request,
            self.status,
            self.text()
        );
        self.json()
    }

    /// Checks a refusal: status, `error`, `code`, and the request id in the body and the header.
    pub fn refused(&self, status: u16, error: &str, code: &str) -> Value {
        let body = self.json();
        let said = (self.status, body["error"].as_str(), body["code"].as_str());
        assert_eq!(
            said,
            (status, Some(error), Some(code)),
            "{}: {}",
            self.request,
            self.text()
        );
        self.check_request_id();
        body
    }

    /// Checks that a request was refused as malformed, for a reason given with `field`.
    pub fn invalid(&self, field: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (400, Some("validation_failed")),
            "{}: {}",
            self.request,
            self.text()
        );
        assert!(
            body["error"]["formErrors"].is_array(),
            "{}: {}",
            self.request,
            self.text()
        );
        let complaints = body["error"]["fieldErrors"][field].as_array();
        assert!(
            complaints.is_some_and(|list| !list.is_empty()),
            "{field}: {}: {}",
            self.request,
            self.text()
        );
        self.check_request_id();
        body
    }

    fn check_request_id(&self) {
        let body = self.json();
        let id = body["request_id"].as_str();
        assert!(
            id.is_some_and(|id| !id.is_empty()),
            "no request_id: {}: {}",
            self.request,
            self.text()
        );
        assert_eq!(
            id,
            self.header("x-request-id"),
            "{}: body and header differ",
            self.request
        );
    }
}
