//! The log's RocksDB database: options, opening, reopening in place, writes and reads.
//!
//! Family `entries` holds one row an entry, keyed by index (8 bytes, big endian); `meta` holds
//! identity, vote, committed and purged position. Entries only ever grow at the end, so table
//! files do not overlap, move through the levels without being rewritten, and are dropped whole
//! when the log is purged. Rows below the purged position that share a file with newer ones stay
//! until that file goes; nothing reads them.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use ekho_storage::breakage::{Break, is_broken};
use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::verify::{Recovered, check_files, claim, verify};
use crate::codec::{self, CodecError, Identity};
use crate::error::StartError;
use crate::types::{Entry, LogId, Vote};

pub(super) const ENTRIES: &str = "entries";
pub(super) const META: &str = "meta";
pub(super) const IDENTITY: &[u8] = b"identity";
pub(super) const VOTE: &[u8] = b"vote";
pub(super) const COMMITTED: &[u8] = b"committed";
pub(super) const PURGED: &[u8] = b"purged";

/// The open database, or none for the moment in which it is reopened.
pub(super) struct LogDb {
    dir: PathBuf,
    write_buffer_bytes: usize,
    db: RwLock<Option<DB>>,
    /// Locked while the log is open. RocksDB has a lock too, but takes it only after the files
    /// were looked at, and looking at them cuts a torn tail.
    _lock: File,
}

/// One group of changes, built again for each attempt to write it.
pub(super) struct Changes<'a> {
    db: &'a DB,
    batch: WriteBatch,
}

impl LogDb {
    /// Opens or creates the log of `identity` in `dir` and checks every entry in it.
    pub(super) fn open(
        dir: &Path,
        identity: &Identity,
        write_buffer_bytes: usize,
    ) -> Result<(Self, Recovered), StartError> {
        fs::create_dir_all(dir).map_err(|error| StartError::io(dir, error))?;
        let lock = lock(dir)?;
        check_files(dir)?;
        let db = open_database(dir, write_buffer_bytes)?;
        claim(&db, dir, identity)?;
        let recovered = verify(&db)?;
        let log = LogDb {
            dir: dir.to_path_buf(),
            write_buffer_bytes,
            db: RwLock::new(Some(db)),
            _lock: lock,
        };
        Ok((log, recovered))
    }

    /// Closes and opens the database again. RocksDB refuses all writes after one to the
    /// write-ahead file failed, and does not reliably find back by itself; see
    /// `facebook/rocksdb` issues 11643 and 12998. Readers wait meanwhile.
    pub(super) fn reopen(&self) -> Result<(), StartError> {
        let mut slot = self.db.write();
        *slot = None;
        check_files(&self.dir)?;
        *slot = Some(open_database(&self.dir, self.write_buffer_bytes)?);
        Ok(())
    }

    /// Writes the changes `fill` makes and syncs them. Nothing is written when it fails, or all
    /// of it may be; the caller repeats the same changes until they are.
    pub(super) fn write(
        &self,
        fill: impl FnOnce(&mut Changes<'_>) -> Result<(), CodecError>,
    ) -> Result<usize, WriteError> {
        let slot = self.db.read();
        let Some(db) = slot.as_ref() else {
            return Err(WriteError::Closed);
        };
        let mut changes = Changes {
            db,
            batch: WriteBatch::default(),
        };
        fill(&mut changes).map_err(WriteError::Codec)?;
        let size_bytes = changes.batch.size_in_bytes();
        let mut options = WriteOptions::default();
        options.set_sync(!is_broken(Break::LoseUnsynced) || size_bytes.is_multiple_of(8));
        db.write_opt(changes.batch, &options)
            .map_err(WriteError::Database)?;
        Ok(size_bytes)
    }

    /// Bytes of table files that opening may write from the write-ahead files it finds.
    pub(super) fn recovery_bytes(&self) -> u64 {
        self.write_buffer_bytes as u64 + (4 << 20)
    }

    /// Drops the table files that hold nothing above `upto`. Only after `upto` was written as
    /// purged: a start must never find entries gone that are not known to be purged.
    pub(super) fn drop_files(&self, upto: u64) -> Result<(), rocksdb::Error> {
        let slot = self.db.read();
        let Some(db) = slot.as_ref() else {
            return Ok(());
        };
        db.delete_file_in_range_cf(family(db, ENTRIES), key(0), key(upto))
    }

    /// Reads entries of `[from, to)`, in order and without gaps between them, until
    /// `limit_bytes` are collected (at least one). Blocks; entries already purged are missing
    /// at the beginning.
    pub(super) fn read(
        &self,
        from: u64,
        to: u64,
        limit_bytes: usize,
    ) -> Result<Vec<Entry>, StartError> {
        let slot = loop {
            let slot = self.db.read();
            if slot.is_some() {
                break slot;
            }
            drop(slot);
            thread::sleep(Duration::from_millis(20));
        };
        let mut entries: Vec<Entry> = Vec::new();
        let Some(db) = slot.as_ref() else {
            return Ok(entries);
        };
        let mut iterator = db.raw_iterator_cf_opt(family(db, ENTRIES), read_options(to));
        iterator.seek(key(from));
        let mut size_bytes = 0;
        while let Some((row_key, record)) = iterator.item() {
            let index = index_of(row_key)?;
            let entry = codec::decode_entry(&Bytes::copy_from_slice(record))
                .map_err(|error| StartError::record(format!("log entry {index}"), error))?;
            let expected = entries.last().map_or(index, |last| last.log_id.index + 1);
            if entry.log_id.index != index || index != expected {
                return Err(damaged_entry(index, &entry.log_id, expected));
            }
            size_bytes += record.len();
            entries.push(entry);
            if size_bytes >= limit_bytes {
                break;
            }
            iterator.next();
        }
        iterator.status().map_err(database_error)?;
        Ok(entries)
    }
}

impl Changes<'_> {
    pub(super) fn entry(&mut self, index: u64, record: &[u8]) {
        self.batch
            .put_cf(family(self.db, ENTRIES), key(index), record);
    }

    pub(super) fn truncate(&mut self, from: u64) {
        self.batch
            .delete_range_cf(family(self.db, ENTRIES), key(from), key(u64::MAX));
    }

    pub(super) fn identity(&mut self, identity: &Identity) -> Result<(), CodecError> {
        self.batch.put_cf(
            family(self.db, META),
            IDENTITY,
            codec::encode_identity(identity)?,
        );
        Ok(())
    }

    pub(super) fn vote(&mut self, vote: &Vote) -> Result<(), CodecError> {
        self.batch
            .put_cf(family(self.db, META), VOTE, codec::encode_vote(vote)?);
        Ok(())
    }

    pub(super) fn committed(&mut self, committed: &LogId) -> Result<(), CodecError> {
        self.batch.put_cf(
            family(self.db, META),
            COMMITTED,
            codec::encode_log_id(committed)?,
        );
        Ok(())
    }

    pub(super) fn purged(&mut self, purged: &LogId) -> Result<(), CodecError> {
        self.batch
            .put_cf(family(self.db, META), PURGED, codec::encode_log_id(purged)?);
        Ok(())
    }
}

/// Why a group of changes is not durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Database(rocksdb::Error),
    #[error("{0}")]
    Codec(CodecError),
    #[error("the log database is closed")]
    Closed,
    #[error("the log database did not open again: {0}")]
    Reopen(String),
}

impl WriteError {
    pub(super) fn is_no_space(&self) -> bool {
        matches!(self, WriteError::Database(error) if is_no_space(error.as_ref()))
    }
}

/// RocksDB has no code for it that reaches us, only the system's sentence.
pub(super) fn is_no_space(message: &str) -> bool {
    message.contains("No space left on device") || message.contains("Disk quota exceeded")
}

fn open_database(dir: &Path, write_buffer_bytes: usize) -> Result<DB, StartError> {
    let mut table = BlockBasedOptions::default();
    // Reads are sequential and rare: the newest entries are read from memory.
    table.set_block_cache(&Cache::new_lru_cache(2 << 20));
    table.set_block_size(32 * 1024);
    table.set_format_version(6);
    let mut entries = Options::default();
    entries.set_block_based_table_factory(&table);
    entries.set_write_buffer_size(write_buffer_bytes);
    entries.set_max_write_buffer_number(4);
    entries.set_compression_type(DBCompressionType::None);
    // A flushed file moves down at once, which costs no rewrite as files do not overlap; only
    // there can it be dropped whole.
    entries.set_level_zero_file_num_compaction_trigger(1);
    entries.set_target_file_size_base(write_buffer_bytes as u64);
    entries.set_max_bytes_for_level_base(1 << 40);
    let mut meta = Options::default();
    meta.set_write_buffer_size(1 << 20);
    meta.set_compression_type(DBCompressionType::None);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    options.set_paranoid_checks(true);
    // Both families are written out together, so that write-ahead files can go.
    options.set_atomic_flush(true);
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    // One thread writes; what orders several writers is not needed.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    // The family every database has. It is unused, but its write buffer would count when the
    // size to preallocate write-ahead files with is chosen.
    let unused = meta.clone();
    let families = [
        ColumnFamilyDescriptor::new("default", unused),
        ColumnFamilyDescriptor::new(ENTRIES, entries),
        ColumnFamilyDescriptor::new(META, meta),
    ];
    DB::open_cf_descriptors(&options, dir, families).map_err(database_error)
}

/// Makes sure that no other process, and nobody else in this one, has the log open.
fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.with_extension("lock");
    let io = |error| StartError::io(&path, error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            dir: dir.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

pub(super) fn read_options(to: u64) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(key(to).to_vec());
    options.set_verify_checksums(true);
    options
}

pub(super) fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    match db.cf_handle(name) {
        Some(family) => family,
        // Both families are created when the database is opened.
        None => unreachable!("family {name} was not opened"),
    }
}

pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(super) fn index_of(row_key: &[u8]) -> Result<u64, StartError> {
    row_key
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StartError::Damaged {
            what: "the log".into(),
            detail: format!("a key has {} bytes instead of 8", row_key.len()),
        })
}

pub(super) fn damaged_entry(index: u64, log_id: &LogId, expected: u64) -> StartError {
    let detail = if index == expected {
        format!("it holds the entry of index {}", log_id.index)
    } else {
        format!("entries {expected} to {} are missing", index - 1)
    };
    StartError::Damaged {
        what: format!("log entry {index}"),
        detail,
    }
}

/// RocksDB's own verdict of corruption is damage; the rest is an environment that failed.
pub(super) fn database_error(error: rocksdb::Error) -> StartError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StartError::Damaged {
            what: "the log database".into(),
            detail: error.into_string(),
        },
        _ => StartError::Log(error.into_string()),
    }
}
