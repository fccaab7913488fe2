//! One log, applied in different ways, gives the same bytes and the same answers.
//!
//! Nodes do not cut a log into the same batches: a leader applies what just arrived, a follower
//! what it was sent, a node that starts everything it missed. None of that may show in the state.

use ekho::machine::command::{self, Command};
use ekho::machine::{Effects, apply_command};
use ekho_storage::{Cf, Read, Row, State, StateOptions};
use proptest::prelude::*;

use crate::model::run::Run;
use crate::model::steps::{Step, history};
use crate::property::config;
use crate::rig::{HOUR, Relay, SECOND, grant};

/// A command as it lies in the log, with the time it was stamped with.
type Entry = (u64, Vec<u8>);

/// What a log makes of an empty state: its content, and the outcomes as they are sent back.
struct Applied {
    content: Vec<(Cf, Vec<Row>)>,
    outcomes: Vec<Vec<u8>>,
}

/// Applies a log in batches of these sizes, over and over.
fn apply(log: &[Entry], sizes: &[usize]) -> Applied {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    let mut outcomes = Vec::new();
    let mut rest = log;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        rest = later;
        let mut txn = state.begin();
        let mut effects = Effects::default();
        if outcomes.is_empty() {
            grant(&mut txn);
        }
        for (now_ms, bytes) in batch {
            let command: Command = command::decode(bytes).unwrap();
            let outcome = apply_command(&mut txn, *now_ms, command, &mut effects).unwrap();
            outcomes.push(command::encode(&outcome).to_vec());
        }
        txn.commit().unwrap();
    }
    let view = state.view();
    let everything = |cf| view.scan(cf, &[], &[0xff; 64], usize::MAX).unwrap();
    Applied {
        content: Cf::ALL.into_iter().map(|cf| (cf, everything(cf))).collect(),
        outcomes,
    }
}

/// Fails where the state or the answers depend on how the log is cut.
pub fn same(log: &[Entry], sizes: &[usize]) {
    let once = apply(log, &[1]);
    assert!(once.content.iter().any(|(_, rows)| !rows.is_empty()));
    for sizes in [&[log.len()], sizes] {
        let again = apply(log, sizes);
        for ((cf, expected), (_, found)) in once.content.iter().zip(&again.content) {
            assert!(
                expected == found,
                "{cf:?} differs in batches of {sizes:?}: {}",
                differences(expected, found)
            );
        }
        assert!(
            once.outcomes == again.outcomes,
            "outcomes differ in batches of {sizes:?}"
        );
    }
}

/// Rows that only one side has, in hex.
fn differences(a: &[Row], b: &[Row]) -> String {
    let only = |a: &[Row], b: &[Row]| -> Vec<String> {
        a.iter()
            .filter(|row| !b.contains(row))
            .take(5)
            .map(|(key, _)| hex::encode(key))
            .collect()
    };
    format!(
        "only one by one {:?}, only in batches {:?}",
        only(a, b),
        only(b, a)
    )
}

/// The log that a random history leaves.
fn log_of(state: &State, steps: Vec<Step>) -> Vec<Entry> {
    let mut run = Run::new(state);
    run.relay.recount = false;
    for step in steps {
        run.step(step);
    }
    run.relay.log
}

#[test]
fn a_log_gives_the_same_bytes_however_it_is_cut_into_batches() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    let sizes = prop::collection::vec(1..9usize, 1..5);
    proptest!(config(12), |(steps in history(40..160), sizes in sizes)| {
        same(&log_of(&state, steps), &sizes);
    });
}

/// Nonces are dropped by whole ranges, also those that the same batch has just recorded.
#[test]
fn a_day_applied_in_one_batch_leaves_no_more_nonces_than_hour_by_hour() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for _ in 0..24 {
        relay.sent(&writer, &reviewer);
        relay.take(&reviewer);
        relay.pass(HOUR);
    }
    same(&relay.log, &[7]);
    let nonces = relay
        .txn
        .scan(Cf::Nonce, &[], &[0xff; 64], usize::MAX)
        .unwrap();
    assert_eq!(nonces, [], "an hour after the last one");
}

/// The clock of a new leader may lag behind that of the old one; state time does not follow it.
#[test]
fn time_never_goes_back() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.pass(HOUR);
    let sent_ms = relay.now_ms;
    relay.now_ms -= 30 * SECOND;
    let message = relay.to(&reviewer);
    let sent = relay.send(&writer, message).unwrap();
    assert_eq!(sent.queued_ms, sent_ms);
    assert_eq!(relay.take(&reviewer), [sent.message]);
    same(&relay.log, &[2, 3]);
}
