//! Who a node is: `cluster.json` of its data directory.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::id;

/// Version of the data directory's layout.
pub(super) const FORMAT_VERSION: u32 = 1;
const FILE: &str = "cluster.json";

/// Who this node is.
#[derive(Serialize, Deserialize)]
pub(super) struct Identity {
    format_version: u32,
    pub cluster_id: String,
    pub node_id: u64,
}

/// Whether a data directory is a node's.
pub fn is_member(data_dir: &Path) -> bool {
    ["log", "state", FILE]
        .iter()
        .any(|name| data_dir.join(name).exists())
}

/// Makes an empty data directory that of a node which joined a cluster.
pub fn become_node(data_dir: &Path, cluster_id: &str, node_id: u64) -> Result<(), OpenError> {
    write(
        data_dir,
        &Identity {
            format_version: FORMAT_VERSION,
            cluster_id: cluster_id.into(),
            node_id,
        },
    )
}

/// Reads who this node is, or makes it the first node of a new cluster.
pub(super) fn identity(data_dir: &Path) -> Result<Identity, OpenError> {
    let path = data_dir.join(FILE);
    let damaged = |detail: String| OpenError::Identity {
        path: path.display().to_string(),
        detail,
    };
    fs::create_dir_all(data_dir).map_err(|source| directory(&path, source))?;
    match fs::read(&path) {
        Ok(bytes) => {
            let identity: Identity =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            if identity.format_version > FORMAT_VERSION {
                return Err(OpenError::NewerFormat {
                    found: identity.format_version,
                });
            }
            Ok(identity)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            for made_before in ["log", "state"] {
                if data_dir.join(made_before).exists() {
                    return Err(damaged(format!("it is missing beside {made_before}/")));
                }
            }
            let identity = Identity {
                format_version: FORMAT_VERSION,
                cluster_id: id::new_id("clu_"),
                node_id: 1,
            };
            write(data_dir, &identity)?;
            Ok(identity)
        }
        Err(error) => Err(directory(&path, error)),
    }
}

fn write(data_dir: &Path, identity: &Identity) -> Result<(), OpenError> {
    let path = data_dir.join(FILE);
    let text = serde_json::to_vec_pretty(identity).map_err(|error| OpenError::Identity {
        path: path.display().to_string(),
        detail: error.to_string(),
    })?;
    let temporary = data_dir.join("cluster.json.new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(data_dir)?.sync_all()
    };
    write().map_err(|source| directory(&path, source))
}

fn directory(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Directory {
        path: path.display().to_string(),
        source,
    }
}
