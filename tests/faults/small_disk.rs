//! A file system of a few megabytes, to be filled by the relay or by somebody else.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory. Gone when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one on this directory; none where that is not allowed.
    pub fn mount(dir: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let mounted = rustix::process::geteuid().is_root()
            && Command::new("mount")
                .args([
                    "-t",
                    "tmpfs",
                    "-o",
                    &format!("size={size},mode=0700"),
                    "tmpfs",
                ])
                .arg(dir)
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("summary: full disk: skipped, mounting a tmpfs of {size} takes root");
        }
        mounted.then(|| SmallDisk(dir.to_path_buf()))
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    fn foreign(&self) -> PathBuf {
        self.0.join("foreign")
    }

    /// Somebody else's file takes this much.
    pub fn take(&self, bytes: u64) {
        let file = File::create(self.foreign()).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
    }

    /// Somebody else's file takes everything, and what the relay frees as well: until there is
    /// nothing left.
    pub fn take_everything(&self) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.foreign())
            .unwrap();
        let part = vec![7; 64 << 10];
        for size in [part.len(), 4096] {
            loop {
                match file.write(&part[..size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling the disk: {error}"),
                }
            }
        }
    }

    /// The other file goes.
    pub fn give_back(&self) {
        std::fs::remove_file(self.foreign()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a relay that a failed test leaves behind ends a moment later.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
