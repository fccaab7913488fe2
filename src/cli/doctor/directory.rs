//! The data directory: its rights, its file system, its room, and what a sync costs there.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{statfs, statvfs};
use rustix::process::geteuid;

use super::Finding;
use crate::config::Config;

/// Syncs measured. Few enough to be over in a second on a slow disk.
const SYNCS: usize = 32;
/// What a small batch writes.
const SYNC_BYTES: usize = 4096;
/// Every answer waits for a sync; a slower one is felt.
const SLOW_SYNC: Duration = Duration::from_millis(10);
/// No storage syncs faster; what does, does not sync.
const IMPOSSIBLE_SYNC: Duration = Duration::from_micros(5);
/// Room below this multiple of the limit is worth a word.
const ROOMY: u64 = 8;

/// File systems by the number the kernel gives them, and what is wrong with them here.
const UNSUITABLE: [(u32, &str, &str); 5] = [
    (
        0x0102_1994,
        "tmpfs",
        "everything is gone after a restart of the machine",
    ),
    (
        0x8584_58f6,
        "ramfs",
        "everything is gone after a restart of the machine",
    ),
    (0x6969, "NFS", "locks and syncs cannot be relied on"),
    (0xff53_4d42, "CIFS", "locks and syncs cannot be relied on"),
    (0xfe53_4d42, "SMB2", "locks and syncs cannot be relied on"),
];

pub(super) fn look(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "data directory";
    let dir = config.data_dir.as_path();
    let shown = dir.display();
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {
            let mut findings = vec![rights(dir, &metadata), file_system(dir), room(dir, config)];
            if findings[0].status < super::Status::Fail {
                findings.push(sync_time(dir));
            }
            findings
        }
        Ok(_) => vec![Finding::fail(
            CHECK,
            format!("{shown} is not a directory"),
            "choose another EKHO_DATA_DIR, or move the file away",
        )],
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = existing_parent(dir);
            vec![
                Finding::warn(
                    CHECK,
                    format!("{shown} is not there yet"),
                    "run `ekho setup`, which makes it",
                ),
                room(&above, config),
            ]
        }
        Err(error) => vec![Finding::fail(
            CHECK,
            format!("{shown}: {error}"),
            "let this user reach the directory, or choose another EKHO_DATA_DIR",
        )],
    }
}

fn existing_parent(dir: &Path) -> PathBuf {
    let parents = dir.ancestors().skip(1);
    let named = parents.filter(|parent| !parent.as_os_str().is_empty());
    named
        .filter(|parent| parent.is_dir())
        .map(Path::to_path_buf)
        .next()
        .unwrap_or_else(|| PathBuf::from("."))
}

fn rights(dir: &Path, metadata: &Metadata) -> Finding {
    const CHECK: &str = "data directory";
    let shown = dir.display();
    let probe = dir.join(format!(".doctor.{}", std::process::id()));
    let written = write_probe(&probe, 1);
    let _ = fs::remove_file(&probe);
    if let Err(error) = written {
        return Finding::fail(
            CHECK,
            format!("{shown} cannot be written: {error}"),
            format!("run as its owner, or chown it to this user: chown -R USER {shown}"),
        );
    }
    let mode = metadata.mode() & 0o777;
    let user = geteuid().as_raw();
    if mode & 0o077 != 0 {
        return Finding::warn(
            CHECK,
            format!("{shown} can be reached by others (mode {mode:04o})"),
            format!("chmod 700 {shown}"),
        );
    }
    if metadata.uid() != user {
        return Finding::warn(
            CHECK,
            format!(
                "{shown} belongs to user {}, this is user {user}",
                metadata.uid()
            ),
            "run doctor and the relay as the directory's owner",
        );
    }
    Finding::ok(
        CHECK,
        format!("{shown} is writable, and only for its owner"),
    )
}

fn file_system(dir: &Path) -> Finding {
    const CHECK: &str = "file system";
    match statfs(dir) {
        Ok(stat) => {
            // Its width differs between architectures; the numbers have 32 bits.
            let kind = stat.f_type as u32;
            match UNSUITABLE.iter().find(|(number, ..)| *number == kind) {
                Some((_, name, why)) => Finding::warn(
                    CHECK,
                    format!("{name}: {why}"),
                    "put EKHO_DATA_DIR on a local disk",
                ),
                None => Finding::ok(CHECK, "a local disk, as far as one can tell"),
            }
        }
        Err(error) => Finding::warn(CHECK, format!("unknown: {error}"), "look at the disk"),
    }
}

fn room(dir: &Path, config: &Config) -> Finding {
    const CHECK: &str = "disk room";
    let stat = match statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return Finding::warn(CHECK, format!("unknown: {error}"), "look at the disk"),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let least = config.disk_free_min_bytes;
    let found = format!("{} free, writes stop below {}", mib(free), mib(least));
    let mend = "free some room, or move EKHO_DATA_DIR to a larger disk";
    if free < least {
        Finding::fail(CHECK, found, mend)
    } else if free < least.saturating_mul(ROOMY) {
        Finding::warn(CHECK, found, mend)
    } else {
        Finding::ok(CHECK, found)
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn sync_time(dir: &Path) -> Finding {
    const CHECK: &str = "sync time";
    let probe = dir.join(format!(".doctor.{}", std::process::id()));
    let measured = write_probe(&probe, SYNCS);
    let _ = fs::remove_file(&probe);
    let mut times = match measured {
        Ok(times) => times,
        Err(error) => {
            return Finding::fail(
                CHECK,
                format!("a file cannot be synced: {error}"),
                "look at the disk",
            );
        }
    };
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let found = format!(
        "{} ms in the middle, {} ms at most, of {SYNCS} syncs of {SYNC_BYTES} bytes",
        milliseconds(median),
        milliseconds(longest)
    );
    if median > SLOW_SYNC {
        Finding::warn(
            CHECK,
            found,
            "every answer waits for a sync: use a faster disk",
        )
    } else if median < IMPOSSIBLE_SYNC {
        Finding::warn(
            CHECK,
            format!("{found}: faster than any disk"),
            "this storage does not sync; a power cut would lose what was answered",
        )
    } else {
        Finding::ok(CHECK, found)
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

/// Appends to a new file and syncs it, so many times; at least once.
fn write_probe(path: &Path, times: usize) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let block = [0u8; SYNC_BYTES];
    let mut took = Vec::with_capacity(times);
    for _ in 0..times.max(1) {
        file.write_all(&block)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    Ok(took)
}
