//! A batch of writes against a model: what it reads, and what it leaves in the database.
//!
//! The model is two maps a family: what is committed, and what the batch sees over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ekho_storage::{Cf, Key, Read, Row, State, Txn, prefix_end};
use proptest::prelude::*;

use crate::fresh;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One step of a batch. Keys are short and few, so that steps meet.
#[derive(Clone, Debug)]
enum Op {
    Put {
        cf: Cf,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        cf: Cf,
        key: Vec<u8>,
    },
    Get {
        cf: Cf,
        key: Vec<u8>,
    },
    Scan {
        cf: Cf,
        lower: Vec<u8>,
        upper: Vec<u8>,
        limit: usize,
        forward: bool,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), 1..4u8, Just(0xffu8)], 0..3)
}

fn op() -> impl Strategy<Value = Op> {
    // Two families are enough to see that they are kept apart; one of them has blob files.
    let cf = || prop_oneof![Just(Cf::Queue), Just(Cf::Body)];
    let value = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        4 => (cf(), key(), value).prop_map(|(cf, key, value)| Op::Put { cf, key, value }),
        2 => (cf(), key()).prop_map(|(cf, key)| Op::Delete { cf, key }),
        1 => (cf(), key()).prop_map(|(cf, key)| Op::Get { cf, key }),
        2 => (cf(), key(), key(), 0..9usize, any::<bool>()).prop_map(|(cf, lower, upper, limit, forward)| {
            Op::Scan { cf, lower, upper, limit, forward }
        }),
    ]
}

/// Keys of one case, apart from those of the cases before it in the same database.
struct Space(Vec<u8>);

impl Space {
    fn next() -> Self {
        static CASES: AtomicU32 = AtomicU32::new(0);
        Space(
            Key::new()
                .u32(CASES.fetch_add(1, Ordering::Relaxed))
                .into_bytes(),
        )
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.0.as_slice(), key].concat()
    }

    fn all(&self, read: &impl Read, cf: Cf) -> Vec<Row> {
        read.scan(cf, &self.0, &prefix_end(&self.0), usize::MAX)
            .unwrap()
    }
}

fn range(map: &Map, lower: &[u8], upper: &[u8], limit: usize, forward: bool) -> Vec<Row> {
    let inside = map
        .iter()
        .filter(|(key, _)| key.as_slice() >= lower && key.as_slice() < upper)
        .map(|(key, value)| (key.clone(), value.clone()));
    if forward {
        inside.take(limit).collect()
    } else {
        inside.rev().take(limit).collect()
    }
}

fn scan(
    read: &impl Read,
    cf: Cf,
    lower: &[u8],
    upper: &[u8],
    limit: usize,
    forward: bool,
) -> Vec<Row> {
    let rows = if forward {
        read.scan(cf, lower, upper, limit)
    } else {
        read.scan_rev(cf, lower, upper, limit)
    };
    rows.unwrap()
}

fn run(op: Op, space: &Space, txn: &mut Txn, state: &State, seen: &mut [Map], committed: &[Map]) {
    match op {
        Op::Put { cf, key, value } => {
            txn.put(cf, space.key(&key), value.clone());
            seen[cf as usize].insert(space.key(&key), value);
        }
        Op::Delete { cf, key } => {
            txn.delete(cf, space.key(&key));
            seen[cf as usize].remove(&space.key(&key));
        }
        Op::Get { cf, key } => {
            let key = space.key(&key);
            let expected = seen[cf as usize].get(&key);
            assert_eq!(txn.get(cf, &key).unwrap().as_ref(), expected);
            assert_eq!(txn.exists(cf, &key).unwrap(), expected.is_some());
            // Readers outside see none of it yet.
            let outside = committed[cf as usize].get(&key);
            let view = state.view();
            assert_eq!(view.get(cf, &key).unwrap().as_ref(), outside);
            assert_eq!(view.exists(cf, &key).unwrap(), outside.is_some());
        }
        Op::Scan {
            cf,
            lower,
            upper,
            limit,
            forward,
        } => {
            let (lower, upper) = (space.key(&lower), space.key(&upper));
            let expected = range(&seen[cf as usize], &lower, &upper, limit, forward);
            assert_eq!(scan(txn, cf, &lower, &upper, limit, forward), expected);
            let outside = range(&committed[cf as usize], &lower, &upper, limit, forward);
            assert_eq!(
                scan(&state.view(), cf, &lower, &upper, limit, forward),
                outside
            );
        }
    }
}

/// Runs batches; some are dropped instead of committed.
fn check(state: &State, batches: Vec<(Vec<Op>, bool)>) {
    let space = Space::next();
    let mut committed = vec![Map::new(); Cf::ALL.len()];
    for (ops, commit) in batches {
        let mut txn = state.begin();
        let mut seen = committed.clone();
        for op in ops {
            run(op, &space, &mut txn, state, &mut seen, &committed);
        }
        for cf in Cf::ALL {
            let expected: Vec<Row> = seen[cf as usize].clone().into_iter().collect();
            assert_eq!(
                space.all(&txn, cf),
                expected,
                "the batch's own view of {cf:?}"
            );
        }
        if commit {
            txn.commit().unwrap();
            committed = seen;
        }
        for cf in Cf::ALL {
            let expected: Vec<Row> = committed[cf as usize].clone().into_iter().collect();
            assert_eq!(
                space.all(&state.view(), cf),
                expected,
                "what is committed in {cf:?}"
            );
        }
    }
}

#[test]
fn a_batch_reads_like_a_map_and_commits_like_one() {
    let (_dir, state) = fresh();
    let batch = (
        prop::collection::vec(op(), 0..24),
        prop::bool::weighted(0.8),
    );
    proptest!(|(batches in prop::collection::vec(batch, 1..5))| check(&state, batches));
}

#[test]
fn a_batch_may_be_committed_again_after_a_failure() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    txn.put(Cf::Meta, b"a".to_vec(), b"1".to_vec());
    txn.delete(Cf::Meta, b"b".to_vec());
    txn.commit().unwrap();
    txn.commit().unwrap();
    assert_eq!(
        crate::rows(&state.view(), Cf::Meta),
        [(b"a".to_vec(), b"1".to_vec())]
    );
}

/// Small rows are kept in memory in front of the database; a commit must reach them there too.
#[test]
fn a_row_that_was_read_is_read_anew_after_each_commit() {
    let (_dir, state) = fresh();
    for cf in Cf::ALL {
        let read = || state.view().get(cf, b"k").unwrap();
        assert_eq!(read(), None);
        for round in 0..3u8 {
            let mut txn = state.begin();
            txn.put(cf, b"k".to_vec(), vec![round; 300]);
            assert_eq!(
                read(),
                (round > 0).then_some(vec![]),
                "{cf:?} before the commit"
            );
            txn.commit().unwrap();
            assert_eq!(read(), Some(vec![round; 300]), "{cf:?}");
            let mut txn = state.begin();
            txn.put(cf, b"k".to_vec(), vec![]);
            txn.commit().unwrap();
            assert_eq!(read(), Some(vec![]), "{cf:?}");
        }
        let mut txn = state.begin();
        txn.delete(cf, b"k".to_vec());
        txn.commit().unwrap();
        assert_eq!(read(), None, "{cf:?}");
        assert!(!state.view().exists(cf, b"k").unwrap(), "{cf:?}");
    }
}

/// A reader that runs beside the writer sees every commit that was done when it began to read,
/// and never an older one again.
#[test]
fn a_commit_that_is_done_is_seen_by_every_reader() {
    const COMMITS: u64 = 5000;
    let (_dir, state) = fresh();
    let done = AtomicU64::new(0);
    let number =
        |bytes: Option<Vec<u8>>| bytes.map_or(0, |b| u64::from_be_bytes(b.try_into().unwrap()));
    std::thread::scope(|scope| {
        for key in [b"a", b"b"] {
            let (state, done) = (&state, &done);
            scope.spawn(move || {
                let mut newest = 0;
                while newest < COMMITS {
                    let at_least = done.load(Ordering::Acquire);
                    let read = number(state.view().get(Cf::Registry, key).unwrap());
                    assert!(
                        read >= at_least,
                        "read {read} after {at_least} was committed"
                    );
                    assert!(read >= newest, "read {read} after {newest} was read");
                    newest = read;
                }
            });
        }
        for commit in 1..=COMMITS {
            let mut txn = state.begin();
            for key in [b"a", b"b"] {
                txn.put(Cf::Registry, key.to_vec(), commit.to_be_bytes().to_vec());
            }
            // What only makes the memory before the database start anew now and then.
            let other = commit.to_be_bytes();
            txn.put(Cf::Registry, other, vec![0; 100]);
            txn.commit().unwrap();
            done.store(commit, Ordering::Release);
        }
    });
}

#[test]
fn a_range_deletion_spares_its_upper_bound_and_other_families() {
    let (_dir, state) = fresh();
    for cf in Cf::ALL {
        let mut txn = state.begin();
        for byte in 0..6u8 {
            for cf in Cf::ALL {
                txn.put(cf, vec![byte, 7], vec![byte]);
            }
        }
        txn.commit().unwrap();
        let left = |cf| -> Vec<u8> {
            let view = state.view();
            let is_left = |byte: &u8| view.get(cf, &[*byte, 7]).unwrap().is_some();
            let by_key: Vec<u8> = (0..6).filter(is_left).collect();
            let by_scan = crate::rows(&view, cf).into_iter().map(|(key, _)| key[0]);
            assert_eq!(by_scan.collect::<Vec<u8>>(), by_key, "{cf:?}");
            by_key
        };
        assert_eq!(left(cf), [0, 1, 2, 3, 4, 5]);

        let mut txn = state.begin();
        txn.delete_range(cf, vec![1], vec![4]);
        txn.commit().unwrap();
        for other in Cf::ALL {
            let expected: &[u8] = if other == cf {
                &[0, 4, 5]
            } else {
                &[0, 1, 2, 3, 4, 5]
            };
            assert_eq!(left(other), expected, "{other:?} after a range of {cf:?}");
        }
    }
}

/// Replicas apply the same log in batches of different sizes and must come to the same bytes: a
/// row written and then removed by range is gone, whether or not a commit lies between the two.
#[test]
fn a_range_deletion_takes_what_its_own_batch_wrote_before_it() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    txn.put(Cf::Nonce, vec![1], b"before".to_vec());
    txn.put(Cf::Nonce, vec![2], b"before".to_vec());
    txn.delete_range(Cf::Nonce, vec![0], vec![9]);
    txn.put(Cf::Nonce, vec![2], b"after".to_vec());
    txn.commit().unwrap();
    assert_eq!(
        crate::rows(&state.view(), Cf::Nonce),
        [(vec![2], b"after".to_vec())]
    );
}
