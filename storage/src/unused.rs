//! Tells of most nonces, without looking into the database, that they were not used.
//!
//! Each signed request asks whether its nonce was used, in every bucket in which that may have been,
//! and nearly always it was not. RocksDB has filters too, but one a file and a write buffer. What is
//! said here is certain: a nonce that may have been used is looked for in the database, so all nodes
//! still come to the same answer.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use fastbloom::BloomFilter;
use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

/// Nonces that the first filter of a bucket is made for; each further one is made for twice as many,
/// so that there are few to ask, and memory follows what is used: about two bytes a nonce.
const FIRST_NONCES: usize = 16 * 1024;
/// How often that doubles: no filter takes more than about 8 MB.
const DOUBLED_MAX: usize = 8;
/// How often a filter that has all it was made for takes a nonce for a used one.
const FALSE_POSITIVES: f64 = 0.001;

pub(crate) struct Unused {
    hasher: DefaultHashBuilder,
    known: Mutex<Known>,
}

struct Known {
    /// All rows of this bucket and later ones went through here.
    from: u64,
    buckets: BTreeMap<u32, Vec<Filter>>,
}

struct Filter {
    nonces: BloomFilter,
    room: usize,
}

impl Unused {
    /// `newest` is the key of the newest row that is there already.
    pub(crate) fn new(newest: Option<&[u8]>) -> Self {
        Unused {
            hasher: DefaultHashBuilder::default(),
            known: Mutex::new(Known {
                from: newest
                    .and_then(bucket)
                    .map_or(0, |bucket| u64::from(bucket) + 1),
                buckets: BTreeMap::new(),
            }),
        }
    }

    /// Whether there is certainly no row under this key.
    pub(crate) fn lacks(&self, key: &[u8]) -> bool {
        let Some(bucket) = bucket(key) else {
            return false;
        };
        let hash = self.hasher.hash_one(key);
        let known = self.known.lock();
        u64::from(bucket) >= known.from
            && known.buckets.get(&bucket).is_none_or(|filters| {
                filters
                    .iter()
                    .all(|filter| !filter.nonces.contains_hash(hash))
            })
    }

    /// Takes note of a row that is about to be written.
    pub(crate) fn written(&self, key: &[u8]) {
        let Some(bucket) = bucket(key) else {
            return;
        };
        let hash = self.hasher.hash_one(key);
        let mut known = self.known.lock();
        if u64::from(bucket) < known.from {
            return;
        }
        let filters = known.buckets.entry(bucket).or_default();
        if filters.last().is_none_or(|filter| filter.room == 0) {
            filters.push(Filter::new(FIRST_NONCES << filters.len().min(DOUBLED_MAX)));
        }
        if let Some(filter) = filters.last_mut() {
            filter.nonces.insert_hash(hash);
            filter.room -= 1;
        }
    }

    /// Forgets the buckets below the one of this key, as their rows were removed.
    pub(crate) fn removed_below(&self, key: &[u8]) {
        let Some(bucket) = bucket(key) else {
            return;
        };
        let mut known = self.known.lock();
        known.from = known.from.max(u64::from(bucket));
        known.buckets = known.buckets.split_off(&bucket);
    }
}

impl Filter {
    fn new(nonces: usize) -> Self {
        Filter {
            nonces: BloomFilter::with_false_pos(FALSE_POSITIVES).expected_items(nonces),
            room: nonces,
        }
    }
}

/// The bucket that a key begins with.
fn bucket(key: &[u8]) -> Option<u32> {
    key.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bucket: u32, nonce: u64) -> Vec<u8> {
        [&bucket.to_be_bytes()[..], &nonce.to_be_bytes()[..]].concat()
    }

    #[test]
    fn what_was_written_is_never_said_to_be_lacking() {
        let unused = Unused::new(None);
        for nonce in 0..100_000 {
            unused.written(&key(7, nonce));
        }
        assert!((0..100_000).all(|nonce| !unused.lacks(&key(7, nonce))));
        assert!(unused.lacks(&key(8, 1)), "another bucket");
        let mistaken = (100_000..200_000).filter(|nonce| !unused.lacks(&key(7, *nonce)));
        assert!(mistaken.count() < 1_000, "it is of use");
    }

    #[test]
    fn nothing_is_said_of_buckets_that_were_there_before() {
        let unused = Unused::new(Some(&key(7, 1)));
        unused.written(&key(7, 2));
        assert!(!unused.lacks(&key(7, 3)) && !unused.lacks(&key(6, 3)));
        assert!(unused.lacks(&key(8, 3)));
        unused.written(&key(8, 3));
        assert!(!unused.lacks(&key(8, 3)));
        assert!(!unused.lacks(b"sh"), "it is no key of a nonce");
    }

    #[test]
    fn memory_of_removed_buckets_comes_back() {
        let unused = Unused::new(None);
        for bucket in 1..=3 {
            unused.written(&key(bucket, 1));
        }
        unused.removed_below(&key(3, 0));
        assert_eq!(unused.known.lock().buckets.len(), 1);
        assert!(!unused.lacks(&key(2, 2)), "only the database knows");
        assert!(unused.lacks(&key(3, 2)) && !unused.lacks(&key(3, 1)));
    }
}
