//! The manifest of a snapshot: what it reaches to, and each file with size and checksum.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::SnapshotError;
use crate::types::{LogId, Membership, Peer, StoredMembership, log_id};

/// The version this release writes.
const FORMAT: u32 = 1;
const FILE: &str = "snapshot.json";
/// Where the files of the state database are, within a snapshot.
pub(super) const STATE: &str = "state";

/// The content of `snapshot.json`; a second line holds the checksum of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) cluster_id: String,
    last: Option<Position>,
    membership: Members,
    pub(super) files: Vec<SnapshotFile>,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Its name within the snapshot's `state` directory.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// CRC-32 of its content.
    pub crc32: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    index: u64,
    term: u64,
    node_id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Members {
    set_at: Option<Position>,
    voters: Vec<Vec<u64>>,
    nodes: Vec<(u64, String)>,
}

impl SnapshotFile {
    /// Whether the file at `path` is this one, byte for byte.
    pub(super) fn is_at(&self, path: &Path) -> std::io::Result<bool> {
        Ok(checksum(path)? == (self.size_bytes, self.crc32))
    }
}

impl Manifest {
    /// Lists and checksums the files below `dir/state`. Files of `previous` that are the very
    /// same on disk are not read again: most of a large state does not change between two.
    pub(super) fn of(
        dir: &Path,
        cluster_id: &str,
        last: Option<LogId>,
        membership: &StoredMembership,
        previous: Option<(&Path, &Manifest)>,
    ) -> Result<Self, SnapshotError> {
        let state = dir.join(STATE);
        let mut files = Vec::new();
        for entry in fs::read_dir(&state).map_err(|error| SnapshotError::io(&state, error))? {
            let entry = entry.map_err(|error| SnapshotError::io(&state, error))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = previous.and_then(|(dir, manifest)| manifest.unchanged(dir, &name, &path));
            let file = match known {
                Some(file) => file,
                None => {
                    let (size_bytes, crc32) =
                        checksum(&path).map_err(|error| SnapshotError::io(&path, error))?;
                    SnapshotFile {
                        name,
                        size_bytes,
                        crc32,
                    }
                }
            };
            files.push(file);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Manifest {
            format: FORMAT,
            cluster_id: cluster_id.to_string(),
            last: last.as_ref().map(Position::from),
            membership: Members::from(membership),
            files,
        })
    }

    /// The entry of `name`, if the file at `path` is a link to the same file.
    fn unchanged(&self, dir: &Path, name: &str, path: &Path) -> Option<SnapshotFile> {
        let file = self.files.iter().find(|file| file.name == name)?;
        let old = fs::metadata(dir.join(STATE).join(name)).ok()?;
        let new = fs::metadata(path).ok()?;
        let same = old.dev() == new.dev()
            && old.ino() == new.ino()
            && new.len() == file.size_bytes
            && old.modified().ok() == new.modified().ok();
        same.then(|| file.clone())
    }

    /// The last entry the snapshot contains.
    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.last.as_ref().map(Position::log_id)
    }

    /// The membership in force there.
    pub(super) fn stored_membership(&self) -> Result<StoredMembership, String> {
        let set_at = self.membership.set_at.as_ref().map(Position::log_id);
        if self.membership.voters.is_empty() {
            return Ok(StoredMembership::new(set_at, Membership::default()));
        }
        let voters = self
            .membership
            .voters
            .iter()
            .map(|ids| ids.iter().copied().collect())
            .collect();
        let nodes: std::collections::BTreeMap<u64, Peer> = self
            .membership
            .nodes
            .iter()
            .map(|(id, address)| {
                (
                    *id,
                    Peer {
                        address: address.clone(),
                    },
                )
            })
            .collect();
        let membership = Membership::new(voters, nodes).map_err(|error| error.to_string())?;
        Ok(StoredMembership::new(set_at, membership))
    }

    /// Writes the manifest into `dir`, durably.
    pub(super) fn save(&self, dir: &Path) -> Result<(), SnapshotError> {
        let path = dir.join(FILE);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(&self.to_json()?)?;
            file.sync_all()
        };
        write().map_err(|error| SnapshotError::io(&path, error))
    }

    /// Reads the manifest of `dir`.
    pub(super) fn load(dir: &Path) -> Result<Self, SnapshotError> {
        let path = dir.join(FILE);
        let damaged = |detail: &str| SnapshotError::Damaged {
            dir: dir.to_path_buf(),
            detail: format!("{FILE} {detail}"),
        };
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged("is missing"),
            std::io::ErrorKind::InvalidData => damaged("is not text"),
            _ => SnapshotError::io(&path, error),
        })?;
        Manifest::parse(text.as_bytes()).map_err(|detail| damaged(&detail))
    }

    /// As it is written: JSON, and its checksum on a second line.
    pub(super) fn to_json(&self) -> std::io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        let crc32 = crc32fast::hash(&text);
        writeln!(text)?;
        writeln!(text, "{crc32:08x}")?;
        Ok(text)
    }

    /// Reads what [`Manifest::to_json`] wrote.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut lines = text.split(|byte| *byte == b'\n');
        let (Some(json), Some(stored)) = (lines.next(), lines.next()) else {
            return Err("is cut short".into());
        };
        if format!("{:08x}", crc32fast::hash(json)).as_bytes() != stored {
            return Err("does not match its checksum".into());
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("has format {}, not {FORMAT}", manifest.format));
        }
        Ok(manifest)
    }

    /// Refuses names that would lead out of the directory.
    pub(super) fn check_names(&self) -> Result<(), String> {
        let odd = |file: &&SnapshotFile| file.name.contains('/') || file.name.starts_with('.');
        match self.files.iter().find(odd) {
            Some(file) => Err(format!("{} is not a file name", file.name)),
            None => Ok(()),
        }
    }

    /// Compares the files in `dir` with the manifest: their lengths, and on request every byte.
    pub(super) fn check_files(&self, dir: &Path, contents: bool) -> Result<(), SnapshotError> {
        let damaged = |detail: String| SnapshotError::Damaged {
            dir: dir.to_path_buf(),
            detail,
        };
        self.check_names().map_err(damaged)?;
        for file in &self.files {
            let path = dir.join(STATE).join(&file.name);
            let size_bytes = fs::metadata(&path)
                .map_err(|error| damaged(format!("{}: {error}", file.name)))?
                .len();
            if size_bytes != file.size_bytes {
                return Err(damaged(format!(
                    "{} has {size_bytes} bytes instead of {}",
                    file.name, file.size_bytes
                )));
            }
            if contents {
                let (_, crc32) =
                    checksum(&path).map_err(|error| SnapshotError::io(&path, error))?;
                if crc32 != file.crc32 {
                    return Err(damaged(format!(
                        "{} does not match its checksum",
                        file.name
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Length and CRC-32 of a file.
fn checksum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size_bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size_bytes, hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
        size_bytes += count as u64;
    }
}

impl Position {
    fn log_id(&self) -> LogId {
        log_id(self.term, self.node_id, self.index)
    }
}

impl From<&LogId> for Position {
    fn from(log_id: &LogId) -> Self {
        Position {
            index: log_id.index,
            term: log_id.leader_id.term,
            node_id: log_id.leader_id.node_id,
        }
    }
}

impl From<&StoredMembership> for Members {
    fn from(stored: &StoredMembership) -> Self {
        Members {
            set_at: stored.log_id().as_ref().map(Position::from),
            voters: stored
                .get_joint_config()
                .iter()
                .map(|ids| ids.iter().copied().collect())
                .collect(),
            nodes: stored
                .nodes()
                .map(|(id, peer)| (*id, peer.address.clone()))
                .collect(),
        }
    }
}
