//! The fleets of the relay, as its administrators steer them.

use ekho_storage::Read;
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::operator::Scope;
use zeroize::Zeroizing;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::id;
use crate::machine::access::Need;
use crate::machine::command::{NewFleet, OperatorRequest};
use crate::machine::outcome::Refusal;

/// A fleet with how much is in it.
pub struct FleetSummary {
    /// The fleet.
    pub fleet: Fleet,
    /// Agents that are not revoked.
    pub agents: u64,
    /// Deliveries that wait to be handed out.
    pub queued: u64,
    /// Messages accepted, ever.
    pub messages_accepted: u64,
}

/// A fleet to be made.
pub struct FleetDraft {
    /// Its name.
    pub name: String,
    /// Its owner's sign-in name.
    pub owner_email: String,
    /// Its owner's password.
    pub owner_password: Zeroizing<String>,
}

impl Service {
    /// Fleets with a number above `after`, and whether there are more.
    pub async fn fleets(
        &self,
        by: &Caller,
        after: u32,
        limit: usize,
    ) -> Result<(Vec<FleetSummary>, bool), ServiceError> {
        by.principal.require(Need::Scope(Scope::Fleets))?;
        let view = self.operator_view().await?;
        let mut fleets = fleet::list_after(&view, after, limit + 1)?;
        let more = fleets.len() > limit;
        fleets.truncate(limit);
        let summaries = fleets.into_iter().map(|fleet| summary(&view, fleet));
        Ok((summaries.collect::<Result<_, _>>()?, more))
    }

    /// The fleet with this public id.
    pub async fn fleet(&self, by: &Caller, fleet_id: &str) -> Result<FleetSummary, ServiceError> {
        by.principal.require(Need::Scope(Scope::Fleets))?;
        let view = self.operator_view().await?;
        let found = fleet::by_id(&view, fleet_id)?;
        summary(&view, found.ok_or(Refusal::NotFound)?)
    }

    /// Makes a fleet with its owner; its public id and the owner's.
    pub async fn create_fleet(
        &self,
        by: &Caller,
        draft: FleetDraft,
    ) -> Result<(String, String), ServiceError> {
        by.principal.require(Need::Scope(Scope::Fleets))?;
        let (fleet_id, operator_id) = (id::new_id("flt_"), id::new_id("opr_"));
        let new = NewFleet {
            fleet_id: fleet_id.clone(),
            name: draft.name,
            operator_id: operator_id.clone(),
            email: draft.owner_email.to_lowercase(),
            password_hash: self.hash_password(draft.owner_password).await?,
        };
        self.order(by, OperatorRequest::CreateFleet(Box::new(new)))
            .await?;
        Ok((fleet_id, operator_id))
    }
}

fn summary(read: &impl Read, fleet: Fleet) -> Result<FleetSummary, ServiceError> {
    let mut agents = 0;
    for counter in [
        Counter::AgentHealthy,
        Counter::AgentDegraded,
        Counter::AgentPaused,
        Counter::AgentQuarantined,
    ] {
        agents += counter::get(read, fleet.no, counter)?;
    }
    Ok(FleetSummary {
        agents,
        queued: counter::get(read, fleet.no, Counter::DeliveryQueued)?,
        messages_accepted: counter::get(read, fleet.no, Counter::MessageAccepted)?,
        fleet,
    })
}
