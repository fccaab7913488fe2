//! When a failed try is repeated, where, and after how long: the only place that decides it.
//! Sleeps on tokio's clock; knows nothing of HTTP beyond the error it is shown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::{EkhoError, is_before_leadership};

/// How a call is retried: capped exponential backoff with full jitter.
///
/// A call goes in rounds. In one round each relay address is tried at most once, one after the
/// other without delay; between rounds the call waits a random time between zero and
/// `base_delay * 2^round`, capped at `max_delay`, on top of any Retry-After.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Rounds before the call gives up; 1 means no retry, 0 counts as 1.
    pub max_rounds: u32,
    /// Upper bound of the first delay.
    pub base_delay: Duration,
    /// Upper bound of every delay that the relay did not ask for.
    pub max_delay: Duration,
    /// A Retry-After longer than this is returned as an error at once instead of waited for.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_rounds: 6,
            base_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

/// Whether a call may be repeated when it is unknown if the relay carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second run changes nothing that the first did not.
    Harmless,
    /// A second run would do it twice: repeat only what surely was not carried out.
    OnlyIfUndone,
}

/// What to do about a failed try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GiveUp,
    /// Another relay may answer now; this one not before the time given.
    Elsewhere(Option<Duration>),
    /// Every relay would say the same; not before the time given.
    Later(Option<Duration>),
}

/// Judges one failed try.
pub(crate) fn judge(error: &EkhoError, repeat: Repeat) -> Verdict {
    match error {
        EkhoError::Transport { source, .. } => {
            let unsent = source.is_connect();
            if !source.is_builder() && (unsent || repeat == Repeat::Harmless) {
                Verdict::Elsewhere(None)
            } else {
                Verdict::GiveUp
            }
        }
        EkhoError::Timeout { .. } if repeat == Repeat::Harmless => Verdict::Elsewhere(None),
        EkhoError::Request(refusal) => match refusal.status_code {
            429 => Verdict::Later(refusal.retry_after()),
            // In all other cases of 503 nothing was done.
            503 if repeat == Repeat::OnlyIfUndone
                && refusal.code.as_deref() == Some("outcome_unknown") =>
            {
                Verdict::GiveUp
            }
            503 => Verdict::Elsewhere(refusal.retry_after()),
            // A gateway's word: the relay behind it may have carried the call out.
            502 | 504 if repeat == Repeat::Harmless => Verdict::Elsewhere(refusal.retry_after()),
            _ if is_before_leadership(refusal) => Verdict::Later(refusal.retry_after()),
            _ => Verdict::GiveUp,
        },
        _ => Verdict::GiveUp,
    }
}

/// The growing delays of one run of failures, with full jitter.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Delays up to `base` after the first failure, up to `max` after many.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self {
            base,
            max,
            failures: 0,
        }
    }

    /// Forgets the failures so far.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next delay: `at_least`, plus a random share of a bound that doubles with each failure.
    pub fn next_delay(&mut self, at_least: Option<Duration>) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let bound = self.base.saturating_mul(factor).min(self.max);
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(rand::random_range(0..=bound_us));
        at_least.unwrap_or_default().saturating_add(jitter)
    }
}

/// Which relay address is in use: all calls stay with one until it fails.
#[derive(Debug)]
pub(crate) struct Targets {
    count: usize,
    current: AtomicUsize,
}

impl Targets {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count: count.max(1),
            current: AtomicUsize::new(0),
        }
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Moves on from `failed`, unless another call already did.
    fn leave(&self, failed: usize) {
        let next = (failed + 1) % self.count;
        let _ = self
            .current
            .compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Runs `attempt` (given the index of a relay address) until it succeeds or is judged hopeless, and
/// returns the last error then.
pub(crate) async fn run<T, F, Fut>(
    policy: &RetryPolicy,
    targets: &Targets,
    repeat: Repeat,
    mut attempt: F,
) -> Result<T, EkhoError>
where
    F: FnMut(usize) -> Fut,
    Fut: Future<Output = Result<T, EkhoError>>,
{
    let mut backoff = Backoff::new(policy.base_delay, policy.max_delay);
    let mut round = 1;
    let mut hop = 1;
    loop {
        let target = targets.current();
        let error = match attempt(target).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let wait = match judge(&error, repeat) {
            Verdict::GiveUp => return Err(error),
            Verdict::Later(wait) => wait,
            Verdict::Elsewhere(wait) => {
                targets.leave(target);
                if hop < targets.count {
                    hop += 1;
                    continue;
                }
                wait
            }
        };
        if round >= policy.max_rounds || wait.is_some_and(|wait| wait > policy.max_retry_after) {
            return Err(error);
        }
        tokio::time::sleep(backoff.next_delay(wait)).await;
        round += 1;
        hop = 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::{Backoff, Repeat, RetryPolicy, Targets, Verdict, judge, run};
    use crate::error::{EkhoError, EkhoRequestError};

    fn refusal(status_code: u16, retry_after_seconds: Option<u64>) -> EkhoError {
        Box::new(EkhoRequestError::from_answer(
            "/v1/messages",
            status_code,
            b"{}",
            retry_after_seconds,
            None,
        ))
        .into()
    }

    #[test]
    fn what_may_have_been_done_is_not_done_again() {
        let body = br#"{"code":"outcome_unknown"}"#;
        let unknown = EkhoRequestError::from_answer("/v1/rooms", 503, body, None, None);
        let unknown = EkhoError::from(Box::new(unknown));
        assert_eq!(judge(&unknown, Repeat::OnlyIfUndone), Verdict::GiveUp);
        assert_eq!(judge(&unknown, Repeat::Harmless), Verdict::Elsewhere(None));
    }

    fn fast(max_rounds: u32) -> RetryPolicy {
        RetryPolicy {
            max_rounds,
            base_delay: Duration::from_micros(10),
            max_delay: Duration::from_micros(50),
            max_retry_after: Duration::from_secs(1),
        }
    }

    #[test]
    fn verdicts_by_status() {
        use Repeat::{Harmless, OnlyIfUndone};
        let second = Some(Duration::from_secs(1));
        assert_eq!(
            judge(&refusal(429, Some(1)), OnlyIfUndone),
            Verdict::Later(second)
        );
        assert_eq!(
            judge(&refusal(503, Some(1)), OnlyIfUndone),
            Verdict::Elsewhere(second)
        );
        for status in [502, 504] {
            assert_eq!(
                judge(&refusal(status, None), Harmless),
                Verdict::Elsewhere(None)
            );
            assert_eq!(judge(&refusal(status, None), OnlyIfUndone), Verdict::GiveUp);
        }
        for status in [400, 401, 403, 404, 409, 413, 500] {
            assert_eq!(judge(&refusal(status, None), Harmless), Verdict::GiveUp);
        }
    }

    #[test]
    fn delays_are_bounded_and_never_below_what_the_relay_asks() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for failure in 0..200u32 {
            let bound = Duration::from_millis(100)
                .saturating_mul(2u32.saturating_pow(failure))
                .min(Duration::from_secs(2));
            assert!(backoff.next_delay(None) <= bound);
        }
        backoff.reset();
        let asked = Duration::from_secs(7);
        let delay = backoff.next_delay(Some(asked));
        assert!(delay >= asked && delay <= asked + Duration::from_millis(100));
    }

    #[tokio::test]
    async fn a_round_tries_every_address_once() {
        let tried = RefCell::new(Vec::new());
        let targets = Targets::new(3);
        let outcome: Result<(), _> = run(&fast(2), &targets, Repeat::Harmless, |target| {
            tried.borrow_mut().push(target);
            async { Err(refusal(503, None)) }
        })
        .await;
        assert_eq!(
            outcome.err().and_then(|error| error.status_code()),
            Some(503)
        );
        assert_eq!(*tried.borrow(), [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn an_address_that_answers_is_kept() -> Result<(), EkhoError> {
        let targets = Targets::new(2);
        let answer_from_second = |target| async move {
            if target == 0 {
                Err(refusal(503, None))
            } else {
                Ok(target)
            }
        };
        assert_eq!(
            run(&fast(1), &targets, Repeat::Harmless, answer_from_second).await?,
            1
        );
        let tried = RefCell::new(Vec::new());
        run(&fast(1), &targets, Repeat::Harmless, |target| {
            tried.borrow_mut().push(target);
            async { Ok(()) }
        })
        .await?;
        assert_eq!(*tried.borrow(), [1]);
        Ok(())
    }

    #[tokio::test]
    async fn a_long_retry_after_is_not_waited_for() {
        let tried = RefCell::new(0);
        let outcome: Result<(), _> = run(&fast(5), &Targets::new(1), Repeat::Harmless, |_| {
            *tried.borrow_mut() += 1;
            async { Err(refusal(429, Some(3600))) }
        })
        .await;
        assert_eq!(
            outcome.err().and_then(|error| error.status_code()),
            Some(429)
        );
        assert_eq!(*tried.borrow(), 1);
    }
}
