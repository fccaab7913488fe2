//! A backup becomes the data directory of a new cluster with one node.
//!
//! Everything is made in a directory of its own within the data directory, and moved when it is
//! whole; `cluster.json` is written last. Without that file nothing starts there, and the next
//! restore begins anew.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ekho_raft::blobs::Blobs;
use ekho_raft::rebuild;
use ekho_storage::State;
use ekho_storage::tables::TimeMs;

use super::{RebuildError, first_command, node_config, open_state};
use crate::backup::{self, BackupError, BackupFile, Manifest, Take};
use crate::identity::{self, Identity};
use crate::machine::command::Source;
use crate::relay::FILES;

/// What may be in the directory: what an operator puts there, and file systems.
const WELCOME: [&str; 4] = [
    "secrets.toml",
    "ekho.toml",
    "credentials.json",
    "lost+found",
];
/// Where everything is made.
const STAGING: &str = "restore.tmp";
/// What is moved from there, in this order.
const PARTS: [&str; 3] = ["log", FILES, "state"];
/// What a restored relay needs besides its state to begin with.
const ROOM_BYTES: u64 = 64 << 20;

/// A relay that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Who it is now.
    pub identity: Identity,
    /// What it was made of.
    pub manifest: Manifest,
    /// Up to when it refuses signed requests.
    pub floor_ms: TimeMs,
}

/// Refuses a directory that is not empty. Leaves of a restore that was cut short do not count.
pub fn check_target(data_dir: &Path) -> Result<(), RebuildError> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RebuildError::io(data_dir)(error)),
    };
    let is_cut_short =
        data_dir.join(STAGING).exists() && !data_dir.join(identity::FILE_NAME).exists();
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(RebuildError::io(data_dir))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let is_leaf = is_cut_short && (name == STAGING || PARTS.contains(&name.as_str()));
        if !is_leaf && !WELCOME.contains(&name.as_str()) {
            found.push(name);
        }
    }
    match found.into_iter().min() {
        None => Ok(()),
        Some(name) => Err(RebuildError::NotEmpty {
            dir: data_dir.to_path_buf(),
            name,
        }),
    }
}

/// Makes `data_dir` a relay with the state of the backup in `source`, whose file was opened as
/// `manifest`. Nothing was accepted anywhere after `lost_ms`.
pub async fn restore(
    file: &Path,
    manifest: &Manifest,
    source: impl Read + Send + 'static,
    data_dir: &Path,
    lost_ms: TimeMs,
) -> Result<Restored, RebuildError> {
    check_target(data_dir)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(RebuildError::io(data_dir))?;
    let staging = data_dir.join(STAGING);
    for leaf in [STAGING].iter().chain(&PARTS) {
        remove_dir(&data_dir.join(leaf))?;
    }
    check_room(data_dir, manifest)?;
    if let Err(error) = unpack(file, source, &staging).await {
        remove_dir(&staging)?;
        return Err(error);
    }
    let identity = Identity::new_cluster();
    let floor_ms = {
        let state = open_state(&staging).await?;
        let from = &manifest.cluster_id;
        let made_of = Source::Backup {
            label: manifest.label.clone().unwrap_or_default(),
            at_ms: manifest.point.at_ms,
        };
        let (command, floor_ms) = first_command(&state, made_of, from, &identity, lost_ms)?;
        rebuild(&node_config(&staging, &identity), None, &state, command).await?;
        floor_ms
    };
    for part in PARTS {
        let path = data_dir.join(part);
        fs::rename(staging.join(part), &path).map_err(RebuildError::io(&path))?;
    }
    sync_dir(data_dir)?;
    identity.write(&data_dir.join(identity::FILE_NAME))?;
    remove_dir(&staging)?;
    Ok(Restored {
        identity,
        manifest: manifest.clone(),
        floor_ms,
    })
}

/// Unpacks and checks a backup.
async fn unpack(
    file: &Path,
    source: impl Read + Send + 'static,
    staging: &Path,
) -> Result<(), RebuildError> {
    let dir = State::first_generation(&staging.join("state"));
    let files = staging.join(FILES);
    let unpacked = tokio::task::spawn_blocking(move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let blobs = Blobs::open(&files)?;
        let mut unpack = Unpack { dir, blobs };
        backup::read(source, &mut unpack)?;
        File::open(&unpack.dir)?.sync_all()?;
        Ok::<(), BackupError>(())
    });
    let unpacked = unpacked.await.unwrap_or_else(|error| {
        let error = io::Error::other(error);
        Err(BackupError::Io(error))
    });
    unpacked.map_err(|source| RebuildError::Backup {
        file: file.to_path_buf(),
        source,
    })
}

/// Writes the files of the state into a directory, and those of attachments where they belong.
struct Unpack {
    dir: PathBuf,
    blobs: Blobs,
}

impl Take for Unpack {
    fn begin(&mut self, _: &Manifest) -> Result<(), BackupError> {
        Ok(())
    }

    fn file(&mut self, file: &BackupFile, content: &mut dyn Read) -> Result<(), BackupError> {
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.dir.join(&file.name))?;
        io::copy(content, &mut target)?;
        target.flush()?;
        Ok(target.sync_all()?)
    }

    fn attachment(&mut self, hash: &[u8; 32], content: &mut dyn Read) -> Result<(), BackupError> {
        let mut incoming = self.blobs.begin()?;
        io::copy(content, &mut incoming)?;
        incoming.finish_as(hash)?;
        Ok(())
    }
}

fn check_room(data_dir: &Path, manifest: &Manifest) -> Result<(), RebuildError> {
    let Ok(about) = rustix::fs::statvfs(data_dir) else {
        // Who cannot say how much room there is finds out.
        return Ok(());
    };
    let free_bytes = about.f_bavail.saturating_mul(about.f_frsize);
    let needed_bytes = manifest
        .state_bytes()
        .saturating_add(manifest.attachments.size_bytes)
        .saturating_add(ROOM_BYTES);
    match free_bytes < needed_bytes {
        true => Err(RebuildError::NoRoom {
            dir: data_dir.to_path_buf(),
            free_bytes,
            needed_bytes,
        }),
        false => Ok(()),
    }
}

fn remove_dir(path: &Path) -> Result<(), RebuildError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RebuildError::io(path)(error)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), RebuildError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(RebuildError::io(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn only_what_an_operator_puts_there_may_be_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert!(check_target(&path.join("not there yet")).is_ok());
        for name in WELCOME {
            fs::write(path.join(name), "").unwrap();
        }
        assert!(check_target(path).is_ok());
        for name in ["cluster.json", "log", "state", "snapshots", "notes.txt"] {
            fs::write(path.join(name), "").unwrap();
            let error = check_target(path).unwrap_err().to_string();
            assert!(error.contains(&format!("not empty: {name} is")), "{error}");
            fs::remove_file(path.join(name)).unwrap();
        }
    }

    #[test]
    fn leaves_of_a_restore_that_was_cut_short_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        for name in [STAGING, "log", "state"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        assert!(check_target(path).is_ok());
        fs::write(path.join("cluster.json"), "").unwrap();
        assert!(check_target(path).is_err());
    }
}
