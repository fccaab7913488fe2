//! A2A: any client of the protocol reaches any agent.
//!
//! - `sending`: messages become tasks, once
//! - `answers`: what agents say of tasks, and what of it they may
//! - `streams`: whoever follows a task sees the same
//! - `lists`: tasks in pages
//! - `operators`: tasks as operators look at them
//! - `metrics`: what is counted of them
//! - `sdk`: an agent that is written with the Rust client
//! - `errors`: what is wrong is said in the words of each binding
//! - `fuzz`: whatever comes in
//! - `grpc`: the same as over HTTP, by gRPC
//! - `real_clients`: SDKs that others wrote, doing all of this
//! - `versions`: 1.0 and 0.3 at one address
//! - `clients`: tokens that operators give, limit and take back
//! - `push`: clients are told of their tasks
//! - `remotes`: agents elsewhere, asked through the relay
//! - `cards`: what agents say of themselves, signed

mod answers;
mod cards;
mod clients;
mod errors;
mod fuzz;
mod grpc;
mod lists;
mod metrics;
mod operators;
mod push;
mod real_clients;
mod remotes;
mod sdk;
mod sending;
mod streams;
mod versions;

use serde_json::{Value, json};

use crate::support::{A2aClient, Agent, Relay, a2a_message};

/// A client and an agent of one fleet.
async fn pair(relay: &Relay) -> (A2aClient, Agent) {
    let operator = relay.operator().await;
    let client = operator.a2a_client("client").await;
    (client, operator.enrol("agent").await)
}

/// The address of an agent.
fn at(agent: &Agent) -> String {
    format!("/agents/{}/a2a", agent.id)
}

/// Parameters that send a text and wait for nothing.
fn quick(text: &str) -> Value {
    json!({
        "message": a2a_message(text),
        "configuration": { "returnImmediately": true },
    })
}
