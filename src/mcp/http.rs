//! The streamable HTTP transport: one address, `/mcp`, a bearer token, known hosts and origins.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{McpError, Server};

/// A call of a tool; what it sends is smaller still.
const BODY_MAX_BYTES: usize = 4 << 20;

/// Where and for whom the server listens.
pub struct HttpOptions {
    /// The address.
    pub listen: SocketAddr,
    /// What callers have to show.
    pub token: Zeroizing<String>,
    /// Names of this host, beside those of loopback, that callers may ask for.
    pub hosts: Vec<String>,
    /// Pages that may call it from a browser.
    pub origins: Vec<String>,
}

/// Serves until `stop` is cancelled. `ready` is told the address.
pub async fn serve_http(
    server: Server,
    options: HttpOptions,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), McpError> {
    let mut config = StreamableHttpServerConfig::default()
        .with_cancellation_token(stop.clone())
        .with_max_request_body_bytes(BODY_MAX_BYTES)
        .with_allowed_origins(options.origins)
        .enforce_origin_validation();
    config.allowed_hosts.extend(options.hosts);
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let token = Arc::new(options.token);
    let app = Router::new()
        .route_service("/mcp", service)
        .layer(middleware::from_fn_with_state(token, admit));
    let listener = TcpListener::bind(options.listen).await?;
    ready(listener.local_addr()?);
    let stopped = async move { stop.cancelled().await };
    axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}

/// Whoever calls acts as the agent, so it has to show the token.
async fn admit(
    State(token): State<Arc<Zeroizing<String>>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    let is_known = shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.as_bytes())));
    match is_known {
        true => next.run(request).await,
        false => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer realm=\"ekho mcp\"")],
        )
            .into_response(),
    }
}
