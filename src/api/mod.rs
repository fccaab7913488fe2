//! The HTTP interface: parse, call the service, render. No storage access in agent endpoints.
//!
//! One file an endpoint family. Errors become answers in `error.rs`, and only there.

mod a2a;
mod agent;
mod client;
mod code;
mod console;
mod download;
mod error;
mod fields;
mod list;
mod observe;
pub mod openapi;
mod operator;
mod path;
mod query;
mod signed;
mod system;
mod upload;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware;

use crate::config::{A2a, Config, Tailnet};
use crate::ingress::proxies::TrustedProxies;
use crate::service::Service;

use code::Code;
use openapi::Routes;

pub use error::ApiError;

/// What every handler gets.
#[derive(Clone)]
pub struct App {
    /// The use cases.
    pub service: Arc<Service>,
    /// Largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// Proxies whose headers say who the client is.
    pub proxies: Arc<TrustedProxies>,
    /// What a tailnet says about operators.
    pub tailnet: Arc<Tailnet>,
    /// How this node answers A2A.
    pub a2a: A2a,
}

/// The whole interface with its description.
fn routes() -> Routes {
    Routes::default()
        .merge(agent::router())
        .merge(operator::router())
        .merge(system::router())
        .merge(openapi::router())
}

/// The whole interface.
pub fn router(service: Arc<Service>, config: &Config) -> Router {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    service.metrics.expect_errors(codes);
    let app = App {
        service,
        body_limit_bytes: config.body_limit_bytes,
        proxies: Arc::new(config.proxies.clone()),
        tailnet: Arc::new(config.tailnet.clone()),
        a2a: config.a2a,
    };
    let (routes, _) = routes().split_for_parts();
    routes
        .merge(a2a::router())
        .merge(console::router())
        .fallback(|| async { ApiError::new(Code::NotFound, "no such endpoint") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(Code::MethodNotAllowed, "method not allowed here")
        })
        .layer(middleware::from_fn_with_state(
            app.clone(),
            client::require_tailnet,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            observe::observe,
        ))
        .with_state(app)
}
