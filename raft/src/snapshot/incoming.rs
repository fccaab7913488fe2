//! A snapshot on its way here, file by file.
//!
//! What was received whole, and has the checksum its manifest names, is kept when the transfer is
//! cut short: the next offer of the same snapshot asks only for the rest. A file that does not
//! have its checksum is thrown away and asked for again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::files::{remove_dir, sync_dir};
use super::manifest::{Manifest, STATE};
use super::{Inner, SnapshotDir, SnapshotFile, Snapshots, TEMPORARY};
use crate::disk::Disk;
use crate::error::SnapshotError;

/// Files of one snapshot at most.
const FILES_MAX: usize = 1_000_000;
/// Left free beside a snapshot, for what else is written while it arrives.
const ROOM_BYTES: u64 = 64 << 20;

pub(crate) struct Incoming {
    dir: PathBuf,
    manifest: Manifest,
    held: Vec<bool>,
}

impl Snapshots {
    /// Makes ready for the snapshot that `manifest` describes, going on from `before` where that
    /// is the same one.
    pub(crate) fn expect(
        &self,
        manifest: &[u8],
        before: Option<Incoming>,
        disk: &Disk,
    ) -> Result<Incoming, SnapshotError> {
        let dir = self.dir.join(format!("{TEMPORARY}incoming"));
        let refuse = |detail: String| SnapshotError::Damaged {
            dir: dir.clone(),
            detail,
        };
        let manifest = Manifest::parse(manifest).map_err(refuse)?;
        if manifest.cluster_id != self.cluster_id {
            return Err(refuse(format!("it is of cluster {}", manifest.cluster_id)));
        }
        if manifest.files.len() > FILES_MAX {
            return Err(refuse(format!("it has {} files", manifest.files.len())));
        }
        manifest.check_names().map_err(refuse)?;
        if let Some(before) = before.filter(|before| before.manifest == manifest) {
            return Ok(before);
        }
        remove_dir(&dir).map_err(|error| SnapshotError::io(&dir, error))?;
        let size_bytes: u64 = manifest.files.iter().map(|file| file.size_bytes).sum();
        if let Some(free_bytes) = disk.free_bytes()
            && free_bytes < size_bytes.saturating_add(ROOM_BYTES)
        {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(SnapshotError::io(&dir, full));
        }
        let state = dir.join(STATE);
        fs::create_dir_all(&state).map_err(|error| SnapshotError::io(&state, error))?;
        tracing::info!(
            files = manifest.files.len(),
            size_bytes,
            index = manifest.last_log_id().map(|last| last.index),
            "a snapshot is on its way here"
        );
        Ok(Incoming {
            dir,
            held: vec![false; manifest.files.len()],
            manifest,
        })
    }
}

impl Incoming {
    /// The places, in the manifest, of the files that are still to come.
    pub(crate) fn missing(&self) -> Vec<usize> {
        let places = self.held.iter().enumerate();
        places
            .filter_map(|(place, held)| (!held).then_some(place))
            .collect()
    }

    /// Begins the file at `place`.
    pub(crate) async fn begin(&self, place: usize) -> Result<Arriving, SnapshotError> {
        let Some(file) = self.manifest.files.get(place) else {
            return Err(damaged(&self.dir, format!("it has no file {place}")));
        };
        let path = self.dir.join(STATE).join(&file.name);
        let open = File::create(&path)
            .await
            .map_err(|error| SnapshotError::io(&path, error))?;
        Ok(Arriving {
            place,
            left_bytes: file.size_bytes,
            expected: file.clone(),
            path,
            file: open,
            hasher: crc32fast::Hasher::new(),
        })
    }

    /// Ends a file of which everything has come.
    pub(crate) async fn end(&mut self, arriving: Arriving) -> Result<(), SnapshotError> {
        let Arriving {
            place,
            expected,
            path,
            file,
            hasher,
            ..
        } = arriving;
        if hasher.finalize() != expected.crc32 {
            let name = &expected.name;
            let detail = format!("{name} did not arrive as it was sent");
            tracing::warn!(
                name,
                "a file of a snapshot came damaged; asking for it again"
            );
            return Err(damaged(&self.dir, detail));
        }
        file.sync_all()
            .await
            .map_err(|error| SnapshotError::io(&path, error))?;
        self.held[place] = true;
        Ok(())
    }

    /// The whole snapshot. Its directory goes when nobody holds it any more.
    pub(crate) fn finish(self) -> Result<SnapshotDir, SnapshotError> {
        if let Some(place) = self.held.iter().position(|held| !held) {
            return Err(damaged(&self.dir, format!("file {place} is missing")));
        }
        self.manifest.save(&self.dir)?;
        sync_dir(&self.dir.join(STATE))?;
        sync_dir(&self.dir)?;
        self.manifest.check_files(&self.dir, false)?;
        let membership = self
            .manifest
            .stored_membership()
            .map_err(|detail| damaged(&self.dir, detail))?;
        Ok(SnapshotDir(Arc::new(Inner {
            path: self.dir,
            manifest: self.manifest,
            membership,
            verified: AtomicBool::new(true),
            obsolete: AtomicBool::new(true),
        })))
    }
}

/// A file on its way here.
pub(crate) struct Arriving {
    place: usize,
    left_bytes: u64,
    expected: SnapshotFile,
    path: PathBuf,
    file: File,
    hasher: crc32fast::Hasher,
}

impl Arriving {
    /// Takes from `bytes` what belongs to this file; true when that was the last of it.
    pub(crate) async fn take(&mut self, bytes: &mut Bytes) -> Result<bool, SnapshotError> {
        let count = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let part = bytes.split_to(count.min(bytes.len()));
        self.hasher.update(&part);
        self.left_bytes -= part.len() as u64;
        self.file
            .write_all(&part)
            .await
            .map_err(|error| SnapshotError::io(&self.path, error))?;
        if self.left_bytes > 0 {
            return Ok(false);
        }
        self.file
            .flush()
            .await
            .map_err(|error| SnapshotError::io(&self.path, error))?;
        Ok(true)
    }
}

fn damaged(dir: &Path, detail: String) -> SnapshotError {
    SnapshotError::Damaged {
        dir: dir.to_path_buf(),
        detail,
    }
}

impl SnapshotDir {
    /// What describes it to whom it is offered.
    pub(crate) fn manifest(&self) -> Result<Vec<u8>, SnapshotError> {
        self.0
            .manifest
            .to_json()
            .map_err(|error| SnapshotError::io(&self.0.path, error))
    }

    /// The paths of the files at these places of the manifest.
    pub(crate) fn paths(&self, places: &[usize]) -> Vec<PathBuf> {
        let files = places
            .iter()
            .filter_map(|place| self.0.manifest.files.get(*place));
        files
            .map(|file| self.0.path.join(STATE).join(&file.name))
            .collect()
    }
}
