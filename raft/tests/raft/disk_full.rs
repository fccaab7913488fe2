//! A full disk: commands are refused before anything is written, what was accepted is held and
//! finished, reads go on, and room heals it without a restart. Needs root for a small file
//! system of its own; without, there is nothing here that could be tested.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Counter, config, count, eventually, fill, propose, start_with, stop};
use bytes::Bytes;
use ekho_raft::{Node, NodeConfig, Observer, ProposeError};
use tempfile::TempDir;

/// A tmpfs of its own size, unmounted when dropped.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(size_mib: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may mount a small file system");
            return None;
        }
        let dir = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size_mib}m"),
                "ekho-test",
            ])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "mount failed");
        Some(SmallDisk { dir })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves `free_bytes` on the disk.
    fn fill_up(&self, free_bytes: u64) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        let block = vec![0xa5u8; 64 * 1024];
        while self.free_bytes() > free_bytes {
            let left = (self.free_bytes() - free_bytes).min(block.len() as u64) as usize;
            if file.write_all(&block[..left]).is_err() {
                break;
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.dir.path())
            .status();
    }
}

#[derive(Default)]
struct Flags(Mutex<Vec<bool>>);

impl Observer for Flags {
    fn disk_full(&self, full: bool) {
        self.0.lock().unwrap().push(full);
    }
}

fn small(dir: &Path) -> (NodeConfig, Arc<Flags>) {
    let flags = Arc::new(Flags::default());
    let mut config = config(dir);
    config.limits.log_write_buffer_bytes = 4 << 20;
    config.timing.maintenance = Duration::from_millis(20);
    config.observer = flags.clone();
    (config, flags)
}

/// Proposes until it works again.
async fn healed(node: &Node<Counter>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match node.propose(Bytes::from_static(b"healed")).await {
            Ok(_) => return,
            Err(ProposeError::DiskFull) => {
                assert!(Instant::now() < deadline, "still refused, with room");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn little_room_refuses_commands_before_anything_is_written() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let (mut config, flags) = small(disk.path());
    config.limits.disk_free_min_bytes = 24 << 20;
    let node = start_with(config).await;
    propose(&node, "before").await;
    let last = node.status().last_log_index;

    disk.fill_up(8 << 20);
    eventually("noticing", || node.status().disk_full).await;
    for _ in 0..10 {
        assert_eq!(
            node.propose(Bytes::from_static(b"x")).await,
            Err(ProposeError::DiskFull)
        );
    }
    assert_eq!(node.status().last_log_index, last);
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "before"), 1);

    disk.make_room();
    healed(&node).await;
    assert!(!node.status().disk_full);
    assert_eq!(*flags.0.lock().unwrap(), [true, false]);
    stop(node).await;
}

/// What failed writes do, with the watch on free space off.
async fn write_until_full(disk: &SmallDisk, command_bytes: usize, time: u64) {
    let (config, flags) = small(disk.path());
    let node = start_with(config.clone()).await;
    let first = time * 100_000;
    for seed in first..first + 20 {
        propose(&node, fill(seed, 1000)).await;
    }
    disk.fill_up(2 << 20);

    // Many callers at once, until the disk stops them. None may get an error that says anything
    // but "not done" or "wait".
    let enough = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..16u64)
        .map(|caller| {
            let (node, enough) = (node.clone(), enough.clone());
            tokio::spawn(async move {
                let mut done = Vec::new();
                for round in 0..1000 {
                    if enough.load(Ordering::Relaxed) {
                        break;
                    }
                    let seed = first + 1000 + caller * 1000 + round;
                    match node.propose(fill(seed, command_bytes)).await {
                        Ok(_) => done.push(seed),
                        Err(ProposeError::DiskFull) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                done
            })
        })
        .collect();
    eventually("filling up", || node.status().disk_full).await;
    enough.store(true, Ordering::Relaxed);
    assert_eq!(
        node.propose(Bytes::from_static(b"x")).await,
        Err(ProposeError::DiskFull)
    );
    // Reads go on: of what was answered, at a read point.
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), &text(fill(first + 3, 1000))), 1);
    assert!(node.status().fatal.is_none());

    disk.make_room();
    healed(&node).await;
    // What was held is finished and answered.
    let mut done = Vec::new();
    for caller in callers {
        done.extend(caller.await.unwrap());
    }
    node.read_point().await.unwrap();
    for seed in &done {
        assert_eq!(
            count(node.state(), &text(fill(*seed, command_bytes))),
            1,
            "command {seed}"
        );
    }
    assert!(node.status().fatal.is_none());
    assert_eq!(flags.0.lock().unwrap().last(), Some(&false));
    stop(node).await;

    // And it is all on disk.
    let node = start_with(config).await;
    node.read_point().await.unwrap();
    for seed in &done {
        assert_eq!(
            count(node.state(), &text(fill(*seed, command_bytes))),
            1,
            "command {seed}"
        );
    }
    stop(node).await;
}

fn text(command: Bytes) -> String {
    String::from_utf8(command.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_writes_of_small_commands_are_held_and_finished() {
    let Some(disk) = SmallDisk::mount(128) else {
        return;
    };
    write_until_full(&disk, 500, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_writes_of_large_commands_are_held_and_finished() {
    let Some(disk) = SmallDisk::mount(160) else {
        return;
    };
    write_until_full(&disk, 100_000, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_again_heals_again() {
    let Some(disk) = SmallDisk::mount(128) else {
        return;
    };
    for time in 0..2 {
        write_until_full(&disk, 20_000, time).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_room() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let (mut config, _) = small(disk.path());
    config.limits.disk_free_min_bytes = 1 << 20;
    let node = start_with(config).await;
    for seed in 0..100 {
        propose(&node, fill(seed, 50_000)).await;
    }
    disk.fill_up(0);
    let building = {
        let node = node.clone();
        tokio::spawn(async move { node.snapshot().await })
    };
    eventually("noticing", || node.status().disk_full).await;
    node.read_point().await.unwrap();
    assert!(!building.is_finished());
    disk.make_room();
    let index = building.await.unwrap().unwrap();
    assert!(index >= Some(100));
    healed(&node).await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_room() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let (config, _) = small(disk.path());
    let node = start_with(config.clone()).await;
    propose(&node, "kept").await;
    disk.fill_up(0);
    // More than the room RocksDB has set aside.
    let held: Vec<_> = (0..20)
        .map(|seed| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(fill(seed, 3 << 20)).await })
        })
        .collect();
    eventually("filling up", || node.status().disk_full).await;
    node.shutdown(Duration::from_millis(200)).await;
    let mut unknown = 0;
    for held in held {
        match held.await.unwrap() {
            Err(ProposeError::OutcomeUnknown) => unknown += 1,
            Ok(_) | Err(ProposeError::DiskFull | ProposeError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(unknown > 0);
    drop(node);
    disk.make_room();
    let node = start_with(config).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "kept"), 1);
    stop(node).await;
}
