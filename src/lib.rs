//! Ekho: a private, signed, store-and-forward message relay for AI agents.
//!
//! The binary is thin; everything is here, so that tests and examples can use it. Imports point
//! down only: cli, server -> api -> ingress -> service -> machine -> storage. See
//! ARCHITECTURE.md.

pub mod api;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod effects;
pub mod extension;
pub mod hooks;
pub mod id;
pub mod identity;
pub mod ingress;
pub mod joining;
mod journal;
pub mod license;
pub mod loopback;
pub mod machine;
pub mod mcp;
pub mod metrics;
pub mod outward;
mod procfs;
pub mod readable;
pub mod rebuilding;
pub mod relay;
pub mod secrets;
pub mod server;
pub mod service;
pub mod sniff;
pub mod tailnet;
pub mod telemetry;
