//! The state database: opening, reading, flushing, checkpoints, and the swap of its directory.
//!
//! On disk `DIR/CURRENT` names the generation in use (`000001`, …), each a RocksDB database.
//! A snapshot is installed as a new generation: readers keep the old one until they are done,
//! and at no moment is there a directory that is neither. The database has no WAL of its own;
//! see `docs/decisions/0002-late-state-flush.md`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use crate::cache::Cache as RowCache;
use crate::tables::derived::Floors;
use crate::txn::Txn;
use crate::unused::Unused;
use crate::{Cf, Read, Row, StorageError};

/// Memory limits of the state database.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// Memory for decoded blocks, indexes and filters.
    pub block_cache_bytes: usize,
    /// Memory for writes not yet flushed, over all column families. It also bounds how much of
    /// the log is replayed after a crash.
    pub write_buffer_bytes: usize,
}

impl Default for StateOptions {
    fn default() -> Self {
        StateOptions {
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
        }
    }
}

/// A handle to the state database. Clones share it.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    options: StateOptions,
    floors: Arc<Floors>,
    db: ArcSwap<Db>,
    /// Serialises flush, checkpoint and replace.
    maintenance: Mutex<()>,
}

/// One opened generation.
pub(crate) struct Db {
    pub(crate) db: DB,
    pub(crate) path: PathBuf,
    pub(crate) cache: RowCache,
    pub(crate) nonces: Unused,
    /// Dropped after the database is closed.
    leftover: Leftover,
}

/// Removes the directory of a generation that was replaced, once nobody reads it any more.
#[derive(Default)]
pub(crate) struct Leftover(OnceLock<PathBuf>);

impl Drop for Leftover {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next open.
        if let Some(path) = self.0.get() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A consistent-enough read handle: it stays on one generation, and each call reads the newest
/// committed batch of it.
#[derive(Clone)]
pub struct View(pub(crate) Arc<Db>);

impl State {
    /// Opens the state in `dir`, creating it when there is none, and removes generations that
    /// are no longer current.
    pub fn open(dir: &Path, options: &StateOptions) -> Result<Self, StorageError> {
        fs::create_dir_all(dir).map_err(|error| StorageError::io(dir, error))?;
        let generation = match read_current(dir)? {
            Some(name) => name,
            None => {
                write_current(dir, 1)?;
                generation_name(1)
            }
        };
        for entry in fs::read_dir(dir).map_err(|error| StorageError::io(dir, error))? {
            let entry = entry.map_err(|error| StorageError::io(dir, error))?;
            let is_dir = entry
                .file_type()
                .map_err(|error| StorageError::io(dir, error))?
                .is_dir();
            if is_dir && entry.file_name() != generation.as_str() {
                fs::remove_dir_all(entry.path())
                    .map_err(|error| StorageError::io(&entry.path(), error))?;
            }
        }
        let floors = Arc::new(Floors::default());
        let db = Db::open(&dir.join(generation), options, &floors)?;
        Ok(State(Arc::new(Inner {
            dir: dir.to_path_buf(),
            options: options.clone(),
            floors,
            db: ArcSwap::from_pointee(db),
            maintenance: Mutex::new(()),
        })))
    }

    /// Below which events nothing of a fleet is kept any more; what was derived from them goes with
    /// the next compaction.
    pub fn floors(&self) -> &Floors {
        &self.0.floors
    }

    /// Starts a batch of writes.
    pub fn begin(&self) -> Txn {
        Txn::new(self.0.db.load_full())
    }

    /// Reads what is committed.
    pub fn view(&self) -> View {
        View(self.0.db.load_full())
    }

    /// Makes everything committed so far durable, in all families at once.
    pub fn flush(&self) -> Result<(), StorageError> {
        let _guard = self.0.maintenance.lock();
        self.0.db.load().flush()
    }

    /// Flushes and makes a copy in `dest` that shares the immutable files by hard link. `dest`
    /// must not exist.
    pub fn checkpoint(&self, dest: &Path) -> Result<(), StorageError> {
        let _guard = self.0.maintenance.lock();
        let db = self.0.db.load_full();
        db.flush()?;
        Checkpoint::new(&db.db)?.create_checkpoint(dest)?;
        Ok(())
    }

    /// Makes the database in directory `from` (a checkpoint on the same file system) the current
    /// state. `from` is moved. Views taken before keep reading the old state.
    pub fn replace(&self, from: &Path) -> Result<(), StorageError> {
        let _guard = self.0.maintenance.lock();
        let old = self.0.db.load_full();
        let number = generation_number(&old.path)? + 1;
        let target = self.0.dir.join(generation_name(number));
        if target.exists() {
            // Left by a swap that failed.
            fs::remove_dir_all(&target).map_err(|error| StorageError::io(&target, error))?;
        }
        fs::rename(from, &target).map_err(|error| StorageError::io(from, error))?;
        let db = Db::open(&target, &self.0.options, &self.0.floors)?;
        write_current(&self.0.dir, number)?;
        self.0.db.store(Arc::new(db));
        // A reader may still hold the old generation.
        let _ = old.leftover.0.set(old.path.clone());
        Ok(())
    }

    /// Bytes on disk in table and blob files, and bytes in memory not yet flushed.
    pub fn size_bytes(&self) -> Result<StateSize, StorageError> {
        let db = self.0.db.load_full();
        let mut size = StateSize::default();
        for cf in Cf::ALL {
            let handle = db.handle(cf);
            let property = |name: &str| -> Result<u64, StorageError> {
                Ok(db.db.property_int_value_cf(handle, name)?.unwrap_or(0))
            };
            size.disk_bytes += property("rocksdb.total-sst-files-size")?;
            size.disk_bytes += property("rocksdb.total-blob-file-size")?;
            size.memory_bytes += property("rocksdb.cur-size-all-mem-tables")?;
        }
        Ok(size)
    }

    /// Bytes of memory that the database takes, by what for.
    pub fn memory_bytes(&self) -> Result<StateMemory, StorageError> {
        let db = self.0.db.load_full();
        let mut memory = StateMemory::default();
        for cf in Cf::ALL {
            let handle = db.handle(cf);
            let property = |name: &str| -> Result<u64, StorageError> {
                Ok(db.db.property_int_value_cf(handle, name)?.unwrap_or(0))
            };
            memory.write_buffer_bytes += property("rocksdb.cur-size-all-mem-tables")?;
            memory.table_reader_bytes += property("rocksdb.estimate-table-readers-mem")?;
            // All families share one cache.
            memory.block_cache_bytes = property("rocksdb.block-cache-usage")?;
        }
        Ok(memory)
    }

    /// Reads every table and blob file once and checks its checksums; says what is damaged.
    /// Long: proportional to what is stored. `progress` is called with rows read so far and
    /// stops the scan by returning false.
    pub fn scrub(&self, mut progress: impl FnMut(u64) -> bool) -> Result<u64, StorageError> {
        let db = self.0.db.load_full();
        let mut rows = 0u64;
        for cf in Cf::ALL {
            let mut options = ReadOptions::default();
            options.set_verify_checksums(true);
            options.fill_cache(false);
            let mut iterator = db.db.raw_iterator_cf_opt(db.handle(cf), options);
            iterator.seek_to_first();
            while iterator.valid() {
                rows += 1;
                if rows.is_multiple_of(1024) && !progress(rows) {
                    return Ok(rows);
                }
                iterator.next();
            }
            iterator.status()?;
        }
        Ok(rows)
    }
}

/// How much room the state takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateSize {
    /// Bytes of live and obsolete table and blob files.
    pub disk_bytes: u64,
    /// Bytes of memtables.
    pub memory_bytes: u64,
}

/// What the database takes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateMemory {
    /// Blocks read and kept.
    pub block_cache_bytes: u64,
    /// Writes not yet flushed.
    pub write_buffer_bytes: u64,
    /// Indexes and filters outside the cache, as estimated.
    pub table_reader_bytes: u64,
}

impl Db {
    fn open(
        path: &Path,
        options: &StateOptions,
        floors: &Arc<Floors>,
    ) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let mut database = Options::default();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        database.set_atomic_flush(true);
        database.set_db_write_buffer_size(options.write_buffer_bytes);
        database.set_max_background_jobs(2);
        database.set_bytes_per_sync(1 << 20);
        database.set_keep_log_file_num(4);
        database.set_max_open_files(512);
        database.set_stats_dump_period_sec(0);
        database.set_allow_concurrent_memtable_write(false);
        // One family alone may not hold the whole budget, or its flush would write a file of
        // that size and stall the rest.
        let family = (options.write_buffer_bytes / 2).max(1 << 20);
        let descriptors = Cf::ALL
            .iter()
            .map(|cf| {
                Ok(ColumnFamilyDescriptor::new(
                    cf.name(),
                    cf.options(&cache, family, floors)?,
                ))
            })
            .collect::<Result<Vec<_>, StorageError>>()?;
        let db = DB::open_cf_descriptors(&database, path, descriptors)?;
        Db::of(db, path)
    }

    /// What was just opened.
    pub(crate) fn of(db: DB, path: &Path) -> Result<Self, StorageError> {
        let mut nonces = db.raw_iterator_cf(handle(&db, Cf::Nonce));
        nonces.seek_to_last();
        let unused = Unused::new(nonces.key());
        nonces.status()?;
        drop(nonces);
        Ok(Db {
            db,
            path: path.to_path_buf(),
            cache: RowCache::new(),
            nonces: unused,
            leftover: Leftover::default(),
        })
    }

    pub(crate) fn handle(&self, cf: Cf) -> &ColumnFamily {
        handle(&self.db, cf)
    }

    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_no_slowdown(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Takes note that a batch removed the rows below `upper`, as far as there were any. Called
    /// after the batch is written.
    pub(crate) fn range_deleted(&self, cf: Cf, upper: &[u8]) {
        if RowCache::serves(cf) {
            self.cache.clear();
        }
        if cf == Cf::Nonce {
            self.nonces.removed_below(upper);
        }
    }

    /// Takes over what a batch wrote under a key. Called after the batch is written.
    pub(crate) fn committed(&self, cf: Cf, key: &[u8], value: Option<&[u8]>) {
        if RowCache::serves(cf) {
            self.cache.committed(cf, key, value);
        }
    }

    pub(crate) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.read(cf, key, |value| value.map(<[u8]>::to_vec))
    }

    pub(crate) fn exists(&self, cf: Cf, key: &[u8]) -> Result<bool, StorageError> {
        if cf == Cf::Nonce && self.nonces.lacks(key) {
            return Ok(false);
        }
        self.read(cf, key, |value| value.is_some())
    }

    fn read<T>(
        &self,
        cf: Cf,
        key: &[u8],
        read: impl Fn(Option<&[u8]>) -> T,
    ) -> Result<T, StorageError> {
        if !RowCache::serves(cf) {
            return Ok(read(
                self.db.get_pinned_cf(self.handle(cf), key)?.as_deref(),
            ));
        }
        match self.cache.get(cf, key, &read) {
            Ok(value) => Ok(value),
            Err(miss) => {
                let stored = self.db.get_pinned_cf(self.handle(cf), key)?;
                self.cache.keep(&miss, cf, key, stored.as_deref());
                Ok(read(stored.as_deref()))
            }
        }
    }

    pub(crate) fn raw_iterator(&self, cf: Cf, lower: &[u8], upper: &[u8]) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower.to_vec());
        options.set_iterate_upper_bound(upper.to_vec());
        self.db.raw_iterator_cf_opt(self.handle(cf), options)
    }

    fn flush(&self) -> Result<(), StorageError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let handles: Vec<&ColumnFamily> = Cf::ALL.iter().map(|cf| self.handle(*cf)).collect();
        Ok(self.db.flush_cfs_opt(&handles, &options)?)
    }
}

impl Read for View {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.0.get(cf, key)
    }

    fn exists(&self, cf: Cf, key: &[u8]) -> Result<bool, StorageError> {
        self.0.exists(cf, key)
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
        let mut iterator = self.0.raw_iterator(cf, lower, upper);
        iterator.seek(lower);
        collect(iterator, limit, |iterator| iterator.next())
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
        let mut iterator = self.0.raw_iterator(cf, lower, upper);
        iterator.seek_to_last();
        collect(iterator, limit, |iterator| iterator.prev())
    }
}

fn collect(
    mut iterator: DBRawIterator<'_>,
    limit: usize,
    step: impl Fn(&mut DBRawIterator<'_>),
) -> Result<Vec<Row>, StorageError> {
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some((key, value)) = iterator.item() else {
            break;
        };
        rows.push((key.to_vec(), value.to_vec()));
        step(&mut iterator);
    }
    iterator.status()?;
    Ok(rows)
}

fn handle(db: &DB, cf: Cf) -> &ColumnFamily {
    match db.cf_handle(cf.name()) {
        Some(handle) => handle,
        // Every family of `Cf::ALL` is created at open.
        None => unreachable!("column family {} was not opened", cf.name()),
    }
}

pub(crate) fn generation_name(number: u64) -> String {
    format!("{number:06}")
}

fn generation_number(path: &Path) -> Result<u64, StorageError> {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| StorageError::Corrupt {
            table: "generation",
            detail: format!("{} is not a generation directory", path.display()),
        })
}

fn read_current(dir: &Path) -> Result<Option<String>, StorageError> {
    let path = dir.join("CURRENT");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io(&path, error)),
    };
    let name = text.trim();
    generation_number(Path::new(name))?;
    Ok(Some(name.to_string()))
}

/// Points `CURRENT` at a generation; durable when it returns.
fn write_current(dir: &Path, number: u64) -> Result<(), StorageError> {
    let temporary = dir.join("CURRENT.new");
    let path = dir.join("CURRENT");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        writeln!(file, "{}", generation_name(number))?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|error| StorageError::io(&path, error))
}
