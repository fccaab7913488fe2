//! What A2A cards are made of, and the keys that sign them.

use ed25519_dalek::SigningKey;
use ekho_storage::View;
use ekho_storage::tables::agent::{self, Agent, AgentLive};
use ekho_storage::tables::agent_card::{self, AgentCard};
use ekho_storage::tables::delivery;
use ekho_storage::tables::fleet::{self, Fleet};

use super::tasks::Party;
use super::{Caller, Service, ServiceError};
use crate::machine::a2a_client;
use crate::machine::command::AgentRequest;
use crate::machine::outcome::Refusal;
use ekho_storage::tables::message::Recipient;

/// Agents that a fleet's card lists.
const LISTED_MAX: usize = 1000;
/// Fleets whose keys are published.
const FLEETS_MAX: usize = 1000;

/// An agent with what its card says.
pub struct Carded {
    /// The agent.
    pub agent: Agent,
    /// What heartbeats say of it.
    pub live: AgentLive,
    /// Its own part of the card.
    pub own: Option<AgentCard>,
    /// Messages that wait for it.
    pub waiting: u64,
}

impl Service {
    /// Sets the agent's own part of its card.
    pub async fn put_card(&self, caller: &Caller, card: String) -> Result<(), ServiceError> {
        self.signed(caller, AgentRequest::PutCard { card }).await?;
        Ok(())
    }

    /// The fleet that shows itself without a name: the first one that is in use.
    pub fn shown_fleet(&self, view: &View) -> Result<Fleet, ServiceError> {
        let fleets = fleet::list(view, FLEETS_MAX)?;
        let found = fleets.into_iter().find(|fleet| fleet.archived_ms.is_none());
        found.ok_or_else(|| Refusal::NotFound.into())
    }

    /// The fleet of a caller.
    pub fn fleet_of(&self, view: &View, by: &Party) -> Result<Fleet, ServiceError> {
        fleet::get(view, by.agent().fleet)?.ok_or_else(|| Refusal::NotFound.into())
    }

    /// An agent that has a card, and its fleet.
    pub fn carded(&self, view: &View, agent_id: &str) -> Result<(Carded, Fleet), ServiceError> {
        let found = agent::by_id(view, agent_id)?;
        let agent = found.filter(|agent| !agent.revoked && !agent.is_client());
        let agent = agent.ok_or(Refusal::NotFound)?;
        let found = fleet::get(view, agent.fleet)?;
        let fleet = found.filter(|fleet| fleet.archived_ms.is_none());
        let fleet = fleet.ok_or(Refusal::NotFound)?;
        Ok((carded(view, agent)?, fleet))
    }

    /// The agents that a fleet's card lists: for somebody in particular, those within their reach.
    pub fn all_carded(
        &self,
        view: &View,
        fleet: &Fleet,
        by: Option<&Agent>,
    ) -> Result<Vec<Carded>, ServiceError> {
        let mut all = Vec::new();
        for agent in agent::list(view, fleet.no, 0, LISTED_MAX)? {
            if agent.revoked || agent.is_client() {
                continue;
            }
            if let Some(by) = by {
                let recipient = Recipient::Agent(agent.id.clone());
                if !a2a_client::may_reach(view, by, &recipient)? {
                    continue;
                }
            }
            all.push(carded(view, agent)?);
        }
        Ok(all)
    }

    /// The key that signs the cards of a fleet, the same on every node.
    pub fn card_key(&self, fleet_id: &str) -> Result<SigningKey, ServiceError> {
        let seed = self.sealer.card_seed(&self.key_in_force()?, fleet_id)?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// The keys of all fleets in use.
    pub fn card_keys(&self) -> Result<Vec<SigningKey>, ServiceError> {
        let fleets = fleet::list(&self.view(), FLEETS_MAX)?;
        let fleets = fleets.iter().filter(|fleet| fleet.archived_ms.is_none());
        fleets.map(|fleet| self.card_key(&fleet.id)).collect()
    }
}

fn carded(view: &View, agent: Agent) -> Result<Carded, ServiceError> {
    Ok(Carded {
        live: agent::live(view, agent.fleet, agent.no)?,
        own: agent_card::get(view, agent.fleet, agent.no)?,
        waiting: delivery::queue(view, agent.fleet, agent.no)?.ready,
        agent,
    })
}
