//! Second factors: begun, confirmed, used, taken away. A code counts once.

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::totp::{self, Totp};
use ekho_storage::tables::{FleetNo, operator};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::outcome::{Outcome, Refusal};
use super::proof::{LoginFailed, SecondFactor};
use super::session;

/// What came of asking for a second factor.
pub(crate) enum Asked {
    /// There is none, or it was shown, and is used up.
    Passed,
    /// There is one, and none was shown.
    Missing,
    /// Used before, or of a secret that is no longer the operator's.
    Wrong,
}

/// Asks for the second factor of an operator who has one, and uses up what was shown.
pub(crate) fn ask(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    shown: Option<&SecondFactor>,
) -> Result<Asked, StorageError> {
    let found = totp::get(apply.txn, fleet, operator_id)?;
    let Some(mut stored) = found.filter(|totp| totp.confirmed_ms.is_some()) else {
        return Ok(Asked::Passed);
    };
    let is_new = match shown {
        None => return Ok(Asked::Missing),
        Some(SecondFactor::Totp { secret_id, step }) => {
            let is_new = *secret_id == stored.secret_id && *step > stored.last_step;
            stored.last_step = stored.last_step.max(*step);
            is_new
        }
        Some(SecondFactor::Recovery {
            secret_id,
            code_hash,
        }) => {
            let left = stored.recovery_hashes.len();
            stored.recovery_hashes.retain(|hash| hash != code_hash);
            *secret_id == stored.secret_id && stored.recovery_hashes.len() < left
        }
    };
    if !is_new {
        return Ok(Asked::Wrong);
    }
    totp::put(apply.txn, fleet, operator_id, &stored);
    Ok(Asked::Passed)
}

/// Keeps a new secret, which is not asked for before a code confirms it. One that was begun and
/// never confirmed is forgotten.
pub(crate) fn begin(
    apply: &mut Apply<'_>,
    by: &Principal,
    current_hash: &str,
    secret_id: String,
    sealed_secret: Vec<u8>,
) -> Result<Outcome, StorageError> {
    if by.operator.password_hash != current_hash {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    }
    let found = totp::get(apply.txn, by.fleet, &by.operator.id)?;
    if found.is_some_and(|totp| totp.confirmed_ms.is_some()) {
        let why = "there is a second factor already; disable it first";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    let begun = Totp {
        secret_id,
        sealed_secret,
        confirmed_ms: None,
        last_step: 0,
        recovery_hashes: Vec::new(),
    };
    totp::put(apply.txn, by.fleet, &by.operator.id, &begun);
    record(apply, by, EventKind::OperatorTotpBegun, &by.operator.id)
}

/// Has the second factor asked for from now on.
pub(crate) fn confirm(
    apply: &mut Apply<'_>,
    by: &Principal,
    secret_id: &str,
    step: u64,
    recovery_hashes: Vec<[u8; 32]>,
) -> Result<Outcome, StorageError> {
    let found = totp::get(apply.txn, by.fleet, &by.operator.id)?;
    let Some(mut totp) = found.filter(|totp| totp.secret_id == secret_id) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if totp.confirmed_ms.is_some() {
        let why = "the second factor is confirmed already";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    totp.confirmed_ms = Some(apply.now());
    totp.last_step = step;
    totp.recovery_hashes = recovery_hashes;
    totp::put(apply.txn, by.fleet, &by.operator.id, &totp);
    record(apply, by, EventKind::OperatorTotpEnabled, &by.operator.id)
}

/// Takes the caller's own second factor away, against their password and a code.
pub(crate) fn disable(
    apply: &mut Apply<'_>,
    by: &Principal,
    current_hash: &str,
    shown: Option<&SecondFactor>,
) -> Result<Outcome, StorageError> {
    if by.operator.password_hash != current_hash {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    }
    if totp::get(apply.txn, by.fleet, &by.operator.id)?.is_none() {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    match ask(apply, by.fleet, &by.operator.id, shown)? {
        Asked::Passed => {}
        Asked::Missing => return Ok(Outcome::Refused(Refusal::TotpRequired)),
        Asked::Wrong => {
            let failed = LoginFailed {
                fleet: Some(by.fleet),
                email: by.operator.email.clone(),
                address: by.address().into(),
            };
            session::failed(apply, failed)?;
            return Ok(Outcome::Refused(Refusal::InvalidCredentials));
        }
    }
    totp::delete(apply.txn, by.fleet, &by.operator.id);
    record(apply, by, EventKind::OperatorTotpDisabled, &by.operator.id)
}

/// Takes somebody else's second factor away, who lost it.
pub(crate) fn reset(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator_id: &str,
) -> Result<Outcome, StorageError> {
    if operator_id == by.operator.id {
        let why = "your own second factor is disabled with your password and a code";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    let is_there = operator::get(apply.txn, by.fleet, operator_id)?.is_some()
        && totp::get(apply.txn, by.fleet, operator_id)?.is_some();
    if !is_there {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    totp::delete(apply.txn, by.fleet, operator_id);
    record(apply, by, EventKind::OperatorTotpReset, operator_id)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    operator_id: &str,
) -> Result<Outcome, StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Other("operator".into(), operator_id.into());
    let payload = payload(&[("address", by.address())]);
    apply.record_with(by.fleet, kind, actor, resource, None, payload)?;
    Ok(Outcome::Done)
}
