//! Calls of extensions: how many by outcome, how long they take, and which are left alone.
//!
//! Names of hooks are chosen by operators; what is gone is forgotten, so that the number of series
//! stays that of the hooks there are.

use std::time::Duration;

use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::Make;

/// What became of a call, as label `outcome`.
pub const OUTCOMES: [&str; 7] = [
    "ok",
    "blocked",
    "timeout",
    "unreachable",
    "status",
    "bad_answer",
    "left_alone",
];
const SECONDS: [f64; 12] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

pub(super) struct HookMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    breaker_open: IntGaugeVec,
    given_up: IntCounterVec,
}

impl HookMetrics {
    pub fn new(make: &Make<'_>) -> Result<Self, Error> {
        let labels = ["hook", "event"];
        let calls = Opts::new(
            "ekho_hook_calls_total",
            "Calls of hooks and extensions, by what became of them",
        );
        let seconds = HistogramOpts::new(
            "ekho_hook_call_seconds",
            "From a call of a hook or extension to its answer",
        )
        .buckets(SECONDS.to_vec());
        let given_up = Opts::new(
            "ekho_hook_given_up_total",
            "Events that a hook or extension was not told in all its time",
        );
        Ok(HookMetrics {
            calls: make.add(IntCounterVec::new(calls, &["hook", "event", "outcome"])?)?,
            seconds: make.add(HistogramVec::new(seconds, &labels)?)?,
            breaker_open: make.gauges(
                "ekho_hook_breaker_open",
                "1 while a hook or extension is left alone after too many failures",
                &labels,
            )?,
            given_up: make.add(IntCounterVec::new(given_up, &["hook"])?)?,
        })
    }
}

impl super::Metrics {
    /// A hook or extension was called, or would have been; `took` where it was.
    pub fn hook_called(&self, hook: &str, event: &str, outcome: &str, took: Option<Duration>) {
        let metrics = &self.hooks;
        metrics
            .calls
            .with_label_values(&[hook, event, outcome])
            .inc();
        if let Some(took) = took {
            metrics
                .seconds
                .with_label_values(&[hook, event])
                .observe(took.as_secs_f64());
        }
    }

    /// Whether calls of a hook or extension are kept back.
    pub fn hook_breaker(&self, hook: &str, event: &str, is_open: bool) {
        self.hooks
            .breaker_open
            .with_label_values(&[hook, event])
            .set(i64::from(is_open));
        // A count has to be there before it can be seen to grow.
        self.hooks.given_up.with_label_values(&[hook]);
    }

    /// A hook or extension was not told of an event.
    pub fn hook_gave_up(&self, hook: &str) {
        self.hooks.given_up.with_label_values(&[hook]).inc();
    }

    /// A hook is gone.
    pub fn hook_removed(&self, hook: &str, events: &[&str]) {
        let metrics = &self.hooks;
        // What was never counted is not there to be removed.
        let _ = metrics.given_up.remove_label_values(&[hook]);
        for event in events {
            let _ = metrics.seconds.remove_label_values(&[hook, event]);
            let _ = metrics.breaker_open.remove_label_values(&[hook, event]);
            for outcome in OUTCOMES {
                let _ = metrics.calls.remove_label_values(&[hook, event, outcome]);
            }
        }
    }
}
