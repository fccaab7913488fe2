//! What a backup says about itself.

use ekho_storage::tables::TimeMs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::archive::{END_BYTES, entry_bytes};
use super::{ATTACHMENTS, BackupError, FORM, MANIFEST, STATE, SUMS};

/// Longest label, in characters.
pub const LABEL_MAX_CHARS: usize = 200;
/// Longest name of a file of the state.
const NAME_MAX_BYTES: usize = 80;
/// Files of a state at most; a state of terabytes has some ten thousand.
const FILES_MAX: usize = 100_000;
/// Attachments at most: as many as the end mark has lines for, which is held in memory.
const ATTACHMENTS_MAX: u64 = 10_000_000;
/// A line of the end mark besides the name: 64 digits, two blanks, the end of the line.
const SUM_BYTES: u64 = 67;

/// The content of `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub ekho_backup: u32,
    /// The release that wrote it.
    pub release: String,
    /// The cluster it was taken from.
    pub cluster_id: String,
    /// What it was called.
    pub label: Option<String>,
    /// What it reaches to.
    pub point: Point,
    /// Names the key that secrets in it are sealed with; empty where there are none.
    pub sealing_key_id: String,
    /// How much is in it.
    pub counts: Counts,
    /// The files of the state, in the order in which they follow.
    pub files: Vec<BackupFile>,
    /// The files of attachments, which follow those of the state. None before form 2.
    #[serde(default)]
    pub attachments: Attached,
}

/// The files of attachments as a whole. They are not listed: each is named by its SHA-256, and there
/// may be many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// How many.
    pub files: u64,
    /// Bytes of them.
    pub size_bytes: u64,
    /// Bytes that they take in the archive.
    pub archive_bytes: u64,
    /// Files that should be there and that no node had.
    pub missing: u64,
}

impl Attached {
    /// Counts a file.
    pub fn add(&mut self, size_bytes: u64) {
        self.files += 1;
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.archive_bytes = self.archive_bytes.saturating_add(entry_bytes(size_bytes));
    }
}

/// A point in time: everything that was accepted up to it is in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The time of the state.
    #[serde(rename = "at", with = "iso")]
    pub at_ms: TimeMs,
    /// The last log entry in it.
    pub log_index: u64,
}

/// How much is in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Fleets, archived ones included.
    pub fleets: u64,
    /// Agents that are not revoked.
    pub agents: u64,
    /// Messages that are open.
    pub messages_open: u64,
    /// Messages accepted, ever.
    pub messages_accepted: u64,
}

/// A file of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name in the state's directory.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// Whether a text may be a label: not empty, not long, nothing that writes over a terminal.
pub fn is_label(text: &str) -> bool {
    let count = text.chars().count();
    (1..=LABEL_MAX_CHARS).contains(&count) && !text.chars().any(char::is_control)
}

impl Manifest {
    /// Reads the first file of a backup.
    pub fn parse(json: &[u8]) -> Result<Self, BackupError> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| BackupError::NotABackup(format!("{MANIFEST}: {error}")))?;
        let Some(found) = value["ekho_backup"].as_u64() else {
            let why = format!("{MANIFEST} does not say its form");
            return Err(BackupError::NotABackup(why));
        };
        if !(1..=u64::from(FORM)).contains(&found) {
            // Also form 0, which nobody ever wrote.
            return Err(BackupError::Newer {
                found,
                release: value["release"].as_str().unwrap_or("unknown").into(),
            });
        }
        let manifest: Manifest = serde_json::from_value(value)
            .map_err(|error| BackupError::damaged(MANIFEST, error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What a file name may be: it becomes one in a directory of ours.
    fn check(&self) -> Result<(), BackupError> {
        if self.files.len() > FILES_MAX {
            return Err(BackupError::damaged(MANIFEST, "names too many files"));
        }
        if self.attachments.files > ATTACHMENTS_MAX {
            return Err(BackupError::damaged(
                MANIFEST,
                "counts too many attachments",
            ));
        }
        let mut names = std::collections::BTreeSet::new();
        for file in &self.files {
            let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let is_good = file.name.len() <= NAME_MAX_BYTES
                && !file.name.is_empty()
                && !file.name.starts_with('.')
                && file.name.chars().all(of_a_name);
            if !is_good || !names.insert(&file.name) {
                let why = format!("names the file {:?}", file.name);
                return Err(BackupError::damaged(MANIFEST, why));
            }
        }
        Ok(())
    }

    /// As it is written.
    pub fn to_json(&self) -> Result<Vec<u8>, BackupError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Bytes of the state's files.
    pub fn state_bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.size_bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes of the whole backup, where this manifest takes `manifest_bytes` in it.
    pub fn whole_bytes(&self, manifest_bytes: u64) -> u64 {
        let names = self.files.iter().map(|file| STATE.len() + file.name.len());
        let sums = names
            .chain([MANIFEST.len()])
            .map(|length| SUM_BYTES + length as u64);
        let sums = sums.sum::<u64>().saturating_add(self.attached_sums_bytes());
        let sizes = self.files.iter().map(|file| file.size_bytes);
        sizes
            .chain([manifest_bytes, sums])
            .map(entry_bytes)
            .chain([self.attachments.archive_bytes])
            .fold(END_BYTES, u64::saturating_add)
    }

    /// Bytes of the end mark's lines for attachments.
    fn attached_sums_bytes(&self) -> u64 {
        let line_bytes = SUM_BYTES + attachment_name(&[0; 32]).len() as u64;
        self.attachments.files.saturating_mul(line_bytes)
    }

    /// Names in the archive with their lengths, between the manifest and the end mark.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, &BackupFile)> {
        let name = |file: &BackupFile| format!("{STATE}{}", file.name);
        self.files.iter().map(move |file| (name(file), file))
    }
}

/// Longest end mark that these files can have.
pub(super) fn sums_max_bytes(manifest: &Manifest) -> u64 {
    let lines = manifest.files.len() as u64 + 1;
    let of_state = lines * (SUM_BYTES + (STATE.len() + NAME_MAX_BYTES).max(SUMS.len()) as u64);
    of_state.saturating_add(manifest.attached_sums_bytes())
}

/// The name of an attachment's file in the archive.
pub(super) fn attachment_name(hash: &[u8; 32]) -> String {
    let name = hex::encode(hash);
    format!("{ATTACHMENTS}{}/{}/{name}", &name[..2], &name[2..4])
}

/// The hash behind such a name.
pub(super) fn attachment_hash(name: &str) -> Option<[u8; 32]> {
    let digits = name.rsplit('/').next()?;
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    // In small letters, and in its folder.
    (attachment_name(&hash) == name).then_some(hash)
}

/// Times as people read them.
mod iso {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::clock::{Iso, parse_iso};

    pub fn serialize<S: Serializer>(at_ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        Iso(*at_ms).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_iso(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no time")))
    }
}
