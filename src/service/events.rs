//! The audit log as people and programs read it.

use ekho_storage::tables::event::{self, Actor, Event, Hash, Resource, Stored};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, agent, fleet, message};
use ekho_storage::{Read, View};

use super::{Service, ServiceError};
use crate::id;

/// An event with public ids in place of numbers.
pub struct PublicEvent {
    /// Public id, `evt_…`.
    pub id: String,
    /// What the id stands for in words: agent, operator or system.
    pub actor_kind: &'static str,
    /// Public id of the actor; none for the relay itself.
    pub actor_id: Option<String>,
    /// What kind of thing it concerns.
    pub resource_kind: String,
    /// Public id of it.
    pub resource_id: String,
    /// The conversation: the event's own, or the message's where it is still there.
    pub conversation_id: Option<String>,
    /// The event.
    pub event: Event,
}

/// Where a fleet's audit log begins and ends.
pub struct Ends {
    /// The fleet's public id.
    pub fleet_id: String,
    /// Number of the last event removed after its time, and its hash.
    pub anchor: (u64, Hash),
    /// Number of the newest event; 0 for none.
    pub head_seq: u64,
    /// Its hash.
    pub head_hash: Hash,
}

impl Service {
    /// Where the audit log ends now.
    pub async fn audit_ends(&self, fleet: FleetNo) -> Result<(View, Ends), ServiceError> {
        let view = self.operator_view().await?;
        let fleet_id = fleet::get(&view, fleet)?
            .map(|fleet| fleet.id)
            .unwrap_or_default();
        // Events may be appended between the two reads; the event itself says what belongs
        // together.
        let head_seq = sequence::last(&view, fleet, Sequence::Event)?;
        let head_hash =
            event::get(&view, fleet, head_seq)?.map_or(event::GENESIS, |stored| stored.hash);
        let ends = Ends {
            fleet_id,
            anchor: event::anchor(&view, fleet)?,
            head_seq,
            head_hash,
        };
        Ok((view, ends))
    }
}

/// The public form of an event.
pub fn public(
    read: &impl Read,
    fleet: FleetNo,
    stored: &Stored,
) -> Result<PublicEvent, ServiceError> {
    let event = stored.event()?;
    let (actor_kind, actor_id) = match &event.actor {
        Actor::System => ("system", None),
        Actor::Agent(no) => ("agent", Some(agent_id(read, fleet, *no)?)),
        Actor::Operator(id) => ("operator", Some(id.clone())),
    };
    let mut about = None;
    let (resource_kind, resource_id) = match &event.resource {
        Resource::Message(uuid) => {
            about = Some(*uuid);
            ("message".into(), id::from_uuid("msg_", *uuid))
        }
        Resource::Delivery(uuid, no) => {
            about = Some(*uuid);
            ("delivery".into(), id::delivery(*uuid, *no))
        }
        Resource::Agent(no) => ("agent".into(), agent_id(read, fleet, *no)?),
        Resource::Approval(uuid) => ("approval".into(), id::from_uuid("apr_", *uuid)),
        Resource::Conversation(id) => ("conversation".into(), id.clone()),
        Resource::Other(kind, id) => (kind.clone(), id.clone()),
    };
    let conversation_id = match (&event.conversation_id, about) {
        (Some(id), _) => Some(id.clone()),
        (None, Some(uuid)) => {
            message::get(read, fleet, uuid)?.map(|message| message.conversation_id)
        }
        (None, None) => None,
    };
    Ok(PublicEvent {
        id: id::from_number("evt_", stored.seq),
        actor_kind,
        actor_id,
        resource_kind,
        resource_id,
        conversation_id,
        event,
    })
}

fn agent_id(read: &impl Read, fleet: FleetNo, no: AgentNo) -> Result<String, ServiceError> {
    let found = agent::get(read, fleet, no)?;
    Ok(found.map_or_else(|| format!("agent number {no}"), |agent| agent.id))
}
