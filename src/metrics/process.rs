//! What the kernel says of this process. Reads `/proc/self`, at scrapes only.

use std::fs;

/// Clock ticks a second in `/proc`; fixed for programs on every Linux architecture Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Process {
    pub resident_bytes: u64,
    pub open_files: u64,
    pub cpu_seconds: f64,
}

/// None where `/proc` is not there.
pub(super) fn sample() -> Option<Process> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident_kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    // The directory being read is one of the files.
    let open_files = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
    Some(Process {
        resident_bytes: resident_kib * 1024,
        open_files,
        cpu_seconds: ticks.iter().sum::<u64>() as f64 / TICKS_PER_SECOND,
    })
}
