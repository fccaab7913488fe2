//! Fault tests of a relay: real processes that are killed, paused, cut off and damaged under load,
//! with every answer recorded and judged against the promises. See README.md.
//!
//! - `run`: a run from beginning to end; `report`, `svg`, `timeline`: what came of it
//! - `nemesis`, `faults`: which faults come when, and how each is done
//! - `cluster`, `cluster_api`, `net`, `powercut`, `observer`: the nodes: processes, membership,
//!   network, disks, and how they seem from outside
//! - `operator`, `client`, `workload`: operators, and what is asked beside messages
//! - `sign`, `wire`, `actor`, `load`: messages: who makes requests, and exactly what goes over the
//!   wire
//! - `history`, `record`, `book`, `check`: what was asked and answered, and whether that keeps the
//!   promises
//! - `show`: that the judge finds what is broken on purpose
//! - `awake`: time that counts; `rng`: choices that come back with the same seed
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

pub mod actor;
pub mod awake;
pub mod book;
pub mod check;
pub mod client;
pub mod cluster;
pub mod cluster_api;
pub mod faults;
pub mod history;
pub mod load;
pub mod nemesis;
pub mod net;
pub mod observer;
pub mod operator;
pub mod powercut;
pub mod record;
pub mod report;
pub mod rng;
pub mod run;
pub mod show;
pub mod sign;
pub mod svg;
pub mod timeline;
pub mod wire;
pub mod workload;
