//! Fault tests of a relay: real processes that are killed, paused, cut off and damaged under load,
//! with every answer recorded and judged against the promises. See README.md.
//!
//! - `powercut`: a disk that forgets what was not synced
//! - `sign`, `wire`, `actor`, `load`: messages: who makes requests, and exactly what goes over the
//!   wire
//! - `history`, `record`, `book`, `check`: what was asked and answered, and whether that keeps the
//!   promises
//! - `rng`: choices that come back with the same seed
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

pub mod actor;
pub mod book;
pub mod check;
pub mod history;
pub mod load;
pub mod powercut;
pub mod record;
pub mod rng;
pub mod sign;
pub mod wire;
