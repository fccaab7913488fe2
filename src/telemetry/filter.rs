//! Which log lines are written, while the process runs.
//!
//! There is one subscriber in a process, so there is one filter. A change is for a time, and then
//! undone: lines of every request, forgotten, would fill the disk that the log is written to.

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::task::AbortHandle;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::clock::now_ms;

/// Longest filter.
pub const FILTER_BYTES_MAX: usize = 1000;

static FILTER: OnceLock<LogFilter> = OnceLock::new();

/// The filter of this process's log.
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    /// What it is when nobody changed it.
    default: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    changed: Option<Changed>,
    /// How often it was changed.
    changes: u64,
}

struct Changed {
    filter: String,
    until_ms: u64,
    /// What puts the default back.
    end: AbortHandle,
}

/// What the filter is at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterNow {
    /// The filter in force.
    pub filter: String,
    /// The one that it goes back to.
    pub default: String,
    /// Until when it is in force; none where it is the default.
    pub until_ms: Option<u64>,
}

/// Why the filter is not changed.
#[derive(Debug, Error)]
pub enum FilterError {
    /// It does not parse.
    #[error("{0}")]
    Malformed(String),
    /// The log cannot be changed.
    #[error("the log of this process cannot be changed: {0}")]
    Fixed(String),
}

/// Makes the filter of this process. Said wrong, it says how.
pub(super) fn install(filter: &str) -> Result<reload::Layer<EnvFilter, Registry>, String> {
    let parsed = parse(filter)?;
    let (layer, handle) = reload::Layer::new(parsed);
    // Where logging was begun before, that is found out a moment later.
    let _ = FILTER.set(LogFilter {
        handle,
        default: filter.to_string(),
        state: Mutex::default(),
    });
    Ok(layer)
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| error.to_string())
}

impl LogFilter {
    /// The filter of this process; none where logging was never begun.
    pub fn get() -> Option<&'static LogFilter> {
        FILTER.get()
    }

    /// What it is at this moment.
    pub fn now(&self) -> FilterNow {
        self.describe(&self.state.lock())
    }

    fn describe(&self, state: &State) -> FilterNow {
        let changed = state.changed.as_ref();
        FilterNow {
            filter: changed
                .map_or(&self.default, |changed| &changed.filter)
                .clone(),
            default: self.default.clone(),
            until_ms: changed.map(|changed| changed.until_ms),
        }
    }

    /// Whether a filter can be set.
    pub fn check(filter: &str) -> Result<(), FilterError> {
        parse(filter).map(|_| ()).map_err(FilterError::Malformed)
    }

    /// Sets the filter for a time. Must be called within a runtime, which undoes it.
    pub fn set(&'static self, filter: &str, lasting: Duration) -> Result<FilterNow, FilterError> {
        let parsed = parse(filter).map_err(FilterError::Malformed)?;
        let mut state = self.state.lock();
        self.reload(parsed)?;
        if let Some(before) = state.changed.take() {
            before.end.abort();
        }
        state.changes += 1;
        let change = state.changes;
        let end = tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            self.end(change);
        });
        state.changed = Some(Changed {
            filter: filter.to_string(),
            until_ms: now_ms().saturating_add(lasting.as_millis() as u64),
            end: end.abort_handle(),
        });
        Ok(self.describe(&state))
    }

    /// Puts the default back.
    pub fn reset(&self) -> Result<FilterNow, FilterError> {
        self.back(&mut self.state.lock())
    }

    /// The time of a change is over. One that was made meanwhile stays: a timer that has fired cannot
    /// be stopped any more, and may have waited for whoever made it.
    fn end(&self, change: u64) {
        let ended = {
            let mut state = self.state.lock();
            if state.changes != change || state.changed.is_none() {
                return;
            }
            self.back(&mut state)
        };
        match ended {
            Ok(now) => tracing::info!(filter = now.filter, "the log is as before"),
            Err(error) => tracing::error!(%error, "the log stays as it was changed"),
        }
    }

    fn back(&self, state: &mut State) -> Result<FilterNow, FilterError> {
        self.reload(parse(&self.default).map_err(FilterError::Malformed)?)?;
        if let Some(before) = state.changed.take() {
            before.end.abort();
        }
        Ok(self.describe(state))
    }

    fn reload(&self, filter: EnvFilter) -> Result<(), FilterError> {
        self.handle
            .reload(filter)
            .map_err(|error| FilterError::Fixed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Test = Result<(), Box<dyn std::error::Error>>;

    const LONG: Duration = Duration::from_secs(3600);

    /// A filter beside that of the process. Without its layer it cannot be changed.
    fn filter() -> Result<(&'static LogFilter, reload::Layer<EnvFilter, Registry>), String> {
        let (layer, handle) = reload::Layer::new(parse("info")?);
        let filter = LogFilter {
            handle,
            default: "info".into(),
            state: Mutex::default(),
        };
        let filter: &'static LogFilter = Box::leak(Box::new(filter));
        Ok((filter, layer))
    }

    #[tokio::test]
    async fn a_timer_of_the_past_undoes_nothing_newer() -> Test {
        let (filter, _layer) = filter()?;
        filter.set("debug", LONG)?;
        filter.set("trace", LONG)?;
        // As one that had fired when the second change was made.
        filter.end(1);
        assert_eq!(filter.now().filter, "trace");
        filter.end(2);
        assert_eq!(filter.now().filter, "info");

        // Nor after it was put back by hand, and changed again.
        filter.set("debug", LONG)?;
        filter.reset()?;
        filter.end(3);
        let now = filter.set("warn", LONG)?;
        filter.end(3);
        assert_eq!(filter.now(), now);
        assert_eq!(now.filter, "warn");
        Ok(())
    }

    #[tokio::test]
    async fn a_change_ends_by_itself() -> Test {
        let (filter, _layer) = filter()?;
        let now = filter.set("debug", Duration::from_millis(1))?;
        assert_eq!(
            (now.filter.as_str(), now.default.as_str()),
            ("debug", "info")
        );
        assert!(now.until_ms.is_some());
        let ended = async {
            while filter.now().until_ms.is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await?;
        assert_eq!(filter.now().filter, "info");
        Ok(())
    }
}
