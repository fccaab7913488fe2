//! Who a node is: `cluster.json` in its data directory, written once, and again only where a new
//! cluster is made of what the node holds.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id;

/// Version of the data directory's layout.
const FORMAT_VERSION: u32 = 1;
/// Says who the node is.
pub const FILE_NAME: &str = "cluster.json";
/// Is there while a node is being made the beginning of a new cluster.
pub const BECOMING_FILE_NAME: &str = "cluster.becoming.json";
/// What a node of a cluster holds besides.
const MADE_BEFORE: [&str; 2] = ["log", "state"];

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    format_version: u32,
    /// Its cluster.
    pub cluster_id: String,
    /// Its number there.
    pub node_id: u64,
}

/// Why it is not known who a node is.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The data directory cannot be used.
    #[error("data directory {path}: {source}", path = path.display())]
    Directory {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not say it.
    #[error("{path} is damaged: {detail}; restore it from a backup", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A newer release wrote the directory.
    #[error(
        "the data directory has format {found}, this release knows up to {FORMAT_VERSION}; start the newer release"
    )]
    NewerFormat {
        /// The format found.
        found: u32,
    },
    /// A recovery was cut short.
    #[error(
        "a recovery of this node was cut short: run `ekho cluster recover --accept-data-loss` again, which finishes it"
    )]
    Becoming,
}

impl Identity {
    /// The first node of a cluster that is not there yet.
    pub fn new_cluster() -> Self {
        Identity::in_new_cluster(1)
    }

    /// A node that joined a cluster.
    pub fn joined(cluster_id: &str, node_id: u64) -> Self {
        Identity {
            format_version: FORMAT_VERSION,
            cluster_id: cluster_id.into(),
            node_id,
        }
    }

    /// The node with this number, in a cluster that is not there yet.
    pub fn in_new_cluster(node_id: u64) -> Self {
        Identity {
            format_version: FORMAT_VERSION,
            cluster_id: id::new_id("clu_"),
            node_id,
        }
    }

    /// Who the node in this directory is; made up on its first start.
    pub fn of(data_dir: &Path) -> Result<Self, IdentityError> {
        let directory = |source| IdentityError::Directory {
            path: data_dir.to_path_buf(),
            source,
        };
        fs::create_dir_all(data_dir).map_err(directory)?;
        if data_dir.join(BECOMING_FILE_NAME).exists() {
            return Err(IdentityError::Becoming);
        }
        if let Some(identity) = Identity::read(&data_dir.join(FILE_NAME))? {
            return Ok(identity);
        }
        for made_before in MADE_BEFORE {
            if data_dir.join(made_before).exists() {
                return Err(IdentityError::Damaged {
                    path: data_dir.join(FILE_NAME),
                    detail: format!("it is missing beside {made_before}/"),
                });
            }
        }
        let identity = Identity::new_cluster();
        identity.write(&data_dir.join(FILE_NAME))?;
        Ok(identity)
    }

    /// Reads a file, where there is one.
    pub fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(IdentityError::Directory {
                    path: path.to_path_buf(),
                    source,
                });
            }
        };
        let identity: Identity =
            serde_json::from_slice(&bytes).map_err(|error| IdentityError::Damaged {
                path: path.to_path_buf(),
                detail: error.to_string(),
            })?;
        if identity.format_version > FORMAT_VERSION {
            return Err(IdentityError::NewerFormat {
                found: identity.format_version,
            });
        }
        Ok(Some(identity))
    }

    /// Writes a file, in place of the one that may be there, durably.
    pub fn write(&self, path: &Path) -> Result<(), IdentityError> {
        let write = || -> io::Result<()> {
            let text = serde_json::to_vec_pretty(self)?;
            let temporary = path.with_extension("json.new");
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            sync_dir_of(path)
        };
        write().map_err(|source| IdentityError::Directory {
            path: path.to_path_buf(),
            source,
        })
    }

    /// Removes a file, durably.
    pub fn remove(path: &Path) -> Result<(), IdentityError> {
        fs::remove_file(path)
            .and_then(|()| sync_dir_of(path))
            .map_err(|source| IdentityError::Directory {
                path: path.to_path_buf(),
                source,
            })
    }
}

/// Whether a data directory is a node's, or was one's.
pub fn is_node(data_dir: &Path) -> bool {
    let mut names = MADE_BEFORE
        .into_iter()
        .chain([FILE_NAME, BECOMING_FILE_NAME]);
    names.any(|name| data_dir.join(name).exists())
}

/// Makes the names in the directory of a file durable.
pub fn sync_dir_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
