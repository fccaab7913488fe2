//! The built relay, black box: over HTTP with signatures made here, and through its command line.
//!
//! - `a2a`: agents as A2A clients reach them
//! - `attachments`: files beside messages
//! - `contract`: the original's agent API, row by row
//! - `signature`: who may ask, once
//! - `backups`: backups, restoring them, and a node that outlived the others
//! - `beyond`: what goes beyond the original, on the same endpoints
//! - `delivery`: deliveries in real time
//! - `described`: the description at /openapi.json, held against what the relay does
//! - `imports`: a fleet of the original relay comes over
//! - `isolation`: fleets do not learn of each other
//! - `mcp`: an agent as an MCP server
//! - `operators`: sign-in, holds, approvals, settings
//! - `system`: pages, limits, TLS, logs, start and end
//! - `cli`: the command line
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod a2a;
mod attachments;
mod backups;
mod beyond;
mod checks;
mod cli;
mod contract;
mod delivery;
mod described;
mod imports;
mod isolation;
mod mcp;
mod operators;
mod signature;
mod system;

use ::support;
