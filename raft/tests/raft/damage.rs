//! Damage on disk: a write cut short by a crash is recovered, everything else is refused with a
//! sentence that says what and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Counter, config, count, open_state, propose, start, stop};
use ekho_raft::{Node, StartError};
use tempfile::TempDir;

/// Log files in `dir` whose name ends so, with content.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    found.sort();
    found
}

fn largest(dir: &Path, ending: &str) -> PathBuf {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    files(dir, ending).into_iter().max_by_key(size).unwrap()
}

fn flip(path: &Path, bit: u64) {
    let mut data = fs::read(path).unwrap();
    data[(bit / 8) as usize] ^= 1 << (bit % 8);
    fs::write(path, data).unwrap();
}

/// A stopped node whose commands are all in the write-ahead file.
async fn in_write_ahead_file() -> TempDir {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    for index in 0..60 {
        propose(&node, format!("{index:x<900}")).await;
    }
    stop(node).await;
    dir
}

async fn refusal(dir: &Path) -> String {
    let state = open_state(dir);
    match Node::start(config(dir), state, Counter::default()).await {
        Ok(_) => panic!("started on a damaged directory"),
        Err(error) => {
            let text = error.to_string();
            assert!(matches!(error, StartError::Damaged { .. }), "{text}");
            assert!(
                text.contains("restore the data directory from a backup"),
                "{text}"
            );
            text
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_write_ahead_file_is_refused() {
    let dir = in_write_ahead_file().await;
    let file = largest(dir.path(), ".log");
    let bits = fs::metadata(&file).unwrap().len() * 8;
    let original = fs::read(&file).unwrap();
    // Spread over the file: headers, lengths, payloads; the last write is left alone.
    for step in 1..40 {
        let bit = (bits - 16_000) * step / 40 + step;
        flip(&file, bit);
        let text = refusal(dir.path()).await;
        assert!(text.contains(".log"), "bit {bit}: {text}");
        assert!(text.contains("at byte"), "bit {bit}: {text}");
        fs::write(&file, &original).unwrap();
    }
    // Put back, it starts.
    let node = start(dir.path()).await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_cut_short_is_recovered() {
    for cut_bytes in [1, 3, 500] {
        let dir = in_write_ahead_file().await;
        // The state must not be ahead of what is cut off, as it is not after a crash.
        fs::remove_dir_all(dir.path().join("state")).unwrap();
        let file = largest(dir.path(), ".log");
        let size = fs::metadata(&file).unwrap().len();
        fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(size - cut_bytes)
            .unwrap();
        let node = start(dir.path()).await;
        node.read_point().await.unwrap();
        for index in 0..59 {
            assert_eq!(
                count(node.state(), &format!("{index:x<900}")),
                1,
                "command {index}"
            );
        }
        propose(&node, "after").await;
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_table_file_is_refused() {
    let dir = in_write_ahead_file().await;
    // A start writes what it finds in the write-ahead file to a table file.
    let node = start(dir.path()).await;
    stop(node).await;
    let file = largest(dir.path(), ".sst");
    let original = fs::read(&file).unwrap();
    for step in 1..8 {
        // Data blocks come first in the file.
        flip(&file, original.len() as u64 * 8 / 2 * step / 8);
        refusal(dir.path()).await;
        fs::write(&file, &original).unwrap();
    }
    let node = start(dir.path()).await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_manifest_is_refused() {
    let dir = in_write_ahead_file().await;
    let current = fs::read_to_string(dir.path().join("log/CURRENT")).unwrap();
    let file = dir.path().join("log").join(current.trim());
    flip(&file, 300);
    let text = refusal(dir.path()).await;
    assert!(text.contains("MANIFEST"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_file_is_refused() {
    let dir = in_write_ahead_file().await;
    let node = start(dir.path()).await;
    stop(node).await;
    fs::remove_file(largest(dir.path(), ".sst")).unwrap();
    let state = open_state(dir.path());
    let refused = Node::start(config(dir.path()), state, Counter::default()).await;
    let Err(error) = refused else {
        panic!("started")
    };
    assert!(error.to_string().contains(".sst"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_entries_that_are_gone_are_noticed() {
    let dir = in_write_ahead_file().await;
    // All of the write-ahead file: the state knows more than the log then.
    for file in files(dir.path(), ".log") {
        fs::remove_file(file).unwrap();
    }
    let text = refusal(dir.path()).await;
    assert!(text.contains("is applied"), "{text}");
}
