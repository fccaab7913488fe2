//! What follows a commit: waking pollers and streams on every node; timers on the leader only.

pub mod heartbeats;
pub mod indexer;
pub mod license;
pub mod timer;
pub mod waiters;
