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
    thread::spawn(move || done.send((txn.commit(), txn)));
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
