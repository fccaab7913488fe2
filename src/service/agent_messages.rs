//! Messages of one agent as operators see them: what it sent, what was meant for it.

use std::collections::HashSet;

use ekho_storage::View;
use ekho_storage::tables::delivery::{self, Delivery};
use ekho_storage::tables::derived::{self, Tag};
use ekho_storage::tables::event::{self, Resource};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::{AgentNo, FleetNo};

use super::messages::status;
use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// Which way a message went, seen from an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The agent sent it.
    Sent,
    /// It was meant for the agent.
    Received,
}

/// A message of an agent.
pub struct AgentMessage {
    /// The message.
    pub message: Message,
    /// Which way it went.
    pub direction: Direction,
    /// What became of it at the agent, or at its only recipient; none for one that was sent to
    /// several.
    pub status: Option<&'static str>,
    /// Deliveries that have not ended.
    pub open: u32,
}

impl Service {
    /// Messages that an agent sent or that were meant for it, accepted or sent on to it before
    /// this event, newest first.
    pub async fn messages_of(
        &self,
        fleet: FleetNo,
        agent_id: &str,
        direction: Option<Direction>,
        before: u64,
        limit: usize,
    ) -> Result<Page<AgentMessage, u64>, ServiceError> {
        let view = self.operator_view().await?;
        let found = self.agent_of(&view, fleet, agent_id)?;
        let (agent, _) = found.ok_or(Refusal::NotFound)?;
        self.worked_out(fleet).await?;
        let read = |before: &u64, wants| places(&view, fleet, agent.no, direction, *before, wants);
        let mut shown = HashSet::new();
        fill(before, limit, read, |seq, direction| {
            let Some(stored) = event::get(&view, fleet, *seq)? else {
                return Ok(None);
            };
            let (Resource::Message(uuid) | Resource::Delivery(uuid, _)) = stored.event()?.resource
            else {
                return Ok(None);
            };
            let stored = message::get(&view, fleet, uuid)?;
            // One that was sent on, and back again, is there twice.
            let Some(message) =
                stored.filter(|_| shown.insert((uuid, direction == Direction::Sent)))
            else {
                return Ok(None);
            };
            of_agent(&view, fleet, agent.no, message, direction).map(Some)
        })
    }
}

/// Events below `before` by which an agent's messages came to be, newest first.
fn places(
    view: &View,
    fleet: FleetNo,
    no: AgentNo,
    direction: Option<Direction>,
    before: u64,
    wants: usize,
) -> Result<Vec<(u64, Direction)>, ServiceError> {
    let mut found = Vec::new();
    for (way, tag) in [
        (Direction::Sent, Tag::Sender(no)),
        (Direction::Received, Tag::Recipient(no)),
    ] {
        if direction.is_none_or(|wanted| wanted == way) {
            let seqs = derived::tagged_rev(view, fleet, &tag, before, wants)?;
            found.extend(seqs.into_iter().map(|seq| (seq, way)));
        }
    }
    // What an agent sent to itself stands under both: it was sent.
    found.sort_by_key(|(seq, way)| (std::cmp::Reverse(*seq), *way == Direction::Received));
    found.dedup_by_key(|(seq, _)| *seq);
    found.truncate(wants);
    Ok(found)
}

fn of_agent(
    view: &View,
    fleet: FleetNo,
    no: AgentNo,
    message: Message,
    direction: Direction,
) -> Result<AgentMessage, ServiceError> {
    let place = match (message.single, direction) {
        (Some(place), _) => Some(place),
        (None, Direction::Received) => {
            let seq = delivery::fan_out(view, fleet, message.uuid, no)?;
            seq.map(|seq| (no, seq))
        }
        (None, Direction::Sent) => None,
    };
    let delivery: Option<Delivery> = match place {
        Some((no, seq)) => delivery::get(view, fleet, no, seq)?,
        None => None,
    };
    let open = match (message.single, &delivery) {
        (Some(_), Some(delivery)) => u32::from(!delivery.state.ended()),
        _ => message.open,
    };
    Ok(AgentMessage {
        status: delivery
            .as_ref()
            .map(|delivery| status(&message, std::iter::once(delivery))),
        open,
        message,
        direction,
    })
}
