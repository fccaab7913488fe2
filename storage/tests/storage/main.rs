//! What the state database promises, tested against real RocksDB directories.
//!
//! `golden` pins the bytes of every record; `txn` holds a batch against a model; `state` opens,
//! swaps, copies and kills; `damage` flips bytes; `order` is about keys and what is read in order.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod damage;
mod depth;
mod examples;
mod golden;
mod order;
mod outbox;
mod rollup;
mod state;
mod txn;

use ekho_storage::{Cf, Read, Row, State, StateOptions};
use tempfile::TempDir;

/// A new database in a directory that goes away with it.
fn fresh() -> (TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    (dir, state)
}

fn open(dir: &TempDir) -> State {
    State::open(dir.path(), &StateOptions::default()).unwrap()
}

/// Every row of a family.
fn rows(read: &impl Read, cf: Cf) -> Vec<Row> {
    read.scan(cf, &[], &[0xff; 64], usize::MAX).unwrap()
}

/// Every row of every family.
fn dump(read: &impl Read) -> Vec<(Cf, Vec<Row>)> {
    Cf::ALL.into_iter().map(|cf| (cf, rows(read, cf))).collect()
}

/// Writes one row into every family, in one batch.
fn put_everywhere(state: &State, key: &[u8], value: &[u8]) {
    let mut txn = state.begin();
    for cf in Cf::ALL {
        txn.put(cf, key, value.to_vec());
    }
    txn.commit().unwrap();
}
