//! Writing a backup out of a checkpoint, in one pass.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::archive::{Hashed, Hashing, sum_line};
use super::manifest::attachment_name;
use super::{BackupError, MANIFEST, Manifest, SUMS};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Where the files of a backup are.
pub struct Source<'a> {
    /// The directory with those of the state.
    pub state: &'a Path,
    /// Checksums of these, in the order of the manifest.
    pub crc32s: &'a [u32],
    /// The directory with those of attachments, each under its SHA-256.
    pub attachments: &'a Path,
    /// Which these are, and how long.
    pub attached: &'a [([u8; 32], u64)],
}

/// Writes the backup that `manifest` describes. A file that is not what it was when its checksum was
/// computed ends the backup, which is then without its end mark.
pub fn write(
    manifest: &Manifest,
    source: &Source<'_>,
    sink: impl Write,
) -> Result<(), BackupError> {
    let mut archive = Archive {
        builder: Builder::new(sink),
        mtime_seconds: manifest.point.at_ms / 1000,
        sums: String::new(),
    };
    let json = manifest.to_json()?;
    archive.file(MANIFEST, json.len() as u64, json.as_slice())?;
    for ((name, file), known) in manifest.entries().zip(source.crc32s) {
        let content = File::open(source.state.join(&file.name))?;
        let hashed = archive.file(&name, file.size_bytes, content)?;
        if hashed.crc32 != *known {
            return Err(BackupError::Snapshot(file.name.clone()));
        }
    }
    for (hash, size_bytes) in source.attached {
        let content = File::open(source.attachments.join(hex::encode(hash)))?;
        let hashed = archive.file(&attachment_name(hash), *size_bytes, content)?;
        if hashed.sha256 != *hash {
            return Err(BackupError::Attachment(*hash));
        }
    }
    let sums = std::mem::take(&mut archive.sums);
    archive.file(SUMS, sums.len() as u64, sums.as_bytes())?;
    archive.builder.into_inner()?.flush()?;
    Ok(())
}

struct Archive<W: Write> {
    builder: Builder<W>,
    mtime_seconds: u64,
    sums: String,
}

impl<W: Write> Archive<W> {
    /// Appends a file of exactly this length; what was in it.
    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        content: impl Read,
    ) -> Result<Hashed, BackupError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_path(name)?;
        header.set_size(size_bytes);
        header.set_mode(0o600);
        header.set_mtime(self.mtime_seconds);
        header.set_cksum();
        let mut content = Hashing::new(content.take(size_bytes));
        let buffered = BufReader::with_capacity(BUFFER_BYTES, &mut content);
        self.builder.append(&header, buffered)?;
        let hashed = content.finish();
        if hashed.read_bytes != size_bytes {
            return Err(BackupError::Snapshot(name.into()));
        }
        self.sums.push_str(&sum_line(&hashed.sha256, name));
        Ok(hashed)
    }
}
