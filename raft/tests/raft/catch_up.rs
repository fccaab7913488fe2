//! A node that was away for long gets a snapshot: whole or not at all, over bad lines, from damaged
//! leaders, from one leader after the other.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::common::{count, dump, eventually, fill, propose};
use crate::line::Line;
use crate::log_lines;
use crate::nodes::{Running, TTL, three};
use tempfile::TempDir;

const ROUNDS: u64 = 8;
const ROUND_BYTES: u64 = 1_000_000;

/// Three voters of which the third is away, while the others fill some files, and the first has
/// no log any more to catch up from.
async fn two_of_three(dir: &Path) -> Vec<Running> {
    let mut nodes = three(dir).await;
    nodes.pop().unwrap().stop().await;
    for round in 0..ROUNDS {
        for part in 0..4 {
            let command = fill(round * 4 + part, (ROUND_BYTES / 4) as usize);
            propose(&nodes[0].node, command).await;
        }
        // A file of its own.
        nodes[0].node.state().flush().unwrap();
    }
    forget_log(&nodes[0]).await;
    nodes
}

async fn forget_log(running: &Running) {
    let index = running.node.snapshot().await.unwrap();
    eventually("the log before the snapshot is gone", || {
        running.node.status().purged_index == index
    })
    .await;
}

/// The third has all that the leader has, and nothing else.
async fn caught_up(dir: &Path, back: &Running, leader: &Running) {
    propose(&leader.node, "after").await;
    eventually("the node catches up", || {
        count(back.node.state(), "after") == 1
    })
    .await;
    assert_eq!(dump(back.node.state()), dump(leader.node.state()));
    eventually("nothing of the transfer is left", || {
        transfers(dir).is_empty()
    })
    .await;
}

/// The directories of snapshots on their way to the third node.
fn transfers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("3/snapshots")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains("/tmp-"))
        .collect()
}

async fn stop_all(nodes: Vec<Running>) {
    for running in nodes {
        running.stop().await;
    }
}

fn flip(path: &Path) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    let middle = file.metadata().unwrap().len() / 2;
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
}

/// A file of the node's newest snapshot.
fn file_of(running: &Running, is_it: impl Fn(&str) -> bool) -> PathBuf {
    let snapshot = running.node.current_snapshot().unwrap();
    let files = snapshot.files().iter().filter(|file| is_it(&file.name));
    let largest = files.max_by_key(|file| file.size_bytes).unwrap();
    snapshot.path().join("state").join(&largest.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_gets_a_snapshot() {
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    // What a kill in the middle of a transfer leaves.
    let left = dir.path().join("3/snapshots/tmp-incoming-7/state");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("000001.sst"), "half of it").unwrap();
    let back = Running::start(dir.path(), 3).await;
    caught_up(dir.path(), &back, &nodes[0]).await;
    assert!(back.node.status().snapshot_index.is_some());
    let generations = fs::read_dir(dir.path().join("3/state")).unwrap();
    let generations = generations.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(generations.count(), 1, "the state before is gone");
    nodes.push(back);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_damaged_in_the_leaders_snapshot_is_not_taken() {
    log_lines::keep();
    for kind in ["MANIFEST", ".blob"] {
        let dir = TempDir::new().unwrap();
        let mut nodes = two_of_three(dir.path()).await;
        let path = file_of(&nodes[0], |name| name.contains(kind));
        // Not the file of the leader's state, which may be the same on disk.
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        flip(&path);
        let back = Running::start(dir.path(), 3).await;
        caught_up(dir.path(), &back, &nodes[0]).await;
        let third = dir.path().join("3/snapshots");
        assert!(log_lines::has(&third, "came damaged; asking for it again"));
        assert!(log_lines::has(&path, "a file of a snapshot is damaged"));
        nodes.push(back);
        stop_all(nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_state_is_damaged_ends_and_another_sends_its_snapshot() {
    log_lines::keep();
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    let path = file_of(&nodes[0], |name| name.ends_with(".blob"));
    assert!(fs::metadata(&path).unwrap().nlink() > 1, "the state has it");
    flip(&path);
    let back = Running::start(dir.path(), 3).await;
    let fatal = tokio::time::timeout(TTL, nodes[0].node.fatal()).await;
    let why = fatal.expect("it goes on");
    assert!(why.contains("does not match its checksum"), "{why}");
    nodes.remove(0).stop().await;
    crate::common::lead(&nodes[0].node).await;
    caught_up(dir.path(), &back, &nodes[0]).await;
    nodes.push(back);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_with_another_leader() {
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    propose(&nodes[0].node, "not in the snapshot of the first").await;
    forget_log(&nodes[1]).await;
    let line = Line::new(ROUNDS * ROUND_BYTES / 2).await;
    let back = Running::start_behind(dir.path(), 3, &line).await;
    line.is_full().await;
    nodes[0].node.hand_over(2).await.unwrap();
    crate::common::lead(&nodes[1].node).await;
    line.open();
    caught_up(dir.path(), &back, &nodes[1]).await;
    let installed = back.node.status().snapshot_index;
    assert_eq!(installed, nodes[1].node.status().snapshot_index);
    nodes.push(back);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_removed_when_the_next_leader_has_the_log() {
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    let line = Line::new(ROUNDS * ROUND_BYTES / 2).await;
    let back = Running::start_behind(dir.path(), 3, &line).await;
    line.is_full().await;
    assert_eq!(transfers(dir.path()).len(), 1);
    nodes.remove(0).stop().await;
    line.open();
    crate::common::lead(&nodes[0].node).await;
    caught_up(dir.path(), &back, &nodes[0]).await;
    assert_eq!(back.node.status().snapshot_index, None);
    nodes.push(back);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_cut_short_goes_on_where_it_was_with_a_newer_snapshot() {
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    let line = Line::new(ROUNDS * ROUND_BYTES * 3 / 4).await;
    let back = Running::start_behind(dir.path(), 3, &line).await;
    line.is_full().await;
    eventually("what came through is on disk", || {
        let files = fs::read_dir(transfers(dir.path())[0].join("state")).unwrap();
        let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
        sizes.sum::<u64>() > ROUNDS * ROUND_BYTES * 3 / 5
    })
    .await;
    propose(&nodes[0].node, fill(1000, 1000)).await;
    nodes[0].node.snapshot().await.unwrap();
    line.open();
    line.cut();
    caught_up(dir.path(), &back, &nodes[0]).await;
    let installed = back.node.status().snapshot_index;
    assert_eq!(installed, nodes[0].node.status().snapshot_index);
    // Two files may come twice: the one that was under way at the cut, and the one that was when the
    // sender went over to the newer snapshot. All of them again would be six rounds more.
    let passed_bytes = line.passed_bytes();
    assert!(passed_bytes < (ROUNDS + 4) * ROUND_BYTES, "{passed_bytes}");

    // Away again, and far behind again: what it has of its own snapshot does not come again.
    back.stop().await;
    propose(&nodes[0].node, fill(1001, ROUND_BYTES as usize)).await;
    forget_log(&nodes[0]).await;
    let line = Line::new(u64::MAX).await;
    let back = Running::start_behind(dir.path(), 3, &line).await;
    propose(&nodes[0].node, "again").await;
    eventually("the node catches up again", || {
        count(back.node.state(), "again") == 1
    })
    .await;
    let passed_bytes = line.passed_bytes();
    assert!(passed_bytes < 3 * ROUND_BYTES, "{passed_bytes}");
    nodes.push(back);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_above_a_snapshot_under_way_is_kept() {
    let dir = TempDir::new().unwrap();
    let mut nodes = two_of_three(dir.path()).await;
    let first = nodes[0].node.status().snapshot_index;
    let line = Line::new(ROUNDS * ROUND_BYTES / 2).await;
    let back = Running::start_behind(dir.path(), 3, &line).await;
    line.is_full().await;
    for seed in 1000..1003 {
        propose(&nodes[0].node, fill(seed, 1000)).await;
        nodes[0].node.snapshot().await.unwrap();
    }
    let second = nodes[0].node.status().snapshot_index;
    assert!(second > first);
    line.open();
    caught_up(dir.path(), &back, &nodes[0]).await;
    // It went on from the log, and got no second snapshot.
    assert_eq!(back.node.status().snapshot_index, first);
    eventually("the log goes once nobody needs it", || {
        nodes[0].node.status().purged_index >= second
    })
    .await;
    nodes.push(back);
    stop_all(nodes).await;
}
