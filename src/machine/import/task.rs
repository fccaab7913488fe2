//! A2A tasks of another relay: those that are open go on here, those that are over can be read as
//! long as those of this relay.

use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind};
use ekho_storage::tables::task::{self, Artifact, Change, Said, Task, Update};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, message};
use ekho_storage::{Read, StorageError};

use super::row::{ImportSaid, ImportTask, ImportText};
use super::{mark, may_receive, refused};
use crate::machine::access::Principal;
use crate::machine::apply::{Apply, payload};
use crate::machine::outcome::RowOutcome;
use crate::machine::task::{IDLE_MAX_MS, OPEN_TASKS_MAX, record};

/// What marks of tasks that were open are called.
const MARK: &str = "task";

/// Whether a task is here, or came before.
pub fn is_here(read: &impl Read, fleet: FleetNo, uuid: u128) -> Result<bool, StorageError> {
    let is_marked = mark::is_set(read, fleet, MARK, &uuid.to_be_bytes())?;
    Ok(is_marked || task::get(read, fleet, uuid)?.is_some())
}

pub(super) fn take(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: ImportTask,
) -> Result<RowOutcome, StorageError> {
    let (fleet, now) = (by.fleet, apply.now());
    if is_here(apply.txn, fleet, new.uuid)? {
        return Ok(RowOutcome::Exists);
    }
    let is_over = new.state.is_terminal();
    let client = party(apply, fleet, &new.client_id, is_over)?;
    let agent = party(apply, fleet, &new.agent_id, is_over)?;
    let (Some(client), Some(agent)) = (client, agent) else {
        return refused("one of its two agents is not here");
    };
    let status_ms = new.status_ms.min(now);
    let (lasts_ms, why_gone) = match is_over {
        true => (
            apply.settings.message_retention_ms,
            "it has been over for longer than tasks are kept here",
        ),
        false => (IDLE_MAX_MS, "nothing happened for 30 days"),
    };
    let due_ms = status_ms.saturating_add(lasts_ms);
    if due_ms <= now {
        return refused(why_gone);
    }
    if !is_over && task::party(apply.txn, fleet, client.no)?.open >= OPEN_TASKS_MAX {
        return refused("the agent that asked has as many open tasks as it may");
    }
    let uuid = new.uuid;
    let mut task = Task {
        uuid,
        client: client.no,
        agent: agent.no,
        asked: agent.no,
        context_id: new.context_id,
        state: new.state,
        status_ms,
        status_message: None,
        created_ms: new.created_ms.min(status_ms),
        message: new.message.unwrap_or(uuid),
        metadata: new.metadata,
        updates: 0,
        messages: 0,
        artifacts: 0,
        size_bytes: 0,
        pushes: 0,
        due_ms,
    };
    for text in new.history {
        task.messages += 1;
        let content = keep(apply, fleet, &mut task, text);
        task::put_message(apply.txn, fleet, uuid, task.messages, content);
    }
    for (id, text) in new.artifacts {
        task.artifacts += 1;
        let content = keep(apply, fleet, &mut task, text);
        let number = task.artifacts;
        task::put_chunk(apply.txn, fleet, uuid, (number, 0), content);
        let artifact = Artifact {
            id,
            first_chunk: 0,
            next_chunk: 1,
        };
        task::put_artifact(apply.txn, fleet, uuid, number, &artifact);
    }
    task.status_message = match new.said {
        Some(ImportSaid::Message(text)) => Some(Said::Content(keep(apply, fleet, &mut task, text))),
        Some(ImportSaid::Reason(reason)) => Some(Said::Reason(reason)),
        None => None,
    };
    // Whoever follows it begins where it stands.
    task.updates = 1;
    let update = Update {
        at_ms: status_ms,
        what: Change::Status {
            state: task.state,
            message: task.status_message.clone(),
        },
    };
    task::put_update(apply.txn, fleet, uuid, task.updates, &update);
    task::put_message_of(apply.txn, fleet, uuid, task.message);
    let entry = Due::Task { fleet, task: uuid };
    due::put(apply.txn, due_ms, &entry);
    task::save(apply.txn, fleet, None, &task)?;
    apply.updated(fleet, uuid);
    if !is_over {
        // As long as a task lasts of which nothing is heard.
        mark::set(apply, fleet, (MARK, &uuid.to_be_bytes()), due_ms);
    }
    let told = payload(&[("state", task.state.as_str()), ("reason", "imported")]);
    let actor = Actor::Operator(by.operator.id.clone());
    record(apply, fleet, EventKind::TaskStatus, actor, &task, told)?;
    Ok(RowOutcome::Imported)
}

/// A party of a task: one that was revoked has no open ones.
fn party(
    apply: &Apply<'_>,
    fleet: FleetNo,
    id: &str,
    is_over: bool,
) -> Result<Option<Agent>, StorageError> {
    let found = agent::by_id(apply.txn, id)?.filter(|agent| agent.fleet == fleet);
    Ok(found.filter(|agent| may_receive(agent) && (is_over || !agent.revoked)))
}

/// Writes a text of a task; its UUID.
fn keep(apply: &mut Apply<'_>, fleet: FleetNo, task: &mut Task, text: ImportText) -> u128 {
    message::put_body(apply.txn, fleet, text.content, &text.text);
    task.size_bytes += text.text.len() as u64;
    text.content
}

/// What becomes of a message that was just taken over moves the task that it says it belongs to,
/// also where the other relay did not write that down, or wrote it of an earlier one.
pub(super) fn adopt(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    uuid: u128,
    (new, created_ms): (u128, TimeMs),
    (client, agents): (AgentNo, &[AgentNo]),
) -> Result<(), StorageError> {
    let Some(found) = task::get(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    let is_its = found.client == client && agents == [found.agent];
    if !is_its || found.state.is_terminal() || found.message == new {
        return Ok(());
    }
    let is_newest = match message::get(apply.txn, fleet, found.message)? {
        Some(known) => known.created_ms <= created_ms,
        // One that it names and that is not here is over.
        None => found.message == uuid,
    };
    if is_newest {
        task::put_message_of(apply.txn, fleet, uuid, new);
        task::put(
            apply.txn,
            fleet,
            &Task {
                message: new,
                ..found
            },
        );
    }
    Ok(())
}
