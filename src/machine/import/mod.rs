//! Taking over what another relay held: agents with their ids, and what waits for them.
//!
//! Each row is considered on its own, and once: one whose id is here already changes nothing, so
//! that an import can be broken off and begun again. What the other relay accepted is neither asked
//! of policies nor counted against rates.

mod mark;
mod message;
mod row;
pub mod task;
pub mod token;

use std::collections::BTreeMap;

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent, AgentLive, Credential, IdentityKey};
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::imported_secret::{self, ImportedSecrets};
use ekho_storage::tables::operator::{self, Operator};
use ekho_storage::tables::policy;
use ekho_storage::tables::room::{self, Room};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, fleet};

use super::access::Principal;
use super::action::{self, PENDING_MAX};
use super::agent::{HoldOrder, hold, next_credential};
use super::apply::Apply;
use super::keys;
use super::outcome::{Outcome, Refusal, RowOutcome};

pub use row::{
    ImportAgent, ImportApproval, ImportDelivery, ImportHold, ImportMessage, ImportRoom, ImportRow,
    ImportSaid, ImportTask, ImportText, ProveSecret,
};

/// Members of an imported room.
pub const MEMBERS_MAX: usize = 1000;

fn refused(why: &str) -> Result<RowOutcome, StorageError> {
    Ok(RowOutcome::Refused(why.into()))
}

/// Takes rows over, each on its own.
pub(crate) fn rows(
    apply: &mut Apply<'_>,
    by: &Principal,
    source: String,
    rows: Vec<ImportRow>,
) -> Result<Outcome, StorageError> {
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut imported: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let kind = row.kind();
        let outcome = match row {
            ImportRow::Operator(operator) => take_operator(apply, by, operator)?,
            ImportRow::Agent(new) => take_agent(apply, by, *new)?,
            ImportRow::Room(new) => take_room(apply, by, new)?,
            ImportRow::Policy { policy_id, draft } => {
                match policy::get(apply.txn, by.fleet, &policy_id)?.is_some() {
                    true => RowOutcome::Exists,
                    false => of(super::policy::put(apply, by, policy_id, *draft, true)?),
                }
            }
            ImportRow::Approval(new) => take_approval(apply, by.fleet, *new)?,
            ImportRow::Message(new) => message::take(apply, by.fleet, *new)?,
            ImportRow::EnrollmentToken {
                token_hash,
                expires_ms,
            } => token::take(apply, by, token_hash, expires_ms)?,
            ImportRow::Task(new) => task::take(apply, by, *new)?,
        };
        if outcome == RowOutcome::Imported {
            *imported.entry(kind).or_default() += 1;
        }
        outcomes.push(outcome);
    }
    if !imported.is_empty() {
        let resource = Resource::Other("import".into(), source);
        let actor = Actor::Operator(by.operator.id.clone());
        let payload = serde_json::json!(imported).to_string();
        let kind = EventKind::RowsImported;
        apply.record_with(by.fleet, kind, actor, resource, None, payload)?;
    }
    Ok(Outcome::RowsImported(outcomes))
}

/// What came of a row that was taken over as an order of its own would be.
fn of(outcome: Outcome) -> RowOutcome {
    match outcome {
        Outcome::Refused(Refusal::LimitReached { limit }) => RowOutcome::Refused(format!(
            "there are {limit} already, as many as there may be"
        )),
        Outcome::Refused(Refusal::LicenseRequired { feature }) => {
            RowOutcome::Refused(format!("this needs a licence for {}", feature.as_str()))
        }
        Outcome::Refused(Refusal::Conflict(why)) => RowOutcome::Refused(why),
        Outcome::Refused(refusal) => RowOutcome::Refused(format!("{refusal:?}")),
        _ => RowOutcome::Imported,
    }
}

fn take_operator(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: Operator,
) -> Result<RowOutcome, StorageError> {
    let is_known = operator::get(apply.txn, by.fleet, &new.id)?.is_some()
        || operator::by_email(apply.txn, by.fleet, &new.email)?.is_some();
    match is_known {
        true => Ok(RowOutcome::Exists),
        false => super::operator::create(apply, by, new).map(of),
    }
}

fn take_agent(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: ImportAgent,
) -> Result<RowOutcome, StorageError> {
    let fleet = by.fleet;
    match agent::locate(apply.txn, &new.id)? {
        Some((of, _)) if of == fleet => return Ok(RowOutcome::Exists),
        Some(_) => return refused("its id is taken"),
        None => {}
    }
    if sequence::last(apply.txn, fleet, Sequence::Agent)? >= apply.settings.max_agents {
        return refused("the fleet has as many agents as it may");
    }
    if let Some((key_id, _)) = &new.identity_key
        && keys::unusable(apply, fleet, key_id)?.is_some()
    {
        return refused("its identity key was revoked here, or is an operator's");
    }
    let no = sequence::next(apply.txn, fleet, Sequence::Agent)? as AgentNo;
    let now = apply.now();
    let (auto_hold, ordered) = match new.hold.filter(|_| !new.revoked) {
        Some(ImportHold::Auto(why)) => (Some(why), None),
        Some(ImportHold::Operator { kind, reason }) => (None, Some((kind, reason))),
        None => (None, None),
    };
    let agent = Agent {
        fleet,
        no,
        id: new.id,
        display_name: new.display_name,
        runtime: new.runtime,
        hostname: new.hostname,
        capabilities: new.capabilities,
        labels: Vec::new(),
        created_ms: new.created_ms.min(now),
        credentials: Vec::new(),
        identity_key: new
            .identity_key
            .map(|(key_id, public_key)| IdentityKey { key_id, public_key }),
        hold: None,
        auto_hold,
        revoked: new.revoked,
    };
    let live = AgentLive {
        last_seen_ms: new.last_seen_ms.min(now),
        ..AgentLive::default()
    };
    apply.put_agent(&agent, &live)?;
    if let Some(key) = &agent.identity_key {
        keys::remember(apply, fleet, no, key)?;
    }
    if !agent.revoked {
        let secrets = ImportedSecrets { hashes: new.hashes };
        imported_secret::put(apply.txn, fleet, no, &secrets);
    }
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record(fleet, EventKind::AgentImported, actor, Resource::Agent(no))?;
    if let Some((kind, reason)) = ordered {
        let order = HoldOrder {
            kind,
            reason,
            expires_ms: None,
            redirect_agent_id: None,
        };
        hold(apply, fleet, &by.operator.id, &agent.id, order)?;
    }
    Ok(RowOutcome::Imported)
}

fn take_room(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: ImportRoom,
) -> Result<RowOutcome, StorageError> {
    let fleet = by.fleet;
    if room::get(apply.txn, fleet, &new.id)?.is_some() {
        return Ok(RowOutcome::Exists);
    }
    let mut members = Vec::with_capacity(new.members.len());
    for id in &new.members {
        let member = apply.live_agent(fleet, id)?;
        members.extend(member.filter(may_receive).map(|agent| agent.no));
    }
    members.sort_unstable();
    members.dedup();
    let Some(first) = members.first().copied() else {
        return refused("none of its members is here");
    };
    let creator = match &new.created_by {
        Some(id) => apply.live_agent(fleet, id)?.map(|agent| agent.no),
        None => None,
    };
    // Whoever made a room is a member of it.
    let creator = creator.filter(|no| members.binary_search(no).is_ok());
    let room = Room {
        id: new.id,
        name: new.name,
        created_by: creator.unwrap_or(first),
        created_ms: new.created_ms.min(apply.now()),
        members,
    };
    room::put(apply.txn, fleet, &room);
    let resource = Resource::Other("room".into(), room.id);
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record(fleet, EventKind::RoomCreated, actor, resource)?;
    Ok(RowOutcome::Imported)
}

/// Whether an agent that is not revoked has an inbox here.
fn may_receive(agent: &Agent) -> bool {
    !agent.is_client() && !agent.is_remote()
}

fn take_approval(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    new: ImportApproval,
) -> Result<RowOutcome, StorageError> {
    if approval::get(apply.txn, fleet, new.uuid)?.is_some() {
        return Ok(RowOutcome::Exists);
    }
    let Some(agent) = apply.live_agent(fleet, &new.agent_id)? else {
        return refused("the agent that asked is not here");
    };
    if counter::get(apply.txn, fleet, Counter::ApprovalsPending)? >= PENDING_MAX {
        return refused("as many approvals wait as may");
    }
    let (uuid, status) = (new.uuid, new.status);
    let expires_ms = apply.now() + apply.settings.approval_ttl_ms;
    let mut asked = Approval {
        uuid,
        agent: agent.no,
        conversation_id: new.conversation_id,
        action_type: new.action_type,
        summary: new.summary,
        risk: new.risk,
        payload: new.payload,
        status: ApprovalStatus::Pending,
        message: None,
        requested_ms: new.requested_ms.min(apply.now()),
        resolved_ms: None,
        resolved_by: None,
        output: None,
        reason: None,
        expires_ms: Some(expires_ms),
        first_yes: None,
        removed_ms: 0,
    };
    let approval = uuid;
    due::put(apply.txn, expires_ms, &Due::Approval { fleet, approval });
    action::ask(apply, fleet, &asked)?;
    let conversation = Some(asked.conversation_id.clone());
    apply.record_with(
        fleet,
        EventKind::ApprovalRequested,
        Actor::Agent(agent.no),
        Resource::Approval(uuid),
        conversation,
        String::new(),
    )?;
    if status != ApprovalStatus::Pending {
        action::resolve(apply, fleet, &mut asked)?;
        asked.status = status;
        asked.resolved_ms = new.resolved_ms.or(asked.resolved_ms);
        asked.resolved_by = new.resolved_by;
        approval::put(apply.txn, fleet, &asked)?;
    }
    Ok(RowOutcome::Imported)
}

/// Lets an imported agent sign with a secret that it showed; its hash goes.
pub(crate) fn prove(apply: &mut Apply<'_>, proof: ProveSecret) -> Result<Outcome, StorageError> {
    let invalid = Ok(Outcome::Refused(Refusal::InvalidCredentials));
    let ProveSecret {
        fleet,
        agent,
        sealed_hash,
        sealed_secret,
    } = proof;
    let Some(mut found) = agent::get(apply.txn, fleet, agent)?.filter(|agent| !agent.revoked)
    else {
        return invalid;
    };
    if fleet::is_archived(apply.txn, fleet)? {
        return invalid;
    }
    let mut secrets = imported_secret::get(apply.txn, fleet, agent)?.unwrap_or_default();
    let is_shown = |hash: &imported_secret::ImportedHash| hash.sealed_hash == sealed_hash;
    // Another request may have shown it a moment ago.
    let Some(place) = secrets.hashes.iter().position(is_shown) else {
        return invalid;
    };
    let hash = secrets.hashes.remove(place);
    imported_secret::put(apply.txn, fleet, agent, &secrets);
    if hash.expires_ms.is_some_and(|at_ms| at_ms <= apply.now()) {
        return invalid;
    }
    let credential = Credential {
        id: next_credential(&found),
        sealed_secret,
        valid_until_ms: hash.expires_ms,
    };
    found.credentials.insert(0, credential);
    agent::put(apply.txn, &found);
    apply.record(
        fleet,
        EventKind::AgentSecretProven,
        Actor::Agent(agent),
        Resource::Agent(agent),
    )?;
    Ok(Outcome::Done)
}
