//! Requests to the provider, bounded in time and size.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::OidcError;

/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request and its whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// A client for the provider.
pub fn client(
    is_loopback: bool,
    certificates: Vec<reqwest::Certificate>,
) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // A redirect could carry the client's secret elsewhere.
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback {
        // A proxy for the rest of the world cannot reach this machine.
        builder = builder.no_proxy();
    }
    if !certificates.is_empty() {
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build()
}

/// Sends a request; the status and the body of the answer.
pub async fn send(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), OidcError> {
    let no_answer = |error: reqwest::Error| {
        // Without the URL: an answer's may carry secrets, and ours is in the configuration.
        OidcError::unavailable(format!("no answer: {:?}", error.without_url()))
    };
    let mut answer = request.send().await.map_err(no_answer)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let why = format!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            return Err(OidcError::Unavailable(why));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

/// Sends a request whose answer must be 200 and JSON.
pub async fn json<T: DeserializeOwned>(
    what: &str,
    request: RequestBuilder,
) -> Result<T, OidcError> {
    let (status, body) = send(request).await?;
    if status != StatusCode::OK {
        return Err(OidcError::unavailable(format!("{what}: {status}")));
    }
    serde_json::from_slice(&body)
        .map_err(|error| OidcError::unavailable(format!("{what}: {error}")))
}
