//! Reading a backup: what it says of itself, and every byte of it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tar::{Archive, Entry, EntryType};

use super::archive::{Hashing, sum_line};
use super::manifest::{attachment_hash, sums_max_bytes};
use super::{ATTACHMENTS, Attached, BackupError, BackupFile, MANIFEST, Manifest, SUMS};

/// Longest manifest that is read.
const MANIFEST_MAX_BYTES: u64 = 16 << 20;

/// What is done with a backup while it is read.
pub trait Take {
    /// Hears what the backup says of itself, before anything else. What it says is not proved yet.
    fn begin(&mut self, manifest: &Manifest) -> Result<(), BackupError>;

    /// Takes a file of the state, of which it may leave what it does not want.
    fn file(&mut self, file: &BackupFile, content: &mut dyn Read) -> Result<(), BackupError>;

    /// Takes the file of an attachment, named by its SHA-256; the same.
    fn attachment(&mut self, hash: &[u8; 32], content: &mut dyn Read) -> Result<(), BackupError>;
}

/// Takes nothing: for whoever only wants to know that a backup is whole.
pub struct Nothing;

impl Take for Nothing {
    fn begin(&mut self, _: &Manifest) -> Result<(), BackupError> {
        Ok(())
    }

    fn file(&mut self, _: &BackupFile, _: &mut dyn Read) -> Result<(), BackupError> {
        Ok(())
    }

    fn attachment(&mut self, _: &[u8; 32], _: &mut dyn Read) -> Result<(), BackupError> {
        Ok(())
    }
}

/// A backup of which every byte was compared with its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its length.
    pub size_bytes: u64,
}

/// The file of a backup, as long as it should be. What is in it was not looked at but for the
/// beginning.
#[derive(Debug)]
pub struct Opened {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its length.
    pub size_bytes: u64,
    /// At its beginning.
    pub file: File,
}

impl Opened {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let mut file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        let mut archive = Archive::new(&mut file);
        let mut entries = archive.entries()?.raw(true);
        let first = entries.next();
        let (manifest, json) = manifest(first, size_bytes)?;
        let want_bytes = manifest.whole_bytes(json.len() as u64);
        length(size_bytes, want_bytes)?;
        file.rewind()?;
        Ok(Opened {
            manifest,
            size_bytes,
            file,
        })
    }
}

/// Reads a backup to its end, and says what it is when every byte is what it should be. Until then
/// what `take` was given may be anything.
pub fn read(source: impl Read, take: &mut impl Take) -> Result<Checked, BackupError> {
    let counted = Counted::new(source);
    let seen = Arc::clone(&counted.seen);
    let have_bytes = || seen.read_bytes.load(Ordering::Relaxed);
    let mut archive = Archive::new(counted);
    let mut entries = archive.entries()?.raw(true);
    let (manifest, json) = manifest(entries.next(), have_bytes())?;
    let want_bytes = manifest.whole_bytes(json.len() as u64);
    let cut_short = || BackupError::CutShort {
        have_bytes: have_bytes(),
        want_bytes,
    };
    // What the archive says when the next file is not there.
    let broken = |name: &str, error: &io::Error| match seen.ended.load(Ordering::Relaxed) {
        true => cut_short(),
        false => BackupError::damaged(name, format!("cannot be found: {error}")),
    };
    take.begin(&manifest)?;
    let mut sums = hashed_line(&json, MANIFEST)?;
    for (name, file) in manifest.entries() {
        let next = entries.next().ok_or_else(cut_short)?;
        let mut entry = next.map_err(|error| broken(&name, &error))?;
        is_file(&entry, &name, Some(file.size_bytes))?;
        let mut content = Hashing::new(&mut entry);
        take.file(file, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        let hashed = content.finish();
        if hashed.read_bytes != file.size_bytes {
            return Err(cut_short());
        }
        sums.push_str(&sum_line(&hashed.sha256, &name));
    }
    let mut attached = Attached::default();
    for _ in 0..manifest.attachments.files {
        let next = entries.next().ok_or_else(cut_short)?;
        let mut entry = next.map_err(|error| broken(ATTACHMENTS, &error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let hash = attachment_hash(&name)
            .ok_or_else(|| BackupError::damaged(ATTACHMENTS, "has another file"))?;
        is_file(&entry, &name, None)?;
        let size_bytes = entry.size();
        let mut content = Hashing::new(&mut entry);
        take.attachment(&hash, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        let hashed = content.finish();
        if hashed.read_bytes != size_bytes {
            return Err(cut_short());
        }
        if hashed.sha256 != hash {
            return Err(BackupError::damaged(&name, "does not match its checksum"));
        }
        attached.add(size_bytes);
        sums.push_str(&sum_line(&hashed.sha256, &name));
    }
    attached.missing = manifest.attachments.missing;
    if attached != manifest.attachments {
        return Err(BackupError::damaged(ATTACHMENTS, "are not as many bytes"));
    }
    let next = entries.next().ok_or_else(cut_short)?;
    let mut entry = next.map_err(|error| broken(SUMS, &error))?;
    is_file(&entry, SUMS, None)?;
    let mut given = Vec::new();
    let limit_bytes = sums_max_bytes(&manifest);
    entry.by_ref().take(limit_bytes).read_to_end(&mut given)?;
    if given.len() as u64 != entry.size().min(limit_bytes) {
        return Err(cut_short());
    }
    compare(&sums, &given)?;
    drop(entry);
    match entries.next() {
        None => {}
        Some(Ok(_)) => return Err(BackupError::damaged(SUMS, "is not the last")),
        Some(Err(error)) => return Err(broken(SUMS, &error)),
    }
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    length(have_bytes(), want_bytes)?;
    Ok(Checked {
        manifest,
        size_bytes: want_bytes,
    })
}

/// Reads the first file of an archive.
fn manifest<R: Read>(
    first: Option<io::Result<Entry<'_, R>>>,
    have_bytes: u64,
) -> Result<(Manifest, Vec<u8>), BackupError> {
    let no_archive = |why: String| BackupError::NotABackup(why);
    let mut entry = first
        .ok_or_else(|| no_archive("it is empty".into()))?
        .map_err(|_| no_archive("it is no tar archive".into()))?;
    if &*entry.path_bytes() != MANIFEST.as_bytes() {
        return Err(no_archive(format!("{MANIFEST} is not its first file")));
    }
    is_file(&entry, MANIFEST, None)?;
    let size_bytes = entry.size();
    if size_bytes > MANIFEST_MAX_BYTES {
        return Err(no_archive(format!("{MANIFEST} has {size_bytes} bytes")));
    }
    let mut json = Vec::new();
    entry.read_to_end(&mut json)?;
    if json.len() as u64 != size_bytes {
        return Err(BackupError::CutShort {
            have_bytes,
            want_bytes: super::archive::entry_bytes(size_bytes),
        });
    }
    Ok((Manifest::parse(&json)?, json))
}

/// Refuses what is another file than expected, or none at all but a link or a directory.
fn is_file<R: Read>(
    entry: &Entry<'_, R>,
    name: &str,
    size_bytes: Option<u64>,
) -> Result<(), BackupError> {
    let found = entry.path_bytes();
    if &*found != name.as_bytes() || entry.header().entry_type() != EntryType::Regular {
        let found = String::from_utf8_lossy(&found).escape_debug().to_string();
        let why = format!("should follow, and {found} does");
        return Err(BackupError::damaged(name, why));
    }
    match size_bytes {
        Some(size_bytes) if entry.size() != size_bytes => {
            let why = format!("has {} bytes instead of {size_bytes}", entry.size());
            Err(BackupError::damaged(name, why))
        }
        _ => Ok(()),
    }
}

fn hashed_line(content: &[u8], name: &str) -> Result<String, BackupError> {
    let mut hashing = Hashing::new(content);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(sum_line(&hashing.finish().sha256, name))
}

/// Compares what was computed with the end mark.
fn compare(computed: &str, given: &[u8]) -> Result<(), BackupError> {
    if computed.as_bytes() == given {
        return Ok(());
    }
    let given = String::from_utf8_lossy(given);
    let differs = computed.lines().zip(given.lines()).find(|(a, b)| a != b);
    let name = differs.and_then(|(line, _)| line.split_once("  "));
    match name {
        Some((_, name)) => Err(BackupError::damaged(name, "does not match its checksum")),
        None => Err(BackupError::damaged(SUMS, "does not name every file")),
    }
}

fn length(have_bytes: u64, want_bytes: u64) -> Result<(), BackupError> {
    match have_bytes.checked_sub(want_bytes) {
        None => Err(BackupError::CutShort {
            have_bytes,
            want_bytes,
        }),
        Some(0) => Ok(()),
        Some(more) => Err(BackupError::Longer(more)),
    }
}

/// Counts what is read through it, and notices its end.
struct Counted<R> {
    from: R,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    read_bytes: AtomicU64,
    ended: AtomicBool,
}

impl<R> Counted<R> {
    fn new(from: R) -> Self {
        let seen = Arc::default();
        Counted { from, seen }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.seen
            .read_bytes
            .fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 && !buffer.is_empty() {
            self.seen.ended.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}
