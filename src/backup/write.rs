//! Writing a backup out of a checkpoint, in one pass.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::archive::{Hashing, sum_line};
use super::{BackupError, MANIFEST, Manifest, SUMS};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes the backup that `manifest` describes, with the files of the state out of `dir`. One that
/// is not what it was when `crc32s` were computed (one a file, in order) ends the backup, which is
/// then without its end mark.
pub fn write(
    manifest: &Manifest,
    dir: &Path,
    crc32s: &[u32],
    sink: impl Write,
) -> Result<(), BackupError> {
    let mut archive = Archive {
        builder: Builder::new(sink),
        mtime_seconds: manifest.point.at_ms / 1000,
        sums: String::new(),
    };
    let json = manifest.to_json()?;
    archive.file(MANIFEST, json.len() as u64, json.as_slice())?;
    for ((name, file), known) in manifest.entries().zip(crc32s) {
        let source = File::open(dir.join(&file.name))?;
        let crc32 = archive.file(&name, file.size_bytes, source)?;
        if crc32 != *known {
            return Err(BackupError::Snapshot(file.name.clone()));
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
    /// Appends a file of exactly this length; the CRC-32 of what was in it.
    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        content: impl Read,
    ) -> Result<u32, BackupError> {
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
        Ok(hashed.crc32)
    }
}
