//! The thread that makes the log durable.
//!
//! Appends return as soon as their entries are readable; what they still owe is queued here. The
//! thread takes everything that is queued, writes it as one RocksDB batch with one fsync, and
//! then reports each part. A full disk is waited out with the batch in hand; any other failure
//! ends the node, as nobody can say what such a disk still holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use openraft::storage::IOFlushed;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::db::{LogDb, WriteError};
use super::tail::Tail;
use crate::codec;
use crate::config::Observer;
use crate::disk::{Backoff, Disk, Short};
use crate::fatal::Fatal;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes of entries after which a group is closed though more is queued.
const GROUP_BYTES: usize = 16 << 20;

/// Something that has to reach the disk, in this order.
pub(super) enum Change {
    Append {
        entries: Vec<Entry>,
        size_bytes: usize,
        done: IOFlushed<TypeConfig>,
    },
    Vote {
        vote: Vote,
        done: oneshot::Sender<Result<(), std::io::Error>>,
    },
    /// Entries from this index on are gone.
    Truncate {
        from: u64,
    },
    Purge {
        upto: LogId,
    },
    /// Nothing but what rides along: the committed position.
    Sync {
        done: oneshot::Sender<Result<(), std::io::Error>>,
    },
}

/// What store and writer share.
pub(super) struct Shared {
    pub(super) db: LogDb,
    pub(super) tail: Mutex<Tail>,
    pub(super) tail_cache_bytes: usize,
    queue: Mutex<Queue>,
    queued: Condvar,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<Change>,
    closed: bool,
}

impl Shared {
    pub(super) fn new(db: LogDb, tail: Tail, tail_cache_bytes: usize) -> Self {
        Shared {
            db,
            tail: Mutex::new(tail),
            tail_cache_bytes,
            queue: Mutex::default(),
            queued: Condvar::new(),
        }
    }

    /// Queues a change. After the writer has stopped it is dropped, and with it its callback.
    pub(super) fn push(&self, change: Change) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        queue.changes.push_back(change);
        self.queued.notify_one();
    }

    /// Lets the writer finish what is queued and stop.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.queued.notify_one();
    }

    /// Takes nothing more and drops what is queued, so that nobody waits for it.
    fn abandon(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.changes.clear();
    }

    /// The next group, or none when the queue is closed and empty.
    fn next_group(&self) -> Option<Vec<Change>> {
        let mut queue = self.queue.lock();
        while queue.changes.is_empty() {
            if queue.closed {
                return None;
            }
            self.queued.wait(&mut queue);
        }
        let mut group = Vec::new();
        let mut group_bytes = 0;
        while group_bytes < GROUP_BYTES {
            let Some(change) = queue.changes.pop_front() else {
                break;
            };
            if let Change::Append { size_bytes, .. } = &change {
                group_bytes += size_bytes;
            }
            group.push(change);
        }
        Some(group)
    }
}

/// The writer's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Disk,
    pub(super) fatal: Fatal,
    pub(super) observer: Arc<dyn Observer>,
    /// Entries below this index were written.
    pub(super) written_end: u64,
    /// Truncations written.
    pub(super) written_truncations: u64,
    /// The committed position on disk.
    pub(super) written_committed: Option<LogId>,
    /// Reused for every record.
    pub(super) record: Vec<u8>,
    /// Tells the janitor up to where the log was purged.
    pub(super) purged: Sender<u64>,
}

/// Removes the files of purged entries, until the writer is gone. On a thread of its own: taking
/// away a few hundred megabytes of files can take a tenth of a second, and appends would wait.
pub(super) fn remove_purged(shared: &Shared, purged: Receiver<u64>) {
    for upto in purged {
        if let Err(error) = shared.db.drop_files(upto) {
            // The rows are unreachable already; their space comes back with the next purge.
            tracing::warn!(%error, upto, "purged log files could not be removed yet");
        }
    }
}

impl Writer {
    /// Runs until the queue is closed or the disk fails.
    pub(super) fn run(mut self) {
        while let Some(group) = self.shared.next_group() {
            let result = self.write_until_done(&group);
            let failed = result.is_err();
            if let Err(error) = &result
                && !self.disk.is_stopping()
            {
                self.fatal.set(format!(
                    "the log could not be written: {error}; what the disk holds is unknown, so \
                     the node stops: check the disk, then start it again"
                ));
            }
            self.report(group, result);
            if failed {
                self.shared.abandon();
            }
        }
    }

    /// Writes a group, waiting while the disk is full.
    fn write_until_done(&mut self, group: &[Change]) -> Result<(), WriteError> {
        let mut backoff = Backoff::new();
        let mut short = false;
        loop {
            match self.write(group) {
                Ok(()) => {
                    if short {
                        self.disk.mark(Short::Log, false);
                    }
                    return Ok(());
                }
                Err(error) if !self.disk.is_stopping() && (short || error.is_no_space()) => {
                    if !short {
                        tracing::warn!(%error, "the log cannot be written; holding commands");
                    }
                    short = true;
                    self.disk.mark(Short::Log, true);
                    // RocksDB accepts no write after a failed one. Reopening needs room for the
                    // table files it writes from what it finds, so it waits for that much.
                    while !self.has_room_for(group) && !self.disk.is_stopping() {
                        backoff.wait(&self.disk);
                    }
                    if let Err(reopen) = self.shared.db.reopen() {
                        if !super::db::is_no_space(&reopen.to_string()) {
                            return Err(WriteError::Reopen(reopen.to_string()));
                        }
                        backoff.wait(&self.disk);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn has_room_for(&self, group: &[Change]) -> bool {
        let group_bytes: usize = group
            .iter()
            .map(|change| match change {
                Change::Append { size_bytes, .. } => *size_bytes,
                _ => 0,
            })
            .sum();
        let needed = 2 * group_bytes as u64 + self.shared.db.recovery_bytes();
        self.disk
            .free_bytes()
            .is_none_or(|free_bytes| free_bytes >= needed)
    }

    fn write(&mut self, group: &[Change]) -> Result<(), WriteError> {
        let began = Instant::now();
        let committed = self.shared.tail.lock().committed;
        let mut end = self.written_end;
        let mut truncations = self.written_truncations;
        let mut entries_written = 0;
        let mut purged = None;
        let mut committed_written = None;
        let record = &mut self.record;
        let size_bytes = self.shared.db.write(|changes| {
            for change in group {
                match change {
                    Change::Append { entries, .. } => {
                        for entry in entries {
                            record.clear();
                            codec::encode_entry(entry, record)?;
                            changes.entry(entry.log_id.index, record);
                            end = entry.log_id.index + 1;
                        }
                        entries_written += entries.len();
                    }
                    Change::Vote { vote, .. } => changes.vote(vote)?,
                    Change::Truncate { from } => {
                        changes.truncate(*from);
                        end = end.min(*from);
                        truncations += 1;
                    }
                    Change::Purge { upto } => {
                        changes.purged(upto)?;
                        end = end.max(upto.index + 1);
                        purged = Some(upto.index);
                    }
                    Change::Sync { .. } => {}
                }
            }
            // The position may already cover entries that are still queued; it must never be
            // found on disk without them.
            committed_written = committed
                .filter(|committed| committed.index < end)
                .filter(|committed| Some(committed) != self.written_committed.as_ref());
            if let Some(committed) = &committed_written {
                changes.committed(committed)?;
            }
            Ok(())
        })?;
        self.written_end = end;
        self.written_truncations = truncations;
        self.written_committed = committed_written.or(self.written_committed);
        self.observer
            .log_write(began.elapsed(), entries_written, size_bytes);
        if let Some(upto) = purged {
            // Fails only once the janitor is gone, and then the next start has more files.
            let _ = self.purged.send(upto);
        }
        Ok(())
    }

    fn report(&self, group: Vec<Change>, result: Result<(), WriteError>) {
        if result.is_ok() {
            let mut tail = self.shared.tail.lock();
            let limit_bytes = self.shared.tail_cache_bytes;
            tail.durable(self.written_end, self.written_truncations, limit_bytes);
        }
        let outcome = || match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
        for change in group {
            match change {
                Change::Append { done, .. } => done.io_completed(outcome()),
                // Whoever no longer waits does not need to know.
                Change::Vote { done, .. } | Change::Sync { done } => drop(done.send(outcome())),
                Change::Truncate { .. } | Change::Purge { .. } => {}
            }
        }
    }
}
