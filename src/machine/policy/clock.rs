//! Times of the week, from what the policy itself says of its time zone.

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::policy::{TimeWindow, TimeWindows};

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;

/// Whether a time falls into one of the windows.
pub(super) fn holds(time: &TimeWindows, now_ms: TimeMs) -> bool {
    let known = time
        .offsets
        .iter()
        .rev()
        .find(|(from_ms, _)| *from_ms <= now_ms);
    let offset_seconds = known
        .or(time.offsets.first())
        .map_or(0, |(_, offset)| *offset);
    let local_ms = now_ms as i64 + i64::from(offset_seconds) * 1000;
    let minutes = local_ms.div_euclid(MINUTE_MS);
    let (day, minute) = (
        minutes.div_euclid(DAY_MINUTES),
        minutes.rem_euclid(DAY_MINUTES),
    );
    // The first day of the epoch was a Thursday.
    let weekday = (day + 3).rem_euclid(7) as u8;
    time.windows
        .iter()
        .any(|window| is_within(window, weekday, minute))
}

fn is_within(window: &TimeWindow, weekday: u8, minute: i64) -> bool {
    let begins_on = |day: u8| window.days & (1 << day) != 0;
    let (from, to) = (i64::from(window.from_minute), i64::from(window.to_minute));
    if from < to {
        return begins_on(weekday) && (from..to).contains(&minute);
    }
    let yesterday = (weekday + 6) % 7;
    (begins_on(weekday) && minute >= from) || (begins_on(yesterday) && minute < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26, a Thursday, at midnight UTC.
    const THURSDAY_MS: TimeMs = 1_795_651_200_000;
    const HOUR_MS: u64 = 3_600_000;

    fn nights(offsets: Vec<(TimeMs, i32)>) -> TimeWindows {
        TimeWindows {
            time_zone: "Test/Zone".into(),
            offsets,
            windows: vec![TimeWindow {
                days: 1 << 3,
                from_minute: 22 * 60,
                to_minute: 6 * 60,
            }],
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let time = nights(vec![(0, 0)]);
        for (hour, expected) in [(5, false), (21, false), (22, true), (29, true), (30, false)] {
            let at_ms = THURSDAY_MS + hour * HOUR_MS;
            assert_eq!(holds(&time, at_ms), expected, "hour {hour} of Thursday");
        }
        assert!(!holds(&time, THURSDAY_MS - 2 * HOUR_MS), "Wednesday night");
    }

    #[test]
    fn the_offset_is_the_one_of_that_moment() {
        let change_ms = THURSDAY_MS + 20 * HOUR_MS;
        let time = nights(vec![(0, 0), (change_ms, 2 * 3600)]);
        assert!(!holds(&time, change_ms - 1), "19:59 local");
        assert!(holds(&time, change_ms), "22:00 local");
        assert!(
            holds(&nights(vec![(u64::MAX, 7200)]), change_ms),
            "before the first one"
        );
    }
}
