//! The data directory and the limit of open files, as serve, setup and doctor need them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::CliError;
use crate::config::Config;

/// Files the databases and everything but connections may have open.
const SPARE_FILES: u64 = 2048;

/// Makes the data directory where there is none, for its owner only.
pub(super) fn make_data_dir(path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        path: path.to_path_buf(),
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(CliError::Content {
            path: path.to_path_buf(),
            why: "the data directory must be a directory".into(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// How many files may be open, and how many may be needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimit {
    pub wanted: u64,
    /// As high as the process itself may go.
    pub hard: u64,
}

impl FileLimit {
    pub fn of(config: &Config) -> Self {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        FileLimit {
            wanted: config.max_connections as u64 + SPARE_FILES,
            hard,
        }
    }

    pub fn is_enough(self) -> bool {
        self.hard >= self.wanted
    }

    /// Raises the soft limit as far as needed and possible.
    pub fn raise(self) {
        if !self.is_enough() {
            let FileLimit { wanted, hard } = self;
            tracing::warn!(
                wanted,
                hard,
                "too few open files are allowed for EKHO_MAX_CONNECTIONS"
            );
        }
        let now = getrlimit(Resource::Nofile);
        let target = self.wanted.min(self.hard);
        if now.current.is_none_or(|current| current >= target) {
            return;
        }
        let raised = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(target),
                maximum: now.maximum,
            },
        );
        if let Err(error) = raised {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
}
