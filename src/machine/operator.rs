//! Set-up, what operators order, and operators themselves.

use ekho_storage::StorageError;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::operator::{self, Operator, Role};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::token::{self, EnrollmentToken};
use ekho_storage::tables::{FleetNo, settings};

use super::a2a_client;
use super::a2a_remote;
use super::access::{self, Principal};
use super::agent::{self, HoldOrder};
use super::apply::Apply;
use super::attachment;
use super::cluster;
use super::command::{Bootstrap, OperatorRequest};
use super::dead_letter;
use super::edge;
use super::fleet;
use super::hook;
use super::import;
use super::keys;
use super::license;
use super::message;
use super::outcome::{Outcome, Refusal};
use super::policy;
use super::rebuilt;
use super::rotation;
use super::send;
use super::session::{self, NewApiToken};
use super::task_push;
use super::totp;

/// Operators of a fleet.
pub const OPERATORS_MAX: usize = 1000;

const LAST_OWNER: &str = "a fleet needs an owner, and this is the last one";

/// Sets the cluster up, once.
pub(crate) fn bootstrap(
    apply: &mut Apply<'_>,
    bootstrap: Bootstrap,
) -> Result<Outcome, StorageError> {
    if sequence::last(apply.txn, 0, Sequence::Fleet)? > 0 {
        return Ok(Outcome::Refused(Refusal::AlreadySetUp));
    }
    *apply.settings = bootstrap.settings;
    settings::put(apply.txn, apply.settings);
    apply.system.sealing_key_id = bootstrap.sealing_key_id;
    fleet::make(apply, bootstrap.fleet)?;
    Ok(Outcome::Done)
}

/// Does what somebody orders who came with this token, where they may.
pub(crate) fn order(
    apply: &mut Apply<'_>,
    token_hash: [u8; 32],
    request: OperatorRequest,
) -> Result<Outcome, StorageError> {
    let Some(by) = access::principal(apply.txn, token_hash, apply.now())? else {
        return Ok(Outcome::Refused(Refusal::NotSignedIn));
    };
    if let Err(refusal) = by.require(request.needs()) {
        return Ok(Outcome::Refused(refusal));
    }
    let (fleet, operator_id) = (by.fleet, by.operator.id.clone());
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
            let operator = Operator {
                id,
                email,
                password_hash,
                role,
                created_ms: apply.now(),
            };
            create(apply, &by, operator)
        }
        OperatorRequest::ChangeOperator {
            operator_id,
            role,
            password_hash,
        } => change(apply, &by, &operator_id, role, password_hash),
        OperatorRequest::DeleteOperator { operator_id } => delete(apply, &by, &operator_id),
        OperatorRequest::EndSession {
            operator_id,
            session_id,
        } => session::end_one(apply, &by, operator_id.as_deref(), &session_id),
        OperatorRequest::EndOtherSessions => session::end_others(apply, &by),
        OperatorRequest::ChangePassword {
            current_hash,
            new_hash,
        } => session::change_password(apply, &by, &current_hash, new_hash),
        OperatorRequest::PutPolicy {
            policy_id,
            draft,
            is_new,
        } => policy::put(apply, &by, policy_id, *draft, is_new),
        OperatorRequest::Redrive { dead_letters } => {
            dead_letter::redrive(apply, &by, &dead_letters)
        }
        OperatorRequest::Purge { dead_letters } => dead_letter::purge(apply, &by, &dead_letters),
        OperatorRequest::Send(new) => send::send_for_operator(apply, &by, *new, &[]),
        OperatorRequest::SendWith {
            message,
            attachments,
        } => send::send_for_operator(apply, &by, *message, &attachments),
        OperatorRequest::CreateAttachment(new) => attachment::create_for_operator(apply, &by, *new),
        OperatorRequest::ChangeAttachmentSettings { before, after } => {
            attachment::change_settings(apply, &by, &before, &after)
        }
        OperatorRequest::Cancel { message } => message::cancel_for_operator(apply, &by, message),
        OperatorRequest::Redirect {
            from_agent_id,
            to_agent_id,
            seqs,
            reason,
        } => message::redirect(apply, &by, &from_agent_id, &to_agent_id, &seqs, &reason),
        OperatorRequest::InstallLicense(new) => license::install(apply, &by, new.map(|one| *one)),
        OperatorRequest::CreateFleet(new) => fleet::create(apply, &by, *new),
        OperatorRequest::RenameFleet { fleet_id, name } => {
            fleet::rename(apply, &by, &fleet_id, name)
        }
        OperatorRequest::ArchiveFleet { fleet_id, name } => {
            fleet::archive(apply, &by, &fleet_id, &name)
        }
        OperatorRequest::RestoreFleet { fleet_id } => fleet::restore(apply, &by, &fleet_id),
        OperatorRequest::RegisterKey {
            key_id,
            public_key,
            name,
            is_root,
        } => keys::register(apply, &by, key_id, public_key, name, is_root),
        OperatorRequest::EndorseKey {
            key_id,
            by_key_id,
            signature,
        } => keys::endorse(apply, &by, &key_id, &by_key_id, signature),
        OperatorRequest::RevokeKey { key_id, reason } => keys::revoke(apply, &by, &key_id, &reason),
        OperatorRequest::RevokeAgentKey {
            agent_id,
            key_id,
            reason,
        } => keys::revoke_of_agent(apply, &by, &agent_id, &key_id, &reason),
        OperatorRequest::PutHook(change) => hook::put(apply, &by, *change),
        OperatorRequest::DeleteHook { hook_id } => hook::delete(apply, &by, &hook_id),
        OperatorRequest::RotateHookSecret {
            hook_id,
            sealed_secret,
            overlap_ms,
        } => hook::rotate(apply, &by, &hook_id, sealed_secret, overlap_ms),
        OperatorRequest::ImportPolicies {
            policies,
            delete_others,
            dry_run,
        } => policy::import(apply, &by, policies, delete_others, dry_run),
        OperatorRequest::SetLabels { agent_id, labels } => {
            agent::label(apply, &by, &agent_id, labels)
        }
        OperatorRequest::RetryPush { task, id } => task_push::retry(apply, &by, task, &id),
        OperatorRequest::CreateA2aRemote(new) => a2a_remote::create(apply, &by, *new),
        OperatorRequest::ChangeA2aRemote(new) => a2a_remote::change(apply, &by, *new),
        OperatorRequest::CreateA2aClient(new) => a2a_client::create(apply, &by, *new),
        OperatorRequest::ChangeA2aClient {
            client_id,
            agents,
            rate_max_messages,
        } => a2a_client::change(apply, &by, &client_id, agents, rate_max_messages),
        OperatorRequest::CreateA2aToken { client_id, token } => {
            a2a_client::create_token(apply, &by, &client_id, token)
        }
        OperatorRequest::RevokeA2aToken {
            client_id,
            token_id,
        } => a2a_client::revoke_token(apply, &by, &client_id, &token_id),
        OperatorRequest::CreateJoinToken(new) => cluster::create_token(apply, &by, new),
        OperatorRequest::DeleteJoinToken { id } => cluster::delete_token(apply, &by, &id),
        OperatorRequest::SetNodePart { node_id, part } => {
            cluster::set_part(apply, &by, node_id, part)
        }
        OperatorRequest::NodeMoved { node_id, is_drain } => {
            cluster::moved(apply, &by, node_id, is_drain)
        }
        OperatorRequest::NodeDebugged { node_id, what } => {
            cluster::debugged(apply, &by, node_id, &what)
        }
        OperatorRequest::DeletePolicy { policy_id } => policy::delete(apply, &by, &policy_id),
        OperatorRequest::RollBackPolicy { policy_id, version } => {
            policy::roll_back(apply, &by, policy_id, version)
        }
        OperatorRequest::CreateApiToken {
            token_hash,
            id,
            name,
            scopes,
            expires_ms,
        } => {
            let new = NewApiToken {
                token_hash,
                id,
                name,
                scopes,
                expires_ms,
            };
            session::create_api_token(apply, &by, new)
        }
        OperatorRequest::BeginTotp {
            current_hash,
            secret_id,
            sealed_secret,
        } => totp::begin(apply, &by, &current_hash, secret_id, sealed_secret),
        OperatorRequest::ConfirmTotp {
            secret_id,
            step,
            recovery_hashes,
        } => totp::confirm(apply, &by, &secret_id, step, recovery_hashes),
        OperatorRequest::DisableTotp {
            current_hash,
            second,
        } => totp::disable(apply, &by, &current_hash, second.as_ref()),
        OperatorRequest::ResetTotp { operator_id } => totp::reset(apply, &by, &operator_id),
        OperatorRequest::TakeBackup { label } => rebuilt::backup_taken(apply, &by, label),
        OperatorRequest::ChangeFleetSettings(after) => edge::change_settings(apply, &by, after),
        OperatorRequest::Import { source, rows } => import::rows(apply, &by, source, rows),
        OperatorRequest::IssueSecret {
            agent_id,
            sealed_secret,
        } => agent::issue_secret(apply, &by, &agent_id, sealed_secret),
        OperatorRequest::RotateMasterSecret { to_key_id } => rotation::begin(apply, &by, to_key_id),
    }
}

pub(crate) fn create(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator: Operator,
) -> Result<Outcome, StorageError> {
    if operator::by_email(apply.txn, by.fleet, &operator.email)?.is_some() {
        let why = "an operator with this email exists";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    if operator::list(apply.txn, by.fleet, OPERATORS_MAX)?.len() == OPERATORS_MAX {
        return Ok(Outcome::Refused(Refusal::LimitReached {
            limit: OPERATORS_MAX as u64,
        }));
    }
    operator::put(apply.txn, by.fleet, &operator);
    record(apply, by, EventKind::OperatorCreated, &operator, None)?;
    Ok(Outcome::Done)
}

/// Changes what an operator may do, or sets a new password, which ends their logins.
fn change(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator_id: &str,
    role: Option<Role>,
    password_hash: Option<String>,
) -> Result<Outcome, StorageError> {
    let Some(before) = operator::get(apply.txn, by.fleet, operator_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let mut after = before.clone();
    after.role = role.unwrap_or(before.role);
    if before.role == Role::Owner && after.role != Role::Owner && is_last_owner(apply, by.fleet)? {
        return Ok(Outcome::Refused(Refusal::Conflict(LAST_OWNER.into())));
    }
    if let Some(password_hash) = password_hash {
        after.password_hash = password_hash;
        session::end_logins(apply, by.fleet, operator_id, Some(&by.token_hash))?;
    }
    operator::put(apply.txn, by.fleet, &after);
    record(apply, by, EventKind::OperatorUpdated, &after, Some(&before))?;
    Ok(Outcome::Done)
}

/// Removes an operator with everything that acts for them.
fn delete(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator_id: &str,
) -> Result<Outcome, StorageError> {
    let Some(operator) = operator::get(apply.txn, by.fleet, operator_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if operator.role == Role::Owner && is_last_owner(apply, by.fleet)? {
        return Ok(Outcome::Refused(Refusal::Conflict(LAST_OWNER.into())));
    }
    session::end_all(apply, by.fleet, operator_id)?;
    keys::revoke_all_of(apply, by, operator_id)?;
    ekho_storage::tables::totp::delete(apply.txn, by.fleet, operator_id);
    operator::delete(apply.txn, by.fleet, &operator);
    record(apply, by, EventKind::OperatorDeleted, &operator, None)?;
    Ok(Outcome::Done)
}

pub(crate) fn is_last_owner(apply: &Apply<'_>, fleet: FleetNo) -> Result<bool, StorageError> {
    let operators = operator::list(apply.txn, fleet, OPERATORS_MAX)?;
    let owners = operators.iter().filter(|one| one.role == Role::Owner);
    Ok(owners.count() <= 1)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    about: &Operator,
    before: Option<&Operator>,
) -> Result<(), StorageError> {
    let shown = |operator: &Operator| serde_json::json!({ "email": operator.email, "role": operator.role.as_str() });
    let mut payload = serde_json::json!({ "after": shown(about) });
    if let Some(before) = before {
        payload["before"] = shown(before);
        payload["password_changed"] = (before.password_hash != about.password_hash).into();
    }
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Other("operator".into(), about.id.clone());
    apply.record_with(by.fleet, kind, actor, resource, None, payload.to_string())
}
