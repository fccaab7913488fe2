//! What is shown while the bench works, on stderr: one live line on a terminal, a plain line every
//! few seconds elsewhere, nothing where that was asked for.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::args::{Mode, Plan};
use super::drive::watched;
use super::pace::{Run, Schedule};
use super::record::{Failure, Interval, Tally};

/// How often the live line changes.
const LIVE: Duration = Duration::from_millis(500);
/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(5);

/// What to do about 429, also in the report.
pub const RATE_LIMIT_HINT: &str = "the relay refuses messages with 429: its rate limit (30 messages in 60 s for each agent by \
     default) is below this load. Start the relay on a new data directory with \
     EKHO_RATE_LIMIT_MAX_MESSAGES=1000000000 (the variable seeds the setting at the first start \
     only), or use more --agents and a lower --rate. Agents that go on are quarantined";

/// The live line.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    shown: Instant,
    warned: bool,
}

impl Progress {
    /// A line on stderr, or none.
    pub fn new(quiet: bool) -> Self {
        let live = !quiet && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            quiet,
            state: Mutex::new(State {
                shown: Instant::now(),
                warned: false,
            }),
        }
    }

    /// Shows a line, or prints it where lines stay and the last one is long enough ago.
    pub fn show(&self, line: String) {
        if let Some(bar) = &self.bar {
            draw(bar, line);
        } else if !self.quiet && self.is_due(PLAIN) {
            eprintln!("{line}");
        }
    }

    /// Prints something that must be read, quiet or not.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the live line away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows how a run stands, if the last look is long enough ago.
    pub fn update(
        &self,
        plan: &Plan,
        run: &Run,
        schedule: Schedule,
        tallies: &[Arc<Mutex<Tally>>],
    ) {
        if !self.is_due(if self.bar.is_some() { LIVE } else { PLAIN }) {
            return;
        }
        self.warn_of_rate_limit(tallies);
        if self.quiet {
            return;
        }
        let since = self.restart();
        let Ok(mut interval) = Interval::new(watched(plan.mode)) else {
            return;
        };
        for tally in tallies {
            tally.lock().take_interval(&mut interval);
        }
        let line = line(plan, schedule, run.clock.now_us(), since, &interval);
        match &self.bar {
            Some(bar) => draw(bar, line),
            None => eprintln!("{line}"),
        }
    }

    fn is_due(&self, every: Duration) -> bool {
        self.state.lock().shown.elapsed() >= every
    }

    /// Time since the last look; the next is counted from now.
    fn restart(&self) -> Duration {
        let mut state = self.state.lock();
        let since = state.shown.elapsed();
        state.shown = Instant::now();
        since
    }

    fn warn_of_rate_limit(&self, tallies: &[Arc<Mutex<Tally>>]) {
        let limited = |tally: &Tally| {
            tally
                .failures
                .keys()
                .any(|(_, failure)| *failure == Failure::Status(429))
        };
        let mut state = self.state.lock();
        if !state.warned && tallies.iter().any(|tally| limited(&tally.lock())) {
            state.warned = true;
            drop(state);
            self.note(&format!("warning: {RATE_LIMIT_HINT}"));
        }
    }
}

fn draw(bar: &ProgressBar, line: String) {
    // A bar that an earlier run took away comes back for the next.
    if bar.is_finished() {
        bar.reset();
    }
    bar.set_message(line);
    bar.tick();
}

fn line(
    plan: &Plan,
    schedule: Schedule,
    now_us: u64,
    since: Duration,
    interval: &Interval,
) -> String {
    let stage = match now_us.checked_sub(schedule.measure_us) {
        None => "warm-up".to_owned(),
        Some(_) if now_us > schedule.end_us => "finishing".to_owned(),
        Some(elapsed_us) => format!("{:.0} s", elapsed_us as f64 / 1e6),
    };
    let name = watched(plan.mode).name();
    if plan.mode == Mode::IdlePoll {
        let polls = plan.agents;
        return format!(
            "{stage}: {polls} polls held, {} answered, {} failed",
            interval.succeeded, interval.failed
        );
    }
    let per_second = interval.succeeded as f64 / since.as_secs_f64().max(0.001);
    let latency = |quantile| interval.latency.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "{stage}: {name} {per_second:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} failed",
        latency(0.5),
        latency(0.99),
        interval.failed,
    )
}
