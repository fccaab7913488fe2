//! Moving the files of snapshots about.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::manifest::{Manifest, STATE};
use crate::error::SnapshotError;

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), SnapshotError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| SnapshotError::io(path, error))
}

/// Removes a directory with all it holds; it may be missing.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Copies the files a manifest names, durably. The source may be on another file system and may
/// be removed by its owner afterwards.
pub(super) fn copy_snapshot(
    from: &Path,
    to: &Path,
    manifest: &Manifest,
) -> Result<(), SnapshotError> {
    let (from, to) = (from.join(STATE), to.join(STATE));
    fs::create_dir_all(&to).map_err(|error| SnapshotError::io(&to, error))?;
    for file in &manifest.files {
        let (source, target) = (from.join(&file.name), to.join(&file.name));
        link_or_copy(&source, &target).map_err(|error| SnapshotError::io(&target, error))?;
    }
    Ok(())
}

/// Makes a second directory of the same state that a database may open and change.
pub(super) fn link_state(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    fs::create_dir_all(to).map_err(|error| SnapshotError::io(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| SnapshotError::io(from, error))? {
        let source = entry
            .map_err(|error| SnapshotError::io(from, error))?
            .path();
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = to.join(name);
        link_or_copy(&source, &target).map_err(|error| SnapshotError::io(&target, error))?;
    }
    sync_dir(to)
}

/// Links table and blob files, which are never changed once written; copies the rest, which a
/// database may append to.
pub(super) fn link_or_copy(source: &Path, target: &Path) -> io::Result<()> {
    let immutable = source
        .extension()
        .is_some_and(|kind| kind == "sst" || kind == "blob");
    if immutable {
        match fs::hard_link(source, target) {
            // Another file system, or one without links.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::CrossesDevices
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::TooManyLinks
                ) => {}
            result => return result,
        }
    }
    fs::copy(source, target)?;
    File::open(target)?.sync_all()
}
