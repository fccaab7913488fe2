//! A snapshot on its way here, file by file.
//!
//! A file that does not have the checksum its manifest names is thrown away and asked for again.
//! One that does is kept when the transfer is cut short. Whatever snapshot is offered next, by
//! whichever leader, asks only for the files that are not here: those that arrived before, and
//! those of this node's own snapshot, are taken over where name, length and checksum are the same.
//! Leaders write their files each for itself, so between two of them that is hardly ever so; a
//! newer snapshot of the same leader shares most of its files with the one before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::files::{link_or_copy, remove_dir, sync_dir};
use super::manifest::{Manifest, STATE};
use super::{SnapshotDir, SnapshotFile, Snapshots, TEMPORARY};
use crate::disk::Disk;
use crate::error::SnapshotError;

/// Files of one snapshot at most.
const FILES_MAX: usize = 1_000_000;
/// Left free beside a snapshot, for what else is written while it arrives.
const ROOM_BYTES: u64 = 64 << 20;

pub(crate) struct Incoming {
    dir: Temporary,
    manifest: Manifest,
    held: Vec<bool>,
}

/// A directory that goes with its owner.
struct Temporary(PathBuf);

impl Temporary {
    /// It goes with somebody else.
    fn give(mut self) {
        self.0.clear();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty()
            && let Err(error) = remove_dir(&self.0)
        {
            // The next start removes what is left.
            tracing::warn!(path = %self.0.display(), %error, "part of a snapshot is still there");
        }
    }
}

impl Snapshots {
    /// Makes ready for the snapshot that `manifest` describes, with what came `before`.
    pub(crate) fn expect(
        &self,
        manifest: &[u8],
        before: Option<Incoming>,
        disk: &Disk,
    ) -> Result<Incoming, SnapshotError> {
        // A name of its own: the one before may still be read, by an installation that goes on
        // after its leader has gone.
        let number = self.transfers.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("{TEMPORARY}incoming-{number}"));
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
        let before = match before {
            Some(before) if before.manifest == manifest => return Ok(before),
            before => before,
        };
        let mut incoming = Incoming {
            held: vec![false; manifest.files.len()],
            dir: Temporary(dir.clone()),
            manifest,
        };
        let state = dir.join(STATE);
        fs::create_dir_all(&state).map_err(|error| SnapshotError::io(&state, error))?;
        if let Some(before) = &before {
            incoming.take_over(&before.dir.0, before.arrived())?;
        }
        if let Some(own) = self.current() {
            incoming.take_over(own.path(), own.files().iter())?;
        }
        let missing = incoming.missing();
        let missing_bytes: u64 = missing
            .iter()
            .map(|place| incoming.manifest.files[*place].size_bytes)
            .sum();
        if let Some(free_bytes) = disk.free_bytes()
            && free_bytes < missing_bytes.saturating_add(ROOM_BYTES)
        {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(SnapshotError::io(&dir, full));
        }
        tracing::info!(
            files = incoming.held.len(),
            missing = missing.len(),
            missing_bytes,
            index = incoming.last_index(),
            "a snapshot is on its way here"
        );
        Ok(incoming)
    }
}

impl Incoming {
    /// The index of the last entry that it contains.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.manifest.last_log_id().map(|last| last.index)
    }

    /// The places, in the manifest, of the files that are still to come.
    pub(crate) fn missing(&self) -> Vec<usize> {
        let places = self.held.iter().enumerate();
        places
            .filter_map(|(place, held)| (!held).then_some(place))
            .collect()
    }

    /// The files that came.
    fn arrived(&self) -> impl Iterator<Item = &SnapshotFile> {
        let files = self.manifest.files.iter().zip(&self.held);
        files.filter_map(|(file, held)| held.then_some(file))
    }

    /// Takes what is the same from another snapshot's directory. Every byte is read again: it may
    /// have lain there for long.
    fn take_over<'a>(
        &mut self,
        from: &Path,
        files: impl Iterator<Item = &'a SnapshotFile>,
    ) -> Result<(), SnapshotError> {
        let there: BTreeMap<&str, &SnapshotFile> =
            files.map(|file| (file.name.as_str(), file)).collect();
        for (file, held) in self.manifest.files.iter().zip(&mut self.held) {
            if *held || there.get(file.name.as_str()) != Some(&file) {
                continue;
            }
            let source = from.join(STATE).join(&file.name);
            let target = self.dir.0.join(STATE).join(&file.name);
            match file.is_at(&source) {
                Ok(true) => {}
                Ok(false) => continue,
                // It can come over the network as well.
                Err(error) => {
                    tracing::warn!(path = %source.display(), %error, "a file cannot be read");
                    continue;
                }
            }
            link_or_copy(&source, &target).map_err(|error| SnapshotError::io(&target, error))?;
            *held = true;
        }
        Ok(())
    }

    /// Begins the file at `place`.
    pub(crate) async fn begin(&self, place: usize) -> Result<Arriving, SnapshotError> {
        let Some(file) = self.manifest.files.get(place) else {
            return Err(damaged(&self.dir.0, format!("it has no file {place}")));
        };
        let path = self.dir.0.join(STATE).join(&file.name);
        let created = async {
            // Not written over: a write of an attempt that was cut short may still be under way.
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => File::create_new(&path).await,
            }
        };
        let open = created
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
            tracing::warn!(
                path = %path.display(),
                "a file of a snapshot came damaged; asking for it again"
            );
            tokio::fs::remove_file(&path)
                .await
                .map_err(|error| SnapshotError::io(&path, error))?;
            let detail = format!("{} did not arrive as it was sent", expected.name);
            return Err(damaged(&self.dir.0, detail));
        }
        file.sync_all()
            .await
            .map_err(|error| SnapshotError::io(&path, error))?;
        self.held[place] = true;
        Ok(())
    }

    /// The whole snapshot. Its directory goes when nobody holds it any more.
    pub(crate) fn finish(self) -> Result<SnapshotDir, SnapshotError> {
        let dir = &self.dir.0;
        if let Some(place) = self.held.iter().position(|held| !held) {
            return Err(damaged(dir, format!("file {place} is missing")));
        }
        self.manifest.save(dir)?;
        sync_dir(&dir.join(STATE))?;
        sync_dir(dir)?;
        self.manifest.check_files(dir, false)?;
        let snapshot = SnapshotDir::new(dir, self.manifest, true)?;
        snapshot.0.obsolete.store(true, Ordering::Release);
        self.dir.give();
        Ok(snapshot)
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
