//! Replication for Ekho: openraft over RocksDB, generic over a [`Machine`].
//!
//! This crate knows nothing of agents or messages. It turns a stream of opaque commands into a
//! durable, ordered log, applies that log to the state database through the [`Machine`] it is
//! given, and hands each caller the outcome of its own command. openraft's names stay inside:
//! what the rest of the program sees is [`Node`], its configuration and its errors.
//!
//! A write: [`Node::propose`] → queue → proposer (many commands, one entry) → openraft →
//! [`log`] (one fsync) → apply thread ([`machine`], one `WriteBatch`) → the callers.
//! A read: [`Node::read_point`], then the state database directly.

pub mod blobs;
pub mod codec;
pub mod log;
pub mod machine;
pub mod network;
pub mod types;

mod carried;
mod cluster;
mod config;
mod disk;
mod error;
mod fatal;
mod hello;
mod leader;
mod maintenance;
mod node;
mod proposer;
mod reads;
mod rebuild;
mod served;
mod snapshot;
mod start;
mod status;

pub use carried::{carried, carrying};
pub use config::{Limits, NoObserver, NodeConfig, Observer, Timing};
pub use disk::DiskRoom;
pub use error::{ClusterError, ProposeError, ReadError, SnapshotError, StartError};
pub use machine::{ApplyError, Machine, Stamp};
pub use node::Node;
pub use proposer::{CommandTiming, Decided};
pub use rebuild::{Holdings, inspect, rebuild};
pub use snapshot::SnapshotDir;
pub use status::{Backlog, FileGap, Leadership, Member, NodeStatus, Role};
pub use types::{NodeId, Peer};
