//! Deadlines instead of sleeps, and times as they stand on the wire.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is something, and returns it. Fails the test with `what`
/// when the time is over.
pub async fn poll_until<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// A time as SDKs write it: ISO 8601, UTC, milliseconds, `Z`.
pub fn iso(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time of this era");
    format!("{at:.3}")
}

/// The time now, as SDKs write it.
pub fn now_iso() -> String {
    iso(now_ms())
}
