//! Requests to the collector, the same for spans and metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use reqwest::Url;

use super::TIMEOUT;
use crate::config;
use crate::loopback::is_loopback;
use crate::metrics::Metrics;

/// Longest answer that is read: a connection whose answer was read to its end is used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A client of the collector. What it sends is what the relay's configuration says, and nothing of
/// the environment beside it.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: String,
    metrics: Arc<Metrics>,
}

impl Client {
    /// One that sends the configured headers.
    pub fn new(config: &config::Otlp, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            // The configuration has checked both.
            if let (Ok(name), Ok(mut value)) =
                (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let mut http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(TIMEOUT)
            // A redirect could carry the headers elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if config
            .endpoint
            .parse()
            .is_ok_and(|url: Url| is_loopback(&url))
        {
            http = http.no_proxy();
        }
        Ok(Client {
            http: http.build()?,
            endpoint: config.endpoint.clone(),
            metrics,
        })
    }

    /// What sends one signal, `traces` or `metrics`, to the place that it has at the collector.
    pub fn sender(&self, signal: &'static str) -> Sender {
        Sender {
            client: self.clone(),
            signal,
            url: format!("{}/v1/{signal}", self.endpoint),
            is_failing: AtomicBool::new(false),
        }
    }
}

/// Sends one signal. A collector may take one and refuse the other, so each has its own state.
pub(super) struct Sender {
    client: Client,
    signal: &'static str,
    url: String,
    /// Whether the last request failed, so that this is said once.
    is_failing: AtomicBool,
}

/// Why the collector did not take a request.
pub(super) struct Refused {
    pub why: String,
    /// How long to wait at least before it may take the same; none where it never will.
    pub again_after: Option<Duration>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    /// Sends one request. What came of it is counted and said here.
    pub async fn send(&self, body: Bytes) -> Result<(), Refused> {
        let sent = match self.post(body).await {
            Ok(answer) => judge(answer).await,
            Err(error) => Err(error.into()),
        };
        let signal = self.signal;
        self.client.metrics.otlp_export(signal, sent.is_ok());
        let was_failing = self.is_failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(Refused { why, .. }) if !was_failing => {
                tracing::warn!(why, "the collector of EKHO_OTLP_ENDPOINT takes no {signal}");
            }
            Ok(()) if was_failing => tracing::info!("the collector takes {signal} again"),
            _ => {}
        }
        sent
    }

    async fn post(&self, body: Bytes) -> Result<reqwest::Response, reqwest::Error> {
        let request = self
            .client
            .http
            .post(&self.url)
            .header("content-type", "application/x-protobuf")
            .body(body);
        request.send().await
    }
}

impl From<reqwest::Error> for Refused {
    fn from(error: reqwest::Error) -> Self {
        Refused {
            why: format!("{error:?}"),
            again_after: Some(Duration::ZERO),
        }
    }
}

/// Whether the collector took it, by the statuses of OTLP over HTTP: four of them will pass.
async fn judge(mut answer: reqwest::Response) -> Result<(), Refused> {
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await? {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            break;
        }
    }
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let will_pass = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let asked = answer.headers().get(RETRY_AFTER);
    let asked = asked.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    Err(Refused {
        why: status.to_string(),
        again_after: will_pass.then(|| asked.map(Duration::from_secs).unwrap_or_default()),
    })
}
