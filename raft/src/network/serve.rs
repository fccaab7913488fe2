//! The listener for other nodes: who connects has to show a certificate of this cluster, or may
//! ask to join and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::link::{
    Body, CONNECTION_WINDOW_BYTES, FRAME_BYTES, NODE_HEADER, PING_INTERVAL, PING_TIMEOUT,
    STREAM_WINDOW_BYTES, whole,
};
use super::tls::{Asker, Identity};
use super::{asks, path};
use crate::carried;
use crate::error::ProposeError;
use crate::types::NodeId;

/// Connections of nodes at once; each of them makes four.
const CONNECTIONS_MAX: usize = 1000;
/// Requests of one connection at once.
const STREAMS_MAX: u32 = 16 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A request that is not a snapshot. An append holds what is read from the log at once.
const REQUEST_MAX_BYTES: usize = 64 << 20;
/// What a stranger may send.
const STRANGER_MAX_BYTES: usize = 64 << 10;
/// Connections of who shows no certificate: at once, and how long one may last. Joining takes one
/// request.
const STRANGERS_MAX: usize = 32;
const STRANGER_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two lines about connections that were refused.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1);

/// What the program above this crate answers to other nodes, and to who wants to be one.
pub trait Answers: Send + Sync + 'static {
    /// Answers a request. A stranger may be anybody.
    fn answer(&self, from: Asker, request: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>>;
}

/// What a node does for others. Apart from the node's type, which depends on its machine.
pub(crate) trait Served: Send + Sync {
    /// Whether a node is of this cluster, or still is.
    fn has_member(&self, node_id: NodeId) -> bool;

    /// Appends to the log what the leader sends.
    fn append(&self, request: Bytes) -> BoxFuture<'_, Result<Bytes, Failure>>;

    /// Serves one request of a node of this cluster.
    fn serve<'a>(
        &'a self,
        path: &'a str,
        from: NodeId,
        body: Incoming,
    ) -> BoxFuture<'a, Result<Bytes, Failure>>;
}

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no such thing to ask.
    Unknown,
    /// It is not what it should be.
    Malformed(String),
    /// It cannot be done now.
    Unavailable(String),
    /// The program above says no.
    Refused(ProposeError),
}

impl Failure {
    /// What the node that asked is told.
    fn said(self) -> (StatusCode, Bytes) {
        match self {
            Failure::Unknown => (StatusCode::NOT_FOUND, Bytes::new()),
            Failure::Malformed(why) => (StatusCode::BAD_REQUEST, why.into()),
            Failure::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why.into()),
            Failure::Refused(error) => (StatusCode::CONFLICT, refusal(&error)),
        }
    }
}

/// A bound address that serves nobody yet.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the address.
    pub async fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Listener { listener, address })
    }

    /// The address, with the port that was chosen where it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers who wants to know what this is before it is a node, until `stop`.
    pub async fn run_alone(
        &self,
        identity: Arc<Identity>,
        answers: Arc<dyn Answers>,
        stop: impl Future<Output = ()>,
    ) {
        self.run(identity, answers, None, stop).await;
    }

    pub(crate) async fn run(
        &self,
        identity: Arc<Identity>,
        answers: Arc<dyn Answers>,
        served: Option<Arc<dyn Served>>,
        stop: impl Future<Output = ()>,
    ) {
        let context = Arc::new(Context {
            identity,
            answers,
            served,
            strangers: Semaphore::new(STRANGERS_MAX),
        });
        let mut connections = JoinSet::new();
        let mut said: Option<Instant> = None;
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Ok(Err((peer, why))) = ended
                        && said.is_none_or(|at: Instant| at.elapsed() > REFUSED_INTERVAL)
                    {
                        said = Some(Instant::now());
                        tracing::warn!(%peer, why, "refused a connection to the node address");
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) if connections.len() < CONNECTIONS_MAX => {
                    let context = context.clone();
                    connections.spawn(async move {
                        let served = context.connection(stream).await;
                        served.map_err(|why| (peer, why))
                    });
                }
                Ok((_, peer)) => tracing::warn!(%peer, "too many connections of nodes"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections of nodes");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        connections.shutdown().await;
    }
}

struct Context {
    identity: Arc<Identity>,
    answers: Arc<dyn Answers>,
    served: Option<Arc<dyn Served>>,
    strangers: Semaphore,
}

impl Context {
    async fn connection(self: Arc<Self>, stream: TcpStream) -> Result<(), String> {
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let accept = TlsAcceptor::from(self.identity.server.clone()).accept(stream);
        let stream = match timeout(HANDSHAKE_TIMEOUT, accept).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("it is not of this cluster: {error}")),
            Err(_) => return Err("it did not say who it is in time".into()),
        };
        let chain: Option<Arc<[CertificateDer<'static>]>> = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| chain.iter().map(|one| one.clone().into_owned()).collect());
        let is_stranger = chain.is_none();
        let _place = match is_stranger {
            false => None,
            true => match self.strangers.try_acquire() {
                Ok(place) => Some(place),
                Err(_) => return Err("too many that show no certificate".into()),
            },
        };
        let context = self.clone();
        let service = service_fn(move |request| {
            let (context, chain) = (context.clone(), chain.clone());
            async move { Ok::<_, io::Error>(context.request(chain.as_deref(), request).await) }
        });
        let serving = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let served = match is_stranger {
            false => serving.await,
            true => match timeout(STRANGER_TIMEOUT, serving).await {
                Ok(served) => served,
                Err(_) => return Ok(()),
            },
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a connection of a node ended");
        }
        Ok(())
    }

    async fn request(
        &self,
        chain: Option<&[CertificateDer<'static>]>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Some(asker) =
            claimed(request.headers()).and_then(|claimed| self.identity.asker(chain, claimed))
        else {
            tracing::warn!("refused a request of a node that is not who it says");
            let why = "the certificate is of somebody else".to_string();
            return refused(&ProposeError::Forbidden(why));
        };
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        }
        let answered = match (request.uri().path(), asker, &self.served) {
            (path::ASKS, Asker::Node(from), Some(served)) => {
                return self.answers(from, served, request.into_body());
            }
            (path::APPENDS, Asker::Node(_), Some(served)) => {
                return appends(served, request.into_body());
            }
            (path::ASK, Asker::Node(from), Some(served)) if !served.has_member(from) => {
                Err(Failure::Refused(no_member(from)))
            }
            (path::ASK, ..) => self.ask(asker, request).await,
            (path, Asker::Node(from), Some(served)) => {
                let path = path.to_string();
                served.serve(&path, from, request.into_body()).await
            }
            _ => Err(Failure::Refused(ProposeError::Forbidden(
                "only nodes of this cluster may ask that".into(),
            ))),
        };
        match answered {
            Ok(bytes) => answer(StatusCode::OK, bytes),
            Err(failure) => {
                let (status, why) = failure.said();
                answer(status, why)
            }
        }
    }

    /// Answers what a node asks for as long as it asks.
    fn answers(&self, from: NodeId, served: &Arc<dyn Served>, body: Incoming) -> Response<Body> {
        let (answers, served) = (self.answers.clone(), served.clone());
        let answered = asks::answered(body, move |question| {
            let (answers, served) = (answers.clone(), served.clone());
            async move {
                if !served.has_member(from) {
                    return Err(refusal(&no_member(from)));
                }
                let answered = answers.answer(Asker::Node(from), question).await;
                answered.map_err(|error| refusal(&error))
            }
        });
        streamed(answered)
    }

    async fn ask(&self, asker: Asker, request: Request<Incoming>) -> Result<Bytes, Failure> {
        let limit_bytes = match asker {
            Asker::Node(_) => REQUEST_MAX_BYTES,
            Asker::Holder | Asker::Stranger => STRANGER_MAX_BYTES,
        };
        let context = match asker {
            Asker::Node(_) => carried::received(request.headers().get(carried::HEADER)),
            Asker::Holder | Asker::Stranger => None,
        };
        let request = read(request.into_body(), limit_bytes).await?;
        let answer = self.answers.answer(asker, request);
        let answered = match context {
            Some(context) => carried::carrying(context, answer).await,
            None => answer.await,
        };
        answered.map_err(Failure::Refused)
    }
}

/// Appends to the log as long as the leader sends.
fn appends(served: &Arc<dyn Served>, body: Incoming) -> Response<Body> {
    let served = served.clone();
    let answered = asks::answered(body, move |request| {
        let served = served.clone();
        async move {
            let appended = served.append(request).await;
            appended.map_err(|failure| failure.said().1)
        }
    });
    streamed(answered)
}

fn streamed(
    answers: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
) -> Response<Body> {
    Response::new(StreamBody::new(answers).boxed_unsync())
}

fn no_member(node_id: NodeId) -> ProposeError {
    ProposeError::Forbidden(format!(
        "node {node_id} is not of this cluster, or no longer"
    ))
}

/// Who the request says it is from; none where what it says cannot be read.
fn claimed(headers: &HeaderMap) -> Option<Option<NodeId>> {
    match headers.get(NODE_HEADER) {
        None => Some(None),
        Some(value) => value.to_str().ok()?.parse().ok().map(Some),
    }
}

/// The whole body of a request that is not a snapshot.
pub(crate) async fn read_body(body: Incoming) -> Result<Bytes, Failure> {
    read(body, REQUEST_MAX_BYTES).await
}

async fn read(body: Incoming, limit_bytes: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(Failure::Malformed(error.to_string())),
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response
}

fn refused(error: &ProposeError) -> Response<Body> {
    answer(StatusCode::CONFLICT, refusal(error))
}

fn refusal(error: &ProposeError) -> Bytes {
    // It has no map keys that JSON could not write.
    serde_json::to_vec(error).unwrap_or_default().into()
}
