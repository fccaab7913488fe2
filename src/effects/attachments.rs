//! The files of attachments on this node: what no attachment names goes, what one names and is not
//! here is fetched, and all of it is read now and then. On every node, by itself.
//!
//! A file is older than its attachment: it is stored on a majority first. So one that no attachment
//! names is kept for `attachment_hold_ms` after it was last asked about, and removed only when this
//! node knows all that was decided by then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ekho_raft::FileGap;
use ekho_raft::blobs::{BlobHash, Look, hex};
use ekho_storage::tables::cluster::{self, Part};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::machine::Files;
use crate::service::{Service, ServiceError};

/// Between two looks at what is to be done.
const LOOK: Duration = Duration::from_millis(500);
/// Changes that wait to be looked at; beyond, everything is looked at.
const PENDING_MAX: usize = 10_000;
/// A file that was just stored elsewhere may still be on its way here.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// Between two looks at all attachments, and at all files.
const ALL: Duration = Duration::from_secs(600);
/// Files fetched before anything else is looked at.
const FETCHED_AT_ONCE: usize = 4;
/// After each piece of a file, of 1 MiB: at most 32 MiB a second.
const PACE: Duration = Duration::from_millis(31);
/// Until a file that nobody gave is asked for again: first, and at most.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// After so many tries nothing waits for a file any more, but for being asked for again.
const HOPELESS_TRIES: u32 = 4;
/// After so many log entries since the last look all is looked at: they may have come in a snapshot.
const LEAP: u64 = 1000;
/// Files removed in one step.
const REMOVED_AT_ONCE: usize = 256;
/// Between two readings of all files.
const READ_ALL: Duration = Duration::from_secs(24 * 3600);
/// Between two files that are read, at most.
const READ_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What commits say of files, until it is looked at.
#[derive(Default)]
pub struct FileChanges {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Default)]
struct Pending {
    stored: VecDeque<(Instant, BlobHash)>,
    removed: VecDeque<BlobHash>,
    /// There was more than fits.
    overflowed: bool,
}

impl FileChanges {
    /// Takes note of what a commit did.
    pub fn changed(&self, files: Files) {
        let mut pending = self.pending.lock();
        let now = Instant::now();
        pending
            .stored
            .extend(files.stored.into_iter().map(|hash| (now, hash)));
        pending.removed.extend(files.removed);
        if pending.stored.len() > PENDING_MAX || pending.removed.len() > PENDING_MAX {
            *pending = Pending {
                overflowed: true,
                ..Pending::default()
            };
        }
        drop(pending);
        self.changed.notify_one();
    }

    /// A file is not here any more.
    pub fn lost(&self, hash: BlobHash) {
        self.changed(Files {
            stored: vec![hash],
            removed: Vec::new(),
        });
    }

    fn removed(&self) -> Vec<BlobHash> {
        let mut pending = self.pending.lock();
        let count = pending.removed.len().min(REMOVED_AT_ONCE);
        pending.removed.drain(..count).collect()
    }

    /// How many are still on their way, for all that is known.
    fn on_their_way(&self) -> u64 {
        self.pending.lock().stored.len() as u64
    }

    /// Those that came so long ago that they should be here.
    fn stored(&self, patience: Duration) -> Vec<BlobHash> {
        let mut pending = self.pending.lock();
        let is_due = |(at, _): &&(Instant, BlobHash)| at.elapsed() >= patience;
        let count = pending.stored.iter().take_while(is_due).count();
        pending
            .stored
            .drain(..count)
            .map(|(_, hash)| hash)
            .collect()
    }

    fn overflowed(&self) -> bool {
        std::mem::take(&mut self.pending.lock().overflowed)
    }
}

/// A file that is not here.
#[derive(Clone, Copy, Debug)]
struct Missing {
    size_bytes: u64,
    /// When it is asked for.
    at: Instant,
    /// How long until then, if nobody gives it.
    pause: Duration,
    /// How often nobody gave it.
    tries: u32,
}

struct Keeper {
    service: Arc<Service>,
    missing: BTreeMap<BlobHash, Missing>,
    looked_at_all: Option<Instant>,
    swept: Instant,
    snapshot_index: Option<u64>,
    /// Up to which log entry it is known what is missing.
    index: u64,
}

/// Runs until the node stops.
pub async fn run(service: Arc<Service>) {
    let mut keeper = Keeper {
        service: Arc::clone(&service),
        missing: BTreeMap::new(),
        looked_at_all: None,
        swept: Instant::now(),
        snapshot_index: None,
        index: 0,
    };
    loop {
        if let Err(error) = keeper.look().await {
            tracing::debug!(%error, "files of attachments are looked at again later");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.waiters.files.changed.notified() => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

impl Keeper {
    async fn look(&mut self) -> Result<(), ServiceError> {
        self.remove_named().await?;
        // Before the look, in which whatever was applied until now is seen.
        let index = self.service.node.applied_index();
        self.find_missing(index).await?;
        self.index = index;
        self.tell();
        self.fetch().await?;
        self.tell();
        self.sweep().await
    }

    /// Says what is missing, in the metrics and to other nodes.
    fn tell(&self) {
        let awaited = self.missing.values();
        let awaited = awaited.filter(|missing| missing.tries < HOPELESS_TRIES);
        let gap = FileGap {
            missing: self.missing.len() as u64,
            awaited: awaited.count() as u64 + self.service.waiters.files.on_their_way(),
            index: self.index,
        };
        let files = &self.service.attachments.files;
        files.missing.store(gap.missing, Ordering::Relaxed);
        let is_known = self.looked_at_all.is_some();
        self.service.node.set_files(is_known.then_some(gap));
    }

    /// Removes files that lost their last attachment.
    async fn remove_named(&mut self) -> Result<(), ServiceError> {
        let files = &self.service.waiters.files;
        let removed = files.removed();
        if removed.is_empty() {
            return Ok(());
        }
        for hash in &removed {
            self.missing.remove(hash);
        }
        let again = removed.clone();
        let done = remove_unneeded(&self.service, removed).await;
        if done.is_err() {
            files.changed(Files {
                stored: Vec::new(),
                removed: again,
            });
        }
        done
    }

    /// Notes what should be here and is not.
    async fn find_missing(&mut self, index: u64) -> Result<(), ServiceError> {
        let keeps_all = keeps_all(&self.service)?;
        let status = self.service.node.status();
        let votes = status
            .members
            .iter()
            .any(|member| member.voter && member.node_id == status.node_id);
        // Only voters are handed files.
        let patience = if votes { ON_ITS_WAY } else { Duration::ZERO };
        let stored = self.service.waiters.files.stored(patience);
        let snapshot_index = status.snapshot_index;
        // What came in a snapshot was not announced.
        let is_new = snapshot_index != self.snapshot_index || index > self.index + LEAP;
        let is_due = self.looked_at_all.is_none_or(|at| at.elapsed() > ALL);
        if is_new || is_due || self.service.waiters.files.overflowed() {
            self.looked_at_all = Some(Instant::now());
            self.snapshot_index = snapshot_index;
            let service = Arc::clone(&self.service);
            let found = tokio::task::spawn_blocking(move || count_all(&service)).await;
            let found = found.map_err(|error| ServiceError::Internal(error.to_string()))??;
            let known = std::mem::take(&mut self.missing);
            for (hash, size_bytes) in found.into_iter().filter(|_| keeps_all) {
                let missing = known.get(&hash).copied();
                let missing = missing.unwrap_or_else(|| Missing::new(size_bytes));
                self.missing.insert(hash, missing);
            }
            return Ok(());
        }
        if !keeps_all {
            self.missing.clear();
            return Ok(());
        }
        let view = self.service.view();
        for hash in stored {
            if let Some(size_bytes) = self.service.needed_bytes(&view, &hash)?
                && self.service.blobs().size(&hash)? != Some(size_bytes)
            {
                self.missing.insert(hash, Missing::new(size_bytes));
            }
        }
        Ok(())
    }

    /// Fetches some of what is missing.
    async fn fetch(&mut self) -> Result<(), ServiceError> {
        let now = Instant::now();
        let due = self.missing.iter().filter(|(_, missing)| missing.at <= now);
        let due: Vec<(BlobHash, Missing)> = due
            .take(FETCHED_AT_ONCE)
            .map(|(hash, missing)| (*hash, *missing))
            .collect();
        for (hash, missing) in due {
            let fetched = self
                .service
                .fetch_blob(hash, missing.size_bytes, Some(PACE))
                .await;
            let is_needed = self.service.is_needed(&self.service.view(), &hash)?;
            match fetched {
                Ok(false) | Err(_) if is_needed => {
                    let pause = (missing.pause * 2).min(RETRY_LONGEST);
                    let at = Instant::now() + missing.pause;
                    let again = Missing {
                        at,
                        pause,
                        tries: missing.tries + 1,
                        ..missing
                    };
                    self.missing.insert(hash, again);
                }
                _ => {
                    self.missing.remove(&hash);
                }
            }
            if let Err(error) = fetched {
                tracing::debug!(%error, file = hex(&hash), "a file was not fetched");
            }
        }
        Ok(())
    }

    /// Now and then, removes files of uploads that came to nothing, and parts of files that nobody
    /// wants any more.
    async fn sweep(&mut self) -> Result<(), ServiceError> {
        let hold = Duration::from_millis(self.service.attachment_settings()?.attachment_hold_ms);
        if self.swept.elapsed() < hold.min(ALL) {
            return Ok(());
        }
        self.swept = Instant::now();
        self.service.node.read_point().await?;
        let service = Arc::clone(&self.service);
        let swept = tokio::task::spawn_blocking(move || sweep_all(&service));
        let swept = swept.await;
        swept.map_err(|error| ServiceError::Internal(error.to_string()))?
    }
}

impl Missing {
    fn new(size_bytes: u64) -> Self {
        Missing {
            size_bytes,
            at: Instant::now(),
            pause: RETRY_FIRST,
            tries: 0,
        }
    }
}

/// Whether this node is to have every file. Others fetch what they are asked for.
fn keeps_all(service: &Service) -> Result<bool, ServiceError> {
    let own = service.node.status().node_id;
    Ok(cluster::get(&service.view())?.part(own) == Part::Voter)
}

/// Counts the files here; those that should be here and are not.
fn count_all(service: &Service) -> Result<Vec<(BlobHash, u64)>, ServiceError> {
    let view = service.view();
    let (mut stored, mut stored_bytes, mut missing) = (0, 0, Vec::new());
    service.each_content(&view, |hash, content| {
        match service.blobs().size(&hash)? == Some(content.size_bytes) {
            true => {
                stored += 1;
                stored_bytes += content.size_bytes;
            }
            false => missing.push((hash, content.size_bytes)),
        }
        Ok(())
    })?;
    let files = &service.attachments.files;
    files.stored.store(stored, Ordering::Relaxed);
    files.stored_bytes.store(stored_bytes, Ordering::Relaxed);
    Ok(missing)
}

/// Removes files that nothing names, unless an upload may be under way that counts on them.
async fn remove_unneeded(service: &Arc<Service>, files: Vec<BlobHash>) -> Result<(), ServiceError> {
    service.node.read_point().await?;
    let service = Arc::clone(service);
    let removed = tokio::task::spawn_blocking(move || {
        let view = service.view();
        let hold = Duration::from_millis(service.attachment_settings()?.attachment_hold_ms);
        for hash in files {
            if !service.is_needed(&view, &hash)? && service.blobs().remove_idle(&hash, hold)? {
                tracing::debug!(file = hex(&hash), "removed a file that nothing names");
            }
        }
        Ok(())
    });
    let removed = removed.await;
    removed.map_err(|error| ServiceError::Internal(error.to_string()))?
}

fn sweep_all(service: &Service) -> Result<(), ServiceError> {
    let view = service.view();
    let hold = Duration::from_millis(service.attachment_settings()?.attachment_hold_ms);
    let blobs = service.blobs();
    for first in 0..=u8::MAX {
        if service.stopping.is_cancelled() {
            return Ok(());
        }
        for hash in blobs.list(first)? {
            if !service.is_needed(&view, &hash)? && blobs.remove_idle(&hash, hold)? {
                tracing::info!(file = hex(&hash), "removed a file that nothing names");
            }
        }
    }
    for hash in blobs.list_partial()? {
        if !service.is_needed(&view, &hash)? {
            blobs.remove_partial(&hash)?;
        }
    }
    Ok(())
}

/// Reads every file once a day, a little at a time, and has damaged ones fetched anew. Blocks until
/// the node stops.
pub fn read_all(service: &Service) {
    while pause(service, Duration::from_secs(10)) {
        let view = service.view();
        let read = service.each_content(&view, |hash, _| {
            let began = Instant::now();
            if service.stopping.is_cancelled() {
                return Ok(());
            }
            if service.blobs().check(&hash)? == Look::Damaged {
                tracing::error!(file = hex(&hash), "a file is damaged; it is fetched anew");
                service.blobs().discard(&hash)?;
                service.waiters.files.lost(hash);
            }
            std::thread::sleep((began.elapsed() * 30).min(READ_PAUSE_MAX));
            Ok(())
        });
        drop(view);
        if let Err(error) = read {
            tracing::warn!(%error, "the files of attachments could not be read");
        }
        if !pause(service, READ_ALL) {
            return;
        }
    }
}

/// Waits; false when the node stops.
fn pause(service: &Service, length: Duration) -> bool {
    const STEP: Duration = Duration::from_millis(200);
    let began = Instant::now();
    while began.elapsed() < length {
        if service.stopping.is_cancelled() {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}
