//! Retention of the audit log: the oldest events go, and the chain still proves the rest.

use ekho_storage::StorageError;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::{FleetNo, TimeMs, event};

use super::apply::Apply;

/// Events removed in one step.
const REMOVED_AT_ONCE: usize = 500;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Sets the first look at a new fleet's events.
pub(crate) fn watch(apply: &mut Apply<'_>, fleet: FleetNo) {
    due::put(apply.txn, apply.now() + DAY_MS, &Due::Events { fleet });
}

/// Removes events that have outlived their time, and sets the next look: when the oldest one left
/// has, and at least once a day, as the setting may change.
pub(crate) fn events_due(apply: &mut Apply<'_>, fleet: FleetNo) -> Result<(), StorageError> {
    let retention_ms = apply.settings.event_retention_ms;
    let (anchor, _) = event::anchor(apply.txn, fleet)?;
    let mut oldest = event::list(apply.txn, fleet, anchor + 1, REMOVED_AT_ONCE)?;
    let full = oldest.len() == REMOVED_AT_ONCE;
    let mut next_ms: Option<TimeMs> = None;
    for (place, stored) in oldest.iter().enumerate() {
        let ends_ms = stored.event()?.at_ms.saturating_add(retention_ms);
        if ends_ms > apply.now() {
            next_ms = Some(ends_ms);
            oldest.truncate(place);
            break;
        }
    }
    event::remove(apply.txn, fleet, &oldest);
    let now = apply.now();
    let at_ms = match next_ms {
        None if full => now + 1,
        next_ms => next_ms
            .unwrap_or(now + DAY_MS)
            .clamp(now + MINUTE_MS, now + DAY_MS),
    };
    due::put(apply.txn, at_ms, &Due::Events { fleet });
    Ok(())
}
