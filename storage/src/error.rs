//! What can go wrong with the state on disk.

use thiserror::Error;

/// An error of the state database. None of them is the fault of a request.
#[derive(Debug, Error)]
pub enum StorageError {
    /// RocksDB refused an operation: I/O, no space, corruption.
    #[error("state database: {0}{advice}", advice = advice(.0))]
    Database(#[from] rocksdb::Error),
    /// A file operation beside the database failed.
    #[error("state directory {path}: {source}")]
    Io {
        /// The file or directory concerned.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record or key does not decode; the state is damaged.
    #[error(
        "corrupt record in table {table}: {detail}; rebuild this node from a peer or restore a backup"
    )]
    Corrupt {
        /// The table the record belongs to.
        table: &'static str,
        /// What did not fit.
        detail: String,
    },
    /// A record was written by a newer release.
    #[error(
        "table {table} holds record version {version}, newer than this release reads ({known}); start the newer release"
    )]
    Newer {
        /// The table the record belongs to.
        table: &'static str,
        /// The version found.
        version: u8,
        /// The newest version this release reads.
        known: u8,
    },
}

/// What to do about damage that RocksDB found.
fn advice(error: &rocksdb::Error) -> &'static str {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => {
            "; the state on disk is damaged: rebuild this node from a peer or restore a backup"
        }
        _ => "",
    }
}

impl StorageError {
    /// Whether the database cannot take a write just now: it has to write down what it has first.
    pub fn is_stall(&self) -> bool {
        matches!(self, StorageError::Database(error) if error.kind() == rocksdb::ErrorKind::Incomplete)
    }

    /// Whether the disk was full, or a write was held up for long, as by a disk that was full. Such
    /// a write may be tried again.
    pub fn is_no_space(&self) -> bool {
        if self.is_stall() {
            return true;
        }
        match self {
            StorageError::Database(error) => {
                let text = error.as_ref();
                text.contains("No space left on device")
                    || text.contains("Space limit reached")
                    || text.contains("Disk quota exceeded")
            }
            StorageError::Io { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Whether another process has the database open.
    pub fn is_locked(&self) -> bool {
        matches!(self, StorageError::Database(error) if error.as_ref().contains("lock file"))
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        StorageError::Io {
            path: path.display().to_string(),
            source,
        }
    }
}
