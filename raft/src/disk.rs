//! What the node does when the disk is full: refuse new commands, hold what it has accepted, and
//! try again until there is room.
//!
//! Three parts can be short of space on their own: the file system as the monitor sees it, a
//! write to the log, and a write to the state. Commands are accepted only while none of them is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::config::Observer;

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// The disk of a node's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes an unprivileged process can still write.
    pub free_bytes: u64,
    /// Bytes it has in all.
    pub size_bytes: u64,
}

/// Which part is short of space.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Short {
    Monitor = 1,
    Log = 2,
    State = 4,
}

/// Shared by everything that writes.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    free_min_bytes: u64,
    short: AtomicU8,
    /// Set when the node stops: whoever is waiting for space gives up.
    stopping: AtomicBool,
    observer: Arc<dyn Observer>,
}

impl Disk {
    pub(crate) fn new(dir: &Path, free_min_bytes: u64, observer: Arc<dyn Observer>) -> Self {
        Disk(Arc::new(Inner {
            dir: dir.to_path_buf(),
            free_min_bytes,
            short: AtomicU8::new(0),
            stopping: AtomicBool::new(false),
            observer,
        }))
    }

    /// Whether commands must be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.0.short.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// How much room there is; none where the directory cannot be asked.
    pub(crate) fn room(&self) -> Option<DiskRoom> {
        let stat = rustix::fs::statvfs(&self.0.dir).ok()?;
        Some(DiskRoom {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// Bytes an unprivileged process can still write.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.room().map(|room| room.free_bytes)
    }

    /// Whether that many more bytes leave the room that has to stay free.
    pub(crate) fn has_room_for(&self, size_bytes: u64) -> bool {
        let needed_bytes = self.0.free_min_bytes.saturating_add(size_bytes);
        // Who cannot say finds out by writing.
        self.free_bytes()
            .is_none_or(|free_bytes| free_bytes >= needed_bytes)
    }

    /// Looks at the file system and returns whether it is short.
    pub(crate) fn check(&self) -> bool {
        let Some(free_bytes) = self.free_bytes() else {
            // A directory that cannot be asked will fail its writes; those say why.
            return false;
        };
        let short = free_bytes < self.0.free_min_bytes;
        self.mark(Short::Monitor, short);
        short
    }

    /// Notes that a part is short of space, or no longer.
    pub(crate) fn mark(&self, part: Short, short: bool) {
        let bit = part as u8;
        let before = if short {
            self.0.short.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.0.short.fetch_and(!bit, Ordering::Relaxed)
        };
        let after = if short { before | bit } else { before & !bit };
        if before == after {
            return;
        }
        if short {
            tracing::warn!(
                ?part,
                free_bytes = self.free_bytes(),
                "disk is full; refusing commands"
            );
        } else {
            tracing::info!(?part, still_short = after != 0, "disk has room again");
        }
        if (before == 0) != (after == 0) {
            self.0.observer.disk_full(after != 0);
        }
    }

    /// Runs `attempt` until it succeeds or fails for another reason than space. Blocks the
    /// calling thread in between. When the node stops, the last error is returned.
    pub(crate) fn retry<T, E>(
        &self,
        part: Short,
        is_no_space: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut backoff = Backoff::new();
        loop {
            match attempt() {
                Err(error) if is_no_space(&error) && !self.is_stopping() => {
                    self.mark(part, true);
                    backoff.wait(self);
                }
                result => {
                    self.mark(part, false);
                    return result;
                }
            }
        }
    }
}

/// Waits between two attempts, longer each time, and short enough to notice a stop.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff(RETRY_FIRST)
    }

    pub(crate) fn wait(&mut self, disk: &Disk) {
        let mut left = self.0;
        while !left.is_zero() && !disk.is_stopping() {
            let step = left.min(RETRY_FIRST);
            thread::sleep(step);
            left -= step;
        }
        self.0 = (self.0 * 2).min(RETRY_LONGEST);
    }
}
