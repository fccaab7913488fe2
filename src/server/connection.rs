//! One connection, from accept to close.
//!
//! Between hyper and the router stands as little as possible: the stream notes that bytes came,
//! the request gets the peer's address and whether it came over TLS, and the answer carries a guard
//! that says when it is sent.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, Version};
use axum::routing::future::RouteFuture;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::watch::{Active, Arriving, Limits, PROGRESS_BYTES, Watch};
use crate::ingress::channel::OverTls;
use crate::metrics::{Cut, Metrics};

/// Refused clients that are still being told so. Further ones are closed without a word.
pub(super) const MAX_REFUSED: usize = 128;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 62\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    \r\n\
    {\"error\":\"too many connections\",\"code\":\"too_many_connections\"}";

/// Largest head of a request, and how much of a body is read at once.
const HTTP1_BUFFER_BYTES: usize = 64 << 10;
const HTTP2_HEADER_BYTES: u32 = 32 << 10;
const HTTP2_STREAMS: u32 = 256;
/// A peer that does not answer a ping for this long is gone.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// What all connections of a listener share.
pub(super) struct Context {
    router: Router,
    metrics: Arc<Metrics>,
    limits: Limits,
    builder: auto::Builder<TokioExecutor>,
}

impl Context {
    pub fn new(router: Router, metrics: Arc<Metrics>, limits: Limits) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // No timer for HTTP/1: hyper would allocate and register one for each request's head,
        // which the watch does better.
        builder.http1().max_buf_size(HTTP1_BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING)
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(HTTP2_HEADER_BYTES);
        Context {
            router,
            metrics,
            limits,
            builder,
        }
    }

    pub async fn serve_tcp(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let _open = Open::new(&self.metrics);
        self.serve(stream, peer, watcher, false).await;
    }

    pub async fn serve_tls(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        acceptor: TlsAcceptor,
    ) {
        let _open = Open::new(&self.metrics);
        match tokio::time::timeout(self.limits.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, peer, watcher, true).await,
            Ok(Err(error)) => {
                self.metrics.connection_cut(Cut::Tls);
                tracing::debug!(%peer, %error, "no TLS connection");
            }
            Err(_) => {
                self.metrics.connection_cut(Cut::Tls);
                tracing::debug!(%peer, "TLS handshake took too long");
            }
        }
    }

    async fn serve<S>(&self, stream: S, peer: SocketAddr, watcher: Watcher, over_tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = Watch::new(self.limits);
        let io = TokioIo::new(Stream {
            inner: stream,
            watch: Arc::clone(&watch),
        });
        let requests = Requests {
            router: self.router.clone(),
            peer,
            over_tls,
            watch: Arc::clone(&watch),
        };
        let mut connection = pin!(watcher.watch(self.builder.serve_connection(io, requests)));
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
            }
            cut = watch.expired() => {
                self.metrics.connection_cut(cut);
                tracing::debug!(%peer, reason = cut.label(), "connection cut");
            }
        }
    }
}

/// Tells a client that there are too many connections, and waits for it to read that: closing with
/// its request unread would reset the connection and with it the answer.
pub(super) async fn refuse(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it arrives is the client's affair.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, answer).await;
}

/// Counts a connection while it lives.
struct Open<'a>(&'a Metrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.connection_opened();
        Open(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// Hands a connection's requests to the router.
struct Requests {
    router: Router,
    peer: SocketAddr,
    over_tls: bool,
    watch: Arc<Watch>,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let active = self.watch.request(request.version() == Version::HTTP_2);
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(self.peer));
        if self.over_tls {
            parts.extensions.insert(OverTls);
        }
        let body = if body.is_end_stream() {
            // Costs no allocation, unlike a body that turns out to be empty.
            Body::empty()
        } else {
            Body::new(RequestBody {
                inner: body,
                arriving: Some(self.watch.body()),
                since_progress_bytes: 0,
            })
        };
        let future = self.router.clone().call(Request::from_parts(parts, body));
        Answering {
            future,
            active: Some(active),
        }
    }
}

/// A request on its way through the router.
struct Answering {
    future: RouteFuture<Infallible>,
    active: Option<Active>,
}

impl Future for Answering {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let answered = Pin::new(&mut self.future).poll(context);
        answered.map(|answer| {
            let active = self.active.take();
            answer.map(|answer| {
                answer.map(|body| Answer {
                    body,
                    _active: active,
                })
            })
        })
    }
}

/// An answer's body; the request counts as active until it is sent.
struct Answer {
    body: Body,
    _active: Option<Active>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body, watched until its end.
struct RequestBody {
    inner: Incoming,
    arriving: Option<Arriving>,
    /// What came since it last got time anew.
    since_progress_bytes: u64,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let has_ended = match &frame {
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.since_progress_bytes += data.len() as u64;
            if self.since_progress_bytes >= PROGRESS_BYTES
                && let Some(arriving) = &self.arriving
            {
                arriving.progress();
                self.since_progress_bytes = 0;
            }
        }
        if has_ended {
            self.arriving = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A stream that notes when bytes come in.
struct Stream<S> {
    inner: S,
    watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.bytes_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
