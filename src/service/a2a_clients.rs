//! A2A clients with bearer tokens, as operators see and order them.

use ekho_storage::tables::a2a_client::{self, A2aClient};
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::id;
use crate::machine::command::{NewA2aClient, NewA2aToken, OperatorRequest};
use crate::machine::outcome::Refusal;

/// A client to be made.
pub struct NewClient {
    /// For people.
    pub name: String,
    /// Public ids of the agents that it may reach; empty for all.
    pub agents: Vec<String>,
    /// Messages of a window, where it is not as for every agent.
    pub rate_max_messages: Option<u64>,
    /// When its first token ends; none for never.
    pub expires_ms: Option<TimeMs>,
}

/// A token, told once.
pub struct MadeToken {
    /// Public id of the client.
    pub client_id: String,
    /// Public id of the token.
    pub token_id: String,
    /// The token.
    pub token: Zeroizing<String>,
}

impl Service {
    /// Makes a client with its first token.
    pub async fn create_a2a_client(
        &self,
        by: &Caller,
        new: NewClient,
    ) -> Result<MadeToken, ServiceError> {
        let client_id = id::new_id("agent_");
        let (made, token) = self.new_token(client_id.clone(), new.expires_ms);
        let request = OperatorRequest::CreateA2aClient(Box::new(NewA2aClient {
            client_id,
            name: new.name,
            agents: new.agents,
            rate_max_messages: new.rate_max_messages,
            token,
        }));
        self.order(by, request).await?;
        Ok(made)
    }

    /// Gives a client another token.
    pub async fn create_a2a_token(
        &self,
        by: &Caller,
        client_id: String,
        expires_ms: Option<TimeMs>,
    ) -> Result<MadeToken, ServiceError> {
        let (made, token) = self.new_token(client_id.clone(), expires_ms);
        let request = OperatorRequest::CreateA2aToken { client_id, token };
        self.order(by, request).await?;
        Ok(made)
    }

    fn new_token(&self, client_id: String, expires_ms: Option<TimeMs>) -> (MadeToken, NewA2aToken) {
        let token = Zeroizing::new(id::new_secret("a2a_"));
        let new = NewA2aToken {
            id: id::new_id("tok_"),
            hash: self.tokens.hash(&token),
            expires_ms,
        };
        let made = MadeToken {
            client_id,
            token_id: new.id.clone(),
            token,
        };
        (made, new)
    }

    /// Clients of a fleet, in the order in which they were made, behind this one.
    pub async fn a2a_clients(
        &self,
        fleet: FleetNo,
        after: AgentNo,
        limit: usize,
    ) -> Result<Page<(Agent, A2aClient), AgentNo>, ServiceError> {
        let view = self.operator_view().await?;
        let read = |after: &AgentNo, wants| {
            Ok(a2a_client::list(
                &view,
                fleet,
                after.saturating_add(1),
                wants,
            )?)
        };
        fill(after, limit, read, |no, client| {
            let found = agent::get(&view, fleet, *no)?;
            let client: A2aClient = client;
            Ok(found.map(|agent| (agent, client)))
        })
    }

    /// One client of a fleet.
    pub async fn a2a_client(
        &self,
        fleet: FleetNo,
        client_id: &str,
    ) -> Result<(Agent, A2aClient), ServiceError> {
        let view = self.operator_view().await?;
        let agent = agent::by_id(&view, client_id)?.filter(|agent| agent.fleet == fleet);
        let agent = agent.ok_or(Refusal::NotFound)?;
        let client = a2a_client::get(&view, fleet, agent.no)?;
        Ok((agent, client.ok_or(Refusal::NotFound)?))
    }
}
