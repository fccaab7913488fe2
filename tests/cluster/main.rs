//! Several nodes of the built binary: forming a cluster, what any node answers, what happens when
//! nodes die, and what operators do about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod a2a;
mod attachments;
mod edge;
mod failures;
mod forming;
mod operating;
mod recovering;
mod rig;
mod rotation;
mod serving;
mod telemetry;
mod walk;

use ::support;
