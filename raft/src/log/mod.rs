//! The Raft log on disk, as openraft uses it.
//!
//! [`LogStore`] is the handle; clones share one log. Appending makes entries readable and queues
//! them; the writer thread makes them durable and says so. Reads come from memory where they can.

mod crc32c;
mod db;
mod tail;
mod verify;
mod wal;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use futures::future::Either;
use futures::stream::{self, Stream, StreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::oneshot;

use self::db::LogDb;
use self::tail::Tail;
use self::writer::{Change, Shared, Writer, remove_purged};
use crate::codec::{self, Identity};
use crate::config::{NodeConfig, Observer};
use crate::disk::Disk;
use crate::error::StartError;
use crate::fatal::Fatal;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes of entries read at once when many are wanted.
const READ_BYTES: usize = 4 << 20;
/// What a record takes besides its commands, roughly.
const RECORD_OVERHEAD_BYTES: usize = 48;

/// A handle to the log.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

/// The threads of the log; joined when the node stops.
pub struct LogWriter {
    shared: Arc<Shared>,
    /// The writer, then the janitor, which ends with it.
    threads: Vec<JoinHandle<()>>,
}

impl LogStore {
    /// Opens the log in `data_dir/log`, verifies it and starts its writer, with nothing else of
    /// a node.
    pub fn open(config: &NodeConfig) -> Result<(Self, LogWriter), StartError> {
        let disk = Disk::new(&config.data_dir, 0, config.observer.clone());
        Self::open_with(config, disk, Fatal::new(), config.observer.clone())
    }

    pub(crate) fn open_with(
        config: &NodeConfig,
        disk: Disk,
        fatal: Fatal,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, LogWriter), StartError> {
        let identity = Identity {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id,
        };
        let dir = config.data_dir.join("log");
        let limits = &config.limits;
        let (db, recovered) = LogDb::open(&dir, &identity, limits.log_write_buffer_bytes)?;
        let written_committed = recovered.committed;
        let tail = Tail::of(recovered);
        let written_end = tail.end();
        let shared = Arc::new(Shared::new(db, tail, limits.tail_cache_bytes));
        let (purged, files) = channel();
        let writer = Writer {
            shared: shared.clone(),
            disk,
            fatal: fatal.clone(),
            observer,
            written_end,
            written_truncations: 0,
            written_committed,
            record: Vec::new(),
            purged,
        };
        let janitor = {
            let shared = shared.clone();
            let remove = move || remove_purged(&shared, files);
            fatal.clone().spawn("ekho-log-purge", &dir, remove)?
        };
        let thread = fatal.spawn("ekho-log", &dir, move || writer.run())?;
        Ok((
            LogStore {
                shared: shared.clone(),
            },
            LogWriter {
                shared,
                threads: vec![thread, janitor],
            },
        ))
    }

    /// Bytes of all entries stored.
    pub fn size_bytes(&self) -> u64 {
        self.shared.tail.lock().sizes.stored()
    }

    /// Bytes of the entries above `index`, or of all where there is none.
    pub fn size_above_bytes(&self, index: Option<u64>) -> u64 {
        let tail = self.shared.tail.lock();
        index.map_or(tail.sizes.stored(), |index| tail.sizes.above(index))
    }

    /// How far the log may be purged below a snapshot that reaches to `snapshot`.
    pub(crate) fn purge_point(&self, snapshot: u64, retained_bytes: u64) -> Option<u64> {
        let tail = self.shared.tail.lock();
        let point = tail.sizes.purge_point(snapshot, retained_bytes)?;
        (point >= tail.start()).then_some(point)
    }

    /// The last vote that was saved, and up to where the log is known to be decided.
    pub(crate) fn vote_and_committed(&self) -> (Option<Vote>, Option<LogId>) {
        let tail = self.shared.tail.lock();
        (tail.vote, tail.committed)
    }

    /// The ends of the log: what was purged, and the last entry.
    pub(crate) fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        let tail = self.shared.tail.lock();
        (tail.purged, tail.last)
    }

    /// Gives the log to another cluster and adds what it begins with there, in one durable write.
    /// Only on a node that does not run: this handle and its readers do not see it.
    pub(crate) fn hand_to(
        &self,
        identity: &Identity,
        purged: Option<&LogId>,
        vote: &Vote,
        entries: &[Entry],
    ) -> Result<(), StartError> {
        let written = self.shared.db.write(|changes| {
            let mut record = Vec::new();
            changes.identity(identity)?;
            changes.vote(vote)?;
            if let Some(purged) = purged {
                changes.purged(purged)?;
            }
            for entry in entries {
                record.clear();
                codec::encode_entry(entry, &mut record)?;
                changes.entry(entry.log_id.index, &record);
            }
            Ok(())
        });
        written
            .map(|_| ())
            .map_err(|error| StartError::Log(error.to_string()))
    }

    /// Waits until everything queued so far is durable, the committed position included.
    pub async fn sync(&self) -> io::Result<()> {
        let (done, synced) = oneshot::channel();
        self.shared.push(Change::Sync { done });
        synced.await.map_err(stopped)?
    }

    /// Reads `[from, to)`: at least one entry where there is one, and not much more than
    /// `limit_bytes`.
    async fn read(&self, from: u64, to: u64, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let (from, cached_start) = {
            let tail = self.shared.tail.lock();
            let (from, to) = (from.max(tail.start()), to.min(tail.end()));
            if from >= to {
                return Ok(entries);
            }
            let cached_start = tail.cached_start();
            if from >= cached_start {
                tail.read(from, to, limit_bytes, &mut entries);
                return Ok(entries);
            }
            // What follows in memory is copied now, so that both parts are of one moment.
            if limit_bytes == usize::MAX {
                tail.read(cached_start, to, limit_bytes, &mut entries);
            }
            (from, cached_start.min(to))
        };
        let shared = self.shared.clone();
        let mut stored =
            tokio::task::spawn_blocking(move || shared.db.read(from, cached_start, limit_bytes))
                .await
                .map_err(io::Error::other)?
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        // What is missing at the beginning may have been purged meanwhile; nothing else may be
        // missing.
        let first = stored
            .first()
            .map_or(cached_start, |first| first.log_id.index);
        let end = stored.last().map_or(first, |last| last.log_id.index + 1);
        if first > from.max(self.shared.tail.lock().start())
            || (limit_bytes == usize::MAX && end < cached_start)
        {
            return Err(missing(from, cached_start));
        }
        stored.append(&mut entries);
        Ok(stored)
    }
}

impl LogWriter {
    /// Writes what is queued and ends the threads. Blocks.
    pub fn stop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A panic was already reported by the thread that panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.tail.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, READ_BYTES).await
    }

    /// Entries for apply. After a restart that may be the whole log, so it is read in parts.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        {
            let tail = self.shared.tail.lock();
            if from >= tail.cached_start() && from >= tail.start() {
                let mut entries = Vec::new();
                tail.read(from, to, usize::MAX, &mut entries);
                return Either::Left(stream::iter(entries.into_iter().map(Ok)));
            }
        }
        let store = self.clone();
        let parts = stream::unfold((store, from), move |(store, from)| async move {
            match store.read(from, to, READ_BYTES).await {
                Ok(entries) => {
                    let next = entries.last()?.log_id.index + 1;
                    let items: Vec<_> = entries.into_iter().map(Ok).collect();
                    Some((stream::iter(items), (store, next)))
                }
                Err(error) => Some((stream::iter(vec![Err(error)]), (store, to))),
            }
        });
        Either::Right(Box::pin(parts.flatten()))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let (last_purged_log_id, last_log_id) = self.ends();
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, saved) = oneshot::channel();
        self.shared.tail.lock().vote = Some(*vote);
        self.shared.push(Change::Vote { vote: *vote, done });
        saved.await.map_err(stopped)?
    }

    /// Rides with the next write. Losing it costs nothing but the replay being decided by the
    /// next leader instead of at start; see `docs/decisions/0002-late-state-flush.md`.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared.tail.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.tail.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut kept = Vec::new();
        let mut size_bytes = 0;
        {
            let mut tail = self.shared.tail.lock();
            for entry in entries {
                let entry_bytes = entry_size_bytes(&entry);
                size_bytes += entry_bytes;
                tail.push(entry.clone(), entry_bytes);
                kept.push(entry);
            }
        }
        self.shared.push(Change::Append {
            entries: kept,
            size_bytes,
            done: callback,
        });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |last| last.index + 1);
        if self.shared.tail.lock().truncate(from, last_log_id) {
            self.shared.push(Change::Truncate { from });
        }
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.shared.tail.lock().purge(upto);
        self.shared.push(Change::Purge { upto });
        Ok(())
    }
}

fn entry_size_bytes(entry: &Entry) -> usize {
    let payload_bytes = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(batch) => batch.size_bytes(),
        EntryPayload::Membership(membership) => membership
            .nodes()
            .map(|(_, peer)| 16 + peer.address.len())
            .sum(),
    };
    payload_bytes + RECORD_OVERHEAD_BYTES
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

fn missing(from: u64, to: u64) -> io::Error {
    let message = format!("the log should hold entries {from} to {to}, but does not");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn stopped(_: oneshot::error::RecvError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log has stopped")
}
