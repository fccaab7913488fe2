//! Why a bench run stops. Failed requests are not here: they are counted, not fatal (see `record`).

use std::io;
use std::path::PathBuf;

/// A reason the bench cannot start, cannot go on, or has nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A flag, or two flags together, that cannot be obeyed.
    #[error("{0}")]
    Usage(String),

    /// The relay's address is not one this generator speaks.
    #[error("relay url {url:?}: {why}")]
    Url {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },

    /// No credentials to enrol agents with.
    #[error(
        "no credentials at {path}: {why}; run `ekho setup`, or pass --credentials, --token-file or --agents-file"
    )]
    Credentials {
        /// The file that was looked for.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A file the user named cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A call made while preparing (login, token, enrolment) was refused or got no answer.
    #[error("{call}: {why}")]
    Setup {
        /// Method and path of the call.
        call: String,
        /// Status and body, or the failure of the connection.
        why: String,
    },

    /// A generator thread could not be started or ended abnormally.
    #[error("generator thread: {0}")]
    Thread(String),

    /// The results could not be written to the terminal.
    #[error("writing the results: {0}")]
    Output(#[from] io::Error),

    /// Everything failed: the figures mean nothing. The report has been printed.
    #[error("nothing succeeded")]
    NothingSucceeded,
}

impl BenchError {
    /// A usage error from anything that reads as a sentence.
    pub(super) fn usage(why: impl Into<String>) -> Self {
        Self::Usage(why.into())
    }
}
