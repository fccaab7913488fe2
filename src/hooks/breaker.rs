//! A breaker: what fails again and again is left alone for a while, then tried once.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row after which it opens.
const FAILURES: u32 = 5;
/// How long it stays open the first time; twice as long each time the trial fails.
const OPEN_FIRST: Duration = Duration::from_secs(5);
/// The longest it stays open.
const OPEN_MAX: Duration = Duration::from_secs(60);

/// Counts failures in a row and decides whether to call.
#[derive(Default)]
pub struct Breaker(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    failures: u32,
    open: Option<Open>,
}

struct Open {
    until: Instant,
    length: Duration,
    /// One call is out to see whether it works again.
    on_trial: bool,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// None do.
    Open,
    /// One call may try.
    HalfOpen,
}

impl BreakerState {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// Leave to call. Dropped without a result, as when the caller went away, it says nothing.
pub struct Leave<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    /// Leave to call now, or how long to wait before asking again.
    pub fn ask(&self, now: Instant) -> Result<Leave<'_>, Duration> {
        let mut inner = self.0.lock();
        let is_trial = match &mut inner.open {
            None => false,
            Some(open) if now < open.until => return Err(open.until - now),
            Some(open) if open.on_trial => return Err(OPEN_FIRST),
            Some(open) => {
                open.on_trial = true;
                true
            }
        };
        Ok(Leave {
            breaker: self,
            is_trial,
        })
    }

    /// How it stands.
    pub fn state(&self, now: Instant) -> BreakerState {
        match &self.0.lock().open {
            None => BreakerState::Closed,
            Some(open) if now < open.until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }
}

impl Leave<'_> {
    /// The call succeeded.
    pub fn succeeded(self) {
        *self.breaker.0.lock() = Inner::default();
    }

    /// The call failed.
    pub fn failed(self, now: Instant) {
        let mut inner = self.breaker.0.lock();
        inner.failures = inner.failures.saturating_add(1);
        let length = match &inner.open {
            // Calls that were under way when it opened say nothing new.
            Some(_) if !self.is_trial => return,
            Some(open) => (open.length * 2).min(OPEN_MAX),
            None if inner.failures < FAILURES => return,
            None => OPEN_FIRST,
        };
        inner.open = Some(Open {
            until: now + length,
            length,
            on_trial: false,
        });
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(open) = &mut self.breaker.0.lock().open
        {
            open.on_trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) {
        match breaker.ask(now) {
            Ok(leave) => leave.failed(now),
            Err(wait) => panic!("open for {wait:?} more"),
        }
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            fail(&breaker, now);
        }
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..3 * FAILURES {
            fail(&breaker, now);
            if let Ok(leave) = breaker.ask(now) {
                leave.succeeded();
            }
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        let breaker = opened(now);
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.ask(now).err(), Some(OPEN_FIRST));
    }

    #[test]
    fn one_trial_decides() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + OPEN_FIRST;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        let Ok(trial) = breaker.ask(later) else {
            panic!("a trial is due")
        };
        assert!(breaker.ask(later).is_err(), "one at a time");
        // The caller went away: another one may try.
        drop(trial);
        fail(&breaker, later);
        assert_eq!(breaker.ask(later).err(), Some(OPEN_FIRST * 2));
        let last = later + OPEN_FIRST * 2;
        match breaker.ask(last) {
            Ok(leave) => leave.succeeded(),
            Err(wait) => panic!("open for {wait:?} more"),
        }
        assert_eq!(breaker.state(last), BreakerState::Closed);
    }

    #[test]
    fn stays_open_for_a_minute_at_most() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for _ in 0..10 {
            now += OPEN_MAX;
            fail(&breaker, now);
        }
        assert_eq!(breaker.ask(now).err(), Some(OPEN_MAX));
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let now = Instant::now();
        let breaker = Breaker::default();
        let Ok(slow) = breaker.ask(now) else {
            panic!("closed at first")
        };
        for _ in 0..FAILURES {
            fail(&breaker, now);
        }
        slow.failed(now + OPEN_FIRST / 2);
        assert_eq!(breaker.state(now + OPEN_FIRST), BreakerState::HalfOpen);
    }
}
