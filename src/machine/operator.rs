//! Set-up, sign-in, and what operators order.

use ekho_storage::StorageError;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::operator::{self, Operator, Role, Session};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::token::{self, EnrollmentToken};
use ekho_storage::tables::{FleetNo, settings};

use super::agent::{self, HoldOrder};
use super::apply::Apply;
use super::command::{Bootstrap, CreateSession, OperatorRequest};
use super::outcome::{Outcome, Refusal};

/// Sets the cluster up, once.
pub(crate) fn bootstrap(
    apply: &mut Apply<'_>,
    bootstrap: Bootstrap,
) -> Result<Outcome, StorageError> {
    if sequence::last(apply.txn, 0, Sequence::Fleet)? > 0 {
        return Ok(Outcome::Refused(Refusal::AlreadySetUp));
    }
    let now = apply.now();
    *apply.settings = bootstrap.settings;
    settings::put(apply.txn, apply.settings);
    apply.system.sealing_key_id = bootstrap.sealing_key_id;
    let no = sequence::next(apply.txn, 0, Sequence::Fleet)? as FleetNo;
    let fleet = Fleet {
        no,
        id: bootstrap.fleet_id,
        name: bootstrap.fleet_name,
        created_ms: now,
    };
    fleet::put(apply.txn, &fleet);
    let owner = Operator {
        id: bootstrap.operator_id.clone(),
        email: bootstrap.email,
        password_hash: bootstrap.password_hash,
        role: Role::Owner,
        created_ms: now,
    };
    operator::put(apply.txn, no, &owner);
    let resource = Resource::Other("fleet".into(), fleet.id);
    apply.record(
        no,
        EventKind::FleetCreated,
        Actor::Operator(bootstrap.operator_id),
        resource,
    )?;
    Ok(Outcome::Done)
}

/// Begins a session, provided the password is still the one that was checked.
pub(crate) fn create_session(
    apply: &mut Apply<'_>,
    create: CreateSession,
) -> Result<Outcome, StorageError> {
    let found = operator::by_email(apply.txn, create.fleet, &create.email)?;
    let Some(operator) = found.filter(|operator| operator.password_hash == create.password_hash)
    else {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    };
    let now = apply.now();
    let expires_ms = now + apply.settings.session_ms;
    let session = Session {
        fleet: create.fleet,
        email: operator.email,
        operator_id: operator.id.clone(),
        created_ms: now,
        expires_ms,
    };
    operator::put_session(apply.txn, &create.token_hash, &session);
    due::put(
        apply.txn,
        expires_ms,
        &Due::Session {
            token_hash: create.token_hash,
        },
    );
    let resource = Resource::Other("operator".into(), operator.id.clone());
    apply.record(
        create.fleet,
        EventKind::OperatorLogin,
        Actor::Operator(operator.id),
        resource,
    )?;
    Ok(Outcome::SessionCreated { expires_ms })
}

/// Ends a session; ending it twice is harmless.
pub(crate) fn delete_session(
    apply: &mut Apply<'_>,
    token_hash: [u8; 32],
) -> Result<Outcome, StorageError> {
    if let Some(session) = operator::session(apply.txn, &token_hash)? {
        operator::delete_session(apply.txn, &token_hash);
        due::delete(apply.txn, session.expires_ms, &Due::Session { token_hash });
        let resource = Resource::Other("operator".into(), session.operator_id.clone());
        apply.record(
            session.fleet,
            EventKind::OperatorLogout,
            Actor::Operator(session.operator_id),
            resource,
        )?;
    }
    Ok(Outcome::Done)
}

/// Does what an operator orders.
pub(crate) fn order(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: String,
    request: OperatorRequest,
) -> Result<Outcome, StorageError> {
    match request {
        OperatorRequest::CreateEnrollmentToken { token_hash } => {
            let expires_ms = apply.now() + apply.settings.enrollment_token_ms;
            let token = EnrollmentToken {
                fleet,
                created_by: operator_id.clone(),
                expires_ms,
            };
            token::put(apply.txn, &token_hash, &token);
            due::put(apply.txn, expires_ms, &Due::EnrollmentToken { token_hash });
            let resource = Resource::Other("enrollment_token".into(), String::new());
            apply.record(
                fleet,
                EventKind::EnrollmentTokenCreated,
                Actor::Operator(operator_id),
                resource,
            )?;
            Ok(Outcome::Done)
        }
        OperatorRequest::Hold {
            agent_id,
            kind,
            reason,
            expires_ms,
            redirect_agent_id,
        } => {
            let order = HoldOrder {
                kind,
                reason,
                expires_ms,
                redirect_agent_id,
            };
            agent::hold(apply, fleet, &operator_id, &agent_id, order)
        }
        OperatorRequest::Resume {
            agent_id,
            reason,
            expires_ms,
        } => agent::resume(apply, fleet, &operator_id, &agent_id, &reason, expires_ms),
        OperatorRequest::Revoke { agent_id, reason } => {
            agent::revoke(apply, fleet, &operator_id, &agent_id, &reason)
        }
        OperatorRequest::DecideApproval {
            approval,
            approve,
            reason,
        } => super::action::decide(apply, fleet, &operator_id, approval, approve, reason),
        OperatorRequest::ChangeSettings { before, after } => {
            if *apply.settings != *before {
                let why = "the settings were changed by someone else meanwhile";
                return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
            }
            let new = *after;
            let before = serde_json::to_value(&*apply.settings).unwrap_or_default();
            let after = serde_json::to_value(&new).unwrap_or_default();
            let from_ms = apply.settings.timestamp_skew_ms;
            apply.system.skew_changes(from_ms, new.timestamp_skew_ms);
            *apply.settings = new;
            settings::put(apply.txn, apply.settings);
            let payload = serde_json::json!({ "before": before, "after": after }).to_string();
            let resource = Resource::Other("settings".into(), String::new());
            let actor = Actor::Operator(operator_id);
            apply.record_with(
                fleet,
                EventKind::SettingsChanged,
                actor,
                resource,
                None,
                payload,
            )?;
            Ok(Outcome::Done)
        }
        OperatorRequest::CreateOperator {
            operator_id: id,
            email,
            password_hash,
            role,
        } => {
            if operator::by_email(apply.txn, fleet, &email)?.is_some() {
                return Ok(Outcome::Refused(Refusal::Conflict(
                    "an operator with this email exists".into(),
                )));
            }
            let created_ms = apply.now();
            operator::put(
                apply.txn,
                fleet,
                &Operator {
                    id,
                    email,
                    password_hash,
                    role,
                    created_ms,
                },
            );
            Ok(Outcome::Done)
        }
    }
}
