//! When to send: the schedule of a run, the turns of a closed and of an open loop, and the signals
//! that end it. Shared by all generator threads; touches the clock and nothing else.
//!
//! In an open loop a thread of its own hands out turns at the offered rate, whether or not anyone
//! is free to take them; a turn carries the time it was meant for, and latency is counted from
//! there. So a relay that stalls is charged for what should have been sent meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::args::Plan;
use super::clock::{Clock, saturating_us};
use super::error::BenchError;

/// The pacing thread sleeps at least this long, so that a high rate costs a few thousand wake-ups
/// a second and not one a message.
const MIN_SLEEP: Duration = Duration::from_micros(200);
/// And at most this long, so that it notices the end.
const MAX_SLEEP: Duration = Duration::from_millis(20);

/// The times of a run, in microseconds of its clock.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// First send.
    pub begin_us: u64,
    /// End of the warm-up.
    pub measure_us: u64,
    /// Last send.
    pub end_us: u64,
}

/// The right to make one send call.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// When it was meant to be made, in an open loop.
    pub intended_us: Option<u64>,
    /// Messages to send in it.
    pub items: usize,
    /// Whether the warm-up is over.
    pub measured: bool,
}

/// What the threads of a run share.
#[derive(Debug)]
pub struct Run {
    /// The run's clock.
    pub clock: Clock,
    /// Cancelled when receivers should stop waiting and take what is there.
    pub drain: CancellationToken,
    /// Cancelled when everything must stop now.
    pub cut: CancellationToken,
    /// Senders that have not finished.
    pub senders: AtomicUsize,
    /// Measured messages acknowledged so far, where receiving is what is counted.
    pub received: AtomicU64,
    schedule: OnceLock<Schedule>,
    ended: AtomicBool,
    batch: usize,
    /// Measured messages that may still be sent.
    budget: Option<AtomicU64>,
    open: Option<OpenLoop>,
}

#[derive(Debug)]
struct OpenLoop {
    /// Time between two calls.
    interval_us: f64,
    turns: Semaphore,
    released: AtomicU64,
    taken: AtomicU64,
    used: AtomicU64,
}

impl Run {
    /// A run that has not begun.
    pub fn new(plan: &Plan) -> Self {
        Self {
            clock: Clock::start(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            senders: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            schedule: OnceLock::new(),
            ended: AtomicBool::new(false),
            batch: plan.batch,
            budget: plan.messages.map(AtomicU64::new),
            open: plan.rate.map(|rate| OpenLoop {
                interval_us: plan.batch as f64 * 1e6 / rate,
                turns: Semaphore::new(0),
                released: AtomicU64::new(0),
                taken: AtomicU64::new(0),
                used: AtomicU64::new(0),
            }),
        }
    }

    /// Sets the times, a moment from now, and starts the pacing thread of an open loop.
    pub fn begin(self: &Arc<Self>, plan: &Plan) -> Result<Schedule, BenchError> {
        let begin_us = self.clock.now_us() + 20_000;
        let measure_us = begin_us + saturating_us(plan.warmup);
        let schedule = Schedule {
            begin_us,
            measure_us,
            end_us: measure_us.saturating_add(saturating_us(plan.duration)),
        };
        let schedule = *self.schedule.get_or_init(|| schedule);
        if self.open.is_some() {
            let run = Arc::clone(self);
            std::thread::Builder::new()
                .name("bench-pace".into())
                .spawn(move || run.pace(schedule))
                .map_err(|e| BenchError::Thread(e.to_string()))?;
        }
        Ok(schedule)
    }

    /// When the first send is due, once that is known.
    pub fn begins_at(&self) -> Option<Instant> {
        self.schedule
            .get()
            .map(|schedule| self.clock.instant_at(schedule.begin_us))
    }

    /// Whether something that began then counts.
    pub fn is_measured(&self, started_us: u64) -> bool {
        self.schedule
            .get()
            .is_some_and(|schedule| started_us >= schedule.measure_us)
    }

    /// No further turns. What is in flight goes on.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(open) = &self.open {
            open.turns.close();
        }
    }

    /// Whether the time is over or the run was ended.
    pub fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
            || self
                .schedule
                .get()
                .is_some_and(|schedule| self.clock.now_us() >= schedule.end_us)
    }

    /// The next turn; none when the run is over or its messages are all sent.
    pub async fn turn(&self) -> Option<Turn> {
        let schedule = self.schedule.get()?;
        let now_us;
        let mut intended = None;
        if let Some(open) = &self.open {
            // Fails once the gate is closed, also for turns not taken by then: they are unsent.
            open.turns.acquire().await.ok()?.forget();
            let number = open.taken.fetch_add(1, Ordering::Relaxed);
            now_us = open.intended_us(schedule, number);
            intended = Some(now_us);
        } else {
            now_us = self.clock.now_us();
        }
        if self.ended.load(Ordering::Relaxed) || now_us >= schedule.end_us {
            return None;
        }
        let measured = now_us >= schedule.measure_us;
        let items = if measured {
            self.take_budget()?
        } else {
            self.batch
        };
        if let Some(open) = &self.open {
            open.used.fetch_add(1, Ordering::Relaxed);
        }
        Some(Turn {
            intended_us: intended,
            items,
            measured,
        })
    }

    /// Messages for one call out of those left; none when all are taken.
    fn take_budget(&self) -> Option<usize> {
        let Some(budget) = &self.budget else {
            return Some(self.batch);
        };
        let batch = self.batch as u64;
        let left = budget
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(batch))
            })
            .unwrap_or(0);
        if left == 0 {
            self.end();
            return None;
        }
        usize::try_from(left.min(batch)).ok()
    }

    /// Calls that an open loop should have made and did not, because every connection was busy
    /// until the end.
    pub fn unsent(&self) -> u64 {
        let complete = self
            .budget
            .as_ref()
            .is_some_and(|budget| budget.load(Ordering::Relaxed) == 0);
        match &self.open {
            Some(open) if !complete => open
                .released
                .load(Ordering::Relaxed)
                .saturating_sub(open.used.load(Ordering::Relaxed)),
            _ => 0,
        }
    }

    /// Body of the pacing thread: releases turns as they come due, until the end.
    fn pace(&self, schedule: Schedule) {
        let Some(open) = &self.open else { return };
        while !self.ended.load(Ordering::Relaxed) && !self.cut.is_cancelled() {
            let now_us = self.clock.now_us();
            if now_us >= schedule.end_us {
                break;
            }
            let released = open.released.load(Ordering::Relaxed);
            let due = open.due(&schedule, now_us);
            if due > released {
                open.released.store(due, Ordering::Relaxed);
                open.turns
                    .add_permits(usize::try_from(due - released).unwrap_or(0));
            }
            let next = self
                .clock
                .instant_at(open.intended_us(&schedule, due.max(released)));
            std::thread::sleep(
                next.saturating_duration_since(Instant::now())
                    .clamp(MIN_SLEEP, MAX_SLEEP),
            );
        }
        // Whoever waits for a turn learns that there is none.
        open.turns.close();
    }
}

impl OpenLoop {
    fn intended_us(&self, schedule: &Schedule, number: u64) -> u64 {
        schedule.begin_us + (number as f64 * self.interval_us) as u64
    }

    /// Turns due by a time: the first at the beginning, none before.
    fn due(&self, schedule: &Schedule, now_us: u64) -> u64 {
        match now_us.checked_sub(schedule.begin_us) {
            Some(elapsed_us) => (elapsed_us as f64 / self.interval_us) as u64 + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
