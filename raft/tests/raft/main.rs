//! The tests of this crate as one program: each program compiles openraft's generic code again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod blobs;
mod catch_up;
mod cluster;
mod codec;
mod commit;
mod common;
mod damage;
mod disk_full;
mod line;
mod log_lines;
mod nodes;
mod openraft_suite;
mod peers;
mod rebuild;
mod restart;
mod snapshots;
