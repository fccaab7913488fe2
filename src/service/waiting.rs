//! What waits to be handed out to an agent.

use ekho_storage::tables::FleetNo;
use ekho_storage::tables::delivery::{self, Delivery};
use ekho_storage::tables::message::{self, Message};

use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// A message that waits for an agent.
pub struct Waiting {
    /// The message.
    pub message: Message,
    /// Its delivery to the agent.
    pub delivery: Delivery,
}

impl Service {
    /// What the agent's polls would hand out now, in their order, behind this place of its inbox;
    /// and how much that is in all.
    pub async fn waiting(
        &self,
        fleet: FleetNo,
        agent_id: &str,
        after: u64,
        limit: usize,
    ) -> Result<(Page<Waiting, u64>, u64), ServiceError> {
        let view = self.operator_view().await?;
        let found = self.agent_of(&view, fleet, agent_id)?;
        let (agent, _) = found.ok_or(Refusal::NotFound)?;
        let read = |after: &u64, wants| {
            let from = after.saturating_add(1);
            Ok(delivery::ready(&view, fleet, agent.no, from, wants)?)
        };
        let page = fill(after, limit, read, |seq, _type| {
            let Some(delivery) = delivery::get(&view, fleet, agent.no, *seq)? else {
                return Ok(None);
            };
            let message = message::get(&view, fleet, delivery.message)?;
            Ok(message.map(|message| Waiting { message, delivery }))
        })?;
        let ready = delivery::queue(&view, fleet, agent.no)?.ready;
        Ok((page, ready))
    }
}
