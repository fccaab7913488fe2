//! The files of a disk, and what each operation does to them and to the notes of how to undo it.
//! Inodes are known by numbers of our own, which are never given twice.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Stat, StatVfs,
};
use rustix::io::Errno;

use super::data::Unsynced;
use super::names::{Change, Dir, Names};
use super::{Lost, Survives};
use crate::rng::Rng;

/// Under the backing directory: what is seen.
pub(super) const FILES: &str = "files";
/// Under the backing directory: what was removed and may come back.
const ATTIC: &str = "removed";

/// The root's number.
pub(super) const ROOT: u64 = 1;

/// So many removals later, files without a name are looked for.
const PURGED_EVERY: u64 = 200;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What the backing directory's disk has.
    Plenty,
    /// Says that so many bytes are free, and takes writes nevertheless.
    Says(u64),
    /// None: whatever needs room fails with ENOSPC.
    None,
}

/// See the module.
pub struct Disk {
    inodes: HashMap<u64, Inode>,
    /// Our numbers by device and inode of the backing directory.
    numbers: HashMap<(u64, u64), u64>,
    next_ino: u64,
    names: Names,
    room: Room,
    removals: u64,
}

struct Inode {
    /// Opened for its place only, so that it is found again under whatever name.
    place: Arc<OwnedFd>,
    key: (u64, u64),
    /// How often the kernel was told of it.
    lookups: u64,
    unsynced: Option<Unsynced>,
}

/// What the kernel is told of a file.
pub(super) struct Seen {
    pub(super) ino: u64,
    pub(super) stat: Stat,
}

impl Disk {
    /// Opens the disk in this directory, which is made where it is missing.
    pub fn open(backing: &Path) -> io::Result<Self> {
        let attic = backing.join(ATTIC);
        // What a process left that did not end by itself was durable enough.
        let _ = std::fs::remove_dir_all(&attic);
        std::fs::create_dir_all(backing.join(FILES))?;
        std::fs::create_dir_all(&attic)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let attic = rustix::fs::open(&attic, flags, Mode::empty())?;
        let root = rustix::fs::open(backing.join(FILES), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        let root = Inode {
            place: Arc::new(root),
            key: key(&stat),
            lookups: 1,
            unsynced: None,
        };
        Ok(Disk {
            numbers: HashMap::from([(root.key, ROOT)]),
            inodes: HashMap::from([(ROOT, root)]),
            next_ino: ROOT + 1,
            names: Names::new(attic),
            room: Room::Plenty,
            removals: 0,
        })
    }

    /// From now on.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// The power is gone.
    pub fn cut(&mut self, survives: Survives, rng: &mut Rng) -> io::Result<Lost> {
        self.purge();
        let mut lost = Lost::default();
        // In order of their numbers, so that a seed means the same again.
        let mut inodes: Vec<(&u64, &mut Inode)> = self.inodes.iter_mut().collect();
        inodes.sort_by_key(|(ino, _)| **ino);
        for (_, inode) in inodes {
            if let Some(unsynced) = inode.unsynced.take() {
                unsynced.cut(survives, rng, &mut lost)?;
            }
        }
        self.names.cut(survives, rng, &mut lost)?;
        Ok(lost)
    }

    /// Forgets files that nobody can come back to: without a name, and the kernel knows nothing of
    /// them.
    fn purge(&mut self) {
        let nameless =
            |inode: &Inode| rustix::fs::fstat(&*inode.place).is_ok_and(|stat| stat.st_nlink == 0);
        let gone: Vec<u64> = self
            .inodes
            .iter()
            .filter(|(_, inode)| inode.lookups == 0 && nameless(inode))
            .map(|(ino, _)| *ino)
            .collect();
        for ino in gone {
            if let Some(inode) = self.inodes.get_mut(&ino) {
                inode.unsynced = None;
            }
            self.drop_unused(ino);
        }
    }

    /// The kernel holds nothing of it any more; everything that is not synced stays unsynced.
    pub(super) fn forget_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.lookups = 0;
        }
        let all: Vec<u64> = self.inodes.keys().copied().collect();
        for ino in all {
            self.drop_unused(ino);
        }
    }

    fn inode(&self, ino: u64) -> io::Result<&Inode> {
        self.inodes.get(&ino).ok_or(Errno::STALE.into())
    }

    fn dir(&self, ino: u64) -> io::Result<Dir> {
        let fd = Arc::clone(&self.inode(ino)?.place);
        Ok(Dir { ino, fd })
    }

    fn path(&self, ino: u64) -> io::Result<PathBuf> {
        let fd = self.inode(ino)?.place.as_raw_fd();
        Ok(PathBuf::from(format!("/proc/self/fd/{fd}")))
    }

    fn needs_room(&self) -> io::Result<()> {
        match self.room {
            Room::None => Err(Errno::NOSPC.into()),
            Room::Plenty | Room::Says(_) => Ok(()),
        }
    }

    /// Finds a name and counts that the kernel was told of it.
    pub(super) fn lookup(&mut self, parent: u64, name: &OsStr) -> io::Result<Seen> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = self.dir(parent)?;
        let place = rustix::fs::openat(&*dir.fd, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&place)?;
        let ino = *self.numbers.entry(key(&stat)).or_insert_with(|| {
            self.next_ino += 1;
            self.next_ino
        });
        let inode = self.inodes.entry(ino).or_insert_with(|| Inode {
            place: Arc::new(place),
            key: key(&stat),
            lookups: 0,
            unsynced: None,
        });
        inode.lookups += 1;
        Ok(Seen { ino, stat })
    }

    pub(super) fn forget(&mut self, ino: u64, lookups: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_sub(lookups);
        }
        self.drop_unused(ino);
    }

    fn drop_unused(&mut self, ino: u64) {
        let unused = self
            .inodes
            .get(&ino)
            .is_some_and(|inode| inode.lookups == 0 && inode.unsynced.is_none());
        if unused
            && ino != ROOT
            && let Some(inode) = self.inodes.remove(&ino)
        {
            self.numbers.remove(&inode.key);
        }
    }

    pub(super) fn stat(&self, ino: u64) -> io::Result<Seen> {
        let stat = rustix::fs::fstat(&*self.inode(ino)?.place)?;
        Ok(Seen { ino, stat })
    }

    pub(super) fn set_mode(&self, ino: u64, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmod(
            self.path(ino)?,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// What is not synced of a file, to be added to.
    fn unsynced(&mut self, ino: u64) -> io::Result<&mut Unsynced> {
        let path = self.path(ino)?;
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::STALE)?;
        if inode.unsynced.is_none() {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            inode.unsynced = Some(Unsynced::new(file));
        }
        inode.unsynced.as_mut().ok_or(Errno::STALE.into())
    }

    pub(super) fn resize(&mut self, ino: u64, size: u64) -> io::Result<()> {
        match size.cmp(&(self.stat(ino)?.stat.st_size as u64)) {
            // RocksDB does this at the end of every file, to give back what it allocated.
            Ordering::Equal => return self.set_len(ino, size),
            Ordering::Greater => self.needs_room()?,
            Ordering::Less => {}
        }
        self.unsynced(ino)?.before_resize(size)?;
        self.set_len(ino, size)
    }

    fn set_len(&self, ino: u64, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(ino)?)?;
        file.set_len(size)
    }

    pub(super) fn open_file(&self, ino: u64, flags: i32) -> io::Result<File> {
        // Reading is always possible, since notes are made of what is overwritten; and it is the
        // kernel that appends.
        let writes = flags & rustix_access_mode() != 0;
        OpenOptions::new()
            .read(true)
            .write(writes)
            .open(self.path(ino)?)
    }

    pub(super) fn create(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u32,
    ) -> io::Result<(Seen, File)> {
        self.needs_room()?;
        let dir = self.dir(parent)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*dir.fd, name, flags, Mode::from_raw_mode(mode))?;
        self.names.note(Change::Added(dir, name.into()))?;
        Ok((self.lookup(parent, name)?, File::from(file)))
    }

    pub(super) fn write(
        &mut self,
        ino: u64,
        file: &File,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let end = offset + data.len() as u64;
        if end > file.metadata()?.len() {
            self.needs_room()?;
        }
        self.unsynced(ino)?
            .before_write(offset, data.len() as u64)?;
        file.write_all_at(data, offset)
    }

    pub(super) fn allocate(
        &mut self,
        ino: u64,
        file: &File,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> io::Result<()> {
        self.needs_room()?;
        let flags = FallocateFlags::from_bits_retain(mode as u32);
        if flags.is_empty() {
            let size = file.metadata()?.len().max(offset + length);
            self.unsynced(ino)?.before_resize(size)?;
        } else if flags != FallocateFlags::KEEP_SIZE {
            return Err(Errno::OPNOTSUPP.into());
        }
        Ok(rustix::fs::fallocate(file, flags, offset, length)?)
    }

    /// Data and size of a file are durable.
    pub(super) fn sync_file(&mut self, ino: u64) -> io::Result<()> {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.unsynced = None;
        }
        self.drop_unused(ino);
        Ok(())
    }

    /// The names in a directory are durable.
    pub(super) fn sync_dir(&mut self, ino: u64) -> io::Result<()> {
        self.names.sync(ino)
    }

    pub(super) fn mkdir(&mut self, parent: u64, name: &OsStr, mode: u32) -> io::Result<Seen> {
        self.needs_room()?;
        let dir = self.dir(parent)?;
        rustix::fs::mkdirat(&*dir.fd, name, Mode::from_raw_mode(mode))?;
        self.names.note(Change::Added(dir, name.into()))?;
        self.lookup(parent, name)
    }

    pub(super) fn symlink(&mut self, parent: u64, name: &OsStr, to: &Path) -> io::Result<Seen> {
        self.needs_room()?;
        let dir = self.dir(parent)?;
        rustix::fs::symlinkat(to, &*dir.fd, name)?;
        self.names.note(Change::Added(dir, name.into()))?;
        self.lookup(parent, name)
    }

    pub(super) fn read_link(&self, ino: u64) -> io::Result<Vec<u8>> {
        let place = &self.inode(ino)?.place;
        Ok(rustix::fs::readlinkat(&**place, "", Vec::new())?.into_bytes())
    }

    pub(super) fn link(&mut self, ino: u64, parent: u64, name: &OsStr) -> io::Result<Seen> {
        self.needs_room()?;
        let (from, dir) = (self.path(ino)?, self.dir(parent)?);
        rustix::fs::linkat(CWD, &from, &*dir.fd, name, AtFlags::SYMLINK_FOLLOW)?;
        self.names.note(Change::Added(dir, name.into()))?;
        self.lookup(parent, name)
    }

    pub(super) fn unlink(&mut self, parent: u64, name: &OsStr) -> io::Result<()> {
        self.removals += 1;
        if self.removals.is_multiple_of(PURGED_EVERY) {
            self.purge();
        }
        let dir = self.dir(parent)?;
        let kept = self.names.put_away(&dir.fd, name)?;
        self.names.note(Change::Removed(dir, name.into(), kept))
    }

    pub(super) fn rmdir(&mut self, parent: u64, name: &OsStr) -> io::Result<()> {
        let dir = self.dir(parent)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(&*dir.fd, name, flags, Mode::empty())?;
        if !list(&inner)?.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        self.unlink(parent, name)
    }

    pub(super) fn rename(
        &mut self,
        parent: u64,
        name: &OsStr,
        to: u64,
        to_name: &OsStr,
        flags: u32,
    ) -> io::Result<()> {
        let (from, to) = (self.dir(parent)?, self.dir(to)?);
        let flags = RenameFlags::from_bits_retain(flags);
        if !(flags - RenameFlags::NOREPLACE).is_empty() {
            return Err(Errno::INVAL.into());
        }
        let old = stat_at(&from.fd, name)?.ok_or(Errno::NOENT)?;
        let kept = match stat_at(&to.fd, to_name)? {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST.into()),
            // Two names of one file: nothing happens, says POSIX.
            Some(there) if key(&there) == key(&old) => return Ok(()),
            Some(there) => {
                if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
                    return Err(Errno::NOTEMPTY.into());
                }
                Some(self.names.put_away(&to.fd, to_name)?)
            }
            None => None,
        };
        rustix::fs::renameat(&*from.fd, name, &*to.fd, to_name)?;
        let change = Change::Moved(from, name.into(), to, to_name.into(), kept);
        self.names.note(change)
    }

    pub(super) fn list(&self, ino: u64) -> io::Result<Vec<(u64, FileType, OsString)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        list(&rustix::fs::open(self.path(ino)?, flags, Mode::empty())?)
    }

    /// The backing directory's figures, as far as the room allows.
    pub(super) fn statvfs(&self) -> io::Result<StatVfs> {
        let mut stat = rustix::fs::fstatvfs(&*self.inode(ROOT)?.place)?;
        let free_bytes = match self.room {
            Room::Plenty => return Ok(stat),
            Room::Says(bytes) => bytes,
            Room::None => 0,
        };
        stat.f_bfree = stat.f_bfree.min(free_bytes / stat.f_frsize);
        stat.f_bavail = stat.f_bfree;
        Ok(stat)
    }
}

fn key(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn stat_at(dir: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The bits of `open` that say whether it is for reading (none), writing or both.
fn rustix_access_mode() -> i32 {
    OFlags::RWMODE.bits() as i32
}

fn list(dir: &OwnedFd) -> io::Result<Vec<(u64, FileType, OsString)>> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            found.push((entry.ino(), entry.file_type(), name.to_os_string()));
        }
    }
    Ok(found)
}
