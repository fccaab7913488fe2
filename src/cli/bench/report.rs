//! The result of a run as JSON and as a table, and the advice that belongs to it. Pure but for the
//! terminal's width.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::{Mode, Plan};
use super::drive::{Outcome, watched};
use super::procfs::Usage;
use super::progress::RATE_LIMIT_HINT;
use super::record::{Failure, Operation};

/// Busier than this, in percent of a core for each thread, the generator is what is measured.
const SATURATED_PERCENT: f64 = 90.0;

/// The result of a run, as it is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    config: Plan,
    /// The relay's address.
    relay_url: String,
    /// Measured time, in seconds.
    elapsed_seconds: f64,
    /// What the throughput and the first latencies count: send, ack, poll or delivery.
    measures: &'static str,
    succeeded: u64,
    failed: u64,
    throughput_per_s: f64,
    latency_ms: Option<Latency>,
    /// From the intended start; open loop only.
    corrected_latency_ms: Option<Latency>,
    /// Every operation that was done.
    operations: BTreeMap<&'static str, OperationReport>,
    /// By cause.
    errors: BTreeMap<String, ErrorReport>,
    /// Calls of an open loop that were never made: the offered rate was not reached.
    unsent_calls: u64,
    /// Messages whose send was confirmed and that no receiver was handed (mixed, roundtrip).
    undelivered: Option<u64>,
    /// Long polls that were still held at the end (idle-poll).
    held_polls: u64,
    relay: Option<Usage>,
    generator: Usage,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct OperationReport {
    succeeded: u64,
    calls: u64,
    per_s: f64,
    latency_ms: Option<Latency>,
    corrected_latency_ms: Option<Latency>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    count: u64,
    /// The first answer that said why.
    example: String,
}

impl Latency {
    /// None where nothing was measured.
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Some(Self {
            mean: (histogram.mean()).round() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        })
    }
}

impl Report {
    /// The report of a finished run.
    pub fn new(plan: &Plan, relay_url: &str, outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        let elapsed_seconds = outcome.elapsed.as_secs_f64();
        let per_s = |count: u64| {
            if elapsed_seconds > 0.0 {
                round(count as f64 / elapsed_seconds)
            } else {
                0.0
            }
        };
        let operations: BTreeMap<_, _> = Operation::ALL
            .into_iter()
            .map(|operation| (operation, tally.series(operation)))
            .filter(|(_, series)| series.calls > 0)
            .map(|(operation, series)| {
                let report = OperationReport {
                    succeeded: series.succeeded,
                    calls: series.calls,
                    per_s: per_s(series.succeeded),
                    latency_ms: Latency::of(&series.service),
                    corrected_latency_ms: Latency::of(&series.corrected),
                };
                (operation.name(), report)
            })
            .collect();
        let mut errors: BTreeMap<String, ErrorReport> = BTreeMap::new();
        for ((operation, failure), counted) in &tally.failures {
            let name = format!("{}_{}", operation.name(), failure.name());
            errors.insert(
                name,
                ErrorReport {
                    count: counted.count,
                    example: counted.example.clone(),
                },
            );
        }
        let main = tally.series(watched(plan.mode));
        let receives = matches!(plan.mode, Mode::Mixed | Mode::Roundtrip);
        let undelivered = receives.then(|| {
            let sent = tally.series(Operation::Send).succeeded;
            sent.saturating_sub(tally.series(Operation::Delivery).succeeded)
        });
        Self {
            config: plan.clone(),
            relay_url: relay_url.to_owned(),
            elapsed_seconds: (elapsed_seconds * 1000.0).round() / 1000.0,
            measures: watched(plan.mode).name(),
            succeeded: main.succeeded,
            failed: tally.failed(),
            throughput_per_s: per_s(main.succeeded),
            latency_ms: Latency::of(&main.service),
            corrected_latency_ms: Latency::of(&main.corrected),
            operations,
            errors,
            unsent_calls: outcome.unsent,
            undelivered,
            held_polls: if plan.mode == Mode::IdlePoll {
                tally.held
            } else {
                0
            },
            relay: outcome.relay,
            generator: outcome.generator,
            interrupted: outcome.interrupted,
        }
    }

    /// Whether anything succeeded at all; a long poll that was held to the end did.
    pub fn has_success(&self) -> bool {
        self.succeeded > 0 || self.held_polls > 0
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "operation",
            "succeeded",
            "per s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        ]);
        let in_order = Operation::ALL.into_iter().map(Operation::name);
        for (name, operation) in
            in_order.filter_map(|name| Some((name, self.operations.get(name)?)))
        {
            let held = name == "poll" && self.config.mode != Mode::Receive;
            let label = if held {
                "poll (held)".to_owned()
            } else {
                name.to_owned()
            };
            add_row(&mut table, &label, Some(operation), operation.latency_ms);
            if let Some(corrected) = operation.corrected_latency_ms {
                add_row(
                    &mut table,
                    &format!("{label}, corrected"),
                    None,
                    Some(corrected),
                );
            }
        }
        for at in 1..8 {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!(
            "{} {}, {:.1} s measured{}\n",
            self.relay_url,
            self.config.mode.name(),
            self.elapsed_seconds,
            if self.interrupted {
                " (interrupted)"
            } else {
                ""
            }
        );
        if self.operations.is_empty() {
            text.push_str("no call succeeded\n");
        } else {
            text.push_str(&format!("{table}\n"));
        }
        for line in self.lines() {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.held_polls > 0 {
            lines.push(format!("long polls held to the end: {}", self.held_polls));
        }
        for (name, error) in &self.errors {
            lines.push(format!(
                "failed: {} {name} {}",
                thousands(error.count),
                error.example.trim()
            ));
        }
        if let Some(undelivered) = self.undelivered.filter(|&count| count > 0) {
            lines.push(format!(
                "not delivered before the end: {}",
                thousands(undelivered)
            ));
        }
        if self.unsent_calls > 0 {
            lines.push(format!(
                "never sent: {} calls; the offered rate was not reached, and the corrected latencies are too low. \
                 Use more --connections or a lower --rate",
                thousands(self.unsent_calls)
            ));
        }
        if let Some(relay) = &self.relay {
            lines.push(format!("relay: {}", usage(relay)));
        }
        lines.push(format!("generator: {}", usage(&self.generator)));
        if self
            .generator
            .cpu_percent
            .is_some_and(|cpu| cpu > SATURATED_PERCENT * self.config.threads as f64)
        {
            lines.push(
                "the generator was busy all the time: these figures are its limit, not the relay's"
                    .into(),
            );
        }
        let limited = format!("_{}", Failure::Status(429).name());
        if self.errors.keys().any(|name| name.ends_with(&limited)) {
            lines.push(format!("warning: {RATE_LIMIT_HINT}"));
        }
        lines
    }
}

fn add_row(
    table: &mut Table,
    label: &str,
    operation: Option<&OperationReport>,
    latency: Option<Latency>,
) {
    let count = |value: Option<u64>| Cell::new(value.map(thousands).unwrap_or_default());
    let mut row = vec![
        Cell::new(label),
        count(operation.map(|operation| operation.succeeded)),
        count(operation.map(|operation| operation.per_s.round() as u64)),
    ];
    match latency {
        Some(l) => {
            row.extend([l.p50, l.p90, l.p99, l.p999, l.max].map(|ms| Cell::new(format!("{ms:.3}"))))
        }
        None => row.extend((0..5).map(|_| Cell::new(""))),
    }
    table.add_row(row);
}

fn usage(usage: &Usage) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0));
    let parts = [
        usage
            .cpu_percent
            .map(|percent| format!("CPU {percent:.1} % of a core")),
        usage.rss_bytes.map(|bytes| format!("RSS {}", mib(bytes))),
        usage
            .rss_peak_bytes
            .map(|bytes| format!("RSS peak {}", mib(bytes))),
        usage
            .write_bytes
            .map(|bytes| format!("written to disk {}", mib(bytes))),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    if known.is_empty() {
        "no such process, or not ours to look at".into()
    } else {
        known.join(", ")
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// 1234567 as 1,234,567.
fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
