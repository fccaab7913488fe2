//! The session that `ekho login` keeps for later commands: one file, for its owner only.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::CliError;
use crate::clock::{now_ms, parse_iso};
use crate::secrets;

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
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    variable(VARIABLE).or_else(|| {
        let config = variable("XDG_CONFIG_HOME");
        let config = config.or_else(|| variable("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("ekho/session.json"))
    })
}

impl StoredSession {
    /// The stored session; none where nobody logged in.
    pub fn read() -> Result<Option<Self>, CliError> {
        let Some(path) = path() else {
            return Ok(None);
        };
        let failed = |source| CliError::File {
            path: path.clone(),
            source,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let refuse = |why: &str| CliError::Content {
            path: path.clone(),
            why: why.into(),
        };
        if fs::metadata(&path).map_err(failed)?.mode() & 0o077 != 0 {
            return Err(refuse(
                "others can read it: `ekho logout`, then log in anew",
            ));
        }
        // The parser's own error could quote what is in the file.
        match serde_json::from_slice(&bytes) {
            Ok(session) => Ok(Some(session)),
            Err(_) => Err(refuse("it is not what `ekho login` writes; log in anew")),
        }
    }

    /// Keeps it; what was there is replaced.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File {
            path: path.to_path_buf(),
            source,
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        secrets::replace(path, &Zeroizing::new(text)).map_err(failed)
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
