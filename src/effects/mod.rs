//! What follows a commit: waking pollers and streams on every node; timers, and telling those who
//! follow the audit log, on the leader only.

pub mod edge;
pub mod followers;
pub mod heartbeats;
pub mod indexer;
pub mod license;
pub mod nodes;
pub mod timer;
pub mod waiters;
