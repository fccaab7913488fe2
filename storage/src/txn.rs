//! The writes of one applied batch, not yet in the database.
//!
//! A batch holds many commands; each must see what the earlier ones wrote, and all of it goes to
//! disk in one `WriteBatch` together with the applied position. The overlay is a map per column
//! family in front of the database. Range deletions are not seen by reads of the same batch:
//! they serve only to drop whole expired ranges that nothing reads any more.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rocksdb::{DBRawIterator, WriteBatch};

use crate::state::Db;
use crate::{Cf, Key, Read, Record, Row, StorageError, encode};

/// How long a write may be held up by flushes and compactions before it counts as out of space.
const STALL_MAX: Duration = Duration::from_secs(2);
const STALL_PAUSE: Duration = Duration::from_millis(2);

type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// One batch of writes over a database. Dropping it without [`Txn::commit`] discards it.
pub struct Txn {
    db: Arc<Db>,
    overlay: [Overlay; Cf::ALL.len()],
    ranges: Vec<(Cf, Vec<u8>, Vec<u8>)>,
}

impl Txn {
    pub(crate) fn new(db: Arc<Db>) -> Self {
        Txn {
            db,
            overlay: Default::default(),
            ranges: Vec::new(),
        }
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, cf: Cf, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.overlay[cf as usize].insert(key.into(), Some(value));
    }

    /// Sets `key` to the encoded record.
    pub fn put_record<R: Record>(&mut self, cf: Cf, key: impl Into<Vec<u8>>, record: &R) {
        self.put(cf, key, encode(record));
    }

    /// Removes `key`.
    pub fn delete(&mut self, cf: Cf, key: impl Into<Vec<u8>>) {
        self.overlay[cf as usize].insert(key.into(), None);
    }

    /// Removes `lower <= key < upper`: at once what this batch wrote there, at commit what is
    /// stored. Until then reads of this batch still see the stored rows.
    pub fn delete_range(&mut self, cf: Cf, lower: Vec<u8>, upper: Vec<u8>) {
        self.overlay[cf as usize].retain(|key, _| *key < lower || *key >= upper);
        self.ranges.push((cf, lower, upper));
    }

    /// Writes everything in one batch without WAL: durability comes from the Raft log, which is
    /// replayed from the applied position stored in this very batch. May be called again after
    /// a failure.
    pub fn commit(&self) -> Result<(), StorageError> {
        let began = Instant::now();
        for key in self.overlay[Cf::Nonce as usize].keys() {
            self.db.nonces.written(key);
        }
        // A write that waits inside the database for a flush keeps others from mending that, such
        // as after the disk was full: it waits out here.
        while let Err(error) = self.db.write(self.batch()) {
            if !error.is_stall() || began.elapsed() > STALL_MAX {
                return Err(error);
            }
            thread::sleep(STALL_PAUSE);
        }
        for (cf, _, upper) in &self.ranges {
            self.db.range_deleted(*cf, upper);
        }
        for cf in Cf::ALL {
            for (key, value) in &self.overlay[cf as usize] {
                self.db.committed(cf, key, value.as_deref());
            }
        }
        Ok(())
    }

    fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for (cf, lower, upper) in &self.ranges {
            batch.delete_range_cf(self.db.handle(*cf), lower.as_slice(), upper.as_slice());
        }
        for cf in Cf::ALL {
            let handle = self.db.handle(cf);
            for (key, value) in &self.overlay[cf as usize] {
                match value {
                    Some(value) => batch.put_cf(handle, key, value),
                    None => batch.delete_cf(handle, key),
                }
            }
        }
        batch
    }
}

impl Read for Txn {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self.overlay[cf as usize].get(key) {
            Some(value) => Ok(value.clone()),
            None => self.db.get(cf, key),
        }
    }

    fn exists(&self, cf: Cf, key: &[u8]) -> Result<bool, StorageError> {
        match self.overlay[cf as usize].get(key) {
            Some(value) => Ok(value.is_some()),
            None => self.db.exists(cf, key),
        }
    }

    fn scan(
        &self,
        cf: Cf,
        lower: &[u8],
        upper: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        if lower >= upper {
            return Ok(Vec::new());
        }
        let mut stored = self.db.raw_iterator(cf, lower, upper);
        stored.seek(lower);
        let overlay = self.overlay[cf as usize]
            .range(lower.to_vec()..upper.to_vec())
            .peekable();
        merge(stored, overlay, limit, true)
    }

    fn scan_rev(
        &self,
        cf: Cf,
        lower: &[u8],
        upper: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        if lower >= upper {
            return Ok(Vec::new());
        }
        let mut stored = self.db.raw_iterator(cf, lower, upper);
        stored.seek_to_last();
        let overlay = self.overlay[cf as usize]
            .range(lower.to_vec()..upper.to_vec())
            .rev()
            .peekable();
        merge(stored, overlay, limit, false)
    }
}

/// Merges stored rows with the overlay, which wins where both have a key.
fn merge<'a, I>(
    mut stored: DBRawIterator<'_>,
    mut overlay: Peekable<I>,
    limit: usize,
    forward: bool,
) -> Result<Vec<Row>, StorageError>
where
    I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
{
    let mut rows = Vec::new();
    while rows.len() < limit {
        // `Some(true)`: the overlay's row comes first; both advance where the keys are equal.
        let (take_overlay, skip_stored) = match (stored.key(), overlay.peek()) {
            (None, None) => break,
            (None, Some(_)) => (true, false),
            (Some(_), None) => (false, false),
            (Some(key), Some((over, _))) if key == over.as_slice() => (true, true),
            (Some(key), Some((over, _))) => ((over.as_slice() < key) == forward, false),
        };
        if skip_stored {
            advance(&mut stored, forward);
        }
        if take_overlay {
            if let Some((key, Some(value))) = overlay.next() {
                rows.push((key.clone(), value.clone()));
            }
        } else {
            if let Some((key, value)) = stored.item() {
                rows.push((key.to_vec(), value.to_vec()));
            }
            advance(&mut stored, forward);
        }
    }
    stored.status()?;
    Ok(rows)
}

fn advance(iterator: &mut DBRawIterator<'_>, forward: bool) {
    if forward {
        iterator.next()
    } else {
        iterator.prev()
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.into_bytes()
    }
}

#[cfg(test)]
#[path = "txn_tests.rs"]
mod tests;
