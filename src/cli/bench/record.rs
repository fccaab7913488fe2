//! What is measured: latencies and counts by operation, failures by cause. One [`Tally`] a
//! generator thread behind a lock that only the progress line ever contends for; merged at the end.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::error::BenchError;

/// Longest latency told apart: an hour, in microseconds.
const MAX_LATENCY_US: u64 = 3_600_000_000;
/// Longest example of a refusal kept.
const MAX_EXAMPLE_BYTES: usize = 300;

/// What was done. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A send call, single or batch; counts messages.
    Send,
    /// A poll of an inbox; counts answers. For long polls the latency is the time held.
    Poll,
    /// An acknowledgement call; counts messages.
    Ack,
    /// From the start of the send to the poll answer that holds the message; counts messages.
    Delivery,
}

impl Operation {
    /// All, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Send, Self::Poll, Self::Ack, Self::Delivery];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Poll => "poll",
            Self::Ack => "ack",
            Self::Delivery => "delivery",
        }
    }
}

/// Why something was not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// An answer outside 2xx.
    Status(u16),
    /// A message of a batch that was refused while the batch was not.
    BatchItem,
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did.
    Closed,
    /// An answer that cannot be understood.
    Protocol,
    /// Still without an answer when the run was over.
    Unanswered,
}

impl Failure {
    /// The name in reports: `status_429`, `timeout`, ...
    pub fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status_{status}"),
            Self::BatchItem => "batch_item_refused".into(),
            Self::Connect => "connect".into(),
            Self::Timeout => "timeout".into(),
            Self::Closed => "closed".into(),
            Self::Protocol => "protocol".into(),
            Self::Unanswered => "unanswered".into(),
        }
    }
}

/// Counts and latencies of one operation, all in microseconds.
#[derive(Debug, Clone)]
pub struct Series {
    /// Items that succeeded (messages, or calls where a call is one thing).
    pub succeeded: u64,
    /// Calls that succeeded.
    pub calls: u64,
    /// From the real start to the end.
    pub service: Histogram<u64>,
    /// From the intended start to the end; empty in a closed loop.
    pub corrected: Histogram<u64>,
}

impl Series {
    fn new() -> Result<Self, BenchError> {
        Ok(Self {
            succeeded: 0,
            calls: 0,
            service: histogram()?,
            corrected: histogram()?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.calls += other.calls;
        add(&mut self.service, &other.service);
        add(&mut self.corrected, &other.corrected);
    }
}

/// How often something failed, with the first answer that said why.
#[derive(Debug, Clone, Default)]
pub struct FailureCount {
    /// How often.
    pub count: u64,
    /// The first refusal's body, cut short; empty where there was none.
    pub example: String,
}

/// Times of one finished call, in microseconds of the run's clock.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it should have begun, in an open loop.
    pub intended_us: Option<u64>,
    /// When it began.
    pub started_us: u64,
    /// When it ended.
    pub done_us: u64,
}

/// What one thread, or in the end the run, has measured.
#[derive(Debug)]
pub struct Tally {
    /// One a member of [`Operation::ALL`].
    series: [Series; 4],
    /// Failures by operation and cause.
    pub failures: BTreeMap<(Operation, Failure), FailureCount>,
    /// End of the last measured success of the watched operation.
    pub last_done_us: u64,
    /// Long polls that were still held, as they should be, when the run was over.
    pub held: u64,
    /// Since the progress line last looked, warm-up included.
    interval: Interval,
}

/// What happened between two looks of the progress line.
#[derive(Debug)]
pub struct Interval {
    /// The operation the run is about.
    watched: Operation,
    /// Items of it that succeeded.
    pub succeeded: u64,
    /// Failures of any operation.
    pub failed: u64,
    /// Latencies of it, in microseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// An empty tally; `watched` is what the progress line shows.
    pub fn new(watched: Operation) -> Result<Self, BenchError> {
        Ok(Self {
            series: [
                Series::new()?,
                Series::new()?,
                Series::new()?,
                Series::new()?,
            ],
            failures: BTreeMap::new(),
            last_done_us: 0,
            held: 0,
            interval: Interval {
                watched,
                succeeded: 0,
                failed: 0,
                latency: histogram()?,
            },
        })
    }

    /// The figures of one operation.
    pub fn series(&self, operation: Operation) -> &Series {
        &self.series[operation as usize]
    }

    /// Counts a success of `items`; `measured` is false during warm-up.
    pub fn success(&mut self, operation: Operation, times: Times, items: u64, measured: bool) {
        let service_us = times.done_us.saturating_sub(times.started_us);
        let corrected_us = times
            .intended_us
            .map(|intended_us| times.done_us.saturating_sub(intended_us));
        if operation == self.interval.watched {
            self.interval.succeeded += items;
            self.interval
                .latency
                .saturating_record(corrected_us.unwrap_or(service_us));
        }
        if !measured {
            return;
        }
        if operation == self.interval.watched {
            self.last_done_us = self.last_done_us.max(times.done_us);
        }
        let series = &mut self.series[operation as usize];
        series.succeeded += items;
        series.calls += 1;
        series.service.saturating_record(service_us);
        if let Some(corrected_us) = corrected_us {
            series.corrected.saturating_record(corrected_us);
        }
    }

    /// Counts `items` failures of one cause; `answer` is the body that said why.
    pub fn failure(
        &mut self,
        operation: Operation,
        failure: Failure,
        answer: &[u8],
        items: u64,
        measured: bool,
    ) {
        self.interval.failed += items;
        if !measured {
            return;
        }
        let entry = self.failures.entry((operation, failure)).or_default();
        entry.count += items;
        if entry.example.is_empty() {
            entry.example = String::from_utf8_lossy(&answer[..answer.len().min(MAX_EXAMPLE_BYTES)])
                .into_owned();
        }
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|failure| failure.count).sum()
    }

    /// Adds another thread's figures.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.series.iter_mut().zip(&other.series) {
            ours.add(theirs);
        }
        for (key, theirs) in &other.failures {
            let ours = self.failures.entry(*key).or_default();
            ours.count += theirs.count;
            if ours.example.is_empty() {
                ours.example.clone_from(&theirs.example);
            }
        }
        self.last_done_us = self.last_done_us.max(other.last_done_us);
        self.held += other.held;
    }

    /// Moves what happened since the last call into `into`.
    pub fn take_interval(&mut self, into: &mut Interval) {
        into.succeeded += self.interval.succeeded;
        into.failed += self.interval.failed;
        add(&mut into.latency, &self.interval.latency);
        self.interval.succeeded = 0;
        self.interval.failed = 0;
        self.interval.latency.reset();
    }
}

impl Interval {
    /// An empty one, to be filled by [`Tally::take_interval`].
    pub fn new(watched: Operation) -> Result<Self, BenchError> {
        Ok(Self {
            watched,
            succeeded: 0,
            failed: 0,
            latency: histogram()?,
        })
    }
}

/// A call that has begun. Dropped without an outcome, which happens when the run ends first, it
/// counts as unanswered: no call leaves the figures silently.
#[derive(Debug)]
pub struct InFlight<'a> {
    tally: &'a Mutex<Tally>,
    operation: Operation,
    items: u64,
    measured: bool,
    settled: bool,
}

impl<'a> InFlight<'a> {
    /// Begins a call of `items`.
    pub fn begin(
        tally: &'a Mutex<Tally>,
        operation: Operation,
        items: u64,
        measured: bool,
    ) -> Self {
        Self {
            tally,
            operation,
            items,
            measured,
            settled: false,
        }
    }

    /// It succeeded, but for `refused` of its items.
    pub fn succeeded(mut self, times: Times, refused: u64, answer: &[u8]) {
        self.settled = true;
        let mut tally = self.tally.lock();
        let accepted = self.items.saturating_sub(refused);
        if accepted > 0 {
            tally.success(self.operation, times, accepted, self.measured);
        }
        if refused > 0 {
            tally.failure(
                self.operation,
                Failure::BatchItem,
                answer,
                refused,
                self.measured,
            );
        }
    }

    /// It failed.
    pub fn failed(mut self, failure: Failure, answer: &[u8]) {
        self.settled = true;
        self.tally
            .lock()
            .failure(self.operation, failure, answer, self.items, self.measured);
    }

    /// It was a long poll that was rightly still waiting when the run ended.
    pub fn held(mut self) {
        self.settled = true;
        if self.measured {
            self.tally.lock().held += 1;
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.tally.lock().failure(
                self.operation,
                Failure::Unanswered,
                b"",
                self.items,
                self.measured,
            );
        }
    }
}

fn histogram() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
        .map_err(|e| BenchError::usage(format!("histogram: {e}")))
}

/// Adds histograms of the same bounds, which cannot fail.
fn add(ours: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    let added = ours.add(theirs);
    debug_assert!(added.is_ok());
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
