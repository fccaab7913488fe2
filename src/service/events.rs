//! The audit log as people and programs read it.

use std::collections::BTreeMap;

use ekho_storage::tables::agent::{self, Agent, AgentLive};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::derived::{self, Tag};
use ekho_storage::tables::event::{self, Actor, Event, EventKind, Hash, Resource, Stored};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, fleet, message};
use ekho_storage::{Read, View};

use super::license::Standing;
use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::effects::indexer;
use crate::id;
use crate::machine::outcome::Refusal;

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
    /// How the relay stands with its licence.
    pub license: Standing,
    /// The newest events.
    pub events: Vec<PublicEvent>,
}

/// What events are looked for by.
#[derive(Default)]
pub struct Filter<'a> {
    /// Their type, or its part before the dot.
    pub kind: Option<&'a str>,
    /// Who did it.
    pub actor_id: Option<&'a str>,
    /// What it is about.
    pub resource_id: Option<&'a str>,
    /// The conversation.
    pub conversation_id: Option<&'a str>,
}

impl Service {
    /// Tags that every event of a filter has, the rarest first as far as can be told.
    pub fn tags(&self, fleet: FleetNo, filter: &Filter<'_>) -> Result<Vec<Tag>, ServiceError> {
        let view = self.view();
        let agent_no = |id: &str| -> Result<Option<AgentNo>, ServiceError> {
            let found = agent::locate(&view, id)?.filter(|(of, _)| *of == fleet);
            Ok(found.map(|(_, no)| no))
        };
        let mut tags = Vec::new();
        tags.extend(
            filter
                .conversation_id
                .map(|id| Tag::Conversation(id.into())),
        );
        if let Some(id) = filter.resource_id {
            let uuid = id::to_uuid("msg_", id).or_else(|| {
                let (uuid, _) = id.strip_prefix("dly_")?.split_once('_')?;
                id::to_uuid("msg_", &format!("msg_{uuid}"))
            });
            let message = match uuid {
                Some(uuid) => message::get(&view, fleet, uuid)?,
                None => None,
            };
            match (message, uuid, agent_no(id)?) {
                (Some(message), _, _) => tags.push(Tag::Conversation(message.conversation_id)),
                // Of a message that is gone, or of a conversation.
                (None, Some(_), _) => {}
                (None, None, Some(no)) => tags.push(Tag::Agent(no)),
                (None, None, None) => {
                    let is_conversation = derived::conversation(&view, fleet, id)?.is_some();
                    tags.push(match is_conversation {
                        true => Tag::Conversation(id.into()),
                        false => Tag::Thing(id.into()),
                    });
                }
            }
        }
        if let Some(id) = filter.actor_id {
            tags.push(match agent_no(id)? {
                Some(no) => Tag::Agent(no),
                None => Tag::Operator(id.into()),
            });
        }
        let tagged = |kind: &str| {
            EventKind::ALL.iter().any(|one| {
                (one.as_str() == kind || one.family() == kind) && !indexer::is_frequent(*one)
            })
        };
        // The family of the frequent ones is not tagged as a whole.
        if let Some(kind) = filter
            .kind
            .filter(|kind| tagged(kind) && *kind != "message")
        {
            tags.push(Tag::Kind(kind.into()));
        }
        Ok(tags)
    }

    /// Events behind this number that have all of these tags and are wanted; and how many there are
    /// of any kind.
    pub async fn events(
        &self,
        fleet: FleetNo,
        tags: &[Tag],
        (from, descending): (Option<u64>, bool),
        limit: usize,
        wanted: impl Fn(&PublicEvent) -> bool,
    ) -> Result<(Page<PublicEvent, u64>, u64), ServiceError> {
        let view = self.operator_view().await?;
        if !tags.is_empty() {
            self.worked_out(fleet).await?;
        }
        let from = from.unwrap_or(if descending { u64::MAX } else { 0 });
        let read = |from: &u64, wants| rows(&view, fleet, tags, (*from, descending), wants);
        let page = fill(from, limit, read, |_, stored| {
            let Some(stored) = stored else {
                return Ok(None);
            };
            let event = public(&view, fleet, &stored)?;
            Ok(wanted(&event).then_some(event))
        })?;
        let (removed, _) = event::anchor(&view, fleet)?;
        let total = sequence::last(&view, fleet, Sequence::Event)?.saturating_sub(removed);
        Ok((page, total))
    }

    /// The event with this number, where it is kept.
    pub async fn event(&self, fleet: FleetNo, seq: u64) -> Result<PublicEvent, ServiceError> {
        let view = self.operator_view().await?;
        let stored = event::get(&view, fleet, seq)?.ok_or(Refusal::NotFound)?;
        public(&view, fleet, &stored)
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
            license: self.license_standing()?,
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

/// Events behind a number; with tags, those that have the first one, without those that lack
/// another.
fn rows(
    view: &View,
    fleet: FleetNo,
    tags: &[Tag],
    (from, descending): (u64, bool),
    wants: usize,
) -> Result<Vec<(u64, Option<Stored>)>, ServiceError> {
    let next = from.saturating_add(1);
    let Some((first, others)) = tags.split_first() else {
        let rows = match descending {
            true => event::stored_rev(view, fleet, from, wants)?,
            false => event::list(view, fleet, next, wants)?,
        };
        return Ok(rows.into_iter().map(|row| (row.seq, Some(row))).collect());
    };
    let seqs = match descending {
        true => derived::tagged_rev(view, fleet, first, from, wants)?,
        false => derived::tagged(view, fleet, first, next, wants)?,
    };
    let mut found = Vec::with_capacity(seqs.len());
    for run in runs(&seqs) {
        let lowest = run.iter().min().copied().unwrap_or_default();
        let read = event::list(view, fleet, lowest, run.len())?;
        let mut read: BTreeMap<u64, Stored> = read
            .into_iter()
            .map(|stored| (stored.seq, stored))
            .collect();
        for seq in run {
            let mut all = true;
            for tag in others {
                all = all && derived::has_tag(view, fleet, tag, *seq)?;
            }
            let stored = read.remove(seq).filter(|_| all);
            found.push((*seq, stored));
        }
    }
    Ok(found)
}

/// Numbers that follow one another, up or down: they are read together.
fn runs(seqs: &[u64]) -> impl Iterator<Item = &[u64]> {
    seqs.chunk_by(|one, next| one.abs_diff(*next) == 1)
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
        Resource::Task(uuid) => ("a2a_task".into(), id::from_uuid("task_", *uuid)),
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
