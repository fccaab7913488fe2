//! Files beside the log and the state, named by the SHA-256 of what is in them. A file has its name
//! when it is whole and synced, and never before; two with one name are the same.
//!
//! What the files are for, and which are still needed, the program above knows. Here they are
//! written, read, checked, sent to other nodes ([`exchange`]) and removed. All of it blocks, but for
//! what is in `exchange`.

mod exchange;
mod incoming;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

pub use exchange::BlobError;
pub(crate) use exchange::request;
pub use incoming::{Incoming, Partial, Stored};

/// SHA-256 of a file's content: its name.
pub type BlobHash = [u8; 32];

/// Bytes read from a file, or asked of another node, at once.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Bytes hashed at once.
const HASHED_BYTES: usize = 256 << 10;
/// Files of other nodes taken in at once, more than a few nodes send. Each has a few frames in memory,
/// besides what the window of its connection lets in.
const RECEIVED_AT_ONCE: usize = 64;
/// Files that other nodes were told of lately, and are remembered. It takes much less time to take
/// one back than to be told of that many.
const PROMISED_MAX: usize = 10_000;
/// Where files are written.
const TEMPORARY: &str = "tmp";
/// Where files are that come from another node bit by bit.
const PARTIAL: &str = "partial";

/// What a look at a file finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is there, and what it should be.
    Whole,
    /// It is not there.
    Missing,
    /// It is there and is something else.
    Damaged,
}

/// A directory of such files. Clones share it.
#[derive(Clone)]
pub struct Blobs(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    /// Files that must not be removed now, and by how many. Also orders removing and renaming.
    held: Mutex<HashMap<BlobHash, usize>>,
    /// Files that other nodes were told are here, and when: they may count on them.
    promised: Mutex<HashMap<BlobHash, Instant>>,
    receiving: tokio::sync::Semaphore,
}

/// Keeps a file from being removed, be it there or yet to come.
pub struct Hold {
    shared: Arc<Shared>,
    hash: BlobHash,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.shared.held.lock();
        if let Some(count) = held.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.hash);
            }
        }
    }
}

impl Blobs {
    /// Those in `dir`, which is made where it is not there. What was written when the process ended
    /// is thrown away.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let temporary = dir.join(TEMPORARY);
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for dir in [temporary, dir.join(PARTIAL)] {
            make_dir(&dir)?;
        }
        Ok(Blobs(Arc::new(Shared {
            dir: dir.to_path_buf(),
            held: Mutex::default(),
            promised: Mutex::default(),
            receiving: tokio::sync::Semaphore::new(RECEIVED_AT_ONCE),
        })))
    }

    /// Where the file is, or would be.
    pub fn path(&self, hash: &BlobHash) -> PathBuf {
        let name = hex(hash);
        self.0.dir.join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// A new file for what is not a blob: gone when the process is, or when it is dropped.
    pub fn spool(&self) -> io::Result<File> {
        let path = self.temporary();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    /// A directory in which files can be linked for a while; what is left of it goes at the next
    /// start.
    pub fn aside(&self) -> io::Result<PathBuf> {
        let path = self.temporary();
        make_dir(&path)?;
        Ok(path)
    }

    fn temporary(&self) -> PathBuf {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.0.dir.join(TEMPORARY).join(number.to_string())
    }

    /// Another node is told that a file is here.
    fn promise(&self, hash: BlobHash) {
        let mut promised = self.0.promised.lock();
        if promised.len() >= PROMISED_MAX {
            let oldest = promised.iter().min_by_key(|(_, at)| **at);
            let oldest = oldest.map(|(hash, _)| *hash);
            oldest.map(|hash| promised.remove(&hash));
        }
        promised.insert(hash, Instant::now());
    }

    /// Keeps a file from being removed for as long as the answer lives.
    pub fn hold(&self, hash: BlobHash) -> Hold {
        *self.0.held.lock().entry(hash).or_default() += 1;
        let shared = self.0.clone();
        Hold { shared, hash }
    }

    /// The length of a file, if it is there.
    pub fn size(&self, hash: &BlobHash) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(hash)) {
            Ok(about) => Ok(Some(about.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a file to its end and compares it with its name.
    pub fn check(&self, hash: &BlobHash) -> io::Result<Look> {
        Ok(match self.open_whole(hash)? {
            Ok(_) => Look::Whole,
            Err(look) => look,
        })
    }

    /// Opens a file that is what its name says, all of which is read for it; at its beginning.
    pub fn open_whole(&self, hash: &BlobHash) -> io::Result<Result<File, Look>> {
        let mut file = match File::open(self.path(hash)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Look::Missing)),
            Err(error) => return Err(error),
        };
        if hash_of(&mut file)? != *hash {
            return Ok(Err(Look::Damaged));
        }
        file.rewind()?;
        Ok(Ok(file))
    }

    /// Makes a whole file count as new, durably, so that it is not removed for being old; whether it
    /// is there and whole. A damaged one is removed.
    pub fn renew(&self, hash: &BlobHash) -> io::Result<bool> {
        let _hold = self.hold(*hash);
        match self.check(hash)? {
            Look::Missing => Ok(false),
            Look::Damaged => {
                self.discard(hash)?;
                Ok(false)
            }
            Look::Whole => {
                let file = File::options().write(true).open(self.path(hash))?;
                file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
                file.sync_all()?;
                Ok(true)
            }
        }
    }

    /// Part of a file: its whole length, and up to `length` bytes from `offset` on.
    pub fn read(
        &self,
        hash: &BlobHash,
        offset: u64,
        length: usize,
    ) -> io::Result<Option<(u64, Bytes)>> {
        let mut file = match File::open(self.path(hash)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size_bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(length.min(CHUNK_BYTES));
        file.take(length.min(CHUNK_BYTES) as u64)
            .read_to_end(&mut bytes)?;
        Ok(Some((size_bytes, bytes.into())))
    }

    /// Removes a file that nobody holds and that has been there for longer than `min_age`; whether
    /// it did.
    pub fn remove_idle(&self, hash: &BlobHash, min_age: Duration) -> io::Result<bool> {
        let held = self.0.held.lock();
        if held.contains_key(hash) {
            return Ok(false);
        }
        let path = self.path(hash);
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // One from the future was written by a clock that was ahead: young.
        let age = about.modified()?.elapsed().unwrap_or_default();
        if age < min_age {
            return Ok(false);
        }
        remove(&path)
    }

    /// Removes a damaged file, held or not.
    pub fn discard(&self, hash: &BlobHash) -> io::Result<bool> {
        let _held = self.0.held.lock();
        remove(&self.path(hash))
    }

    /// Names of files whose first byte is this one, and of what there is of them in part.
    pub fn list(&self, first: u8) -> io::Result<Vec<BlobHash>> {
        let mut found = Vec::new();
        let first = hex(&[first]);
        for dir in entries(&self.0.dir.join(&first))? {
            for file in entries(&dir)? {
                found.extend(file.file_name().and_then(|name| parse(name.to_str()?)));
            }
        }
        Ok(found)
    }

    /// Names of files that are there in part.
    pub fn list_partial(&self) -> io::Result<Vec<BlobHash>> {
        let files = entries(&self.0.dir.join(PARTIAL))?;
        let name = |file: &PathBuf| parse(file.file_name()?.to_str()?);
        Ok(files.iter().filter_map(name).collect())
    }
}

fn hash_of(file: &mut File) -> io::Result<BlobHash> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A hash as it is written.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash that is written so; none where it is something else.
pub fn parse(text: &str) -> Option<BlobHash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
