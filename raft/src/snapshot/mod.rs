//! Snapshots: checkpoints of the state database in `data_dir/snapshots/INDEX-TERM/`.
//!
//! A snapshot shares its table files with the state by hard link and comes with a manifest of
//! lengths and checksums. It is assembled under a temporary name, made durable and renamed, so
//! that what has a final name is whole. One is kept; an older one goes when its last reader does.

mod files;
mod incoming;
mod manifest;
mod outgoing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ekho_storage::State;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::files::{copy_snapshot, link_state, remove_dir, sync_dir};
use self::manifest::{Manifest, STATE};
use crate::disk::Disk;
use crate::error::{SnapshotError, StartError};
use crate::machine::{Job, Position};
use crate::types::{LogId, SnapshotMeta, StoredMembership};

pub(crate) use self::incoming::Incoming;
pub use self::manifest::SnapshotFile;
pub(crate) use self::outgoing::Outgoing;

const TEMPORARY: &str = "tmp-";
/// Between two looks at whether a full disk has room.
const RETRY: Duration = Duration::from_millis(500);
/// What a snapshot takes besides what is flushed for it: manifest, copies of small files.
const ROOM_BYTES: u64 = 8 << 20;
/// Flushes at most before a checkpoint, and what may be left in memory for it to write.
const FLUSHES_MAX: usize = 3;
const FLUSHED_BYTES: u64 = 2 << 20;

/// A snapshot's directory. Clones share it; it stays while one of them is held.
#[derive(Clone, Debug)]
pub struct SnapshotDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    manifest: Manifest,
    membership: StoredMembership,
    /// Every byte was compared with the manifest by this process, or written by it.
    verified: AtomicBool,
    /// A newer snapshot has taken its place.
    obsolete: AtomicBool,
    /// Its files are not what they were when it was made.
    damaged: AtomicBool,
}

impl SnapshotDir {
    /// Opens the snapshot in `path`: reads its manifest and compares the lengths of its files.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let manifest = Manifest::load(path)?;
        manifest.check_files(path, false)?;
        Self::new(path, manifest, false)
    }

    fn new(path: &Path, manifest: Manifest, verified: bool) -> Result<Self, SnapshotError> {
        let membership = manifest
            .stored_membership()
            .map_err(|detail| SnapshotError::Damaged {
                dir: path.to_path_buf(),
                detail,
            })?;
        Ok(SnapshotDir(Arc::new(Inner {
            path: path.to_path_buf(),
            manifest,
            membership,
            verified: AtomicBool::new(verified),
            obsolete: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        })))
    }

    /// Compares every byte with the manifest, unless that was done before. Reads all of it.
    pub fn verify(&self) -> Result<(), SnapshotError> {
        if !self.0.verified.load(Ordering::Acquire) {
            self.0.manifest.check_files(&self.0.path, true)?;
            self.0.verified.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes note that a file is damaged. The node makes another snapshot then.
    fn found_damaged(&self, name: &str, detail: &str) {
        let path = self.state_path().join(name);
        tracing::error!(path = %path.display(), detail, "a file of a snapshot is damaged");
        self.0.damaged.store(true, Ordering::Release);
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Acquire)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The cluster it was made in.
    pub fn cluster_id(&self) -> &str {
        &self.0.manifest.cluster_id
    }

    /// The files of its state database are here.
    pub fn state_path(&self) -> PathBuf {
        self.0.path.join(STATE)
    }

    /// The index of the last entry it contains.
    pub fn last_index(&self) -> Option<u64> {
        self.last_log_id().map(|last| last.index)
    }

    /// Its files, below `path()/state`.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.0.manifest.files
    }

    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.0.manifest.last_log_id()
    }

    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last_log_id(),
            last_membership: self.0.membership.clone(),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.obsolete.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // The next start removes what is left.
            tracing::warn!(path = %self.path.display(), %error, "old snapshot is still there");
        }
    }
}

/// The snapshots of this node, of which one is current.
pub(crate) struct Snapshots {
    dir: PathBuf,
    cluster_id: String,
    current: Mutex<Option<SnapshotDir>>,
    /// Those before, of which some may still be read.
    older: Mutex<Vec<Weak<Inner>>>,
    /// Transfers that began.
    transfers: AtomicU64,
}

impl Snapshots {
    /// Finds the newest whole snapshot and removes everything else. A snapshot is made from the
    /// state and can be made again, so a damaged one is removed too; whether the node can do
    /// without it is decided by what its log and state hold.
    pub(crate) fn open(data_dir: &Path, cluster_id: &str) -> Result<Self, StartError> {
        let dir = data_dir.join("snapshots");
        fs::create_dir_all(&dir).map_err(|error| StartError::io(&dir, error))?;
        let mut newest: Option<SnapshotDir> = None;
        for entry in fs::read_dir(&dir).map_err(|error| StartError::io(&dir, error))? {
            let path = entry.map_err(|error| StartError::io(&dir, error))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with(TEMPORARY) {
                remove_dir(&path).map_err(|error| StartError::io(&path, error))?;
                continue;
            }
            match SnapshotDir::open(&path) {
                Ok(found) if found.0.manifest.cluster_id != cluster_id => {
                    return Err(StartError::Foreign {
                        dir: path,
                        found: format!("cluster {}", found.0.manifest.cluster_id),
                        expected: format!("cluster {cluster_id}"),
                    });
                }
                Ok(found) => {
                    let newer = newest
                        .as_ref()
                        .is_none_or(|newest| found.last_log_id() > newest.last_log_id());
                    let other = if newer {
                        newest.replace(found)
                    } else {
                        Some(found)
                    };
                    if let Some(other) = other {
                        other.0.obsolete.store(true, Ordering::Release);
                    }
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "removing a damaged snapshot");
                    remove_dir(&path).map_err(|error| StartError::io(&path, error))?;
                }
            }
        }
        Ok(Snapshots {
            dir,
            cluster_id: cluster_id.to_string(),
            current: Mutex::new(newest),
            older: Mutex::default(),
            transfers: AtomicU64::new(0),
        })
    }

    pub(crate) fn current(&self) -> Option<SnapshotDir> {
        self.current.lock().clone()
    }

    /// Removes the directory with all snapshots; for a node that does not run.
    pub(crate) fn remove_all(self) -> Result<(), SnapshotError> {
        remove_dir(&self.dir).map_err(|error| SnapshotError::io(&self.dir, error))?;
        match self.dir.parent() {
            Some(parent) => sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Makes `snapshot` the current one; the one before goes when nobody reads it any more.
    fn set_current(&self, snapshot: SnapshotDir) {
        let old = self.current.lock().replace(snapshot.clone());
        if let Some(old) = old.filter(|old| old.path() != snapshot.path()) {
            old.0.obsolete.store(true, Ordering::Release);
            let mut older = self.older.lock();
            older.retain(|one| one.strong_count() > 0);
            older.push(Arc::downgrade(&old.0));
        }
    }

    /// Up to where the oldest snapshot reaches that somebody still reads, and will go on from.
    pub(crate) fn read_index(&self) -> Option<u64> {
        let older = self.older.lock();
        let read = older.iter().filter_map(Weak::upgrade);
        read.filter_map(|one| SnapshotDir(one).last_index()).min()
    }

    fn path_of(&self, last: Option<LogId>) -> PathBuf {
        self.dir.join(match last {
            Some(last) => format!("{}-{}", last.index, last.leader_id.term),
            None => "empty".to_string(),
        })
    }

    /// An unused temporary directory name.
    fn temporary(&self, purpose: &str) -> Result<PathBuf, SnapshotError> {
        let path = self.dir.join(format!("{TEMPORARY}{purpose}"));
        remove_dir(&path).map_err(|error| SnapshotError::io(&path, error))?;
        Ok(path)
    }

    /// Gives a complete temporary directory its final name, durably.
    fn publish(&self, temporary: &Path, manifest: Manifest) -> Result<SnapshotDir, SnapshotError> {
        let path = self.path_of(manifest.last_log_id());
        manifest.save(temporary)?;
        sync_dir(&temporary.join(STATE))?;
        sync_dir(temporary)?;
        remove_dir(&path).map_err(|error| SnapshotError::io(&path, error))?;
        fs::rename(temporary, &path).map_err(|error| SnapshotError::io(&path, error))?;
        sync_dir(&self.dir)?;
        SnapshotDir::new(&path, manifest, true)
    }

    /// Takes a snapshot that came from a peer, or the current one after a crash, and replaces
    /// the state by it.
    pub(crate) async fn install(
        self: &Arc<Self>,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
        jobs: &Sender<Job>,
        disk: &Disk,
    ) -> Result<(), SnapshotError> {
        if snapshot.last_log_id() != meta.last_log_id {
            return Err(SnapshotError::Damaged {
                dir: snapshot.path().to_path_buf(),
                detail: "it ends at another entry than announced".into(),
            });
        }
        let position = retry(disk, || async {
            let (own, snapshot) = (self.clone(), snapshot.clone());
            let from = blocking(move || own.stage(&snapshot)).await?;
            let (done, replaced) = oneshot::channel();
            jobs.send(Job::Replace { from, done })
                .map_err(|_| SnapshotError::Stopped)?;
            replaced.await.map_err(|_| SnapshotError::Stopped)?
        })
        .await?;
        if position.applied != snapshot.last_log_id() {
            return Err(SnapshotError::Damaged {
                dir: snapshot.path().to_path_buf(),
                detail: "its state is not at the position its manifest names".into(),
            });
        }
        tracing::info!(index = snapshot.last_index(), "installed a snapshot");
        Ok(())
    }

    /// Verifies a snapshot, keeps it as the current one, and prepares a copy of its state that
    /// may be moved.
    pub(crate) fn stage(&self, snapshot: &SnapshotDir) -> Result<PathBuf, SnapshotError> {
        snapshot.verify()?;
        let kept = if snapshot.path() == self.path_of(snapshot.last_log_id()) {
            snapshot.clone()
        } else {
            let temporary = self.temporary("received")?;
            copy_snapshot(snapshot.path(), &temporary, &snapshot.0.manifest)?;
            self.publish(&temporary, snapshot.0.manifest.clone())?
        };
        let staged = self.temporary("state")?;
        link_state(&kept.path().join(STATE), &staged)?;
        self.set_current(kept);
        Ok(staged)
    }
}

/// Builds snapshots of the state.
pub struct Builder {
    snapshots: Arc<Snapshots>,
    state: State,
    jobs: Sender<Job>,
    disk: Disk,
}

impl Builder {
    pub(crate) fn new(
        snapshots: Arc<Snapshots>,
        state: State,
        jobs: Sender<Job>,
        disk: Disk,
    ) -> Self {
        Builder {
            snapshots,
            state,
            jobs,
            disk,
        }
    }

    /// Builds a snapshot of the state as it is now, waiting while the disk is full.
    pub(crate) async fn build(&self) -> Result<SnapshotDir, SnapshotError> {
        retry(&self.disk, || self.attempt()).await
    }

    /// Waits until the disk has room for what will be flushed. A flush that fails leaves RocksDB
    /// refusing all writes until it has recovered, which takes it many seconds.
    async fn room(&self) -> Result<(), SnapshotError> {
        let mut told = false;
        loop {
            let needed_bytes = 2 * self.state.size_bytes()?.memory_bytes + ROOM_BYTES;
            let free_bytes = self.disk.free_bytes().unwrap_or(u64::MAX);
            if free_bytes >= needed_bytes {
                return Ok(());
            }
            if self.disk.is_stopping() {
                return Err(SnapshotError::Stopped);
            }
            if !told {
                tracing::warn!(
                    free_bytes,
                    needed_bytes,
                    "a snapshot waits for room on the disk"
                );
                told = true;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn attempt(&self) -> Result<SnapshotDir, SnapshotError> {
        self.room().await?;
        // Apply has to stand still for the flush of the checkpoint, so as much as possible is
        // written before: what comes in while one flush runs, by the next.
        let state = self.state.clone();
        blocking(move || {
            for _ in 0..FLUSHES_MAX {
                state.flush()?;
                if state.size_bytes()?.memory_bytes <= FLUSHED_BYTES {
                    break;
                }
            }
            Ok(())
        })
        .await?;
        let snapshots = self.snapshots.clone();
        let temporary = blocking(move || {
            let temporary = snapshots.temporary("build")?;
            fs::create_dir(&temporary).map_err(|error| SnapshotError::io(&temporary, error))?;
            Ok(temporary)
        })
        .await?;
        let (done, copied) = oneshot::channel();
        self.jobs
            .send(Job::Checkpoint {
                dest: temporary.join(STATE),
                done,
            })
            .map_err(|_| SnapshotError::Stopped)?;
        let position = copied.await.map_err(|_| SnapshotError::Stopped)??;
        let snapshots = self.snapshots.clone();
        blocking(move || snapshots.finish(&temporary, position)).await
    }
}

impl Snapshots {
    fn finish(&self, temporary: &Path, position: Position) -> Result<SnapshotDir, SnapshotError> {
        let previous = self.current();
        if let Some(previous) = previous.as_ref()
            && previous.last_log_id() == position.applied
            && !previous.is_damaged()
        {
            remove_dir(temporary).map_err(|error| SnapshotError::io(temporary, error))?;
            return Ok(previous.clone());
        }
        let manifest = Manifest::of(
            temporary,
            &self.cluster_id,
            position.applied,
            &position.membership,
            previous
                .as_ref()
                .map(|previous| (previous.path(), &previous.0.manifest)),
        )?;
        if previous.is_some_and(|previous| previous.is_damaged()) {
            // Files that both have are in the state as well. A damaged state is not passed on.
            manifest.check_files(temporary, true)?;
        }
        let snapshot = self.publish(temporary, manifest)?;
        let size_bytes: u64 = snapshot.files().iter().map(|file| file.size_bytes).sum();
        tracing::info!(
            index = snapshot.last_index(),
            size_bytes,
            "built a snapshot"
        );
        self.set_current(snapshot.clone());
        Ok(snapshot)
    }
}

/// Repeats `attempt` while it fails for want of space.
async fn retry<T, F>(disk: &Disk, attempt: impl Fn() -> F) -> Result<T, SnapshotError>
where
    F: Future<Output = Result<T, SnapshotError>>,
{
    loop {
        match attempt().await {
            Err(error) if error.is_no_space() && !disk.is_stopping() => {
                tracing::warn!(%error, "no room for a snapshot; trying again");
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    tokio::task::spawn_blocking(run)
        .await
        .map_err(|_| SnapshotError::Stopped)?
}
