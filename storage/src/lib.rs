//! Ekho's state on disk: one RocksDB database, typed keys, versioned records, one file a table.
//!
//! Nothing here knows Raft, HTTP or the clock. A [`State`] is the database; a [`Txn`] collects
//! the writes of one applied batch and lets later commands of that batch see the earlier ones;
//! a [`View`] reads what is committed. Tables are written against [`Read`] and [`Txn`], so the
//! same functions serve apply and queries.

mod cache;
mod cf;
mod codec;
mod error;
mod frozen;
mod key;
mod outbox;
mod read;
mod state;
mod txn;
mod unused;

pub mod breakage;
pub mod tables;

pub use cf::Cf;
pub use codec::{Record, decode, encode};
pub use error::StorageError;
pub use key::{Key, KeyReader};
pub use outbox::{Kept, Outbox, OutboxLimits, Waiting};
pub use read::{Place, Read, Row, page, prefix_end};
pub use state::{State, StateMemory, StateOptions, View};
pub use txn::Txn;
