//! Time for the generator: one monotonic clock that reads as wall time, and the ISO 8601 stamp of
//! signed requests. Touches nothing but the system clock, once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch that never step: the wall clock is read once, at the start,
/// and the monotonic clock is added. Latencies are differences of these, and a message carries one
/// to its receiver in the same process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor: Instant,
    wall_us: u64,
}

impl Clock {
    /// A clock set to now.
    pub fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            anchor: Instant::now(),
            wall_us: saturating_us(wall),
        }
    }

    /// Now, in microseconds since the Unix epoch.
    pub fn now_us(&self) -> u64 {
        self.wall_us + saturating_us(self.anchor.elapsed())
    }

    /// The instant of a time of this clock.
    pub fn instant_at(&self, at_us: u64) -> Instant {
        self.anchor + Duration::from_micros(at_us.saturating_sub(self.wall_us))
    }
}

/// A duration in whole microseconds.
pub fn saturating_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Length of `2026-11-23T03:36:00.000Z`.
pub const STAMP_LEN: usize = 24;

/// An ISO 8601 stamp with milliseconds that is rendered in full once a second and otherwise has
/// three digits replaced, since every request carries one.
#[derive(Debug, Clone)]
pub struct Stamp {
    second: u64,
    text: [u8; STAMP_LEN],
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        }
    }
}

impl Stamp {
    /// The stamp of a time in microseconds since the Unix epoch.
    pub fn at(&mut self, now_us: u64) -> &[u8] {
        let now_ms = now_us / 1000;
        let second = now_ms / 1000;
        if second != self.second {
            self.second = second;
            self.render(second);
        }
        let millis = now_ms % 1000;
        for (place, unit) in [(20, 100), (21, 10), (22, 1)] {
            self.text[place] = b'0' + u8::try_from(millis / unit % 10).unwrap_or(0);
        }
        &self.text
    }

    fn render(&mut self, second: u64) {
        let Ok(time) = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(i64::MAX))
        else {
            return;
        };
        let text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        // A year beyond 9999 has another length; the relay would refuse it anyway.
        if text.len() == 19 {
            self.text[..19].copy_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn stamps_are_iso_8601_with_milliseconds() {
        let mut stamp = Stamp::default();
        let text = |stamp: &mut Stamp, us| String::from_utf8(stamp.at(us).to_vec()).unwrap();
        assert_eq!(text(&mut stamp, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            text(&mut stamp, 1_795_404_960_007_999),
            "2026-11-23T03:36:00.007Z"
        );
        assert_eq!(
            text(&mut stamp, 1_795_404_960_999_000),
            "2026-11-23T03:36:00.999Z"
        );
        assert_eq!(
            text(&mut stamp, 1_795_404_961_000_000),
            "2026-11-23T03:36:01.000Z"
        );
    }

    #[test]
    fn instants_and_microseconds_agree() {
        let clock = Clock::start();
        let later_us = clock.now_us() + 5_000_000;
        let distance = clock
            .instant_at(later_us)
            .saturating_duration_since(Instant::now());
        assert!(distance <= Duration::from_secs(5));
        assert!(distance > Duration::from_secs(1), "{distance:?}");
    }
}
