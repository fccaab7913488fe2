//! What outlives a row that was taken over, used and removed, so that it does not come again with a
//! repeated import: an idempotency key of nobody's.

use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::idempotency::{self, Idempotency};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use ekho_storage::{Read, StorageError};

use crate::machine::apply::Apply;

/// No agent has this number. Keys of operators, who share it, are hexadecimal.
const NOBODY: AgentNo = 0;

fn key(kind: &str, id: &[u8]) -> String {
    format!("import:{kind}:{}", hex::encode(id))
}

/// Whether such a row came before.
pub(super) fn is_set(
    read: &impl Read,
    fleet: FleetNo,
    kind: &str,
    id: &[u8],
) -> Result<bool, StorageError> {
    Ok(idempotency::get(read, fleet, NOBODY, &key(kind, id))?.is_some())
}

/// Remembers it until the other relay's row would be too old to come.
pub(super) fn set(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    (kind, id): (&str, &[u8]),
    until_ms: TimeMs,
) {
    let key = key(kind, id);
    let done = Idempotency {
        request_hash: [0; 32],
        message: 0,
        queued_ms: apply.now(),
        deliver_at_ms: apply.now(),
    };
    idempotency::put(apply.txn, fleet, NOBODY, &key, &done);
    let agent = NOBODY;
    due::put(apply.txn, until_ms, &Due::Idempotency { fleet, agent, key });
}
