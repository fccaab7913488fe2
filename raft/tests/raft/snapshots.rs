//! Snapshots: built on demand and by size, the log purged below them, restarts from them, damage
//! noticed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{
    Counter, config, count, eventually, fill, open_state, propose, start, start_with, stop,
};
use ekho_raft::{Node, SnapshotDir, SnapshotError, StartError};
use tempfile::TempDir;

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

fn log_files_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("log")).unwrap();
    entries
        .filter_map(|entry| fs::metadata(entry.unwrap().path()).ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_purges_the_log_and_carries_a_restart() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    for seed in 0..50 {
        propose(&node, fill(seed, 1000)).await;
    }
    let index = node.snapshot().await.unwrap().unwrap();
    assert!(index >= 50);
    eventually("purging", || node.status().purged_index == Some(index)).await;
    let status = node.status();
    assert_eq!(status.snapshot_index, Some(index));
    assert!(
        status.log_size_bytes < 1000,
        "{} bytes left",
        status.log_size_bytes
    );
    assert_eq!(snapshots(dir.path()).len(), 1);
    propose(&node, "above").await;

    // A second one takes the place of the first, and shares unchanged files with it.
    let first = node.current_snapshot().unwrap();
    let second_index = node.snapshot().await.unwrap().unwrap();
    assert!(second_index > index);
    let second = node.current_snapshot().unwrap();
    second.verify().unwrap();
    // The first stays while it is held, and goes with its last reader.
    assert_eq!(snapshots(dir.path()).len(), 2);
    first.verify().unwrap();
    let inode = |snapshot: &SnapshotDir, name: &str| {
        fs::metadata(snapshot.path().join("state").join(name))
            .map(|file| file.ino())
            .ok()
    };
    let shared = second.files().iter().filter(|file| {
        file.name.ends_with(".sst") && inode(&first, &file.name) == inode(&second, &file.name)
    });
    assert!(shared.count() > 0);
    drop(first);
    assert_eq!(snapshots(dir.path()), [second.path().to_path_buf()]);
    drop(second);
    stop(node).await;

    let node = start(dir.path()).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "above"), 1);
    assert_eq!(node.status().snapshot_index, Some(second_index));
    assert_eq!(propose(&node, "above").await, "above=2");
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_makes_no_new_snapshot() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    propose(&node, "one").await;
    let index = node.snapshot().await.unwrap();
    let path = node.current_snapshot().unwrap().path().to_path_buf();
    assert_eq!(node.snapshot().await.unwrap(), index);
    assert_eq!(node.current_snapshot().unwrap().path(), path);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_log_is_cut_by_itself() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.limits.log_snapshot_bytes = 1 << 20;
    config.limits.log_retained_bytes = 256 * 1024;
    config.limits.log_write_buffer_bytes = 256 * 1024;
    config.limits.tail_cache_bytes = 64 * 1024;
    config.timing.maintenance = Duration::from_millis(5);
    let node = start_with(config).await;
    for seed in 0..600 {
        propose(&node, fill(seed, 20_000)).await;
    }
    // 12 MB went through a log that keeps about one; files go in wholes, and lag a little.
    eventually("purging", || node.status().log_size_bytes < 2 << 20).await;
    eventually("removal of log files", || {
        log_files_bytes(dir.path()) < 6 << 20
    })
    .await;
    let status = node.status();
    assert!(status.purged_index < status.snapshot_index, "{status:?}");
    assert!(status.log_size_bytes >= 256 * 1024, "{status:?}");
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_comes_back_from_snapshot_and_log() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    for _ in 0..20 {
        propose(&node, "below").await;
    }
    node.snapshot().await.unwrap();
    for _ in 0..5 {
        propose(&node, "above").await;
    }
    stop(node).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let node = start(dir.path()).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "below"), 20);
    assert_eq!(count(node.state(), "above"), 5);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_made_again_or_refused() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    propose(&node, "kept").await;
    let index = node.snapshot().await.unwrap();
    eventually("purging", || node.status().purged_index == index).await;
    stop(node).await;
    let manifest = snapshots(dir.path())[0].join("snapshot.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"index\":", "\"index\" :", 1)).unwrap();
    let error = SnapshotDir::open(&snapshots(dir.path())[0]).unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");

    // The state has it all, so the snapshot is built again.
    let node = start(dir.path()).await;
    assert!(node.status().snapshot_index >= index);
    node.current_snapshot().unwrap().verify().unwrap();
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "kept"), 1);
    stop(node).await;

    // With the state gone too, nothing can stand in for it.
    let manifest = snapshots(dir.path())[0].join("snapshot.json");
    fs::remove_file(manifest).unwrap();
    fs::remove_dir_all(dir.path().join("state")).unwrap();
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
        what == "the state" && detail.contains("was removed"),
        "{what}: {detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_finds_any_changed_file() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    for seed in 0..20 {
        propose(&node, fill(seed, 1000)).await;
    }
    node.snapshot().await.unwrap();
    let snapshot = node.current_snapshot().unwrap();
    for file in snapshot.files() {
        let path = snapshot.path().join("state").join(&file.name);
        let original = fs::read(&path).unwrap();
        if original.is_empty() {
            continue;
        }
        let mut changed = original.clone();
        changed[original.len() / 2] ^= 1;
        // Written aside and renamed: the file may be shared with the running state.
        let aside = path.with_extension("aside");
        let kept = path.with_extension("kept");
        fs::write(&aside, changed).unwrap();
        fs::rename(&path, &kept).unwrap();
        fs::rename(&aside, &path).unwrap();
        let error = SnapshotDir::open(snapshot.path())
            .unwrap()
            .verify()
            .unwrap_err();
        assert!(error.to_string().contains(&file.name), "{error}");
        fs::rename(&kept, &path).unwrap();
    }
    SnapshotDir::open(snapshot.path())
        .unwrap()
        .verify()
        .unwrap();
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_while_a_snapshot_is_built() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    for seed in 0..200 {
        propose(&node, fill(seed, 20_000)).await;
    }
    let building = {
        let node = node.clone();
        tokio::spawn(async move { node.snapshot().await })
    };
    let mut meanwhile = 0u64;
    while !building.is_finished() {
        meanwhile += 1;
        propose(&node, "meanwhile").await;
    }
    let index = building.await.unwrap().unwrap();
    assert!(index.is_some());
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "meanwhile"), meanwhile);
    stop(node).await;
}
