//! Wall-clock text: ISO 8601 in UTC with milliseconds, the only form the relay reads and writes.
//! Pure apart from reading the system clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current time, such as `2026-11-23T03:36:00.000Z`.
pub fn now_iso8601() -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    iso8601_from_unix_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Formats milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn iso8601_from_unix_ms(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
        unix_ms % 1000,
    )
}

/// Year, month and day of a day count since 1970-01-01 (proleptic Gregorian calendar).
///
/// Years are counted from 1 March, so that the leap day is the last day of its year, and in eras of
/// 400 years, after which the calendar repeats.
fn civil_from_days(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_FROM_MARCH_0000_TO_EPOCH: u64 = 719_468;
    let days = days_since_epoch + DAYS_FROM_MARCH_0000_TO_EPOCH;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::iso8601_from_unix_ms;

    #[test]
    fn known_instants() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_799_000, "2024-02-28T23:59:59.000Z"),
            (1_709_208_000_007, "2024-02-29T12:00:00.007Z"),
            (1_795_404_960_000, "2026-11-23T03:36:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (unix_ms, text) in cases {
            assert_eq!(iso8601_from_unix_ms(unix_ms), text);
        }
    }
}
