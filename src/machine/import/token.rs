//! Enrolment tokens of another relay: handed out there, used here, once.

use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::token::{self, EnrollmentToken};
use ekho_storage::tables::{FleetNo, TimeMs};
use ekho_storage::{Read, StorageError};

use super::{mark, refused};
use crate::machine::access::Principal;
use crate::machine::apply::Apply;
use crate::machine::outcome::RowOutcome;

/// What is imported lasts no longer than this. The original's tokens last an hour.
const LASTS_MAX_MS: u64 = 24 * 3600 * 1000;
/// What marks of tokens are called.
const MARK: &str = "token";

/// Whether a token came to the fleet before; it may be used already.
pub fn is_here(
    read: &impl Read,
    fleet: FleetNo,
    token_hash: &[u8; 32],
) -> Result<bool, StorageError> {
    mark::is_set(read, fleet, MARK, token_hash)
}

pub(super) fn take(
    apply: &mut Apply<'_>,
    by: &Principal,
    token_hash: [u8; 32],
    expires_ms: TimeMs,
) -> Result<RowOutcome, StorageError> {
    let (fleet, now) = (by.fleet, apply.now());
    if is_here(apply.txn, fleet, &token_hash)? {
        return Ok(RowOutcome::Exists);
    }
    if token::get(apply.txn, &token_hash)?.is_some() {
        return refused("it lets agents into another fleet here");
    }
    if expires_ms <= now {
        return refused("its time is over");
    }
    if expires_ms - now > LASTS_MAX_MS {
        return refused("it lasts longer than a day");
    }
    let new = EnrollmentToken {
        fleet,
        created_by: by.operator.id.clone(),
        expires_ms,
    };
    token::put(apply.txn, &token_hash, &new);
    due::put(apply.txn, expires_ms, &Due::EnrollmentToken { token_hash });
    mark::set(apply, fleet, (MARK, &token_hash), expires_ms);
    let resource = Resource::Other("enrollment_token".into(), String::new());
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record(fleet, EventKind::EnrollmentTokenCreated, actor, resource)?;
    Ok(RowOutcome::Imported)
}
