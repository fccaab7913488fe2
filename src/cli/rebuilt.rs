//! What restoring and recovering ask and say alike.

use ekho_storage::tables::TimeMs;
use jiff::Timestamp;

use super::CliError;
use crate::clock::{Iso, now_ms};

/// When the old cluster accepted its last request at the latest: now, unless it is known. What is
/// held reaches to `held_ms`, so it was not lost before that.
pub(super) fn lost_ms(lost_at: Option<Timestamp>, held_ms: TimeMs) -> Result<TimeMs, CliError> {
    let now = now_ms();
    let Some(at) = lost_at else {
        return Ok(now.max(held_ms));
    };
    let at_ms = u64::try_from(at.as_millisecond()).unwrap_or_default();
    if at_ms > now {
        return Err(CliError::Usage("--lost-at: a time that has passed".into()));
    }
    if at_ms < held_ms {
        return Err(CliError::Usage(format!(
            "--lost-at: there is data of {}, which is later",
            Iso(held_ms)
        )));
    }
    Ok(at_ms)
}

/// From when on signed requests are accepted.
pub(super) fn refusing_until(floor_ms: TimeMs) -> Iso {
    Iso(floor_ms.saturating_add(1))
}
