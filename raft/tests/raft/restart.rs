//! Restarts: the state is late, the log is not; the same log makes the same state.

use std::fs;
use std::path::Path;

use crate::common::{Counter, config, count, dump, open_state, propose, start, start_with, stop};
use ekho_raft::log::LogStore;
use ekho_raft::{Node, StartError};
use ekho_storage::Cf;
use openraft::storage::RaftLogStorage;
use tempfile::TempDir;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

async fn write_some(dir: &Path) {
    let node = start(dir).await;
    for round in 0..40 {
        let proposals =
            (0..8).map(|caller| propose(&node, format!("key-{}", (caller * round) % 11)));
        futures::future::join_all(proposals).await;
    }
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_never_flushed_is_replayed() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    let before = dump(&open_state(dir.path()));
    // As after a power cut before the first flush: log there, state gone.
    fs::remove_dir_all(dir.path().join("state")).unwrap();

    let state = open_state(dir.path());
    let node = Node::start(config(dir.path()), state, Counter::default())
        .await
        .unwrap();
    crate::common::lead(&node).await;
    node.read_point().await.unwrap();
    assert_eq!(
        without_position(dump(node.state())),
        without_position(before)
    );
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_log_makes_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    let mut dumps = Vec::new();
    for name in ["first", "second"] {
        let copied = dir.path().join(name);
        copy(&dir.path().join("log"), &copied.join("log"));
        let node = start(&copied).await;
        node.read_point().await.unwrap();
        dumps.push(dump(node.state()));
        stop(node).await;
    }
    let original = dump(&open_state(dir.path()));
    assert!(dumps[0].len() > 10);
    assert_eq!(dumps[0], dumps[1]);
    // The original was applied in other batches, by another process, at other times.
    assert_eq!(
        without_position(dumps.remove(0)),
        without_position(original)
    );
}

/// Without the applied position, which moves by one entry with each leadership.
fn without_position(mut rows: Vec<(Cf, Vec<u8>, Vec<u8>)>) -> Vec<(Cf, Vec<u8>, Vec<u8>)> {
    rows.retain(|(_, key, _)| key != b"raft/applied");
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_committed_position_survives_and_never_passes_the_log() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    let (mut log, _writer) = LogStore::open(&config(dir.path())).unwrap();
    let committed = log.read_committed().await.unwrap().unwrap();
    let state = log.get_log_state().await.unwrap();
    assert_eq!(Some(committed), state.last_log_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let other = TempDir::new().unwrap();
    let refused = Node::start(
        config(dir.path()),
        open_state(other.path()),
        Counter::default(),
    );
    assert!(matches!(refused.await, Err(StartError::InUse { .. })));
    propose(&node, "still-here").await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    let mut other_cluster = config(dir.path());
    other_cluster.cluster_id = "other".into();
    let mut other_node = config(dir.path());
    other_node.node_id = 2;
    for config in [other_cluster, other_node] {
        let state = open_state(dir.path());
        let refused = Node::start(config, state, Counter::default()).await;
        let Err(error) = refused else {
            panic!("started")
        };
        assert!(matches!(error, StartError::Foreign { .. }), "{error}");
        assert!(
            error.to_string().contains("node 1 of cluster test-cluster"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_its_log_is_refused() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    let refused = Node::start(
        config(dir.path()),
        open_state(dir.path()),
        Counter::default(),
    )
    .await;
    let Err(StartError::Damaged { what, detail }) = refused else {
        panic!("started")
    };
    assert!(
        what == "the log" && detail.contains("is applied"),
        "{what}: {detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_another_log_is_refused() {
    let dir = TempDir::new().unwrap();
    write_some(dir.path()).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    // Two leaderships in few entries: the same index holds an entry of another term.
    let shorter = TempDir::new().unwrap();
    for _ in 0..2 {
        let node = start(shorter.path()).await;
        propose(&node, "x").await;
        stop(node).await;
    }
    copy(&shorter.path().join("state"), &dir.path().join("state"));
    let refused = Node::start(
        config(dir.path()),
        open_state(dir.path()),
        Counter::default(),
    )
    .await;
    let Err(StartError::Damaged { detail, .. }) = refused else {
        panic!("started")
    };
    assert!(detail.contains("is not an entry of this log"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_entries_are_read_back_from_disk() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.limits.tail_cache_bytes = 0;
    config.limits.log_write_buffer_bytes = 64 * 1024;
    let node = start_with(config.clone()).await;
    for seed in 0..100 {
        propose(&node, crate::common::fill(seed, 4000)).await;
    }
    stop(node).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let node = start_with(config).await;
    node.read_point().await.unwrap();
    for seed in 0..100 {
        let command = String::from_utf8(crate::common::fill(seed, 4000).to_vec()).unwrap();
        assert_eq!(count(node.state(), &command), 1);
    }
    stop(node).await;
}
