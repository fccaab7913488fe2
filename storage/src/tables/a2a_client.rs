//! A2A clients that cannot sign: identities that operators give bearer tokens to. To policies,
//! rates and the audit log each of them is an agent like any other; this is what it has beside.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn};

/// Tokens that a client has at most.
pub const TOKENS_MAX: usize = 10;

/// What an A2A client has beside what every agent has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct A2aClient {
    /// Public ids of the agents that it may reach; empty for all.
    pub agents: Vec<String>,
    /// Messages of a window, where it is not as for every agent.
    pub rate_max_messages: Option<u64>,
    /// Its tokens.
    pub tokens: Vec<ClientToken>,
    /// Public id of the operator who made it.
    pub created_by: String,
}
record!(A2aClient, "a2a_client");

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ClientToken {
    /// Public id.
    pub id: String,
    /// Keyed hash of the token.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_ms: TimeMs,
    /// When it ends; none for never.
    pub expires_ms: Option<TimeMs>,
}

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::A2A_CLIENT).u32(fleet).u32(agent)
}

fn token_key(hash: &[u8; 32]) -> Key {
    Key::table(registry::A2A_TOKEN).raw(hash)
}

/// What this agent has for being an A2A client; none where it is none.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<Option<A2aClient>, StorageError> {
    read.record(Cf::Registry, key(fleet, agent).bytes())
}

/// Whose token has this hash.
pub fn by_token(
    read: &impl Read,
    hash: &[u8; 32],
) -> Result<Option<(FleetNo, AgentNo)>, StorageError> {
    let Some(bytes) = read.get(Cf::Registry, token_key(hash).bytes())? else {
        return Ok(None);
    };
    let mut reader = KeyReader::new("a2a_token", &bytes);
    Ok(Some((reader.u32()?, reader.u32()?)))
}

/// Clients of a fleet by number, from number `from` on, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    from: AgentNo,
    limit: usize,
) -> Result<Vec<(AgentNo, A2aClient)>, StorageError> {
    let upper = crate::prefix_end(Key::table(registry::A2A_CLIENT).u32(fleet).bytes());
    read.scan(Cf::Registry, key(fleet, from).bytes(), &upper, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("a2a_client", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            Ok((reader.u32()?, crate::decode(value)?))
        })
        .collect()
}

/// Writes a client with where its tokens are found.
pub fn put(
    txn: &mut Txn,
    fleet: FleetNo,
    agent: AgentNo,
    client: &A2aClient,
) -> Result<(), StorageError> {
    let before = get(txn, fleet, agent)?;
    for token in before.iter().flat_map(|before| &before.tokens) {
        txn.delete(Cf::Registry, token_key(&token.hash));
    }
    let place = Key::new().u32(fleet).u32(agent);
    for token in &client.tokens {
        txn.put(
            Cf::Registry,
            token_key(&token.hash),
            place.clone().into_bytes(),
        );
    }
    txn.put_record(Cf::Registry, key(fleet, agent), client);
    Ok(())
}
