//! The one clock, and the one form times have on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use ekho_storage::tables::TimeMs;
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC.
pub fn now_ms() -> TimeMs {
    // Before 1970 there is no useful answer; doctor complains about such a clock.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// A time as clients see it: ISO 8601, UTC, milliseconds, `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iso(pub TimeMs);

impl std::fmt::Display for Iso {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = i64::try_from(self.0)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        write!(formatter, "{:.3}", at.unwrap_or(Timestamp::MAX))
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For how long ahead the offsets of a time zone are worked out.
const OFFSETS_YEARS: i64 = 30;

/// Offsets from UTC of a time zone in seconds, each with the time from which it holds; none where
/// there is no such zone. What this program knows of zones counts, not what the machine knows.
pub fn offsets(time_zone: &str) -> Option<Vec<(TimeMs, i32)>> {
    let zone = TimeZoneDatabase::bundled().get(time_zone).ok()?;
    let now = Timestamp::from_millisecond(i64::try_from(now_ms()).ok()?).ok()?;
    let until = now + SignedDuration::from_hours(24 * 366 * OFFSETS_YEARS);
    let mut offsets = vec![(0, zone.to_offset(now).seconds())];
    let changes = zone
        .following(now)
        .take_while(|change| change.timestamp() < until);
    for change in changes {
        let from_ms = u64::try_from(change.timestamp().as_millisecond()).ok()?;
        offsets.push((from_ms, change.offset().seconds()));
    }
    Some(offsets)
}

/// Reads an ISO 8601 time with an offset, as JavaScript's and Python's serialisers write it.
pub fn parse_iso(text: &str) -> Option<TimeMs> {
    let at: Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_milliseconds_and_z() {
        assert_eq!(
            Iso(1_795_404_960_000).to_string(),
            "2026-11-23T03:36:00.000Z"
        );
        assert_eq!(
            Iso(1_795_404_960_007).to_string(),
            "2026-11-23T03:36:00.007Z"
        );
    }

    #[test]
    fn zones_change_their_offset_when_summer_begins() {
        let offsets = offsets("Europe/Berlin").unwrap_or_default();
        assert!(offsets.len() > 50, "{}", offsets.len());
        assert!(
            offsets
                .iter()
                .all(|(_, seconds)| [3600, 7200].contains(seconds))
        );
        assert!(offsets.is_sorted());
        assert_eq!(super::offsets("UTC").map(|offsets| offsets.len()), Some(1));
        assert_eq!(super::offsets("Mars/Olympus"), None);
    }

    #[test]
    fn reads_what_clients_write() {
        for text in [
            "2026-11-23T03:36:00.000Z",
            "2026-11-23T03:36:00+00:00",
            "2026-11-23T04:36:00.000000+01:00",
        ] {
            assert_eq!(parse_iso(text), Some(1_795_404_960_000), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-11-23T03:36:00",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }
}
