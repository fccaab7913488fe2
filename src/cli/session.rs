//! The session that `ekho login` keeps for later commands: one file, for its owner only.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CliError, private};
use crate::clock::{now_ms, parse_iso};

/// Names the file, in place of the usual one.
const VARIABLE: &str = "EKHO_SESSION_FILE";

/// A session, and where it holds.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct StoredSession {
    pub relay_url: String,
    pub fleet_id: String,
    pub email: String,
    pub token: String,
    /// When it ends.
    pub expires_at: Option<String>,
    /// Certificates to trust there, as an absolute path.
    #[zeroize(skip)]
    pub ca_file: Option<PathBuf>,
}

/// Where the file is; none where there is no home directory.
pub(super) fn path() -> Option<PathBuf> {
    private::path(VARIABLE, "session.json")
}

impl StoredSession {
    /// The stored session; none where nobody logged in.
    pub fn read() -> Result<Option<Self>, CliError> {
        let Some(path) = path() else {
            return Ok(None);
        };
        private::read(&path, "`ekho logout`, then log in anew")
    }

    /// Keeps it; what was there is replaced.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        private::write(path, self)
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        let ends_ms = self.expires_at.as_deref().and_then(parse_iso);
        ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms())
    }
}

/// Forgets the stored session; whether there was one.
pub(super) fn forget() -> Result<bool, CliError> {
    let Some(path) = path() else {
        return Ok(false);
    };
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(source) => Err(CliError::File { path, source }),
    }
}
