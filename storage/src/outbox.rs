//! The outbox of an edge node: sends that it accepted while it could reach no leader, in a
//! database of their own. A send is on disk before it counts as accepted.
//!
//! Entries have numbers that only grow; an outbox has an id, so that the numbers of one that was
//! lost are never taken for those of its successor. Several sends at a time share one fsync,
//! which RocksDB sees to. Nonces lie beside the entries, in time buckets as in the state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use parking_lot::Mutex;
use rocksdb::{DB, DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions};

use crate::tables::nonce::{self, bucket};
use crate::tables::outbox::{OutboxEntry, OutboxHead};
use crate::tables::{AgentNo, FleetNo, TimeMs};
use crate::{Key, KeyReader, StorageError, decode, encode, prefix_end};

const HEAD: u8 = 1;
const ENTRY: u8 = 2;
const NONCE: u8 = 3;
const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    Stored,
    /// It waits already, under the same key, since then.
    Repeated {
        /// UUID of the message that waits.
        message: u128,
        /// When it was accepted.
        stored_ms: TimeMs,
    },
    /// Another request waits under the same key.
    Conflict,
    /// The nonce was used here before.
    Replayed,
    /// There is no room.
    Full,
    /// The same key is being written at this moment.
    Busy,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries.
    pub entries: usize,
    /// Since when the oldest of them waits.
    pub oldest_ms: Option<TimeMs>,
}

type Sender = (FleetNo, AgentNo);

/// What is known of an entry without reading it.
struct Row {
    sender: Sender,
    key: String,
    request_hash: [u8; 32],
    message: u128,
    stored_ms: TimeMs,
    size_bytes: usize,
    /// Whether it is on disk.
    is_durable: bool,
}

#[derive(Default)]
struct Index {
    rows: BTreeMap<u64, Row>,
    by_key: HashMap<(Sender, String), u64>,
    by_sender: HashMap<Sender, BTreeSet<u64>>,
    size_bytes: usize,
    last_seq: u64,
    removed_seq: u64,
}

/// An open outbox.
pub struct Outbox {
    db: DB,
    id: u128,
    limits: OutboxLimits,
    index: Mutex<Index>,
    /// Nonces that are being written.
    in_flight: Mutex<HashSet<(Sender, String)>>,
}

/// A nonce that is being written.
struct InFlight<'a> {
    outbox: &'a Outbox,
    nonce: (Sender, String),
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.outbox.in_flight.lock().remove(&self.nonce);
    }
}

impl Outbox {
    /// Opens the outbox in `dir`; one that is not there yet gets the id `new_id`.
    pub fn open(dir: &Path, limits: OutboxLimits, new_id: u128) -> Result<Self, StorageError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        // What was not synced was not answered; damage before that is never passed over.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_open_files(64);
        options.set_keep_log_file_num(4);
        options.set_stats_dump_period_sec(0);
        let db = DB::open(&options, dir)?;
        let head = match db.get(Key::table(HEAD))? {
            Some(bytes) => decode::<OutboxHead>(&bytes)?,
            None => {
                let head = OutboxHead {
                    id: new_id,
                    removed_seq: 0,
                };
                db.put_opt(Key::table(HEAD), encode(&head), &synced())?;
                // The database's own name is not yet durable.
                let parent = dir.parent().unwrap_or(dir);
                let sync = File::open(parent).and_then(|parent| parent.sync_all());
                sync.map_err(|error| StorageError::io(parent, error))?;
                head
            }
        };
        let mut index = Index {
            last_seq: head.removed_seq,
            removed_seq: head.removed_seq,
            ..Index::default()
        };
        let mut rows = ReadOptions::default();
        rows.set_iterate_upper_bound(prefix_end(Key::table(ENTRY).bytes()));
        rows.set_verify_checksums(true);
        let mut iterator = db.raw_iterator_opt(rows);
        iterator.seek(Key::table(ENTRY));
        while let Some((key, value)) = iterator.item() {
            let mut reader = KeyReader::new("outbox_entry", key);
            let (_, seq) = (reader.u8()?, reader.u64()?);
            index.add(seq, row(&decode(value)?, value.len(), true));
            iterator.next();
        }
        iterator.status()?;
        drop(iterator);
        Ok(Outbox {
            db,
            id: head.id,
            limits,
            index: Mutex::new(index),
            in_flight: Mutex::default(),
        })
    }

    /// Tells this outbox from every other.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// How much waits.
    pub fn waiting(&self) -> Waiting {
        let index = self.index.lock();
        Waiting {
            entries: index.rows.len(),
            oldest_ms: index.rows.values().next().map(|row| row.stored_ms),
        }
    }

    /// Whether anything of this sender waits.
    pub fn waits(&self, fleet: FleetNo, agent: AgentNo) -> bool {
        self.index.lock().by_sender.contains_key(&(fleet, agent))
    }

    /// Whether a send of this sender waits under this key.
    pub fn knows(&self, fleet: FleetNo, agent: AgentNo, key: &str) -> bool {
        let key = ((fleet, agent), key.to_string());
        self.index.lock().by_key.contains_key(&key)
    }

    /// How many sends of this sender were accepted since then and wait.
    pub fn accepted_since(&self, fleet: FleetNo, agent: AgentNo, since_ms: TimeMs) -> usize {
        let index = self.index.lock();
        let seqs = index.by_sender.get(&(fleet, agent));
        let newest = seqs.into_iter().flatten().rev();
        newest
            .filter_map(|seq| index.rows.get(seq))
            .take_while(|row| row.stored_ms >= since_ms)
            .count()
    }

    /// Takes a send in and makes it durable. Blocks. A nonce counts as used from `since_ms` on.
    pub fn put(&self, entry: &OutboxEntry, since_ms: TimeMs) -> Result<Kept, StorageError> {
        let sender = (entry.fleet, entry.agent);
        let Some(_in_flight) = self.begin(sender, &entry.nonce) else {
            return Ok(Kept::Replayed);
        };
        if self.is_used(sender, &entry.nonce, since_ms, entry.stored_ms)? {
            return Ok(Kept::Replayed);
        }
        let encoded = encode(entry);
        let (seq, kept) = match self.place(entry, encoded.len()) {
            Ok(seq) => (Some(seq), Kept::Stored),
            Err(kept @ (Kept::Busy | Kept::Full)) => return Ok(kept),
            Err(kept) => (None, kept),
        };
        let mut batch = WriteBatch::default();
        if let Some(seq) = seq {
            batch.put(Key::table(ENTRY).u64(seq), encoded);
        }
        let nonce = nonce_key(bucket(entry.stored_ms), sender, &entry.nonce);
        batch.put(nonce, b"");
        let written = self.db.write_opt(batch, &synced());
        if let Some(seq) = seq {
            let mut index = self.index.lock();
            match &written {
                Ok(()) => index.now_durable(seq),
                // It may be on disk or not. Nobody was told that it is.
                Err(_) => index.remove(seq),
            }
        }
        written?;
        Ok(kept)
    }

    /// Gives an entry its number, or says what is in its way.
    fn place(&self, entry: &OutboxEntry, size_bytes: usize) -> Result<u64, Kept> {
        let mut index = self.index.lock();
        let key = ((entry.fleet, entry.agent), entry.key.clone());
        let known = index.by_key.get(&key).and_then(|seq| index.rows.get(seq));
        match known {
            Some(row) if !row.is_durable => Err(Kept::Busy),
            Some(row) if row.request_hash != entry.request_hash => Err(Kept::Conflict),
            Some(row) => Err(Kept::Repeated {
                message: row.message,
                stored_ms: row.stored_ms,
            }),
            None if index.rows.len() >= self.limits.entries
                || index.size_bytes + size_bytes > self.limits.bytes =>
            {
                Err(Kept::Full)
            }
            None => {
                let seq = index.last_seq + 1;
                index.add(seq, row(entry, size_bytes, false));
                Ok(seq)
            }
        }
    }

    /// Uses up a nonce, durably. Whether it was new. Blocks.
    pub fn take_nonce(
        &self,
        fleet: FleetNo,
        agent: AgentNo,
        nonce: &str,
        since_ms: TimeMs,
        now_ms: TimeMs,
    ) -> Result<bool, StorageError> {
        let sender = (fleet, agent);
        let Some(_in_flight) = self.begin(sender, nonce) else {
            return Ok(false);
        };
        if self.is_used(sender, nonce, since_ms, now_ms)? {
            return Ok(false);
        }
        let key = nonce_key(bucket(now_ms), sender, nonce);
        self.db.put_opt(key, b"", &synced())?;
        Ok(true)
    }

    /// Takes a nonce until it is written; none where somebody else has it.
    fn begin(&self, sender: Sender, nonce: &str) -> Option<InFlight<'_>> {
        let nonce = (sender, nonce.to_string());
        let is_new = self.in_flight.lock().insert(nonce.clone());
        // None is made for a nonce that is taken: dropping it would let go of the other's.
        is_new.then(|| InFlight {
            outbox: self,
            nonce,
        })
    }

    fn is_used(
        &self,
        sender: Sender,
        nonce: &str,
        since_ms: TimeMs,
        now_ms: TimeMs,
    ) -> Result<bool, StorageError> {
        // One bucket more: a clock that was set back a little forgets nothing.
        for bucket in bucket(since_ms)..=bucket(now_ms) + 1 {
            if self
                .db
                .get_pinned(nonce_key(bucket, sender, nonce))?
                .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets nonces that were used before this time.
    pub fn forget_nonces(&self, before_ms: TimeMs) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let upper = Key::table(NONCE).u32(bucket(before_ms));
        batch.delete_range(Key::table(NONCE).u32(0), upper);
        Ok(self.db.write(batch)?)
    }

    /// The next entries to be forwarded, of one fleet, in the order they were accepted; at least
    /// one where there is one. Senders that `is_held` names are passed over.
    pub fn next(
        &self,
        entries: usize,
        bytes: usize,
        is_held: impl Fn(FleetNo, AgentNo) -> bool,
    ) -> Result<Vec<(u64, OutboxEntry)>, StorageError> {
        let mut chosen = Vec::new();
        {
            let index = self.index.lock();
            let mut fleet = None;
            let mut size_bytes = 0;
            for (seq, row) in &index.rows {
                // One that is being written may come to be before those behind it.
                if !row.is_durable || chosen.len() == entries {
                    break;
                }
                let (of, agent) = row.sender;
                if is_held(of, agent) || fleet.is_some_and(|fleet| fleet != of) {
                    continue;
                }
                if !chosen.is_empty() && size_bytes + row.size_bytes > bytes {
                    break;
                }
                fleet = Some(of);
                size_bytes += row.size_bytes;
                chosen.push(*seq);
            }
        }
        let mut found = Vec::with_capacity(chosen.len());
        for seq in chosen {
            let Some(bytes) = self.db.get(Key::table(ENTRY).u64(seq))? else {
                return Err(StorageError::Corrupt {
                    table: "outbox_entry",
                    detail: format!("entry {seq} is not there"),
                });
            };
            found.push((seq, decode(&bytes)?));
        }
        Ok(found)
    }

    /// Removes entries that were decided. Should this be lost, they are forwarded again, which
    /// does nothing a second time. One at a time.
    pub fn remove(&self, seqs: &[u64]) -> Result<(), StorageError> {
        let newest = seqs.iter().copied().max().unwrap_or_default();
        let removed_seq = self.index.lock().removed_seq.max(newest);
        let head = OutboxHead {
            id: self.id,
            removed_seq,
        };
        let mut batch = WriteBatch::default();
        for seq in seqs {
            batch.delete(Key::table(ENTRY).u64(*seq));
        }
        batch.put(Key::table(HEAD), encode(&head));
        // Not under the lock: it waits for the fsync of those who put, and requests look in there.
        self.db.write(batch)?;
        let mut index = self.index.lock();
        index.removed_seq = index.removed_seq.max(removed_seq);
        for seq in seqs {
            index.remove(*seq);
        }
        Ok(())
    }
}

impl Index {
    fn add(&mut self, seq: u64, row: Row) {
        self.last_seq = self.last_seq.max(seq);
        self.size_bytes += row.size_bytes;
        self.by_key.insert((row.sender, row.key.clone()), seq);
        self.by_sender.entry(row.sender).or_default().insert(seq);
        self.rows.insert(seq, row);
    }

    fn now_durable(&mut self, seq: u64) {
        if let Some(row) = self.rows.get_mut(&seq) {
            row.is_durable = true;
        }
    }

    fn remove(&mut self, seq: u64) {
        let Some(row) = self.rows.remove(&seq) else {
            return;
        };
        self.size_bytes -= row.size_bytes;
        self.by_key.remove(&(row.sender, row.key));
        if let Some(seqs) = self.by_sender.get_mut(&row.sender) {
            seqs.remove(&seq);
            if seqs.is_empty() {
                self.by_sender.remove(&row.sender);
            }
        }
    }
}

fn row(entry: &OutboxEntry, size_bytes: usize, is_durable: bool) -> Row {
    Row {
        sender: (entry.fleet, entry.agent),
        key: entry.key.clone(),
        request_hash: entry.request_hash,
        message: entry.message,
        stored_ms: entry.stored_ms,
        size_bytes,
        is_durable,
    }
}

fn nonce_key(bucket: u32, (fleet, agent): Sender, nonce: &str) -> Key {
    Key::table(NONCE).raw(nonce::key(bucket, fleet, agent, nonce).bytes())
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}
