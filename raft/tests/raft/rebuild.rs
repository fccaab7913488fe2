//! A new cluster made of what one node holds: out of a snapshot, and out of a node whose peers are
//! gone.

use std::fs;
use std::path::Path;

use crate::common::{config, count, fill, open_state, propose, start, start_with, stop};
use bytes::Bytes;
use ekho_raft::{NodeConfig, StartError, inspect, rebuild};
use tempfile::TempDir;

const NEW: &str = "new-cluster";

fn anew(dir: &Path) -> NodeConfig {
    let mut config = config(dir);
    config.cluster_id = NEW.into();
    config
}

fn told() -> Bytes {
    Bytes::from_static(b"told")
}

/// Copies the files of a snapshot to where a new state begins.
fn carry(from: &Path, to: &Path) {
    let to = ekho_storage::State::first_generation(&to.join("state"));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_a_cluster_of_its_own() {
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = start(old.path()).await;
    for seed in 0..30 {
        propose(&node, fill(seed, 1000)).await;
    }
    propose(&node, "before").await;
    let index = node.snapshot().await.unwrap().unwrap();
    propose(&node, "after").await;
    let snapshot = node.current_snapshot().unwrap();
    assert_eq!(snapshot.cluster_id(), "test-cluster");
    carry(&snapshot.state_path(), new.path());
    drop(snapshot);
    stop(node).await;

    let state = open_state(new.path());
    let told_at = rebuild(&anew(new.path()), None, &state, told())
        .await
        .unwrap();
    assert_eq!(told_at, index + 2);
    drop(state);
    let node = start_with(anew(new.path())).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "before"), 1);
    assert_eq!(count(node.state(), "after"), 0);
    assert_eq!(count(node.state(), "told"), 1);
    assert_eq!(propose(&node, "after").await, "after=1");
    let index = node.snapshot().await.unwrap();
    assert!(index > Some(told_at));
    stop(node).await;
    // It starts again as any other does, and told once is told once.
    let node = start_with(anew(new.path())).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "told"), 1);
    stop(node).await;
    let refused = ekho_raft::Node::start(
        config(new.path()),
        open_state(new.path()),
        crate::common::Counter::default(),
    );
    assert!(matches!(refused.await, Err(StartError::Foreign { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_log_is_not_made_over_the_first() {
    let dir = TempDir::new().unwrap();
    let node = start_with(anew(dir.path())).await;
    propose(&node, "one").await;
    stop(node).await;
    let refused = rebuild(&anew(dir.path()), None, &open_state(dir.path()), told()).await;
    assert!(
        matches!(refused, Err(StartError::Damaged { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_makes_no_cluster() {
    let dir = TempDir::new().unwrap();
    let state = open_state(dir.path());
    let refused = inspect(&config(dir.path()), &state).await;
    assert!(
        matches!(refused, Err(StartError::Nothing { .. })),
        "{refused:?}"
    );
    let refused = rebuild(&anew(dir.path()), Some("test-cluster"), &state, told()).await;
    assert!(
        matches!(refused, Err(StartError::Nothing { .. })),
        "{refused:?}"
    );
}

/// A node with a log, a snapshot and entries above it, stopped.
async fn stopped(dir: &Path) -> u64 {
    let before_ms = crate::common::clock();
    let node = start(dir).await;
    for seed in 0..20 {
        propose(&node, fill(seed, 1000)).await;
    }
    node.snapshot().await.unwrap();
    propose(&node, "above").await;
    let last = node.status().last_log_index;
    stop(node).await;
    let holdings = inspect(&config(dir), &open_state(dir)).await.unwrap();
    assert_eq!(holdings.last_log_index, last);
    assert_eq!(holdings.applied_index, last);
    assert!(holdings.last_command_ms >= Some(before_ms), "{holdings:?}");
    assert_eq!(holdings.members.len(), 1);
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_on_in_a_new_cluster_and_a_repeated_step_does_no_harm() {
    let dir = TempDir::new().unwrap();
    let last = stopped(dir.path()).await;
    for _ in 0..3 {
        let state = open_state(dir.path());
        let told_at = rebuild(&anew(dir.path()), Some("test-cluster"), &state, told()).await;
        assert_eq!(told_at.unwrap(), last + 2);
    }
    // In a third cluster it is nobody's.
    let mut other = anew(dir.path());
    other.cluster_id = "other".into();
    let refused = rebuild(
        &other,
        Some("test-cluster"),
        &open_state(dir.path()),
        told(),
    )
    .await;
    assert!(
        matches!(refused, Err(StartError::Foreign { .. })),
        "{refused:?}"
    );
    let node = start_with(anew(dir.path())).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "above"), 1);
    assert_eq!(count(node.state(), "told"), 1);
    assert_eq!(propose(&node, "above").await, "above=2");
    stop(node).await;
}

/// Cut short between the state and the log: the state says the new cluster, the log the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_short_is_finished_by_the_next() {
    let dir = TempDir::new().unwrap();
    stopped(dir.path()).await;
    let log = TempDir::new().unwrap();
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copy(&dir.path().join("log"), &log.path().join("log"));
    let state = open_state(dir.path());
    rebuild(&anew(dir.path()), Some("test-cluster"), &state, told())
        .await
        .unwrap();
    drop(state);
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    copy(&log.path().join("log"), &dir.path().join("log"));
    let state = open_state(dir.path());
    rebuild(&anew(dir.path()), Some("test-cluster"), &state, told())
        .await
        .unwrap();
    drop(state);
    let node = start_with(anew(dir.path())).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "told"), 1);
    stop(node).await;
}

/// A crash came while a snapshot was being installed: the state is behind it, and the log before
/// it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_behind_the_snapshot_is_brought_up_to_it() {
    let dir = TempDir::new().unwrap();
    stopped(dir.path()).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let state = open_state(dir.path());
    rebuild(&anew(dir.path()), Some("test-cluster"), &state, told())
        .await
        .unwrap();
    drop(state);
    let node = start_with(anew(dir.path())).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "above"), 1);
    assert_eq!(count(node.state(), "told"), 1);
    for seed in 0..20 {
        let text = String::from_utf8(fill(seed, 1000).to_vec()).unwrap();
        assert_eq!(count(node.state(), &text), 1);
    }
    stop(node).await;
}
