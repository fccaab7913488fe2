//! A2A clients with bearer tokens: made, limited and revoked by operators.

use ekho_storage::tables::a2a_client::{self, A2aClient, ClientToken, TOKENS_MAX};
use ekho_storage::tables::agent::{A2A_CLIENT_RUNTIME, Agent, AgentLive};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::Recipient;
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, TimeMs, agent, fleet};
use ekho_storage::{Read, StorageError};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::{NewA2aClient, NewA2aToken};
use super::outcome::{Outcome, Refusal};

/// Whose token this is, where it still counts.
pub fn of_token(
    read: &impl Read,
    token_hash: &[u8; 32],
    now_ms: TimeMs,
) -> Result<Option<Agent>, StorageError> {
    let Some((fleet, no)) = a2a_client::by_token(read, token_hash)? else {
        return Ok(None);
    };
    let client = a2a_client::get(read, fleet, no)?;
    let token = client.and_then(|client| {
        let mut tokens = client.tokens.into_iter();
        tokens.find(|token| token.hash == *token_hash)
    });
    let is_over = |token: &ClientToken| token.expires_ms.is_some_and(|until| until <= now_ms);
    if token.is_none_or(|token| is_over(&token)) || fleet::is_archived(read, fleet)? {
        return Ok(None);
    }
    Ok(agent::get(read, fleet, no)?.filter(|agent| !agent.revoked))
}

/// Whether somebody may reach this recipient: everybody may but a client that is kept to a few.
pub fn may_reach(
    read: &impl Read,
    by: &Agent,
    recipient: &Recipient,
) -> Result<bool, StorageError> {
    if !by.is_client() {
        return Ok(true);
    }
    let Some(client) = a2a_client::get(read, by.fleet, by.no)? else {
        return Ok(false);
    };
    Ok(match recipient {
        Recipient::Agent(id) => client.agents.is_empty() || client.agents.contains(id),
        Recipient::Group(_) | Recipient::Broadcast => false,
    })
}

/// Makes a client with its first token.
pub(crate) fn create(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewA2aClient,
) -> Result<Outcome, StorageError> {
    let limit = apply.settings.max_agents;
    if sequence::last(apply.txn, by.fleet, Sequence::Agent)? >= limit {
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    if let Some(refusal) = unknown(apply, by, &new.agents)? {
        return Ok(Outcome::Refused(refusal));
    }
    let no = sequence::next(apply.txn, by.fleet, Sequence::Agent)? as AgentNo;
    let agent = Agent {
        fleet: by.fleet,
        no,
        id: new.client_id,
        display_name: new.name,
        runtime: A2A_CLIENT_RUNTIME.into(),
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
    let client = A2aClient {
        agents: new.agents,
        rate_max_messages: new.rate_max_messages,
        tokens: vec![token(apply, new.token)],
        created_by: by.operator.id.clone(),
    };
    a2a_client::put(apply.txn, by.fleet, no, &client)?;
    record(apply, by, EventKind::A2aClientCreated, no, String::new())?;
    Ok(Outcome::Done)
}

/// Changes what a client may reach, and how often.
pub(crate) fn change(
    apply: &mut Apply<'_>,
    by: &Principal,
    client_id: &str,
    agents: Vec<String>,
    rate_max_messages: Option<u64>,
) -> Result<Outcome, StorageError> {
    let Some((no, mut client)) = client(apply, by, client_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if let Some(refusal) = unknown(apply, by, &agents)? {
        return Ok(Outcome::Refused(refusal));
    }
    let payload = serde_json::json!({
        "before": { "agents": client.agents, "rate_max_messages": client.rate_max_messages },
        "after": { "agents": agents, "rate_max_messages": rate_max_messages },
    });
    client.agents = agents;
    client.rate_max_messages = rate_max_messages;
    a2a_client::put(apply.txn, by.fleet, no, &client)?;
    record(
        apply,
        by,
        EventKind::A2aClientUpdated,
        no,
        payload.to_string(),
    )?;
    Ok(Outcome::Done)
}

/// Gives a client another token. Those that are over make room.
pub(crate) fn create_token(
    apply: &mut Apply<'_>,
    by: &Principal,
    client_id: &str,
    new: NewA2aToken,
) -> Result<Outcome, StorageError> {
    let Some((no, mut client)) = client(apply, by, client_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let now = apply.now();
    client
        .tokens
        .retain(|token| token.expires_ms.is_none_or(|until| until > now));
    if client.tokens.len() >= TOKENS_MAX {
        let limit = TOKENS_MAX as u64;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let payload = payload(&[("token_id", &new.id)]);
    client.tokens.push(token(apply, new));
    a2a_client::put(apply.txn, by.fleet, no, &client)?;
    record(apply, by, EventKind::A2aTokenCreated, no, payload)?;
    Ok(Outcome::Done)
}

/// Takes a token back.
pub(crate) fn revoke_token(
    apply: &mut Apply<'_>,
    by: &Principal,
    client_id: &str,
    token_id: &str,
) -> Result<Outcome, StorageError> {
    let Some((no, mut client)) = client(apply, by, client_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let tokens = client.tokens.len();
    client.tokens.retain(|token| token.id != token_id);
    if client.tokens.len() == tokens {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    a2a_client::put(apply.txn, by.fleet, no, &client)?;
    let payload = payload(&[("token_id", token_id)]);
    record(apply, by, EventKind::A2aTokenRevoked, no, payload)?;
    Ok(Outcome::Done)
}

fn token(apply: &Apply<'_>, new: NewA2aToken) -> ClientToken {
    ClientToken {
        id: new.id,
        hash: new.hash,
        created_ms: apply.now(),
        expires_ms: new.expires_ms,
    }
}

/// The client with this public id in the operator's fleet; revoked ones are none.
fn client(
    apply: &Apply<'_>,
    by: &Principal,
    client_id: &str,
) -> Result<Option<(AgentNo, A2aClient)>, StorageError> {
    let Some(agent) = apply.live_agent(by.fleet, client_id)? else {
        return Ok(None);
    };
    let client = a2a_client::get(apply.txn, by.fleet, agent.no)?;
    Ok(client.map(|client| (agent.no, client)))
}

/// The refusal of agents that are not there to be reached.
fn unknown(
    apply: &Apply<'_>,
    by: &Principal,
    agents: &[String],
) -> Result<Option<Refusal>, StorageError> {
    for id in agents {
        let found = apply.live_agent(by.fleet, id)?;
        if found.is_none_or(|agent| agent.is_client()) {
            return Ok(Some(Refusal::UnknownRecipient));
        }
    }
    Ok(None)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    client: AgentNo,
    payload: String,
) -> Result<(), StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Agent(client);
    apply.record_with(by.fleet, kind, actor, resource, None, payload)
}
