//! Backups: the whole state of a relay at one moment, in one file.
//!
//! The file is a tar archive, so that it can be looked at with what every machine has:
//!
//! - `backup.json` says what it is: its form, the release, the cluster, a label, the point in time,
//!   what is counted, and each file with its length;
//! - `state/…` are the files of a checkpoint of the state database;
//! - `attachments/ab/cd/abcd…` are the files of attachments, by their SHA-256, from form 2 on;
//! - `SHA256SUMS` is the end mark: the SHA-256 of everything before, as `sha256sum -c` reads it.
//!
//! What is sealed in the state stays sealed; the secrets of the relay are not in it. Messages are.
//! Knows nothing of nodes, commands or HTTP, and reads nothing of the state.

mod archive;
mod manifest;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;

use thiserror::Error;

pub use manifest::{Attached, BackupFile, Counts, LABEL_MAX_CHARS, Manifest, Point, is_label};
pub use read::{Checked, Nothing, Opened, Take, read};
pub use write::{Source, write};

/// The form that this release writes, and the newest it reads.
pub const FORM: u32 = 2;
/// The first file.
const MANIFEST: &str = "backup.json";
/// Before the names of the state's files.
const STATE: &str = "state/";
/// Before the names of attachments' files.
const ATTACHMENTS: &str = "attachments/";
/// The last file.
const SUMS: &str = "SHA256SUMS";

/// Why a backup cannot be written or used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file is something else.
    #[error("this is not a backup of Ekho: {0}")]
    NotABackup(String),
    /// The file was written by a newer release.
    #[error(
        "the backup has form {found}, written by release {release}; this release reads up to {FORM}: use the newer one"
    )]
    Newer {
        /// The form found.
        found: u64,
        /// Who wrote it.
        release: String,
    },
    /// The end is missing.
    #[error("the backup is cut short: {have_bytes} of {want_bytes} bytes are there")]
    CutShort {
        /// What is there.
        have_bytes: u64,
        /// What should be.
        want_bytes: u64,
    },
    /// There is more than there should be.
    #[error("the backup is damaged: {0} bytes follow after its end")]
    Longer(u64),
    /// What is in it is not what was written.
    #[error("the backup is damaged: {what} {why}")]
    Damaged {
        /// A file in it.
        what: String,
        /// What does not fit.
        why: String,
    },
    /// A file of the state is not what its snapshot says.
    #[error("the snapshot is damaged: {0} does not match its checksum")]
    Snapshot(String),
    /// The file of an attachment is not what its name says.
    #[error("the file of an attachment, {}, is damaged", hex::encode(.0))]
    Attachment([u8; 32]),
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl BackupError {
    fn damaged(what: &str, why: impl Into<String>) -> Self {
        BackupError::Damaged {
            what: what.into(),
            why: why.into(),
        }
    }
}
