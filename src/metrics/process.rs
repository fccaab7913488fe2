//! What the kernel says of this process. Reads `/proc/self`, at scrapes only.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::procfs::{Stat, bytes, number};

pub(super) struct Process {
    pub resident_bytes: u64,
    pub open_files: u64,
    pub cpu_seconds: f64,
}

/// None where `/proc` is not there.
pub(super) fn sample() -> Option<Process> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The directory being read is one of the files.
    let open_files = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
    Some(Process {
        resident_bytes: bytes(&status, "VmRSS:")?,
        open_files,
        cpu_seconds: Stat::parse(&stat)?.cpu().as_secs_f64(),
    })
}

/// How many files the process may have open; none where there is no limit.
pub(super) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The memory of this process, as the kernel sees it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In use.
    pub resident: u64,
    /// The most that was in use at once.
    pub resident_peak: u64,
    /// Of that in use, what is its own and in no file.
    pub anonymous: u64,
    /// Of that in use, what is in files: the program, and what is mapped.
    pub file: u64,
    /// Moved to the disk.
    pub swapped: u64,
    /// Addresses taken, in use or not.
    pub addresses: u64,
    /// Threads, of which each has a stack.
    pub threads: u64,
}

impl Memory {
    /// None where `/proc` is not there.
    pub fn sample() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |name| bytes(&status, name);
        Some(Memory {
            resident: bytes("VmRSS:")?,
            resident_peak: bytes("VmHWM:")?,
            anonymous: bytes("RssAnon:").unwrap_or_default(),
            file: bytes("RssFile:").unwrap_or_default(),
            swapped: bytes("VmSwap:").unwrap_or_default(),
            addresses: bytes("VmSize:")?,
            threads: number(&status, "Threads:")?,
        })
    }
}
