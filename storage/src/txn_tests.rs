//! What a batch does while the database takes no writes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Cf, Read, State, StateOptions};

/// Longer than a commit may take that gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// With one file in level 0 the family takes no writes, and none is moved down.
const STALLED: [(&str, &str); 3] = [
    ("level0_file_num_compaction_trigger", "100"),
    ("level0_slowdown_writes_trigger", "1"),
    ("level0_stop_writes_trigger", "1"),
];
const WELL: [(&str, &str); 3] = [
    ("level0_stop_writes_trigger", "100"),
    ("level0_slowdown_writes_trigger", "100"),
    ("level0_file_num_compaction_trigger", "4"),
];

/// A write that waits inside the database holds up those who could mend it: a full disk was never
/// recovered from.
#[test]
fn a_stalled_commit_comes_back_and_may_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    let db = state.begin().db;
    let mut txn = state.begin();
    txn.put(Cf::Meta, b"a".to_vec(), b"1".to_vec());
    txn.commit().unwrap();
    let set = |options: &[(&str, &str)]| db.db.set_options_cf(db.handle(Cf::Meta), options);
    set(&STALLED).unwrap();
    state.flush().unwrap();

    let mut txn = state.begin();
    txn.put(Cf::Meta, b"b".to_vec(), b"2".to_vec());
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send((txn.commit(), txn)).unwrap());
    let (outcome, txn) = outcome.recv_timeout(PATIENCE).unwrap();
    let error = outcome.unwrap_err();
    assert!(error.is_stall() && error.is_no_space(), "{error}");
    assert_eq!(state.view().get(Cf::Meta, b"b").unwrap(), None);

    set(&WELL).unwrap();
    txn.commit().unwrap();
    assert_eq!(
        state.view().get(Cf::Meta, b"b").unwrap(),
        Some(b"2".to_vec())
    );
}

/// A few rows in every family are no reason to flush.
#[test]
fn small_writes_to_all_families_stay_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let options = StateOptions {
        write_buffer_bytes: 1 << 20,
        ..StateOptions::default()
    };
    let state = State::open(dir.path(), &options).unwrap();
    let db = state.begin().db;
    for round in 0..5u8 {
        let mut txn = state.begin();
        for cf in Cf::ALL {
            txn.put(cf, vec![round], vec![round; 3_000]);
        }
        txn.commit().unwrap();
        for cf in Cf::ALL {
            let property = |name: &str| {
                let value = db.db.property_int_value_cf(db.handle(cf), name);
                value.unwrap().unwrap()
            };
            assert_eq!(property("rocksdb.num-immutable-mem-table"), 0, "{round}");
            assert_eq!(property("rocksdb.total-sst-files-size"), 0, "{round}");
        }
    }
}
