//! One connection to another node: HTTP/2 over mutually authenticated TLS, made when it is first
//! needed and anew after it ended. Many requests share it.
//!
//! What matters to whoever asks is whether a request that failed can have been heard: only one
//! that certainly was not may be sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::carried;

/// The header in which a node says who it is; its certificate has to say the same.
pub(super) const NODE_HEADER: &str = "ekho-node";
/// Answers are small but for lists; a larger one is not one of ours.
const ANSWER_MAX_BYTES: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// No second attempt within this time after one failed.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// A peer that is silent this long is asked for a sign of life, and given up after as long again.
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(700);
pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(1500);
/// The sign of life comes behind what was sent before it: megabytes, where that is a snapshot.
pub(super) const BULK_PING_TIMEOUT: Duration = Duration::from_secs(20);
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
pub(super) const FRAME_BYTES: u32 = 256 << 10;

/// The body of a request.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A body that is there already.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Why there is no answer.
#[derive(Clone, Debug, Error)]
pub(super) enum CallError {
    /// The request did not go out.
    #[error("{0}")]
    NotSent(String),
    /// The request went out, and nobody knows what became of it.
    #[error("{0}")]
    Lost(String),
}

/// Who is at the other end, and how it is reached.
pub(super) struct Target {
    pub(super) name: ServerName<'static>,
    pub(super) tls: Arc<ClientConfig>,
    /// Who asks, where it is a node.
    pub(super) from: Option<u64>,
    /// How long it may take to give a sign of life when it is asked for one.
    pub(super) ping_timeout: Duration,
}

pub(super) struct Link {
    target: Target,
    sender: tokio::sync::Mutex<Option<(String, SendRequest<Body>)>>,
    failed: Mutex<Option<(Instant, String)>>,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        Link {
            target,
            sender: tokio::sync::Mutex::new(None),
            failed: Mutex::new(None),
        }
    }

    /// Sends `body` to `path` of the node at `address` and waits at most `ttl` for the answer.
    pub(super) async fn call(
        &self,
        address: &str,
        path: &'static str,
        body: Body,
        ttl: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let deadline = Instant::now() + ttl;
        let sender = match timeout(ttl, self.sender(address)).await {
            Ok(sender) => sender?,
            Err(_) => return Err(CallError::NotSent(format!("{address} does not answer"))),
        };
        let answered = async {
            let response = self.request(sender, path, body).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
            match body.collect().await {
                Ok(collected) => Ok((status, collected.to_bytes())),
                Err(error) => Err(CallError::Lost(error.to_string())),
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, answered).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Lost(format!("{address} did not answer in time"))),
        }
    }

    /// Sends a request whose body and answer go on; returns when the answer begins.
    pub(super) async fn begin(
        &self,
        address: &str,
        path: &'static str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let sender = self.sender(address).await?;
        self.request(sender, path, body).await
    }

    async fn request(
        &self,
        mut sender: SendRequest<Body>,
        path: &'static str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        if let Some(from) = self.target.from {
            request.headers_mut().insert(NODE_HEADER, from.into());
        }
        if let Some(context) = carried() {
            request.headers_mut().insert(carried::HEADER, context);
        }
        sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let why = describe(&error.into_error());
            match unsent {
                true => CallError::NotSent(why),
                false => CallError::Lost(why),
            }
        })
    }

    /// The connection that stands, or a new one. While one is made, others wait for it.
    async fn sender(&self, address: &str) -> Result<SendRequest<Body>, CallError> {
        let mut kept = self.sender.lock().await;
        if let Some((to, sender)) = kept.as_ref()
            && to == address
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        if let Some((at, why)) = self.failed.lock().as_ref()
            && at.elapsed() < CONNECT_PAUSE
        {
            return Err(CallError::NotSent(why.clone()));
        }
        let connected = match timeout(CONNECT_TIMEOUT, self.connect(address)).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("{address} does not answer")),
        };
        match connected {
            Ok(sender) => {
                *self.failed.lock() = None;
                *kept = Some((address.to_string(), sender.clone()));
                Ok(sender)
            }
            Err(why) => {
                *kept = None;
                *self.failed.lock() = Some((Instant::now(), why.clone()));
                Err(CallError::NotSent(why))
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<SendRequest<Body>, String> {
        let at = |error: &dyn std::fmt::Display| format!("{address}: {error}");
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| at(&error))?;
        stream.set_nodelay(true).map_err(|error| at(&error))?;
        let stream = TlsConnector::from(self.target.tls.clone())
            .connect(self.target.name.clone(), stream)
            .await
            .map_err(|error| at(&error))?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(self.target.ping_timeout)
            .keep_alive_while_idle(true);
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| at(&describe(&error)))?;
        let address = address.to_string();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(address, error = describe(&error), "a connection ended");
            }
        });
        Ok(sender)
    }
}

/// An error with what caused it, which hyper leaves out.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
