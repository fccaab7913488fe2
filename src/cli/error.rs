//! Why a command failed, as a sentence and an exit code.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::bench::BenchError;
use super::client::ClientError;
use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::joining::JoinError;
use crate::license::LicenseError;
use crate::rebuilding::RebuildError;
use crate::relay::OpenError;
use crate::secrets::SecretsError;
use crate::server::ServeError;
use crate::service::ServiceError;
use crate::tailnet::TailnetError;
use crate::telemetry::TelemetryError;

/// What a command can fail with.
#[derive(Debug, Error)]
pub enum CliError {
    /// Flags that cannot be obeyed.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("the configuration is wrong:\n{0}")]
    Config(#[from] ConfigError),
    /// There are no secrets to run with.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Logging did not begin.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Traces and metrics cannot be sent.
    #[error(transparent)]
    Otlp(#[from] crate::telemetry::otlp::OtlpError),
    /// The relay did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node is not one of a cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The relay cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The relay did not do what setup asked for.
    #[error("setting up: {0}")]
    Service(#[from] ServiceError),
    /// A call to a running relay failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What an agent asked for was not done.
    #[error(transparent)]
    Agent(#[from] ekho_client::EkhoError),
    /// The MCP server ended.
    #[error(transparent)]
    Mcp(#[from] crate::mcp::McpError),
    /// Nobody is signed in.
    #[error("{0}")]
    SignIn(String),
    /// A stream cannot be read on.
    #[error("the stream of events cannot be read: {0}")]
    Stream(String),
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The members of the cluster are not as they have to be.
    #[error("{0}")]
    Members(String),
    /// A relay that was just set up does not do what it should.
    #[error("trying the relay: {0}")]
    Trial(String),
    /// Somebody thought better of it.
    #[error("nothing was done")]
    NotSure,
    /// The bench failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A backup is not usable.
    #[error("{path}: {source}", path = path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
    /// No new cluster was made.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// A licence or its key is not usable.
    #[error("licence: {0}")]
    License(#[from] LicenseError),
    /// The address in the tailnet is not known.
    #[error(transparent)]
    Tailnet(#[from] TailnetError),
    /// Metrics could not be made.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The node had to stop.
    #[error("stopped: {0}")]
    Fatal(String),
    /// The relay on this machine is not what was asked for.
    #[error("the relay at {address} is not {word}: {reason}")]
    Unhealthy {
        /// Where it was asked.
        address: String,
        /// What it is not.
        word: &'static str,
        /// Why, in a word.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} is not usable: {why}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Threads could not be started.
    #[error("starting: {0}")]
    Runtime(#[source] io::Error),
    /// Standard output is gone, or an answer could not be read from the terminal.
    #[error("terminal: {0}")]
    Output(#[from] io::Error),
    /// A check failed and its report says all there is to say.
    #[error("not everything is in order")]
    Reported,
}

impl CliError {
    /// What to say on standard error; none where all is said.
    pub fn sentence(&self) -> Option<String> {
        match self {
            CliError::Reported => None,
            CliError::Agent(error) => {
                let mut text = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    text.push_str(&format!(": {error}"));
                    cause = error.source();
                }
                Some(text)
            }
            error => Some(error.to_string()),
        }
    }

    /// 2 where the command line or the configuration is wrong, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) | CliError::Config(_) | CliError::Bench(BenchError::Usage(_)) => 2,
            _ => 1,
        }
    }
}
