//! `credentials.json`: how the owner signs in, kept by setup for the owner's eyes.
//!
//! While setup runs the same data lies in `credentials.json.pending`, so that a set-up cut short
//! after the relay has taken the password does not lose it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{CliError, say};
use crate::secrets;

const FILE_NAME: &str = "credentials.json";
const PENDING: &str = "credentials.json.pending";

/// The owner's sign-in data.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Credentials {
    /// How agents reach the relay.
    pub relay_url: String,
    /// Known when the relay is set up.
    #[serde(default)]
    pub fleet_id: String,
    pub fleet_name: String,
    pub email: String,
    pub password: String,
}

/// Where the file of a data directory is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Where the file of an unfinished setup is.
pub(super) fn pending_path(data_dir: &Path) -> PathBuf {
    data_dir.join(PENDING)
}

impl Credentials {
    /// Reads a file; none where it is not there.
    pub fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let failed = |source| CliError::File {
            path: path.to_path_buf(),
            source,
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            say(&format!(
                "warning: {0} can be read by others: chmod 600 {0}",
                path.display()
            ));
        }
        // The parser's own error could quote what is in the file.
        let credentials = serde_json::from_slice(&bytes).map_err(|_| CliError::Content {
            path: path.to_path_buf(),
            why: "it is not the JSON that `ekho setup` writes".into(),
        })?;
        Ok(Some(credentials))
    }

    /// Writes a file for its owner only; what was there is replaced.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File {
            path: path.to_path_buf(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        secrets::replace(path, &Zeroizing::new(text)).map_err(failed)
    }

    /// Ends a setup: what was pending, now whole, takes its place.
    pub fn finish(&self, data_dir: &Path) -> Result<(), CliError> {
        let (pending, path) = (pending_path(data_dir), path(data_dir));
        self.write(&pending)?;
        let renamed = fs::rename(&pending, &path).and_then(|()| File::open(data_dir)?.sync_all());
        renamed.map_err(|source| CliError::File { path, source })
    }
}
