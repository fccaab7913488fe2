//! Log lines: where they go, how they look, which are written.
//!
//! To standard error, for people or as one JSON object a line. Request ids are fields of the span
//! that the HTTP layer opens, and both formats carry them.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// Why logging could not begin.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("EKHO_LOG is {filter:?}: {why}")]
    Filter {
        /// The filter.
        filter: String,
        /// What does not parse.
        why: String,
    },
    /// Logging was begun before, in the same process.
    #[error("logging was set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins logging. `filter` is a level or `TARGET=LEVEL` pairs separated by commas.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| TelemetryError::Filter {
            filter: filter.to_string(),
            why: error.to_string(),
        })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Pretty => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(io::stderr().is_terminal());
            registry.with(lines).try_init()?;
        }
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_writer(io::stderr);
            registry.with(lines).try_init()?;
        }
    }
    Ok(())
}
