//! The journal of names: what was created, moved and removed since the last sync of a directory, and
//! how it is undone. What was removed or replaced lies in a directory apart until that is durable.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use super::{Lost, Survives};
use crate::rng::Rng;

/// As long as the kernel keeps something to itself by default.
const DURABLE_AFTER: Duration = Duration::from_secs(30);

/// A directory, and the number by which syncs name it.
#[derive(Clone)]
pub(super) struct Dir {
    pub(super) ino: u64,
    pub(super) fd: Arc<OwnedFd>,
}

/// One operation.
pub(super) enum Change {
    /// A name that was not there: a file, a directory, a link.
    Added(Dir, OsString),
    /// A name that is gone, and where its file is kept.
    Removed(Dir, OsString, OsString),
    /// From here to there, and where the file is kept that was there.
    Moved(Dir, OsString, Dir, OsString, Option<OsString>),
}

/// See the module.
pub(super) struct Names {
    changes: VecDeque<(Instant, Change)>,
    /// Directory for what was removed.
    attic: OwnedFd,
    next: u64,
}

impl Names {
    /// An empty journal.
    pub(super) fn new(attic: OwnedFd) -> Self {
        Names {
            changes: VecDeque::new(),
            attic,
            next: 0,
        }
    }

    /// Notes what was done.
    pub(super) fn note(&mut self, change: Change) -> io::Result<()> {
        self.changes.push_back((Instant::now(), change));
        while self
            .changes
            .front()
            .is_some_and(|(since, _)| since.elapsed() > DURABLE_AFTER)
        {
            self.settle_first()?;
        }
        Ok(())
    }

    /// Moves a name out of sight; returns where it is.
    pub(super) fn put_away(&mut self, dir: &OwnedFd, name: &OsStr) -> io::Result<OsString> {
        let kept = OsString::from(self.next.to_string());
        renameat(dir, name, &self.attic, &kept)?;
        self.next += 1;
        Ok(kept)
    }

    /// Makes durable what was done in this directory, and everything before that.
    pub(super) fn sync(&mut self, dir: u64) -> io::Result<()> {
        let touches = |change: &Change| match change {
            Change::Added(at, _) | Change::Removed(at, ..) => at.ino == dir,
            Change::Moved(from, _, to, ..) => from.ino == dir || to.ino == dir,
        };
        let last = self.changes.iter().rposition(|(_, change)| touches(change));
        for _ in 0..last.map_or(0, |last| last + 1) {
            self.settle_first()?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        while !self.changes.is_empty() {
            self.settle_first()?;
        }
        Ok(())
    }

    fn settle_first(&mut self) -> io::Result<()> {
        let kept = match self.changes.pop_front() {
            Some((_, Change::Removed(_, _, kept) | Change::Moved(_, _, _, _, Some(kept)))) => kept,
            _ => return Ok(()),
        };
        remove(&self.attic, &kept)
    }

    /// Undoes what does not survive, the newest first.
    pub(super) fn cut(
        &mut self,
        survives: Survives,
        rng: &mut Rng,
        lost: &mut Lost,
    ) -> io::Result<()> {
        let kept = match survives {
            Survives::Nothing => 0,
            Survives::Beginning | Survives::Pages => rng.index(self.changes.len() + 1),
        };
        while self.changes.len() > kept {
            let Some((_, change)) = self.changes.pop_back() else {
                break;
            };
            lost.names += 1;
            match change {
                Change::Added(dir, name) => remove(&dir.fd, &name)?,
                Change::Removed(dir, name, kept) => renameat(&self.attic, &kept, &dir.fd, &name)?,
                Change::Moved(from, old, to, new, kept) => {
                    renameat(&to.fd, &new, &from.fd, &old)?;
                    if let Some(kept) = kept {
                        renameat(&self.attic, &kept, &to.fd, &new)?;
                    }
                }
            }
        }
        self.settle()
    }
}

/// Removes a file or an empty directory.
fn remove(dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => Ok(unlinkat(dir, name, AtFlags::REMOVEDIR)?),
        other => Ok(other?),
    }
}
