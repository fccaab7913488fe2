//! What the log keeps in memory: its ends, the votes, and the newest entries.
//!
//! Entries are readable the moment they are appended, before they are durable; those not yet
//! durable are always here, so that a reader never has to wait for the writer thread. Durable
//! ones stay while they fit, since apply and near followers read them right after.

use std::collections::VecDeque;

use super::verify::Recovered;
use crate::types::{Entry, LogId, Vote};

/// Bytes of log between two remembered positions.
const MARK_BYTES: u64 = 64 * 1024;

/// The state of the log as readers see it.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) sizes: Sizes,
    /// The first index stored. Below it there is nothing, purged or never written.
    start: u64,
    /// The newest entries, without gaps, up to `last`.
    entries: VecDeque<Cached>,
    cached_bytes: usize,
    /// Entries below this index are durable.
    durable_end: u64,
    /// How often the end was taken back. What the writer says about entries is believed only
    /// once it has written as many truncations: an index may mean another entry until then.
    truncations: u64,
}

struct Cached {
    entry: Entry,
    size_bytes: usize,
}

impl Tail {
    /// The first index that is not stored yet.
    pub(super) fn end(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    /// The first index that is stored.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The first index that is in memory; below it, entries are read from disk.
    pub(super) fn cached_start(&self) -> u64 {
        self.entries
            .front()
            .map_or(self.end(), |cached| cached.entry.log_id.index)
    }

    /// The tail of a log that was found on disk.
    pub(super) fn of(recovered: Recovered) -> Self {
        let Recovered {
            vote,
            committed,
            purged,
            last,
            sizes,
        } = recovered;
        let mut tail = Tail {
            vote,
            committed,
            purged,
            last,
            sizes,
            ..Tail::default()
        };
        tail.start = purged.map_or(0, |purged| purged.index + 1);
        tail.durable_end = tail.end();
        tail
    }

    pub(super) fn push(&mut self, entry: Entry, size_bytes: usize) {
        if self.start >= self.end() {
            self.start = entry.log_id.index;
        }
        self.last = Some(entry.log_id);
        self.sizes.push(entry.log_id.index, size_bytes as u64);
        self.cached_bytes += size_bytes;
        self.entries.push_back(Cached { entry, size_bytes });
    }

    /// Entries below `end` are on disk now, as of `truncations`; drops the oldest of them beyond
    /// `limit_bytes`.
    pub(super) fn durable(&mut self, end: u64, truncations: u64, limit_bytes: usize) {
        if truncations != self.truncations {
            return;
        }
        self.durable_end = end.min(self.end());
        while self.cached_bytes > limit_bytes {
            match self.entries.front() {
                Some(cached) if cached.entry.log_id.index < self.durable_end => self.pop_front(),
                _ => break,
            }
        }
    }

    /// Removes everything from `from` on; `last` is the entry before it. Returns whether there
    /// was anything to remove.
    pub(super) fn truncate(&mut self, from: u64, last: Option<LogId>) -> bool {
        if from >= self.end() {
            return false;
        }
        while self
            .entries
            .back()
            .is_some_and(|cached| cached.entry.log_id.index >= from)
        {
            if let Some(cached) = self.entries.pop_back() {
                self.cached_bytes -= cached.size_bytes;
            }
        }
        self.sizes.truncate(from);
        self.last = if from > self.start { last } else { self.purged };
        self.durable_end = self.durable_end.min(from);
        self.truncations += 1;
        true
    }

    /// Removes everything up to `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        while self
            .entries
            .front()
            .is_some_and(|cached| cached.entry.log_id.index <= upto.index)
        {
            self.pop_front();
        }
        self.sizes.purge(upto.index);
        self.purged = Some(upto);
        self.start = self.start.max(upto.index + 1);
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
            self.durable_end = self.end();
        }
    }

    /// Copies entries of `[from, to)` that are in memory, until `limit_bytes` are collected (at
    /// least one).
    pub(super) fn read(&self, from: u64, to: u64, limit_bytes: usize, into: &mut Vec<Entry>) {
        let first = self.cached_start();
        let (from, to) = (from.max(first), to.min(self.end()));
        if from >= to {
            return;
        }
        let mut size_bytes = 0;
        for cached in self
            .entries
            .range((from - first) as usize..(to - first) as usize)
        {
            into.push(cached.entry.clone());
            size_bytes += cached.size_bytes;
            if size_bytes >= limit_bytes {
                break;
            }
        }
    }

    fn pop_front(&mut self) {
        if let Some(cached) = self.entries.pop_front() {
            self.cached_bytes -= cached.size_bytes;
        }
    }
}

/// How many bytes of entries lie where, to within [`MARK_BYTES`].
#[derive(Default)]
pub(super) struct Sizes {
    /// Bytes of all entries ever pushed.
    total: u64,
    /// Of those, bytes that were purged.
    purged: u64,
    /// (index, bytes up to and with it), ascending.
    marks: VecDeque<(u64, u64)>,
    /// The last index pushed.
    last: u64,
}

impl Sizes {
    pub(super) fn push(&mut self, index: u64, size_bytes: u64) {
        self.total += size_bytes;
        self.last = index;
        let marked = self.marks.back().map_or(self.purged, |mark| mark.1);
        if self.total - marked >= MARK_BYTES {
            self.marks.push_back((index, self.total));
        }
    }

    /// Bytes of all entries.
    pub(super) fn stored(&self) -> u64 {
        self.total - self.purged
    }

    /// Bytes of the entries above `index`.
    pub(super) fn above(&self, index: u64) -> u64 {
        self.total - self.upto(index)
    }

    /// The greatest index up to which entries may go, so that `retained_bytes` stay below `end`.
    pub(super) fn purge_point(&self, end: u64, retained_bytes: u64) -> Option<u64> {
        if retained_bytes == 0 {
            return Some(end);
        }
        let limit = self.upto(end).checked_sub(retained_bytes)?;
        let marks = self
            .marks
            .partition_point(|mark| mark.1 <= limit && mark.0 <= end);
        marks.checked_sub(1).map(|position| self.marks[position].0)
    }

    fn upto(&self, index: u64) -> u64 {
        if index >= self.last {
            return self.total;
        }
        let marks = self.marks.partition_point(|mark| mark.0 <= index);
        marks
            .checked_sub(1)
            .map_or(self.purged, |position| self.marks[position].1)
    }

    fn truncate(&mut self, from: u64) {
        while self.marks.back().is_some_and(|mark| mark.0 >= from) {
            self.marks.pop_back();
        }
        self.total = self.marks.back().map_or(self.purged, |mark| mark.1);
        self.last = from.saturating_sub(1);
    }

    fn purge(&mut self, upto: u64) {
        self.purged = self.upto(upto);
        while self.marks.front().is_some_and(|mark| mark.0 <= upto) {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    fn blank(term: u64, index: u64) -> Entry {
        Entry {
            log_id: log_id(term, 1, index),
            payload: openraft::EntryPayload::Blank,
        }
    }

    #[test]
    fn only_durable_entries_leave_memory() {
        let mut tail = Tail::default();
        for index in 0..10 {
            tail.push(blank(1, index), 100);
        }
        tail.durable(4, 0, 0);
        assert_eq!(tail.cached_start(), 4);
        tail.durable(10, 0, 300);
        assert_eq!(tail.cached_start(), 7);
    }

    #[test]
    fn entries_that_replace_truncated_ones_stay_until_they_are_written() {
        let mut tail = Tail::default();
        for index in 0..10 {
            tail.push(blank(1, index), 100);
        }
        tail.truncate(5, Some(log_id(1, 1, 4)));
        for index in 5..12 {
            tail.push(blank(2, index), 100);
        }
        // The writer reports the old entries 0 to 9; 5 to 9 are others by now.
        tail.durable(10, 0, 0);
        let mut read = Vec::new();
        tail.read(5, 12, usize::MAX, &mut read);
        assert_eq!(read.len(), 7);
        tail.durable(12, 1, 0);
        assert_eq!(tail.cached_start(), 12);
    }

    fn sizes(entries: u64, each: u64) -> Sizes {
        let mut sizes = Sizes::default();
        for index in 0..entries {
            sizes.push(index, each);
        }
        sizes
    }

    #[test]
    fn sizes_follow_appends_and_purges() {
        let mut sizes = sizes(100, MARK_BYTES);
        assert_eq!(sizes.stored(), 100 * MARK_BYTES);
        assert_eq!(sizes.above(89), 10 * MARK_BYTES);
        sizes.purge(49);
        assert_eq!(sizes.stored(), 50 * MARK_BYTES);
        assert_eq!(sizes.above(89), 10 * MARK_BYTES);
        sizes.truncate(90);
        assert_eq!(sizes.stored(), 40 * MARK_BYTES);
        assert_eq!(sizes.above(79), 10 * MARK_BYTES);
    }

    #[test]
    fn the_purge_point_leaves_what_is_retained() {
        let sizes = sizes(100, MARK_BYTES);
        assert_eq!(sizes.purge_point(89, 0), Some(89));
        assert_eq!(sizes.purge_point(89, 10 * MARK_BYTES), Some(79));
        assert_eq!(sizes.purge_point(89, 1000 * MARK_BYTES), None);
    }
}
