//! The errors callers of this crate see.

use std::path::PathBuf;

use ekho_storage::StorageError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::CodecError;
use crate::types::NodeId;

/// Why a node did not start. Each says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another process has the directory open.
    #[error("{dir} is in use by another process; stop it first", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Something on disk is not what was written. Never repaired by truncating: what is gone
    /// may have been acknowledged.
    #[error(
        "{what} is damaged: {detail}; this node will not continue on guesses: restore the data \
         directory from a backup, or empty it and rebuild the node from its peers"
    )]
    Damaged {
        /// File or record.
        what: String,
        /// What does not fit.
        detail: String,
    },
    /// The directory was written by a newer release.
    #[error("{what} was written by a newer release: {detail}; start that release")]
    Newer {
        /// File or record.
        what: String,
        /// Versions found and known.
        detail: String,
    },
    /// The directory belongs to another cluster or node.
    #[error("{dir} belongs to {found}, but this is {expected}; point the node at its own data directory", dir = dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// The configuration contradicts itself.
    #[error("configuration: {0}")]
    Config(String),
    /// The state database failed.
    #[error(transparent)]
    State(#[from] StorageError),
    /// The log database failed.
    #[error("log database: {0}")]
    Log(String),
    /// A file operation failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A snapshot that is needed cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// There is nothing that a cluster could be made of.
    #[error("{dir} holds nothing to go on from", dir = dir.display())]
    Nothing {
        /// The directory.
        dir: PathBuf,
    },
    /// openraft did not start.
    #[error("consensus did not start: {0}")]
    Raft(String),
}

impl StartError {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        StartError::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// A record that does not decode.
    pub(crate) fn record(what: impl Into<String>, error: CodecError) -> Self {
        let (what, detail) = (what.into(), error.to_string());
        match error {
            CodecError::Newer(_) => StartError::Newer { what, detail },
            _ => StartError::Damaged { what, detail },
        }
    }
}

/// Why a command has no outcome. Nodes tell it each other.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposeError {
    /// No leader accepts commands here. Nothing was done.
    #[error("no leader; retry after {retry_after_ms} ms")]
    NoLeader {
        /// The leader to ask instead, where one is known.
        leader: Option<NodeId>,
        /// When an election should be over.
        retry_after_ms: u64,
    },
    /// The leader changed, or the node stopped, after the command was accepted. It may have
    /// taken effect and may yet; a retry needs an idempotency key.
    #[error("the outcome is unknown: leadership or the node ended before it was decided")]
    OutcomeUnknown,
    /// More is waiting than the configured limits allow. Nothing was done.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The command is larger than a command may be. Nothing was done.
    #[error("the command has {size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// Of this command.
        size_bytes: usize,
        /// Of any command.
        limit_bytes: usize,
    },
    /// The disk is full, or nearly. Nothing was done; it heals once there is room.
    #[error("the disk is full")]
    DiskFull,
    /// The node is stopping or has stopped. Nothing was done.
    #[error("the node is stopping")]
    Stopped,
    /// This is not for who asks. Nothing was done.
    #[error("{0}")]
    Forbidden(String),
}

/// Why there is no read point.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// This node does not lead, or cannot prove that it still does.
    #[error("no leader; retry after {retry_after_ms} ms")]
    NoLeader {
        /// The leader to ask instead, where one is known.
        leader: Option<NodeId>,
        /// When an election should be over.
        retry_after_ms: u64,
    },
    /// The node is stopping or has stopped.
    #[error("the node is stopping")]
    Stopped,
}

/// Why a snapshot could not be made or read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The snapshot is not what was written.
    #[error("the snapshot in {dir} is damaged: {detail}", dir = dir.display())]
    Damaged {
        /// Its directory.
        dir: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The state database failed.
    #[error(transparent)]
    State(#[from] StorageError),
    /// A file operation failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node stopped first.
    #[error("the node is stopping")]
    Stopped,
}

impl SnapshotError {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        SnapshotError::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            SnapshotError::State(error) => error.is_no_space(),
            SnapshotError::Io { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// Why the membership did not change, or a peer's request was not served.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClusterError {
    /// This node does not lead.
    #[error("no leader")]
    NoLeader {
        /// The leader to ask instead, where one is known.
        leader: Option<NodeId>,
    },
    /// The change was refused; the sentence says why.
    #[error("{0}")]
    Refused(String),
    /// The node is stopping or has stopped.
    #[error("the node is stopping")]
    Stopped,
}
