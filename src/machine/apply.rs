//! What every command family works with while a command is applied.

use ekho_storage::tables::agent::{self, Agent, AgentLive, AgentStatus};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::event::{self, Actor, Event, EventKind, Resource};
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::system::System;
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use ekho_storage::{StorageError, Txn};

use super::Effects;

/// One command being applied: the state, the time, and what follows from it.
pub(crate) struct Apply<'a> {
    pub txn: &'a mut Txn,
    pub system: &'a mut System,
    pub settings: &'a mut Settings,
    pub effects: &'a mut Effects,
    /// Id of the operator's request that asks for this; empty where there is none.
    pub request_id: String,
}

impl Apply<'_> {
    /// The time of this command. It never goes back from one command to the next.
    pub fn now(&self) -> TimeMs {
        self.system.now_ms
    }

    pub fn count(&mut self, fleet: FleetNo, counter: Counter, by: i64) -> Result<(), StorageError> {
        counter::add(self.txn, fleet, counter, by)
    }

    /// Appends to the audit log.
    pub fn record(
        &mut self,
        fleet: FleetNo,
        kind: EventKind,
        actor: Actor,
        resource: Resource,
    ) -> Result<(), StorageError> {
        self.record_with(fleet, kind, actor, resource, None, String::new())
    }

    /// Appends to the audit log, with a conversation and more about it as JSON.
    pub fn record_with(
        &mut self,
        fleet: FleetNo,
        kind: EventKind,
        actor: Actor,
        resource: Resource,
        conversation_id: Option<String>,
        payload: String,
    ) -> Result<(), StorageError> {
        let at_ms = self.now();
        self.effects.recorded = true;
        event::append(
            self.txn,
            fleet,
            &Event {
                kind,
                actor,
                resource,
                conversation_id,
                payload,
                request_id: self.request_id.clone(),
                at_ms,
            },
        )?;
        Ok(())
    }

    /// The agent with this public id in this fleet, revoked ones excepted. Agents of other fleets
    /// do not exist here.
    pub fn live_agent(&self, fleet: FleetNo, id: &str) -> Result<Option<Agent>, StorageError> {
        Ok(agent::by_id(self.txn, id)?.filter(|agent| agent.fleet == fleet && !agent.revoked))
    }

    pub fn status(&self, agent: &Agent) -> Result<AgentStatus, StorageError> {
        Ok(agent.status(&agent::live(self.txn, agent.fleet, agent.no)?))
    }

    /// Writes an agent and what heartbeats say of it, keeping the counts by status in step.
    pub fn put_agent(&mut self, agent: &Agent, live: &AgentLive) -> Result<(), StorageError> {
        let before = agent::save(self.txn, agent, live)?;
        let after = agent.status(live);
        if before != Some(after) {
            if let Some(before) = before {
                self.count(agent.fleet, Counter::of_agents(before), -1)?;
            }
            self.count(agent.fleet, Counter::of_agents(after), 1)?;
        }
        Ok(())
    }

    /// Wakes whoever waits for this inbox, on every node.
    pub fn wake(&mut self, fleet: FleetNo, agent: AgentNo) {
        let inbox = (fleet, agent);
        if self.effects.wakes.last() != Some(&inbox) {
            self.effects.wakes.push(inbox);
        }
    }

    /// Wakes whoever follows this A2A task, on every node.
    pub fn updated(&mut self, fleet: FleetNo, task: u128) {
        let task = (fleet, task);
        if self.effects.updated.last() != Some(&task) {
            self.effects.updated.push(task);
        }
    }
}

/// A JSON object with one text field, for audit payloads.
pub(crate) fn payload(fields: &[(&str, &str)]) -> String {
    let map: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .map(|(name, value)| (name.to_string(), (*value).into()))
        .collect();
    serde_json::Value::Object(map).to_string()
}
