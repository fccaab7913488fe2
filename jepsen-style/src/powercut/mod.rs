//! `powercut`: a directory that forgets, at a power cut, what was not synced. A FUSE file system in
//! front of a backing directory, served by a thread of this process. Knows nothing of relays.
//!
//! - `disk`: the files, and what each operation does to them
//! - `data`: writes to files that no fsync covered yet, and how they are undone
//! - `names`: the same for creating, renaming, linking and removing
//! - `fs`: the kernel's requests
//!
//! Everything is written to the backing directory at once, together with a note of how to undo it.
//! A sync throws notes away, a power cut follows them. What counts as synced:
//!
//! - **Data and size of a file**: by fsync or fdatasync of any open handle of it, and by every write
//!   through a handle opened with `O_SYNC` or `O_DSYNC`. Closing, renaming and time sync nothing.
//! - **Names** (create, mkdir, symlink, link, rename, unlink, rmdir): by fsync of a directory. They
//!   form one journal for the whole file system, as in ext4 or xfs: the sync of a directory makes its
//!   last operation durable and with it every earlier one, wherever that was. Unlike in ext4, the
//!   fsync of a file does not save its name. After 30 s a name is durable by itself, so that what
//!   was removed does not take room for ever; data never is, but for files with more than 256 MiB of
//!   unsynced writes.
//! - **Mode** is durable at once; owner, times and extended attributes are not kept at all.
//!
//! What a power cut leaves of the rest is one of three things, see [`Survives`]. The disk can also be
//! full, or nearly, see [`Room`]. Memory mappings that are shared and written are not supported
//! beyond what the kernel writes back by itself; RocksDB does not use them.

mod data;
mod disk;
mod fs;
mod names;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session};
use parking_lot::Mutex;

use crate::rng::Rng;
pub use disk::{Disk, Room};

/// What is left, after a power cut, of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing: the cache was lost as a whole.
    Nothing,
    /// Of each file the first so many writes, the next one perhaps in part; of names the first so
    /// many.
    Beginning,
    /// Any pages of 4 KiB, in no order, as a disk writes them that nobody told to wait; of names the
    /// first so many.
    Pages,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Files that are not what they were.
    pub files: usize,
    /// Writes to them, wholly or in part.
    pub writes: usize,
    /// Bytes of these.
    pub bytes: u64,
    /// Creations, renames, links and removals.
    pub names: usize,
}

/// A mounted disk. Unmounted when dropped.
pub struct Mount {
    backing: PathBuf,
    point: PathBuf,
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
}

impl Mount {
    /// Mounts a disk whose content is, and stays, under `backing`.
    pub fn new(backing: &Path, point: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(point)?;
        let disk = Arc::new(Mutex::new(Disk::open(backing)?));
        let mut mount = Mount {
            backing: backing.into(),
            point: point.into(),
            disk,
            session: None,
        };
        mount.attach()?;
        Ok(mount)
    }

    /// Where the files are, for who wants to look at them or damage them while it is detached.
    pub fn files(&self) -> PathBuf {
        self.backing.join(disk::FILES)
    }

    /// How much room there is.
    pub fn set_room(&self, room: Room) {
        self.disk.lock().set_room(room);
    }

    /// Cuts the power. Nobody may have a file open any more.
    pub fn cut(&mut self, survives: Survives, rng: &mut Rng) -> io::Result<Lost> {
        self.detach()?;
        let lost = self.disk.lock().cut(survives, rng)?;
        self.attach()?;
        Ok(lost)
    }

    /// Unmounts, so that the kernel forgets what it has cached. Nobody may have a file open any more.
    pub fn detach(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        match session.umount_and_join() {
            // The kernel hung up while the thread was waiting for the next request.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            other => other.inspect_err(|_| self.let_go()),
        }
    }

    /// Unmounts lazily, for when somebody who was killed is not gone yet.
    fn let_go(&self) {
        let umount = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.point)
            .status();
        drop(umount);
    }

    /// Mounts again.
    pub fn attach(&mut self) -> io::Result<()> {
        // What the kernel knew of the disk it knows no more.
        self.disk.lock().forget_all();
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("powercut".into()),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
        ];
        let fs = fs::Fs::new(Arc::clone(&self.disk));
        self.session = Some(Session::new(fs, &self.point, &config)?.spawn()?);
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.session.is_some() {
            self.let_go();
        }
    }
}
