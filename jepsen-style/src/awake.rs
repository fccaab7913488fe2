//! Time in which this process ran. Where the machine is suspended, or everything on it stopped, the
//! nodes stand still as well, which must not look as if they were slow.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(20);
/// A tick that comes later than this, on however busy a machine, came after a standstill.
const TICK_MAX: Duration = Duration::from_secs(2);

/// Counts while the process runs.
#[derive(Default)]
struct Clock {
    awake_ms: AtomicU64,
    still_ms: AtomicU64,
}

impl Clock {
    /// So much time passed between two ticks.
    fn tick(&self, passed: Duration) {
        let awake = passed.min(TICK_MAX);
        let still = passed - awake;
        self.awake_ms.fetch_add(ms(awake), Ordering::Relaxed);
        self.still_ms.fetch_add(ms(still), Ordering::Relaxed);
    }
}

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

fn clock() -> &'static Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    static TICKING: OnceLock<()> = OnceLock::new();
    let clock = CLOCK.get_or_init(Clock::default);
    TICKING.get_or_init(|| {
        thread::spawn(move || {
            let mut last = Instant::now();
            loop {
                thread::sleep(TICK);
                // Whole milliseconds; the rest counts with the next tick.
                let passed = Duration::from_millis(ms(last.elapsed()));
                last += passed;
                clock.tick(passed);
            }
        });
    });
    clock
}

/// How long this process stood still so far.
pub fn stood_still() -> Duration {
    Duration::from_millis(clock().still_ms.load(Ordering::Relaxed))
}

/// A stopwatch that stands still with the process.
#[derive(Clone, Copy)]
pub struct Stopwatch {
    began_ms: u64,
}

impl Stopwatch {
    /// Runs from now on.
    pub fn start() -> Self {
        Stopwatch {
            began_ms: clock().awake_ms.load(Ordering::Relaxed),
        }
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(clock().awake_ms.load(Ordering::Relaxed) - self.began_ms)
    }
}

/// What comes of something within a time; none where it takes longer.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let watch = Stopwatch::start();
    let mut work = std::pin::pin!(work);
    loop {
        let left = limit.saturating_sub(watch.elapsed());
        if left.is_zero() {
            return None;
        }
        if let Ok(done) = tokio::time::timeout(left, &mut work).await {
            return Some(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_does_not_count() {
        let clock = Clock::default();
        clock.tick(Duration::from_millis(20));
        clock.tick(Duration::from_secs(100));
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(now(&clock.awake_ms), 2_020);
        assert_eq!(now(&clock.still_ms), 98_000);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let short = Duration::from_millis(100);
        assert_eq!(within(Duration::from_secs(30), async { 1 }).await, Some(1));
        assert_eq!(within(short, std::future::pending::<()>()).await, None);
    }
}
