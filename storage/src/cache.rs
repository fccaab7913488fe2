//! Recently read small records, so that the same agent, setting or counter is not looked up in
//! the database for every request.
//!
//! Only families whose rows are read again and again go through it. The one writer updates it
//! after each commit; a reader that raced with a commit does not insert what it read. Between the
//! database write and the update a reader may see the old value; nobody has been told of the new
//! one by then.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;

use crate::Cf;

const SHARDS: usize = 16;
/// Bytes one shard holds before it starts anew; with all shards 16 MiB.
const SHARD_BYTES: usize = 1 << 20;
/// What an entry takes beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;

type Value = Option<Box<[u8]>>;

pub(crate) struct Cache {
    hasher: DefaultHashBuilder,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    rows: HashTable<Kept>,
    size_bytes: usize,
    /// Counts commits that touched the shard, for readers to notice one.
    commits: u64,
}

struct Kept {
    hash: u64,
    cf: Cf,
    key: Box<[u8]>,
    value: Value,
}

/// A miss: what must not have changed for the value read to be kept.
pub(crate) struct Miss {
    hash: u64,
    commits: u64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Cache {
            hasher: DefaultHashBuilder::default(),
            shards: Default::default(),
        }
    }

    /// Whether rows of this family are worth keeping.
    pub(crate) fn serves(cf: Cf) -> bool {
        matches!(cf, Cf::Meta | Cf::Registry | Cf::Queue)
    }

    /// What `read` makes of the value, or the miss.
    pub(crate) fn get<T>(
        &self,
        cf: Cf,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, Miss> {
        let hash = self.hash(cf, key);
        let inner = self.shard(hash).lock();
        match inner.rows.find(hash, |kept| kept.is(cf, key)) {
            Some(kept) => Ok(read(kept.value.as_deref())),
            None => Err(Miss {
                hash,
                commits: inner.commits,
            }),
        }
    }

    /// Keeps what was read after a miss, unless a commit came between.
    pub(crate) fn keep(&self, miss: &Miss, cf: Cf, key: &[u8], value: Option<&[u8]>) {
        let mut inner = self.shard(miss.hash).lock();
        if inner.commits != miss.commits {
            return;
        }
        let size_bytes = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        if inner.size_bytes + size_bytes > SHARD_BYTES {
            inner.rows.clear();
            inner.size_bytes = 0;
        }
        let found = inner
            .rows
            .entry(miss.hash, |kept| kept.is(cf, key), |kept| kept.hash);
        if let Entry::Vacant(place) = found {
            place.insert(Kept {
                hash: miss.hash,
                cf,
                key: key.into(),
                value: value.map(Into::into),
            });
            inner.size_bytes += size_bytes;
        }
    }

    /// Takes over what was committed under a key, where the key is kept.
    pub(crate) fn committed(&self, cf: Cf, key: &[u8], value: Option<&[u8]>) {
        let hash = self.hash(cf, key);
        let mut inner = self.shard(hash).lock();
        inner.commits += 1;
        if let Some(kept) = inner.rows.find_mut(hash, |kept| kept.is(cf, key)) {
            kept.value = value.map(Into::into);
        }
    }

    /// Forgets everything, after rows were removed without being named.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut inner = shard.lock();
            inner.commits += 1;
            inner.rows.clear();
            inner.size_bytes = 0;
        }
    }

    fn hash(&self, cf: Cf, key: &[u8]) -> u64 {
        self.hasher.hash_one((cf as usize, key))
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // Tables use the lowest and the highest bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl Kept {
    fn is(&self, cf: Cf, key: &[u8]) -> bool {
        self.cf == cf && *self.key == *key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cache: &Cache, key: &[u8]) -> Option<Option<Vec<u8>>> {
        cache
            .get(Cf::Meta, key, |value| value.map(<[u8]>::to_vec))
            .ok()
    }

    fn miss(cache: &Cache, key: &[u8]) -> Option<Miss> {
        cache.get(Cf::Meta, key, |_| ()).err()
    }

    #[test]
    fn a_read_that_raced_with_a_commit_is_not_kept() {
        let cache = Cache::new();
        let Some(before) = miss(&cache, b"k") else {
            panic!("an empty cache has nothing")
        };
        cache.committed(Cf::Meta, b"k", Some(b"new"));
        cache.keep(&before, Cf::Meta, b"k", Some(b"old"));
        assert_eq!(found(&cache, b"k"), None);
    }

    #[test]
    fn commits_replace_what_is_kept_absence_included() {
        let cache = Cache::new();
        let Some(before) = miss(&cache, b"k") else {
            panic!("an empty cache has nothing")
        };
        cache.keep(&before, Cf::Meta, b"k", None);
        assert_eq!(found(&cache, b"k"), Some(None));
        cache.committed(Cf::Meta, b"k", Some(b"v"));
        assert_eq!(found(&cache, b"k"), Some(Some(b"v".to_vec())));
        cache.committed(Cf::Meta, b"k", None);
        assert_eq!(found(&cache, b"k"), Some(None));
    }

    #[test]
    fn memory_is_bounded() {
        let cache = Cache::new();
        for number in 0..200_000u32 {
            let key = number.to_be_bytes();
            if let Some(miss) = miss(&cache, &key) {
                cache.keep(&miss, Cf::Meta, &key, Some(&[0; 100]));
            }
        }
        assert!(
            cache
                .shards
                .iter()
                .all(|shard| shard.lock().size_bytes <= SHARD_BYTES)
        );
    }
}
