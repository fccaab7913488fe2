//! The decision whether a signed request is accepted: once, by an agent that may still sign.
//!
//! The ingress node has checked the signature. What it cannot decide alone is decided here, in
//! the order of the log: that the credential still holds and that the nonce is new.

use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::tables::TimeMs;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::fleet;
use ekho_storage::tables::nonce as nonces;
use ekho_storage::{Read, StorageError};

use super::apply::Apply;
use super::command::Auth;
use super::outcome::Refusal;

/// The agent that signed, if it may still sign with this credential.
pub fn may_sign(
    read: &impl Read,
    auth: &Auth,
    now_ms: TimeMs,
) -> Result<Option<Agent>, StorageError> {
    let Some(agent) = agent::get(read, auth.fleet, auth.agent)? else {
        return Ok(None);
    };
    let valid = agent.credentials.iter().any(|credential| {
        credential.id == auth.credential
            && credential.valid_until_ms.is_none_or(|until| now_ms < until)
    });
    let may = valid && !agent.revoked && !fleet::is_archived(read, auth.fleet)?;
    Ok(may.then_some(agent))
}

/// Accepts the request and remembers its nonce, or says why not and changes nothing.
pub(crate) fn accept(
    apply: &mut Apply<'_>,
    auth: &Auth,
) -> Result<Result<Agent, Refusal>, StorageError> {
    let now = apply.now();
    let Some(agent) = may_sign(apply.txn, auth, now)? else {
        return Ok(Err(Refusal::InvalidCredentials));
    };
    let Some(nonce) = &auth.nonce else {
        return Ok(Ok(agent));
    };
    let skew_ms = apply.settings.timestamp_skew_ms;
    let too_old = auth.timestamp_ms <= apply.system.timestamp_floor_ms;
    if too_old || now.abs_diff(auth.timestamp_ms) > skew_ms {
        return Ok(Err(Refusal::TimestampSkew));
    }
    // A request can come back while its timestamp is acceptable: at most twice the skew after it
    // was accepted, when its sender's clock was ahead.
    let since_ms = now.saturating_sub(apply.system.nonce_memory_ms(skew_ms));
    let used = nonces::used(apply.txn, auth.fleet, auth.agent, nonce, since_ms, now)?;
    if used && !is_broken(Break::AcceptNonceTwice) {
        return Ok(Err(Refusal::ReplayedNonce));
    }
    nonces::put(apply.txn, auth.fleet, auth.agent, nonce, now);
    Ok(Ok(agent))
}
