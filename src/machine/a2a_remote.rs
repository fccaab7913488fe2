//! A2A agents elsewhere: registered by operators, and what the relay does for them.

use ekho_storage::StorageError;
use ekho_storage::tables::a2a_remote::{self, A2aRemote, RemoteTask};
use ekho_storage::tables::agent::{self, A2A_REMOTE_RUNTIME, Agent, AgentLive};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, fleet};

use super::access::Principal;
use super::apply::Apply;
use super::command::{NewA2aRemote, RemoteRequest, TaskRequest};
use super::hook;
use super::inbox;
use super::outcome::{Outcome, Refusal};
use super::task;

/// Agents elsewhere of one fleet.
pub const REMOTES_MAX: usize = 1_000;

/// Registers an agent elsewhere.
pub(crate) fn create(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewA2aRemote,
) -> Result<Outcome, StorageError> {
    let limit = apply.settings.max_agents.min(REMOTES_MAX as u64);
    let present = a2a_remote::list(apply.txn, by.fleet, 0, REMOTES_MAX)?.len() as u64;
    let agents = sequence::last(apply.txn, by.fleet, Sequence::Agent)?;
    if present >= limit || agents >= apply.settings.max_agents {
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let no = sequence::next(apply.txn, by.fleet, Sequence::Agent)? as AgentNo;
    let agent = Agent {
        fleet: by.fleet,
        no,
        id: new.agent_id,
        display_name: new.name,
        runtime: A2A_REMOTE_RUNTIME.into(),
        hostname: None,
        capabilities: Vec::new(),
        labels: Vec::new(),
        created_ms: apply.now(),
        credentials: Vec::new(),
        identity_key: None,
        hold: None,
        auto_hold: None,
        revoked: false,
    };
    apply.put_agent(&agent, &AgentLive::default())?;
    let remote = A2aRemote {
        card_url: new.card_url,
        scheme: new.scheme,
        sealed: new.sealed,
        created_by: by.operator.id.clone(),
    };
    a2a_remote::put(apply.txn, by.fleet, no, &remote);
    record(apply, by, EventKind::A2aRemoteCreated, no, &remote.card_url)?;
    Ok(Outcome::Done)
}

/// Changes where an agent elsewhere is, and what it is shown.
pub(crate) fn change(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewA2aRemote,
) -> Result<Outcome, StorageError> {
    let found = apply.live_agent(by.fleet, &new.agent_id)?;
    let Some(agent) = found.filter(Agent::is_remote) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let Some(before) = a2a_remote::get(apply.txn, by.fleet, agent.no)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let remote = A2aRemote {
        card_url: new.card_url,
        scheme: new.scheme,
        sealed: new.sealed,
        created_by: before.created_by,
    };
    a2a_remote::put(apply.txn, by.fleet, agent.no, &remote);
    let kind = EventKind::A2aRemoteUpdated;
    record(apply, by, kind, agent.no, &remote.card_url)?;
    Ok(Outcome::Done)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    no: AgentNo,
    card_url: &str,
) -> Result<(), StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let payload = super::apply::payload(&[("card_url", card_url)]);
    apply.record_with(by.fleet, kind, actor, Resource::Agent(no), None, payload)
}

/// The relay does something for an agent elsewhere.
pub(crate) fn act(
    apply: &mut Apply<'_>,
    fleet_no: FleetNo,
    no: AgentNo,
    request: RemoteRequest,
) -> Result<Outcome, StorageError> {
    let found = agent::get(apply.txn, fleet_no, no)?;
    let found = found.filter(|agent| agent.is_remote() && !agent.revoked);
    let Some(agent) = found else {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    };
    if fleet::is_archived(apply.txn, fleet_no)? {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    }
    match request {
        RemoteRequest::Poll(poll) => inbox::poll(apply, &agent, &poll),
        RemoteRequest::Nack(nack) => inbox::nack(apply, &agent, &[nack]),
        RemoteRequest::Sent {
            message,
            task,
            task_id,
            context_id,
        } => {
            let remote = RemoteTask {
                agent: no,
                task_id,
                context_id,
            };
            a2a_remote::put_task(apply.txn, fleet_no, task, &remote);
            apply.updated(fleet_no, task);
            inbox::ack(apply, &agent, &[message])
        }
        RemoteRequest::Update(update) => {
            if !hook::were_asked(apply, fleet_no, std::slice::from_ref(&update.carrier))? {
                return Ok(Outcome::Refused(Refusal::ExtensionsNotAsked));
            }
            task::handle(apply, agent, TaskRequest::Update(update))
        }
        RemoteRequest::Forget { task } => {
            let remote = a2a_remote::task(apply.txn, fleet_no, task)?;
            if remote.is_some_and(|remote| remote.agent == no) {
                a2a_remote::delete_task(apply.txn, fleet_no, task);
            }
            Ok(Outcome::Done)
        }
    }
}
