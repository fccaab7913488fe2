//! Files for their owner's eyes only, as JSON: the session of `ekho login`, the identity of an agent.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::CliError;
use crate::secrets;

/// The file that a variable names, else the usual one; none where there is no home directory.
pub(super) fn path(named_by: &str, usual: &str) -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    variable(named_by).or_else(|| {
        let config = variable("XDG_CONFIG_HOME");
        let config = config.or_else(|| variable("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("ekho").join(usual))
    })
}

/// Reads a file; none where it is not there. `advice` says what to do where others can read it, or
/// it is not what it should be.
pub(super) fn read<T: DeserializeOwned>(path: &Path, advice: &str) -> Result<Option<T>, CliError> {
    let failed = |source| CliError::File {
        path: path.to_path_buf(),
        source,
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let refuse = |what: &str| CliError::Content {
        path: path.to_path_buf(),
        why: format!("{what}: {advice}"),
    };
    if fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
        return Err(refuse("others can read it"));
    }
    // The parser's own error could quote what is in the file.
    match serde_json::from_slice(&bytes) {
        Ok(content) => Ok(Some(content)),
        Err(_) => Err(refuse("it is not what it should be")),
    }
}

/// Keeps a file; what was there is replaced.
pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        path: path.to_path_buf(),
        source,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed)?;
    }
    let text = serde_json::to_vec_pretty(content).map_err(|error| failed(error.into()))?;
    secrets::replace(path, &Zeroizing::new(text)).map_err(failed)
}
