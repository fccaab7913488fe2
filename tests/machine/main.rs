//! The state machine from outside: commands in, outcomes and state out, with a clock of our own.
//!
//! One file a family shows by example what commands do. `property` checks random histories
//! against `model`, a small program of the promises; `check` recounts the state after every
//! command; `determinism` applies one log in different ways and wants the same bytes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod check;
mod cluster;
mod model;
mod rig;

mod access;
mod actions;
mod attachments;
mod conversations;
mod credentials;
mod dead_letters;
mod delivery;
mod determinism;
mod edge;
mod encryption;
mod fleets;
mod heartbeats;
mod holds;
mod hooks;
mod imports;
mod inbox;
mod keys;
mod licenses;
mod operators;
mod policies;
mod policies_advanced;
mod property;
mod rate;
mod rebuilt;
mod retention;
mod rotation;
mod scheduling;
mod sending;
mod steering;
mod tasks;
mod totp;
mod vouched;
