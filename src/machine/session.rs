//! Signing in and out, sessions and API tokens, passwords, and failed tries.

use ekho_storage::StorageError;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::login::{self, Source};
use ekho_storage::tables::operator::{self, Operator, Scopes};
use ekho_storage::tables::session::{self, Origin, Session};
use ekho_storage::tables::{FleetNo, TimeMs, fleet};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::outcome::{Outcome, Refusal};
use super::proof::{CreateSession, LoginFailed, Proof, SecondFactor};
use super::totp::{self, Asked};
use super::vouched;

/// Sessions of one operator; the oldest one ends where another begins.
const SESSIONS_MAX: usize = 500;
/// API tokens of one operator.
const API_TOKENS_MAX: usize = 100;
/// Both kinds.
pub const LISTED_MAX: usize = SESSIONS_MAX + API_TOKENS_MAX;

/// Begins a session for somebody whose proof still holds.
pub(crate) fn create(
    apply: &mut Apply<'_>,
    create: CreateSession,
) -> Result<Outcome, StorageError> {
    if fleet::is_archived(apply.txn, create.fleet)? {
        let refusal = match &create.proof {
            Proof::Password { .. } => Refusal::InvalidCredentials,
            Proof::Oidc { .. } | Proof::Tailnet { .. } => Refusal::NoOperator,
        };
        return Ok(Outcome::Refused(refusal));
    }
    let (operator, second) = match &create.proof {
        Proof::Password {
            operator_id,
            password_hash,
            second,
        } => match by_password(apply, &create, operator_id, password_hash, second.as_ref())? {
            Ok(operator) => (operator, second.as_ref()),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        },
        Proof::Tailnet { email } => match operator::by_email(apply.txn, create.fleet, email)? {
            Some(operator) => (operator, None),
            None => return Ok(Outcome::Refused(Refusal::NoOperator)),
        },
        Proof::Oidc {
            email,
            subject,
            role,
            first,
        } => match vouched::by_oidc(apply, create.fleet, email, subject, *role, first.as_ref())? {
            Ok(operator) => (operator, None),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        },
    };
    let now = apply.now();
    let expires_ms = now + apply.settings.session_ms;
    let mut logins = list(apply, create.fleet, &operator.id, is_login)?;
    while logins.len() >= SESSIONS_MAX {
        let (token_hash, oldest) = logins.remove(0);
        end(apply, &token_hash, &oldest);
    }
    let session = Session {
        fleet: create.fleet,
        operator_id: operator.id.clone(),
        id: create.session_id,
        created_ms: now,
        expires_ms: Some(expires_ms),
        origin: Origin::Login {
            method: create.proof.method(),
            address: create.address.clone(),
            user_agent: create.user_agent.clone(),
        },
    };
    begin(apply, &create.token_hash, &session);
    let mut about = vec![
        ("address", create.address.as_str()),
        ("method", create.proof.method().as_str()),
    ];
    match second {
        Some(SecondFactor::Totp { .. }) => about.push(("second_factor", "totp")),
        Some(SecondFactor::Recovery { .. }) => about.push(("second_factor", "recovery_code")),
        None => {}
    }
    record_with(
        apply,
        &session,
        EventKind::OperatorLogin,
        &session.id,
        &about,
    )?;
    Ok(Outcome::SessionCreated { expires_ms })
}

/// Who signs in with a password, provided it is still the one that was checked, nobody locked the
/// account meanwhile, and a second factor, where it is asked for, is shown and new.
fn by_password(
    apply: &mut Apply<'_>,
    create: &CreateSession,
    operator_id: &str,
    password_hash: &str,
    second: Option<&SecondFactor>,
) -> Result<Result<Operator, Refusal>, StorageError> {
    let found = operator::get(apply.txn, create.fleet, operator_id)?;
    let Some(operator) = found.filter(|operator| operator.password_hash == password_hash) else {
        return Ok(Err(Refusal::InvalidCredentials));
    };
    let account = Source::Account(create.fleet, operator.email.clone());
    for source in [&account, &Source::Address(create.address.clone())] {
        if let Some(retry_after_ms) = locked_ms(apply, source)? {
            return Ok(Err(Refusal::LockedOut { retry_after_ms }));
        }
    }
    match totp::ask(apply, create.fleet, operator_id, second)? {
        Asked::Passed => {}
        Asked::Missing => return Ok(Err(Refusal::TotpRequired)),
        Asked::Wrong => {
            let failure = LoginFailed {
                fleet: Some(create.fleet),
                email: operator.email,
                address: create.address.clone(),
            };
            failed(apply, failure)?;
            return Ok(Err(Refusal::InvalidCredentials));
        }
    }
    // The address keeps its failures: whoever has one account must not be able to guess at others
    // for ever.
    forget_failures(apply, &account)?;
    Ok(Ok(operator))
}

/// Counts a failed try against the account and the address it came from.
pub(crate) fn failed(apply: &mut Apply<'_>, failed: LoginFailed) -> Result<Outcome, StorageError> {
    let account = failed
        .fleet
        .map(|fleet| Source::Account(fleet, failed.email.clone()));
    let address = Source::Address(failed.address.clone());
    let limits = [
        (account, apply.settings.login_failures_per_account),
        (Some(address), apply.settings.login_failures_per_address),
    ];
    let mut locked = false;
    for (source, limit) in limits {
        let Some(source) = source else { continue };
        let mut failures = login::get(apply.txn, &source)?;
        if failures.until_ms <= apply.now() {
            failures.count = 0;
        }
        due::delete(apply.txn, failures.until_ms, &Due::Login(source.clone()));
        failures.count += 1;
        failures.until_ms = apply.now() + apply.settings.login_lockout_ms;
        due::put(apply.txn, failures.until_ms, &Due::Login(source.clone()));
        login::put(apply.txn, &source, &failures);
        locked |= failures.count == limit;
    }
    if let Some(fleet) = failed.fleet {
        let kind = if locked {
            EventKind::OperatorLockedOut
        } else {
            EventKind::OperatorLoginFailed
        };
        let resource = Resource::Other("account".into(), failed.email);
        let payload = payload(&[("address", &failed.address)]);
        apply.record_with(fleet, kind, Actor::System, resource, None, payload)?;
    }
    Ok(Outcome::Done)
}

/// For how long nobody gets in from there; none where they may try.
fn locked_ms(apply: &Apply<'_>, source: &Source) -> Result<Option<u64>, StorageError> {
    let limit = match source {
        Source::Account(..) => apply.settings.login_failures_per_account,
        Source::Address(_) => apply.settings.login_failures_per_address,
    };
    let failures = login::get(apply.txn, source)?;
    let left_ms = failures.until_ms.saturating_sub(apply.now());
    Ok((failures.count >= limit && left_ms > 0).then_some(left_ms))
}

fn forget_failures(apply: &mut Apply<'_>, source: &Source) -> Result<(), StorageError> {
    let failures = login::get(apply.txn, source)?;
    if failures.count > 0 {
        due::delete(apply.txn, failures.until_ms, &Due::Login(source.clone()));
        login::delete(apply.txn, source);
    }
    Ok(())
}

/// Signs out; twice is harmless.
pub(crate) fn sign_out(
    apply: &mut Apply<'_>,
    token_hash: [u8; 32],
) -> Result<Outcome, StorageError> {
    if let Some(session) = session::get(apply.txn, &token_hash)? {
        end(apply, &token_hash, &session);
        record(apply, &session, EventKind::OperatorLogout, &session.id)?;
    }
    Ok(Outcome::Done)
}

/// A new API token, as it stands in a command.
pub(crate) struct NewApiToken {
    pub token_hash: [u8; 32],
    pub id: String,
    pub name: String,
    pub scopes: Scopes,
    pub expires_ms: Option<TimeMs>,
}

/// Makes an API token that acts for the operator.
pub(crate) fn create_api_token(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewApiToken,
) -> Result<Outcome, StorageError> {
    let is_token = |session: &Session| !is_login(session);
    if list(apply, by.fleet, &by.operator.id, is_token)?.len() >= API_TOKENS_MAX {
        return Ok(Outcome::Refused(Refusal::LimitReached {
            limit: API_TOKENS_MAX as u64,
        }));
    }
    let session = Session {
        fleet: by.fleet,
        operator_id: by.operator.id.clone(),
        id: new.id,
        created_ms: apply.now(),
        expires_ms: new.expires_ms.map(|at_ms| at_ms.max(apply.now() + 1)),
        origin: Origin::ApiToken {
            name: new.name,
            scopes: new.scopes,
        },
    };
    begin(apply, &new.token_hash, &session);
    record(apply, &session, EventKind::ApiTokenCreated, &session.id)?;
    Ok(Outcome::Done)
}

/// Ends one session or API token, of the caller or of the operator named.
pub(crate) fn end_one(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator_id: Option<&str>,
    session_id: &str,
) -> Result<Outcome, StorageError> {
    let operator_id = operator_id.unwrap_or(&by.operator.id);
    let all = session::list(apply.txn, by.fleet, operator_id, LISTED_MAX)?;
    let found = all.into_iter().find(|(_, one)| one.id == session_id);
    let Some((token_hash, session)) = found else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    end(apply, &token_hash, &session);
    let kind = EventKind::SessionRevoked;
    let resource = Resource::Other("session".into(), session.id.clone());
    let actor = Actor::Operator(by.operator.id.clone());
    let payload = payload(&[("operator_id", &session.operator_id)]);
    apply.record_with(by.fleet, kind, actor, resource, None, payload)?;
    Ok(Outcome::Done)
}

/// Ends every other login of the caller. API tokens stay.
pub(crate) fn end_others(apply: &mut Apply<'_>, by: &Principal) -> Result<Outcome, StorageError> {
    let ended = end_logins(apply, by.fleet, &by.operator.id, Some(&by.token_hash))?;
    if ended > 0 {
        record(apply, &by.session, EventKind::SessionRevoked, "others")?;
    }
    Ok(Outcome::Updated(ended))
}

/// Changes the caller's password, provided it still is what was checked. Other logins end.
pub(crate) fn change_password(
    apply: &mut Apply<'_>,
    by: &Principal,
    current_hash: &str,
    new_hash: String,
) -> Result<Outcome, StorageError> {
    let mut operator = by.operator.clone();
    if operator.password_hash != current_hash {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    }
    operator.password_hash = new_hash;
    operator::put(apply.txn, by.fleet, &operator);
    end_logins(apply, by.fleet, &operator.id, Some(&by.token_hash))?;
    record(
        apply,
        &by.session,
        EventKind::OperatorPasswordChanged,
        &by.session.id,
    )?;
    Ok(Outcome::Done)
}

/// Ends an operator's logins, but for one; how many those were.
pub(crate) fn end_logins(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    but: Option<&[u8; 32]>,
) -> Result<u64, StorageError> {
    let mut ended = 0;
    for (token_hash, session) in list(apply, fleet, operator_id, is_login)? {
        if but != Some(&token_hash) {
            end(apply, &token_hash, &session);
            ended += 1;
        }
    }
    Ok(ended)
}

/// Ends everything that acts for an operator.
pub(crate) fn end_all(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
) -> Result<(), StorageError> {
    for (token_hash, session) in list(apply, fleet, operator_id, |_| true)? {
        end(apply, &token_hash, &session);
    }
    Ok(())
}

fn is_login(session: &Session) -> bool {
    matches!(session.origin, Origin::Login { .. })
}

fn list(
    apply: &Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    wanted: impl Fn(&Session) -> bool,
) -> Result<Vec<([u8; 32], Session)>, StorageError> {
    let mut found = session::list(apply.txn, fleet, operator_id, LISTED_MAX)?;
    found.retain(|(_, session)| wanted(session));
    found.sort_by_key(|(_, session)| session.created_ms);
    Ok(found)
}

fn begin(apply: &mut Apply<'_>, token_hash: &[u8; 32], session: &Session) {
    session::put(apply.txn, token_hash, session);
    if let Some(expires_ms) = session.expires_ms {
        let token_hash = *token_hash;
        due::put(apply.txn, expires_ms, &Due::Session { token_hash });
    }
}

fn end(apply: &mut Apply<'_>, token_hash: &[u8; 32], session: &Session) {
    session::delete(apply.txn, token_hash, session);
    if let Some(expires_ms) = session.expires_ms {
        let token_hash = *token_hash;
        due::delete(apply.txn, expires_ms, &Due::Session { token_hash });
    }
}

/// Records something a session's operator did about it.
fn record(
    apply: &mut Apply<'_>,
    session: &Session,
    kind: EventKind,
    about: &str,
) -> Result<(), StorageError> {
    match &session.origin {
        Origin::Login { address, .. } => {
            record_with(apply, session, kind, about, &[("address", address)])
        }
        Origin::ApiToken { name, .. } => {
            record_with(apply, session, kind, about, &[("name", name)])
        }
    }
}

fn record_with(
    apply: &mut Apply<'_>,
    session: &Session,
    kind: EventKind,
    about: &str,
    more: &[(&str, &str)],
) -> Result<(), StorageError> {
    let actor = Actor::Operator(session.operator_id.clone());
    let resource = Resource::Other("session".into(), about.into());
    apply.record_with(session.fleet, kind, actor, resource, None, payload(more))
}
