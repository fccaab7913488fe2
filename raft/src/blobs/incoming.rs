//! Files on their way in: written under another name, hashed as they are written, synced, and given
//! their name at the end.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{BlobHash, Blobs, Hold, PARTIAL, hash_of, hex, make_dir, sync_dir};

/// A file that is being written. Dropped before it is finished, it leaves nothing.
pub struct Incoming {
    blobs: Blobs,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    size_bytes: u64,
}

impl Blobs {
    /// Begins a file.
    pub fn begin(&self) -> io::Result<Incoming> {
        let path = self.temporary();
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Incoming {
            blobs: self.clone(),
            path,
            file,
            hasher: Sha256::new(),
            size_bytes: 0,
        })
    }

    /// What there is of a file that comes from another node.
    pub fn partial(&self, hash: BlobHash) -> io::Result<Partial> {
        let path = self.0.dir.join(PARTIAL).join(hex(&hash));
        let file = File::options()
            .append(true)
            .read(true)
            .create(true)
            .open(&path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Partial {
            blobs: self.clone(),
            hash,
            path,
            file,
            size_bytes,
        })
    }

    /// Removes what there is of a file in part.
    pub fn remove_partial(&self, hash: &BlobHash) -> io::Result<bool> {
        super::remove(&self.0.dir.join(PARTIAL).join(hex(hash)))
    }

    /// Gives a synced file its name, durably; whether it is new. One that has the name already
    /// stays where it is whole, and counts as young.
    fn name(&self, path: &PathBuf, hash: &BlobHash) -> io::Result<bool> {
        let target = self.path(hash);
        if self.renew(hash)? {
            fs::remove_file(path)?;
            return Ok(false);
        }
        let mut made = Vec::new();
        for dir in target.ancestors().skip(1).take(2) {
            if !dir.exists() {
                made.push(dir.to_path_buf());
            }
        }
        if let Some(dir) = target.parent() {
            make_dir(dir)?;
        }
        {
            let _held = self.0.held.lock();
            fs::rename(path, &target)?;
        }
        if let Some(dir) = target.parent() {
            sync_dir(dir)?;
        }
        for dir in made.iter().filter_map(|dir| dir.parent()) {
            sync_dir(dir)?;
        }
        Ok(true)
    }

    /// Removes a file that was stored and came to nothing. It stays where it was there before, where
    /// somebody else holds it, and where another node was told that it is here.
    pub fn take_back(&self, stored: Stored) -> io::Result<bool> {
        let hash = stored.hash;
        let held = self.0.held.lock();
        let is_ours = stored.is_new
            && held.get(&hash) == Some(&1)
            && !self.0.promised.lock().contains_key(&hash);
        let removed = match is_ours {
            true => super::remove(&self.path(&hash)),
            false => Ok(false),
        };
        drop(held);
        removed
    }
}

/// A file that was stored. It is not removed while this lives.
pub struct Stored {
    /// Its name.
    pub hash: BlobHash,
    /// Its length.
    pub size_bytes: u64,
    /// Whether it was not there before.
    is_new: bool,
    _hold: Hold,
}

impl Incoming {
    /// Bytes written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Syncs the file and gives it its name.
    pub fn finish(self) -> io::Result<Stored> {
        let hash: BlobHash = self.hasher.clone().finalize().into();
        let hold = self.blobs.hold(hash);
        self.file.sync_all()?;
        let is_new = self.blobs.name(&self.path, &hash)?;
        Ok(Stored {
            hash,
            size_bytes: self.size_bytes,
            is_new,
            _hold: hold,
        })
    }

    /// The same for a file whose name was said beforehand.
    pub fn finish_as(self, expected: &BlobHash) -> io::Result<Stored> {
        let found: BlobHash = self.hasher.clone().finalize().into();
        if found != *expected {
            let why = format!("it should be {} and is {}", hex(expected), hex(&found));
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        self.finish()
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After it got its name it is not there.
        let _ = fs::remove_file(&self.path);
    }
}

/// What there is of a file that comes from another node. It stays for the next try.
pub struct Partial {
    blobs: Blobs,
    hash: BlobHash,
    path: PathBuf,
    file: File,
    size_bytes: u64,
}

impl Partial {
    /// Bytes that are there.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Adds what follows.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Checks the whole file and gives it its name; whether it is what it should be. One that is not
    /// is thrown away.
    pub fn finish(self) -> io::Result<bool> {
        self.file.sync_all()?;
        let found = hash_of(&mut File::open(&self.path)?)?;
        if found != self.hash {
            fs::remove_file(&self.path)?;
            return Ok(false);
        }
        let _hold = self.blobs.hold(self.hash);
        self.blobs.name(&self.path, &self.hash)?;
        Ok(true)
    }
}
