//! The machine: what commands mean, and how committed entries reach the state database.
//!
//! [`Machine`] is the seam to the domain. [`StateMachine`] is what openraft sees of it; the work
//! happens on one thread of its own (`apply.rs`), so that a long batch never occupies a thread the
//! server needs.

mod applied;
mod apply;
mod store;

use bytes::Bytes;
use ekho_storage::{StorageError, Txn};
use thiserror::Error;

pub(crate) use self::applied::{Applied, Position};
pub(crate) use self::apply::{Job, give_to, read_position};
pub use self::store::{ApplyThread, StateMachine};

/// What commands mean.
///
/// `apply` runs on every node, and again after a crash; all nodes must come to the same bytes. It
/// may use the state in `txn`, the command and the stamp, and nothing else: no clock, no random
/// numbers, no configuration of this process, no iteration order of a hash map.
pub trait Machine: Send + Sync + 'static {
    /// What follows from a batch outside the state: whom to wake, what to start. Collected while
    /// the batch is applied, handed over once it is committed.
    type Effects: Default + Send;

    /// Applies one command and returns its outcome, which goes to whoever proposed it. A refusal
    /// is an outcome. An error stops the node: it cannot apply what the others apply.
    fn apply(
        &self,
        txn: &mut Txn,
        at: Stamp,
        command: &[u8],
        effects: &mut Self::Effects,
    ) -> Result<Bytes, ApplyError>;

    /// Called after the batch is in the state database and before its callers are answered, on
    /// the apply thread: it must not block. Called for replayed batches too.
    fn committed(&self, effects: Self::Effects);
}

/// Where and when a command was ordered. The same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The log entry that holds the command.
    pub index: u64,
    /// The command's place in that entry.
    pub position: u32,
    /// The leader's clock when it proposed the entry, in milliseconds. It does not go back while
    /// one leader leads; it may when another takes over.
    pub now_ms: u64,
}

/// Why a command cannot be applied. The node stops with this sentence.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ApplyError(String);

impl ApplyError {
    /// `sentence` says what does not fit and what to do.
    pub fn new(sentence: impl Into<String>) -> Self {
        ApplyError(sentence.into())
    }
}

impl From<StorageError> for ApplyError {
    fn from(error: StorageError) -> Self {
        ApplyError(error.to_string())
    }
}
