//! Databases that nobody writes any more, and those that are put together from copies of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{Cache, ColumnFamilyDescriptor, DB, Options};

use crate::state::{Db, State, View, generation_name};
use crate::tables::derived::Floors;
use crate::{Cf, StorageError};

/// Enough for the few rows that are read.
const BLOCK_CACHE_BYTES: usize = 1 << 20;
const WRITE_BUFFER_BYTES: usize = 1 << 20;
const OPEN_FILES: i32 = 128;

impl View {
    /// Opens the files of a checkpoint for reading. They are not changed, nor locked.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let floors = Arc::new(Floors::default());
        let mut database = Options::default();
        database.set_max_open_files(OPEN_FILES);
        let families = Cf::ALL
            .iter()
            .map(|cf| {
                let options = cf.options(&cache, WRITE_BUFFER_BYTES, &floors)?;
                Ok(ColumnFamilyDescriptor::new(cf.name(), options))
            })
            .collect::<Result<Vec<_>, StorageError>>()?;
        let db = DB::open_cf_descriptors_read_only(&database, path, families, false)?;
        Ok(View(Arc::new(Db::of(db, path)?)))
    }
}

impl State {
    /// Where the files of a checkpoint go, for [`State::open`] of `dir` to find them. `dir` must
    /// not exist yet.
    pub fn first_generation(dir: &Path) -> PathBuf {
        dir.join(generation_name(1))
    }
}
