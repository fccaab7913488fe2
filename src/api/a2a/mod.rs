//! A2A: agents as other A2A clients reach them. One model, the official types of the protocol, and
//! one file a binding.
//!
//! - `ask`: who asks, in which version, whom
//! - `methods`: what can be asked for, in the types of the protocol
//! - `sending`: a message on its way to an agent
//! - `failure`: every error, in the form of each binding
//! - `push`: where clients want to be told of their tasks
//! - `jsonrpc`: JSON-RPC, of version 1.0 and, by `v03`, of 0.3
//! - `rest`: HTTP+JSON, of version 1.0
//! - `grpc`: gRPC, of version 1.0
//! - `card`: what agents and the fleet say of themselves; `signature`: cards signed

mod ask;
pub(super) mod card;
mod failure;
mod grpc;
mod jsonrpc;
pub(super) mod methods;
mod push;
mod rest;
pub(super) mod sending;
mod signature;
pub(super) mod v03;

use axum::Router;

use super::App;

pub(super) use crate::service::protocol as render;

/// Routes of the protocol. Its specification describes them, not ours.
pub fn router() -> Router<App> {
    Router::new()
        .merge(card::router())
        .merge(signature::router())
        .merge(jsonrpc::router())
        .merge(rest::router())
        .merge(grpc::router())
}
