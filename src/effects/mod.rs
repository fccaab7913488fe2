//! What follows a commit: waking pollers and streams on every node; timers, telling those who
//! follow the audit log, and what A2A agents elsewhere would do
//! themselves, and telling A2A clients of their tasks, on the leader only.

pub mod attachments;
pub mod edge;
pub mod followers;
pub mod heartbeats;
pub mod indexer;
pub mod license;
pub mod nodes;
pub mod pushes;
pub mod remotes;
pub mod resealing;
pub mod timer;
pub mod waiters;
