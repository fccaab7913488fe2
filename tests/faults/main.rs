//! Fault tests: real processes on real disks that are killed, starved, damaged and stopped under
//! load, with every answer recorded and judged against the promises. See docs/reliability.md.
//!
//! - `kill`, `stop`, `disk`, `damage`, `attachments`: the faults
//! - `load`: who makes requests
//! - `process`, `small_disk`: the relay's process, a disk that fills up
//!
//! Who makes requests, what goes over the wire, and the judge are those of jepsen-style/, which does
//! the same to several nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod attachments;
mod damage;
mod disk;
mod kill;
mod load;
mod process;
mod small_disk;
mod stop;

use ::support;
