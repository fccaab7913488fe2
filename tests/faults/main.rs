//! Fault tests: real processes on real disks that are killed, starved, damaged and stopped under
//! load, with every answer recorded and judged against the promises. See docs/reliability.md.
//!
//! - `kill`, `stop`, `disk`, `damage`: the faults
//! - `load`, `actor`, `wire`: who makes requests, and exactly what goes over the wire
//! - `book`, `history`, `check`: what was asked and answered, and whether that keeps the promises
//! - `process`, `small_disk`, `rng`: the relay's process, a disk that fills up, repeatable choices
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod actor;
mod book;
mod check;
mod damage;
mod disk;
mod history;
mod kill;
mod load;
mod process;
mod rng;
mod small_disk;
mod stop;
mod wire;

use ::support;
