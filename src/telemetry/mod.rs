//! Log lines: where they go, how they look, which are written.
//!
//! To standard error, for people or as one JSON object a line. Request ids are fields of the span
//! that the HTTP layer opens, and both formats carry them.
//!
//! - `filter`: which lines are written, changed while the relay runs
//! - `threads`: which threads use the CPU
//! - `trace`, `otlp`: spans of what is done, sent with the metrics to a collector

mod filter;
pub mod otlp;
pub mod threads;
pub mod trace;

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;
use crate::journal::{self, WithPriority};

pub use self::filter::{FILTER_BYTES_MAX, FilterError, FilterNow, LogFilter};

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
    let filter = filter::install(filter).map_err(|why| TelemetryError::Filter {
        filter: filter.to_string(),
        why,
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Pretty if journal::takes_stderr() => {
            let format = tracing_subscriber::fmt::format()
                .without_time()
                .with_level(false)
                .with_ansi(false);
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(false)
                .event_format(WithPriority(format));
            registry.with(lines).try_init()?;
        }
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
