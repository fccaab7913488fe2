//! The database as a whole: what survives a kill, copies, and the swap of a whole state.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ekho_storage::{Cf, Read, State, StateOptions, StorageError};

use crate::{dump, fresh, open, put_everywhere, rows};

/// Names the directory a child process of these tests writes to, and says that it is the child.
const CHILD_DIR: &str = "EKHO_STORAGE_TEST_CHILD_DIR";

fn row(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Runs this very test again in a process of its own, to be killed.
fn child(test: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Tells the parent how far the child is, past libtest's own buffering.
fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\nchild: {line}").unwrap();
    out.flush().unwrap();
}

/// Reads what the child says until `enough` lines came, then kills it. Returns those lines.
fn listen_and_kill(mut child: Child, enough: usize) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let said: Vec<String> = out
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("child: ").map(str::to_string))
        .take(enough)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said.len(), enough, "the child ended early");
    said
}

#[test]
fn a_kill_leaves_what_was_flushed_and_nothing_else() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let state = State::open(Path::new(&dir), &StateOptions::default()).unwrap();
        for number in 1..=10 {
            put_everywhere(&state, &row(number), b"flushed");
        }
        state.flush().unwrap();
        for number in 11..=20 {
            put_everywhere(&state, &row(number), b"not flushed");
        }
        say("written");
        // Until the parent kills us.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "state::a_kill_leaves_what_was_flushed_and_nothing_else";
    listen_and_kill(child(test, dir.path()), 1);

    let state = open(&dir);
    let expected: Vec<_> = (1..=10)
        .map(|number| (row(number).to_vec(), b"flushed".to_vec()))
        .collect();
    for cf in Cf::ALL {
        assert_eq!(rows(&state.view(), cf), expected, "{cf:?}");
    }
}

/// Memory for unflushed writes is small here, so that the database flushes on its own as well.
#[test]
fn a_kill_in_the_middle_of_writing_leaves_one_prefix_over_all_families() {
    const POSITION: &[u8] = b"position";
    let options = StateOptions {
        write_buffer_bytes: 32 << 20,
        ..StateOptions::default()
    };
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let state = State::open(Path::new(&dir), &options).unwrap();
        for number in 1..=1_000_000u64 {
            let mut txn = state.begin();
            txn.put(Cf::Meta, POSITION, row(number).to_vec());
            // Families fill at different rates.
            for cf in Cf::ALL {
                txn.put(
                    cf,
                    row(number),
                    vec![number as u8; 1000 * (cf as usize + 1)],
                );
            }
            txn.commit().unwrap();
            if number.is_multiple_of(1000) {
                state.flush().unwrap();
                say(&number.to_string());
            } else if number.is_multiple_of(100) {
                say("0");
            }
        }
        return;
    }
    let test = "state::a_kill_in_the_middle_of_writing_leaves_one_prefix_over_all_families";
    for enough in [1, 7, 25] {
        let dir = tempfile::tempdir().unwrap();
        let said = listen_and_kill(child(test, dir.path()), enough);
        let flushed: u64 = said.iter().map(|line| line.parse().unwrap()).max().unwrap();

        let state = State::open(dir.path(), &options).unwrap();
        let view = state.view();
        let position = match view.get(Cf::Meta, POSITION).unwrap() {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().unwrap()),
            None => 0,
        };
        assert!(
            position >= flushed,
            "{position} on disk after a flush up to {flushed}"
        );
        for cf in Cf::ALL {
            let keys: Vec<Vec<u8>> = rows(&view, cf)
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| key != POSITION)
                .collect();
            let expected: Vec<Vec<u8>> =
                (1..=position).map(|number| row(number).to_vec()).collect();
            assert_eq!(keys, expected, "{cf:?} after {enough} lines");
        }
    }
}

#[test]
fn a_view_sees_each_commit_as_a_whole() {
    let (_dir, state) = fresh();
    let view = state.view();
    let mut txn = state.begin();
    for cf in Cf::ALL {
        txn.put(cf, b"k".to_vec(), b"1".to_vec());
    }
    assert!(
        dump(&view).iter().all(|(_, rows)| rows.is_empty()),
        "before the commit"
    );
    txn.commit().unwrap();
    assert!(
        dump(&view).iter().all(|(_, rows)| rows.len() == 1),
        "after it"
    );
}

#[test]
fn a_checkpoint_opens_elsewhere_with_the_content_it_was_taken_with() {
    let (_dir, state) = fresh();
    put_everywhere(&state, b"a", &[7; 4096]);
    state.flush().unwrap();
    put_everywhere(&state, b"b", b"not flushed yet");
    let content = dump(&state.view());

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    state.checkpoint(&copy).unwrap();
    put_everywhere(&state, b"a", b"changed later");
    put_everywhere(&state, b"c", b"added later");
    assert!(
        state.checkpoint(&copy).is_err(),
        "a directory that exists is not overwritten"
    );

    let (_other_dir, other) = fresh();
    other.replace(&copy).unwrap();
    assert_eq!(dump(&other.view()), content);
    assert!(!copy.exists(), "the copy was moved");
}

#[test]
fn a_replaced_state_is_current_at_once_and_old_views_stay_readable() {
    let (dir, state) = fresh();
    put_everywhere(&state, b"k", b"old");
    let old = state.view();
    let old_content = dump(&old);

    let (_source_dir, source) = fresh();
    put_everywhere(&source, b"k", b"new");
    let copy = dir.path().join("incoming");
    source.checkpoint(&copy).unwrap();
    state.replace(&copy).unwrap();

    assert_eq!(dump(&old), old_content, "a view taken before");
    assert_eq!(
        dump(&state.view()),
        dump(&source.view()),
        "a view taken after"
    );
    put_everywhere(&state, b"l", b"written after");
    let content = dump(&state.view());
    let generations = || {
        let entries = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap());
        entries
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .count()
    };
    assert_eq!(generations(), 2);
    drop(old);
    assert_eq!(generations(), 1, "the old state goes with its last reader");
    state.flush().unwrap();
    drop(state);

    let state = open(&dir);
    assert_eq!(dump(&state.view()), content, "reopened");
}

/// The moment between moving the new state in and pointing at it.
#[test]
fn a_swap_that_a_crash_cut_short_leaves_the_old_state() {
    let (dir, state) = fresh();
    put_everywhere(&state, b"k", b"old");
    let content = dump(&state.view());
    let (_source_dir, source) = fresh();
    put_everywhere(&source, b"k", b"new");
    state.flush().unwrap();
    drop(state);
    source.checkpoint(&dir.path().join("000002")).unwrap();
    fs::write(dir.path().join("CURRENT.new"), "0000").unwrap();

    let state = open(&dir);
    assert_eq!(dump(&state.view()), content);
    let copy = dir.path().join("incoming");
    source.checkpoint(&copy).unwrap();
    state.replace(&copy).unwrap();
    assert_eq!(
        dump(&state.view()),
        dump(&source.view()),
        "the swap can be done again"
    );
}

#[test]
fn a_swap_that_failed_changes_nothing_and_can_be_tried_again() {
    let (dir, state) = fresh();
    put_everywhere(&state, b"k", b"old");
    let content = dump(&state.view());
    let missing = state.replace(&dir.path().join("nothing-here"));
    assert!(
        matches!(missing, Err(StorageError::Io { .. })),
        "{missing:?}"
    );

    let (_source_dir, source) = fresh();
    put_everywhere(&source, b"k", b"new");
    let damaged = dir.path().join("damaged");
    source.checkpoint(&damaged).unwrap();
    fs::write(damaged.join("CURRENT"), "no such manifest\n").unwrap();
    let refused = state.replace(&damaged);
    assert!(
        matches!(refused, Err(StorageError::Database(_))),
        "{refused:?}"
    );
    assert_eq!(dump(&state.view()), content);

    let copy = dir.path().join("incoming");
    source.checkpoint(&copy).unwrap();
    state.replace(&copy).unwrap();
    assert_eq!(dump(&state.view()), dump(&source.view()));
}

#[test]
fn a_current_file_that_names_no_generation_is_refused() {
    let (dir, state) = fresh();
    drop(state);
    fs::write(dir.path().join("CURRENT"), "../elsewhere\n").unwrap();
    let refused = State::open(dir.path(), &StateOptions::default()).map(|_| ());
    assert!(
        matches!(
            refused,
            Err(StorageError::Corrupt {
                table: "generation",
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn the_size_on_disk_grows_with_what_is_flushed() {
    let (_dir, state) = fresh();
    let empty = state.size_bytes().unwrap();
    let mut txn = state.begin();
    for number in 0..200u64 {
        // Bytes that do not compress.
        let body: Vec<u8> = (0..1024u64)
            .map(|byte| (byte * 31 + number * 97 + byte * byte * number) as u8)
            .collect();
        txn.put(Cf::Body, row(number), body);
    }
    txn.commit().unwrap();
    let written = state.size_bytes().unwrap();
    assert!(written.memory_bytes > empty.memory_bytes, "{written:?}");
    state.flush().unwrap();
    let flushed = state.size_bytes().unwrap();
    assert!(flushed.disk_bytes > empty.disk_bytes, "{flushed:?}");
    assert!(flushed.memory_bytes < written.memory_bytes, "{flushed:?}");
}
