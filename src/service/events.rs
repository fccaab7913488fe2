//! The audit log as people and programs read it.

use ekho_storage::tables::agent::{self, Agent, AgentLive};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::event::{self, Actor, Event, Hash, Resource, Stored};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, fleet, message};
use ekho_storage::{Read, View};

use super::approvals::Page;
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

/// Rows that one page looks at, however few match.
const SCANNED: usize = 1000;

/// What operators look at first.
pub struct Overview {
    /// The agents that enrolled last, newest first.
    pub agents: Vec<(Agent, AgentLive)>,
    /// Approvals that wait for a decision.
    pub pending_approvals: u64,
    /// Deliveries that wait to be handed out.
    pub queued: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Agents in quarantine.
    pub quarantined: u64,
    /// Refusals by rate limit in the last 24 hours.
    pub rate_violations: u64,
    /// The newest events.
    pub events: Vec<PublicEvent>,
}

impl Service {
    /// Events below this number that are wanted, newest first.
    pub async fn events(
        &self,
        fleet: FleetNo,
        before: u64,
        limit: usize,
        wanted: impl Fn(&PublicEvent) -> bool,
    ) -> Result<Page<PublicEvent, u64>, ServiceError> {
        let view = self.operator_view().await?;
        let found = event::stored_rev(&view, fleet, before, SCANNED)?;
        let full = found.len() == SCANNED;
        let mut page = Page {
            next: found.last().filter(|_| full).map(|last| last.seq),
            rows: Vec::new(),
        };
        let mut last_taken = before;
        for stored in &found {
            let event = public(&view, fleet, stored)?;
            if !wanted(&event) {
                continue;
            }
            if page.rows.len() == limit {
                page.next = Some(last_taken);
                break;
            }
            last_taken = stored.seq;
            page.rows.push(event);
        }
        Ok(page)
    }

    /// What operators look at first: counters, and the newest of everything.
    pub async fn overview(&self, fleet: FleetNo) -> Result<Overview, ServiceError> {
        const AGENTS: u64 = 10;
        const EVENTS: usize = 20;
        let view = self.operator_view().await?;
        let newest = sequence::last(&view, fleet, Sequence::Agent)?;
        let mut agents = Vec::new();
        for no in (1..=newest).rev().take(AGENTS as usize) {
            if let Some(agent) = agent::get(&view, fleet, no as AgentNo)? {
                agents.push(self.with_live(&view, agent)?);
            }
        }
        let events = event::stored_rev(&view, fleet, u64::MAX, EVENTS)?;
        let count = |counter| counter::get(&view, fleet, counter);
        Ok(Overview {
            agents,
            pending_approvals: count(Counter::ApprovalsPending)?,
            queued: count(Counter::DeliveryQueued)?,
            dead_letters: count(Counter::DeadLetters)?,
            quarantined: count(Counter::AgentQuarantined)?,
            rate_violations: count(Counter::RateViolations)?,
            events: events
                .iter()
                .map(|stored| public(&view, fleet, stored))
                .collect::<Result<_, _>>()?,
        })
    }

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
