//! A new cluster, made of a backup or of a node that outlived the others.
//!
//! Works on a data directory that no relay uses. What came after the backup, or what the others did
//! not pass on, is not known; so that nothing of it can be accepted a second time, the first command
//! of the new cluster refuses every timestamp that the old one may have accepted.

mod recover;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ekho_raft::NodeConfig;
use ekho_storage::tables::{TimeMs, settings, system};
use ekho_storage::{State, StateOptions, StorageError};
use thiserror::Error;

use crate::backup::BackupError;
use crate::clock::now_ms;
use crate::identity::{Identity, IdentityError};
use crate::machine::command::{Command, Rebuilt, Source, encode};

pub use recover::{Recovered, Survey, recover, survey};
pub use restore::{Restored, check_target, restore};

/// What opening a state takes of memory here.
const MEMORY_BYTES: usize = 32 << 20;

/// Why no new cluster was made.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The backup cannot be used.
    #[error("{file}: {source}", file = file.display())]
    Backup {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
    /// There is something in the directory.
    #[error(
        "{dir} is not empty: {name} is in it; a backup is restored into an empty directory, in which only secrets.toml, ekho.toml and credentials.json may be",
        dir = dir.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// The first thing found.
        name: String,
    },
    /// There is no room.
    #[error("{dir} has room for {free_bytes} bytes, and the backup takes {needed_bytes}", dir = dir.display())]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What is needed.
        needed_bytes: u64,
    },
    /// Another master secret.
    #[error(
        "the master secret is not the one that the backup's secrets are sealed with: put the secrets.toml of the backed-up relay into {dir}, or set its EKHO_MASTER_SECRET",
        dir = dir.display()
    )]
    WrongMasterSecret {
        /// The directory.
        dir: PathBuf,
    },
    /// No relay was ever here.
    #[error("{dir} holds no node of a cluster", dir = dir.display())]
    NoNode {
        /// The directory.
        dir: PathBuf,
    },
    /// The node needs nobody.
    #[error(
        "this node is the only voter of its cluster and needs no recovery: start it with `ekho serve`"
    )]
    Alone,
    /// A relay uses the directory.
    #[error("data directory {dir} is in use by another process; stop it first", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Who the node is, is not known.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state database.
    #[error(transparent)]
    State(#[from] StorageError),
    /// The log.
    #[error(transparent)]
    Node(#[from] ekho_raft::StartError),
    /// A file cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RebuildError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> RebuildError {
        move |source| RebuildError::Io {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// The state in `data_dir`, which is there.
async fn open_state(data_dir: &Path) -> Result<State, RebuildError> {
    let dir = data_dir.join("state");
    let options = StateOptions {
        block_cache_bytes: MEMORY_BYTES,
        write_buffer_bytes: MEMORY_BYTES,
    };
    let opened = tokio::task::spawn_blocking(move || State::open(&dir, &options));
    let opened = opened.await.map_err(|error| RebuildError::Io {
        path: data_dir.join("state"),
        source: io::Error::other(error),
    })?;
    opened.map_err(|error| match error.is_locked() {
        true => RebuildError::InUse {
            dir: data_dir.to_path_buf(),
        },
        false => RebuildError::State(error),
    })
}

/// Id of the key that what is in a directory is sealed under, as far as the node has heard.
pub async fn key_in_force(data_dir: &Path) -> Result<String, RebuildError> {
    if !data_dir.join("state").exists() {
        return Err(RebuildError::NoNode {
            dir: data_dir.to_path_buf(),
        });
    }
    let state = open_state(data_dir).await?;
    Ok(system::get(&state.view())?.sealing_key_id)
}

fn node_config(data_dir: &Path, identity: &Identity) -> NodeConfig {
    NodeConfig::new(
        data_dir,
        identity.cluster_id.as_str(),
        identity.node_id,
        now_ms,
    )
}

/// The first command of the new cluster, and up to when it will refuse signed requests.
fn first_command(
    state: &State,
    source: Source,
    from: &str,
    to: &Identity,
    lost_ms: TimeMs,
) -> Result<(Bytes, TimeMs), RebuildError> {
    let view = state.view();
    let mut system = system::get(&view)?;
    // What apply will come to, unless the settings are changed in what is still to be applied.
    system.memory_lost(lost_ms, settings::get(&view)?.timestamp_skew_ms);
    let command = Command::Rebuilt(Rebuilt {
        source,
        from_cluster_id: from.into(),
        cluster_id: to.cluster_id.clone(),
        lost_ms,
    });
    Ok((encode(&command), system.timestamp_floor_ms))
}
