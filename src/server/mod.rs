//! The listener: accepts connections, keeps them within limits, and ends them in order.
//!
//! TCP or TLS, HTTP/1.1 and HTTP/2, one task a connection. It knows no endpoint: requests go to a
//! router, with the peer's address in their extensions as `ConnectInfo<SocketAddr>`.
//!
//! - `watch`: how long a connection may take for what
//! - `connection`: one connection from accept to close
//! - `tls`: certificate and key from files, read again on demand

mod connection;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::tls::{Tls, TlsError};
pub use self::watch::Limits;

use self::connection::Context;
use crate::config::Config;
use crate::metrics::{Cut, Metrics};

/// Connections the kernel may hold for us until we accept them.
const BACKLOG: u32 = 4096;
/// Pause when the process is out of file descriptors: accepting again at once would only fail.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often that is said.
const ACCEPT_FAILURE_INTERVAL: Duration = Duration::from_secs(10);

/// Why the relay cannot listen.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Another program has the address.
    #[error(
        "{address} is in use: another relay or another program listens there; stop it, or choose \
         another EKHO_PORT"
    )]
    InUse {
        /// Host and port.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; see EKHO_HOST and EKHO_PORT")]
    Bind {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be served.
    #[error("{0}; see EKHO_TLS_CERT_PATH and EKHO_TLS_KEY_PATH")]
    Tls(#[from] TlsError),
}

/// A bound listener that does not accept yet: connections wait in the kernel.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    limits: Limits,
}

/// Chooses who computes TLS for every client and server of this process, once. Several libraries do
/// TLS here, and those that are not told must find a choice made.
pub fn choose_crypto() {
    // Failing means that it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Binds and serves until `shutdown`; see [`Server::bind`] and [`Server::run`].
pub async fn serve(
    config: &Config,
    router: Router,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    Server::bind(config)
        .await?
        .run(router, metrics, shutdown)
        .await;
    Ok(())
}

impl Server {
    /// Takes the address and reads the certificate.
    pub async fn bind(config: &Config) -> Result<Self, ServeError> {
        let tls = match &config.tls {
            Some(paths) => Some(Arc::new(Tls::load(paths.clone())?)),
            None => None,
        };
        let listener = listen(&config.host, config.port).await.map_err(|source| {
            let address = format!("{}:{}", config.host, config.port);
            match source.kind() {
                ErrorKind::AddrInUse => ServeError::InUse { address },
                _ => ServeError::Bind { address, source },
            }
        })?;
        let address = listener.local_addr().map_err(|source| ServeError::Bind {
            address: config.host.clone(),
            source,
        })?;
        Ok(Server {
            listener,
            address,
            tls,
            limits: Limits::of(config),
        })
    }

    /// The address, with the port that was chosen where it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// TLS, where it is served, to read its files again.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Serves until `shutdown`, then refuses new connections, lets requests in flight finish for
    /// at most the shutdown timeout, and closes what is left.
    pub async fn run(self, router: Router, metrics: Arc<Metrics>, shutdown: CancellationToken) {
        let Server {
            listener,
            address,
            tls,
            limits,
        } = self;
        if let Some(tls) = &tls {
            metrics.certificate_served(tls.expires_seconds());
        }
        let graceful = GracefulShutdown::new();
        let context = Arc::new(Context::new(router, Arc::clone(&metrics), limits));
        let mut connections = JoinSet::new();
        let mut refused = JoinSet::new();
        let mut failures = AcceptFailures::default();
        let mut stopping = std::pin::pin!(shutdown.cancelled());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopping => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    report(ended);
                    continue;
                }
                Some(_) = refused.join_next(), if !refused.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    failures.handle(&error).await;
                    continue;
                }
            };
            // Small answers must not wait for the client's acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            if connections.len() >= limits.max_connections {
                metrics.connection_cut(Cut::Limit);
                if tls.is_none() && refused.len() < connection::MAX_REFUSED {
                    refused.spawn(connection::refuse(stream));
                }
                continue;
            }
            let (context, watcher) = (Arc::clone(&context), graceful.watcher());
            match &tls {
                None => connections.spawn(context.serve_tcp(stream, peer, watcher)),
                Some(tls) => {
                    connections.spawn(context.serve_tls(stream, peer, watcher, tls.acceptor()))
                }
            };
        }
        drop(listener);
        tracing::info!(%address, open = connections.len(), "no longer accepting connections");
        finish(graceful, connections, limits.shutdown_timeout).await;
    }
}

/// Waits for the connections to end; closes those that do not.
async fn finish(graceful: GracefulShutdown, mut connections: JoinSet<()>, patience: Duration) {
    if tokio::time::timeout(patience, graceful.shutdown())
        .await
        .is_err()
    {
        while let Some(ended) = connections.try_join_next() {
            report(ended);
        }
        tracing::warn!(
            open = connections.len(),
            seconds = patience.as_secs(),
            "requests did not finish in time; closing their connections"
        );
    }
    connections.shutdown().await;
}

async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
    for address in lookup_host((host, port)).await? {
        let bound = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // A restart must not wait for connections of the past to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        match bound() {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// What accepting fails with, said now and then.
#[derive(Default)]
struct AcceptFailures {
    said: Option<Instant>,
}

impl AcceptFailures {
    /// A client that left while it waited is its own affair; anything else is a shortage.
    async fn handle(&mut self, error: &io::Error) {
        let is_client = matches!(
            error.kind(),
            ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionRefused
        );
        if is_client {
            return;
        }
        if self
            .said
            .is_none_or(|said| said.elapsed() > ACCEPT_FAILURE_INTERVAL)
        {
            self.said = Some(Instant::now());
            tracing::warn!(%error, "cannot accept connections; `ekho doctor` shows the file limit");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
