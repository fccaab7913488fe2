//! A connection that is opened again after it failed, with a time limit on every call; and the
//! unsigned JSON calls of the preparation. Sits on `http`; knows no endpoint.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::error::BenchError;
use super::http::{Connection, HttpError, Target};
use super::record::Failure;

/// A loopback or nearby relay that takes longer to accept a connection is not answering.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// One caller's way to the relay.
#[derive(Debug)]
pub struct Client {
    target: Arc<Target>,
    connection: Option<Connection>,
    timeout: Duration,
}

impl Client {
    /// A client that has not connected yet. `timeout` bounds every call.
    pub fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self {
            target,
            connection: None,
            timeout,
        }
    }

    /// Connects now, so that the first call need not.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.connection = Some(open(&self.target).await?);
        Ok(())
    }

    /// Sends a whole request and returns the status of the answer, whatever it is. Never sends
    /// twice: a request that was cut off is a failure.
    pub async fn call(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.call_held(request, Duration::ZERO).await
    }

    /// The body of the last answer; empty after a failure.
    pub fn answer(&self) -> &[u8] {
        self.connection
            .as_ref()
            .map(Connection::body)
            .unwrap_or_default()
    }

    /// As [`Client::call`], for a call the relay may hold for `wait` before it answers.
    pub async fn call_held(&mut self, request: &[u8], wait: Duration) -> Result<u16, Failure> {
        let limit = self.timeout + wait;
        // Taken out for the duration: should this future be dropped half way, so is the connection
        // with half an answer in it.
        let kept = self.connection.take().filter(Connection::keep_alive);
        let target = &self.target;
        let exchange = async move {
            let mut connection = match kept {
                Some(connection) => connection,
                None => open(target).await?,
            };
            let status = connection
                .exchange(request)
                .await
                .map_err(|error| match error {
                    HttpError::Closed => Failure::Closed,
                    HttpError::Protocol(_) => Failure::Protocol,
                })?;
            Ok((status, connection))
        };
        let (status, connection) = tokio::time::timeout(limit, exchange)
            .await
            .map_err(|_| Failure::Timeout)??;
        self.connection = Some(connection);
        Ok(status)
    }

    /// A JSON POST with an optional bearer token, and its 2xx answer; anything else is an error
    /// that names the call.
    pub async fn post_json(
        &mut self,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> Result<Value, BenchError> {
        let refuse = |why: String| BenchError::Setup {
            call: format!("POST {path}"),
            why,
        };
        let body = body.to_string();
        let authorization = bearer
            .map(|token| format!("authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.target.host,
            body.len(),
        );
        let status = self.call(request.as_bytes()).await.map_err(|failure| {
            refuse(format!(
                "no answer from {} ({})",
                self.target.url,
                failure.name()
            ))
        })?;
        if !(200..300).contains(&status) {
            return Err(refuse(format!(
                "{status} {}",
                String::from_utf8_lossy(self.answer())
            )));
        }
        serde_json::from_slice(self.answer())
            .map_err(|e| refuse(format!("{status}, but not JSON: {e}")))
    }
}

async fn open(target: &Target) -> Result<Connection, Failure> {
    match tokio::time::timeout(CONNECT_LIMIT, Connection::open(target.address)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(_)) | Err(_) => Err(Failure::Connect),
    }
}
