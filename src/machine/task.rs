//! A2A tasks: a client asks, an agent answers, and both see the same.
//!
//! The client's messages reach the agent as messages like any other, so that policies, rates,
//! approvals and extensions decide about them. What becomes of those messages moves the task, and
//! what the agent says of it does. Out of a terminal state nothing leads.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::control::Control;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, MessageState};
use ekho_storage::tables::task::{self, Artifact, Change, Said, Task, TaskState, Update};
use ekho_storage::tables::{AgentNo, FleetNo, agent_card};

use super::agent::put_control;
use super::apply::{Apply, payload};
use super::command::{NewChange, NewMessage, SendTask, TaskRequest, TaskUpdate};
use super::delivery::Slot;
use super::hook;
use super::outcome::{Outcome, Refusal, TaskPart};
use super::send::{self, Author};
use super::task_push;

/// The type of the messages that tasks are made of.
pub const MESSAGE_TYPE: &str = "a2a.message";
/// The type under which policies and extensions are asked about what agents answer.
pub const UPDATE_TYPE: &str = "a2a.update";
/// Tasks of one client that are not over.
pub const OPEN_TASKS_MAX: u64 = 10_000;
/// Messages of one task.
pub const MESSAGES_MAX: u32 = 1_000;
/// Artifacts of one task.
pub const ARTIFACTS_MAX: u32 = 1_000;
/// Updates of one task.
pub const UPDATES_MAX: u64 = 50_000;
/// Texts of one task.
pub const SIZE_MAX_BYTES: u64 = 64 << 20;
/// A task whose status does not change for so long has failed.
pub(crate) const IDLE_MAX_MS: u64 = 30 * 24 * 3600 * 1000;
/// Rows that are removed in one step.
const REMOVED_AT_ONCE: usize = 500;

/// Does what a client with a bearer token asks for.
pub(crate) fn for_client(
    apply: &mut Apply<'_>,
    token_hash: &[u8; 32],
    request: TaskRequest,
) -> Result<Outcome, StorageError> {
    let Some(client) = client_of(apply, token_hash)? else {
        return Ok(Outcome::Refused(Refusal::InvalidCredentials));
    };
    if let Some(message) = request.message()
        && !hook::were_asked(apply, client.fleet, std::slice::from_ref(message))?
    {
        return Ok(Outcome::Refused(Refusal::ExtensionsNotAsked));
    }
    match request {
        TaskRequest::Update(_) => Ok(Outcome::Refused(Refusal::NotFound)),
        request => handle(apply, client, request),
    }
}

fn client_of(apply: &Apply<'_>, token_hash: &[u8; 32]) -> Result<Option<Agent>, StorageError> {
    super::a2a_client::of_token(apply.txn, token_hash, apply.now())
}

/// Does what a party of a task asks for.
pub(crate) fn handle(
    apply: &mut Apply<'_>,
    by: Agent,
    request: TaskRequest,
) -> Result<Outcome, StorageError> {
    match request {
        TaskRequest::Send(send) => self::send(apply, by, *send),
        TaskRequest::Cancel { task } => cancel(apply, &by, task),
        TaskRequest::Update(update) => self::update(apply, by, *update),
        TaskRequest::PutPush { task, push } => task_push::put(apply, &by, task, push),
        TaskRequest::DeletePush { task, id } => task_push::delete(apply, &by, task, &id),
    }
}

/// A client sends a message to a new task, or to one of its own.
fn send(apply: &mut Apply<'_>, client: Agent, new: SendTask) -> Result<Outcome, StorageError> {
    let fleet = client.fleet;
    let mut client = client;
    let repeated = send::repeated(apply, Author::Agent(&client), &new.message)?;
    if let Some(Ok(sent)) = repeated {
        let rate = send::rate_state(apply, &client)?;
        return Ok(match task::of_message(apply.txn, fleet, sent.message)? {
            Some(task) => Outcome::TaskSent {
                task,
                repeated: true,
                rate,
            },
            // The task is gone already; its message may not be sent again for a while.
            None => Outcome::Refused(Refusal::NotFound),
        });
    }
    let Some(text) = text_of(&new) else {
        return Ok(Outcome::Refused(Refusal::Conflict(
            "the message is not where it should be".into(),
        )));
    };
    let before = match new.is_new {
        true => None,
        false => match task::get(apply.txn, fleet, new.task)? {
            Some(found) if found.client == client.no => Some(found),
            _ => return Ok(Outcome::Refused(Refusal::NotFound)),
        },
    };
    let reaches = match &before {
        // Whom it asked: the task may be with another one by now.
        Some(task) => agent::get(apply.txn, fleet, task.asked)?
            .map(|asked| message::Recipient::Agent(asked.id)),
        None => Some(new.message.recipient.clone()),
    };
    let may_reach = match reaches {
        Some(whom) => super::a2a_client::may_reach(apply.txn, &client, &whom)?,
        None => false,
    };
    if !may_reach {
        return Ok(Outcome::Refused(Refusal::UnknownRecipient));
    }
    let refusal = match &before {
        Some(task) => closed(task, text.len(), 1),
        None => {
            let open = task::party(apply.txn, fleet, client.no)?.open;
            let limit = OPEN_TASKS_MAX;
            (open >= limit).then_some(Refusal::LimitReached { limit })
        }
    };
    if let Some(refusal) = refusal {
        return Ok(Outcome::Refused(refusal));
    }
    let asked = match &before {
        Some(task) => task.asked,
        None => match asked(apply, fleet, &new)? {
            Some(asked) => asked,
            None => return Ok(Outcome::Refused(Refusal::UnknownRecipient)),
        },
    };
    let context_id = new.message.conversation_id.clone();
    let sent = match send::send_one(apply, &mut client, new.message, &[])? {
        Ok(sent) => sent,
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    let stored = message::get(apply.txn, fleet, sent.message)?;
    let agent = stored.and_then(|message| message.single);
    let agent = agent.map_or(asked, |(agent, _)| agent);
    message::put_body(apply.txn, fleet, new.content, &text);
    task::put_message_of(apply.txn, fleet, new.task, sent.message);
    let mut task = match &before {
        Some(before) => Task {
            agent,
            message: sent.message,
            ..before.clone()
        },
        None => Task {
            uuid: new.task,
            client: client.no,
            agent,
            asked,
            context_id,
            state: TaskState::Submitted,
            status_ms: apply.now(),
            status_message: None,
            created_ms: apply.now(),
            message: sent.message,
            metadata: new.metadata,
            updates: 0,
            messages: 0,
            artifacts: 0,
            size_bytes: 0,
            pushes: 0,
            due_ms: 0,
        },
    };
    if let Some(push) = new.push {
        // It is told what follows from here on.
        task_push::add(apply, fleet, &mut task, push)?;
    }
    // What the agent said before the answer to it.
    supersede(apply, fleet, &mut task);
    add_message(apply, fleet, &mut task, new.content, text.len());
    let state = match task.state {
        TaskState::Working => TaskState::Working,
        _ => TaskState::Submitted,
    };
    match before {
        Some(before) if before.state == state => {
            task::save(apply.txn, fleet, Some(&before), &task)?;
        }
        Some(before) => moved(apply, fleet, &before, task, state, None)?,
        None => {
            wait(apply, fleet, &mut task, IDLE_MAX_MS);
            task::save(apply.txn, fleet, None, &task)?;
            apply.updated(fleet, task.uuid);
        }
    }
    let rate = send::rate_state(apply, &client)?;
    Ok(Outcome::TaskSent {
        task: new.task,
        repeated: false,
        rate,
    })
}

/// The message of the protocol, out of the body.
fn text_of(new: &SendTask) -> Option<Vec<u8>> {
    let body = &new.message.body;
    let text = body.get(new.text_from as usize..body.len().checked_sub(1)?)?;
    Some(text.to_vec())
}

/// The number of the agent that a new task is for.
fn asked(
    apply: &Apply<'_>,
    fleet: FleetNo,
    new: &SendTask,
) -> Result<Option<AgentNo>, StorageError> {
    let message::Recipient::Agent(id) = &new.message.recipient else {
        return Ok(None);
    };
    Ok(apply.live_agent(fleet, id)?.map(|agent| agent.no))
}

/// Why a task takes nothing more, where it does not: it is over, or full.
fn closed(task: &Task, bytes: usize, messages: u32) -> Option<Refusal> {
    let full = |what, limit| Some(Refusal::TaskFull { what, limit });
    if task.state.is_terminal() {
        Some(Refusal::TaskOver(task.state))
    } else if task.messages + messages > MESSAGES_MAX {
        full(TaskPart::Messages, u64::from(MESSAGES_MAX))
    } else if task.updates >= UPDATES_MAX {
        full(TaskPart::Updates, UPDATES_MAX)
    } else if task.size_bytes + bytes as u64 > SIZE_MAX_BYTES {
        full(TaskPart::Bytes, SIZE_MAX_BYTES)
    } else {
        None
    }
}

/// What was last said with the status is history from now on.
fn supersede(apply: &mut Apply<'_>, fleet: FleetNo, task: &mut Task) {
    if let Some(Said::Content(content)) = task.status_message.take() {
        task.messages += 1;
        task::put_message(apply.txn, fleet, task.uuid, task.messages, content);
    }
}

fn add_message(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: &mut Task,
    content: u128,
    bytes: usize,
) {
    task.messages += 1;
    task.size_bytes += bytes as u64;
    task::put_message(apply.txn, fleet, task.uuid, task.messages, content);
}

/// Moves the one due entry of a task.
fn wait(apply: &mut Apply<'_>, fleet: FleetNo, task: &mut Task, lasts_ms: u64) {
    let entry = Due::Task {
        fleet,
        task: task.uuid,
    };
    if task.due_ms != 0 {
        due::delete(apply.txn, task.due_ms, &entry);
    }
    task.due_ms = apply.now().saturating_add(lasts_ms);
    due::put(apply.txn, task.due_ms, &entry);
}

/// Writes a task with a new status, and tells its parties.
fn moved(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    before: &Task,
    mut task: Task,
    state: TaskState,
    said: Option<Said>,
) -> Result<(), StorageError> {
    supersede(apply, fleet, &mut task);
    task.state = state;
    task.status_ms = apply.now();
    task.status_message = said.clone();
    let lasts_ms = match state.is_terminal() {
        true => apply.settings.message_retention_ms,
        false => IDLE_MAX_MS,
    };
    wait(apply, fleet, &mut task, lasts_ms);
    let change = Change::Status {
        state,
        message: said,
    };
    tell(apply, fleet, &mut task, change)?;
    task::save(apply.txn, fleet, Some(before), &task)
}

/// Adds an update and wakes those who follow the task. The caller writes the task.
fn tell(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: &mut Task,
    what: Change,
) -> Result<(), StorageError> {
    task.updates += 1;
    let update = Update {
        at_ms: apply.now(),
        what,
    };
    task::put_update(apply.txn, fleet, task.uuid, task.updates, &update);
    apply.updated(fleet, task.uuid);
    match task.pushes {
        0 => Ok(()),
        _ => task_push::open_all(apply, fleet, task.uuid),
    }
}

pub(crate) fn record(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    kind: EventKind,
    actor: Actor,
    task: &Task,
    payload: String,
) -> Result<(), StorageError> {
    let resource = Resource::Task(task.uuid);
    let conversation = Some(task.context_id.clone());
    apply.record_with(fleet, kind, actor, resource, conversation, payload)
}

/// The task, for one of its two parties.
fn of_party(apply: &Apply<'_>, by: &Agent, task: u128) -> Result<Option<Task>, StorageError> {
    let found = task::get(apply.txn, by.fleet, task)?;
    Ok(found.filter(|task| task.client == by.no || task.agent == by.no))
}

/// A party calls a task off.
fn cancel(apply: &mut Apply<'_>, by: &Agent, uuid: u128) -> Result<Outcome, StorageError> {
    let fleet = by.fleet;
    let Some(task) = of_party(apply, by, uuid)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if task.state.is_terminal() {
        return Ok(Outcome::Refused(Refusal::TaskOver(task.state)));
    }
    let number = task.updates + 1;
    let said = Some(Said::Reason(match by.no == task.client {
        true => "called off by the client".into(),
        false => "called off by the agent".into(),
    }));
    let state = TaskState::Canceled;
    moved(apply, fleet, &task, task.clone(), state, said)?;
    let told = payload(&[("state", state.as_str())]);
    let actor = Actor::Agent(by.no);
    record(
        apply,
        fleet,
        EventKind::TaskStatus,
        actor.clone(),
        &task,
        told,
    )?;
    if by.no == task.client {
        if let Some(mut slot) = Slot::of(apply, fleet, task.message, task.agent)?
            && !slot.delivery.state.ended()
            && slot.delivery.attempts == 0
        {
            slot.cancel(apply, actor)?;
        }
        let reason = format!("task_{uuid:032x}");
        // As long as the agent may still hold the message.
        let until_ms = apply.now() + apply.settings.message_retention_ms;
        let control = Control::new("a2a.task_canceled", &reason, Some(until_ms));
        put_control(apply, fleet, task.agent, control)?;
    }
    Ok(Outcome::TaskChanged { number, state })
}

/// An agent says how far a task is.
fn update(apply: &mut Apply<'_>, by: Agent, update: TaskUpdate) -> Result<Outcome, StorageError> {
    let fleet = by.fleet;
    let mut by = by;
    let found = task::get(apply.txn, fleet, update.task)?;
    let Some(task) = found.filter(|task| task.agent == by.no) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let text = &update.carrier.body;
    let ends = matches!(update.change, NewChange::Status { state, .. } if state.is_terminal());
    // A task that is full can still be ended.
    let refusal = closed(&task, text.len(), 1)
        .filter(|refusal| !ends || matches!(refusal, Refusal::TaskOver(_)));
    if let Some(refusal) = refusal {
        if matches!(refusal, Refusal::TaskOver(_)) {
            let told = payload(&[("state", task.state.as_str())]);
            let actor = Actor::Agent(by.no);
            let kind = EventKind::TaskUpdateRefused;
            record(apply, fleet, kind, actor, &task, told)?;
        }
        return Ok(Outcome::Refused(refusal));
    }
    if let Some(refusal) = send::refused_answer(apply, &mut by, &update.carrier, task.client)? {
        return Ok(Outcome::Refused(refusal));
    }
    let passed_on = passed_on(apply, &by, &task, &update)?;
    let outcome = match update.change {
        NewChange::Status { state, has_message } => {
            let mut after = task.clone();
            let said = has_message.then_some(Said::Content(update.content));
            if has_message {
                message::put_body(apply.txn, fleet, update.content, text);
                after.size_bytes += text.len() as u64;
            }
            moved(apply, fleet, &task, after, state, said)?;
            let told = payload(&[("state", state.as_str())]);
            let actor = Actor::Agent(by.no);
            record(apply, fleet, EventKind::TaskStatus, actor, &task, told)?;
            Outcome::TaskChanged {
                number: task.updates + 1,
                state,
            }
        }
        NewChange::Artifact {
            artifact_id,
            append,
            last_chunk,
        } => {
            let mut task = task;
            message::put_body(apply.txn, fleet, update.content, text);
            task.size_bytes += text.len() as u64;
            let chunk = (artifact_id, append, update.content);
            if let Some(refusal) = add_chunk(apply, fleet, &mut task, chunk)? {
                message::delete_body(apply.txn, fleet, update.content);
                return Ok(Outcome::Refused(refusal));
            }
            let change = Change::Artifact {
                content: update.content,
                append,
                last_chunk,
            };
            tell(apply, fleet, &mut task, change)?;
            task::put(apply.txn, fleet, &task);
            Outcome::TaskChanged {
                number: task.updates,
                state: task.state,
            }
        }
    };
    if let Some((message, client)) = passed_on {
        send::deliver_answer(apply, &by, message, client)?;
    }
    Ok(outcome)
}

/// What an agent elsewhere answers, as a message to the agent that asked: that one hears of it where
/// it hears of everything. Clients with bearer tokens have no inbox.
fn passed_on(
    apply: &Apply<'_>,
    by: &Agent,
    task: &Task,
    update: &TaskUpdate,
) -> Result<Option<(NewMessage, AgentNo)>, StorageError> {
    let client = match by.is_remote() {
        true => agent::get(apply.txn, by.fleet, task.client)?,
        false => None,
    };
    if client.is_none_or(|client| client.revoked || client.is_client() || client.is_remote()) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&update.carrier.body);
    let told = match &update.change {
        NewChange::Status { state, has_message } => {
            let message = if *has_message { &*text } else { "null" };
            format!(r#""state":"{}","message":{message}"#, state.as_str())
        }
        NewChange::Artifact {
            append, last_chunk, ..
        } => format!(r#""artifact":{text},"append":{append},"last_chunk":{last_chunk}"#),
    };
    let context_id = serde_json::Value::from(task.context_id.as_str());
    let task_id = format!("task_{:032x}", task.uuid);
    let body = format!(r#"{{"a2a":true,"taskId":"{task_id}","contextId":{context_id},{told}}}"#);
    let message = NewMessage {
        body: body.into_bytes(),
        ..update.carrier.clone()
    };
    Ok(Some((message, task.client)))
}

/// Adds a chunk to an artifact, or begins it. The caller writes the task.
fn add_chunk(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: &mut Task,
    (id, append, content): (String, bool, u128),
) -> Result<Option<Refusal>, StorageError> {
    let artifacts = task::artifacts(apply.txn, fleet, task.uuid, ARTIFACTS_MAX as usize)?;
    let found = artifacts
        .into_iter()
        .find(|(_, artifact)| artifact.id == id);
    let (number, mut artifact) = match found {
        Some((number, mut artifact)) => {
            if !append {
                artifact.first_chunk = artifact.next_chunk;
            }
            (number, artifact)
        }
        None if append => {
            let why = format!("there is no artifact {id:?} to append to");
            return Ok(Some(Refusal::Conflict(why)));
        }
        None if task.artifacts >= ARTIFACTS_MAX => {
            let (what, limit) = (TaskPart::Artifacts, u64::from(ARTIFACTS_MAX));
            return Ok(Some(Refusal::TaskFull { what, limit }));
        }
        None => {
            task.artifacts += 1;
            let artifact = Artifact {
                id,
                first_chunk: 0,
                next_chunk: 0,
            };
            (task.artifacts, artifact)
        }
    };
    let place = (number, artifact.next_chunk);
    task::put_chunk(apply.txn, fleet, task.uuid, place, content);
    artifact.next_chunk += 1;
    task::put_artifact(apply.txn, fleet, task.uuid, number, &artifact);
    Ok(None)
}

/// What became of a message moves the task that it belongs to.
pub(crate) fn delivery_ended(apply: &mut Apply<'_>, slot: &Slot) -> Result<(), StorageError> {
    let why = slot.delivery.last_failure_reason.as_deref();
    message_ended(
        apply,
        slot.fleet,
        slot.delivery.message,
        slot.delivery.state,
        why,
    )
}

/// The same, of a message that need not be here.
pub(crate) fn message_ended(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    uuid: u128,
    became: DeliveryState,
    why: Option<&str>,
) -> Result<(), StorageError> {
    let Some(task) = task::of_message(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    let Some(task) = task::get(apply.txn, fleet, task)? else {
        return Ok(());
    };
    // What became of earlier ones does not matter any more.
    if task.state.is_terminal() || task.message != uuid {
        return Ok(());
    }
    let (state, reason) = match became {
        DeliveryState::Acked if task.state == TaskState::Submitted => (TaskState::Working, None),
        DeliveryState::Expired => (
            TaskState::Failed,
            Some("the agent did not take the message in time".to_string()),
        ),
        DeliveryState::DeadLettered => (
            TaskState::Failed,
            Some(format!(
                "the agent did not take the message: {}",
                why.unwrap_or("given up")
            )),
        ),
        DeliveryState::Cancelled => {
            let stored = message::get(apply.txn, fleet, uuid)?;
            match stored.is_some_and(|message| message.state == MessageState::Rejected) {
                true => (
                    TaskState::Rejected,
                    Some("an operator did not approve the message".into()),
                ),
                false => (
                    TaskState::Canceled,
                    Some("the message was taken back".into()),
                ),
            }
        }
        _ => return Ok(()),
    };
    let told = payload(&[
        ("state", state.as_str()),
        ("reason", reason.as_deref().unwrap_or_default()),
    ]);
    let said = reason.map(Said::Reason);
    let is_over = said.is_some();
    moved(apply, fleet, &task, task.clone(), state, said)?;
    if is_over {
        let kind = EventKind::TaskStatus;
        record(apply, fleet, kind, Actor::System, &task, told)?;
    }
    Ok(())
}

/// A message went to another agent: the task goes with it.
pub(crate) fn redirected(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    uuid: u128,
    to: AgentNo,
) -> Result<(), StorageError> {
    let Some(task) = task::of_message(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    if let Some(task) = task::get(apply.txn, fleet, task)?
        && task.message == uuid
        && !task.state.is_terminal()
    {
        let after = Task {
            agent: to,
            ..task.clone()
        };
        task::save(apply.txn, fleet, Some(&task), &after)?;
    }
    Ok(())
}

/// A task was left alone for too long, or one that is over has been kept long enough.
pub(crate) fn due(
    apply: &mut Apply<'_>,
    due_ms: u64,
    fleet: FleetNo,
    uuid: u128,
) -> Result<(), StorageError> {
    let Some(mut task) = task::get(apply.txn, fleet, uuid)?.filter(|task| task.due_ms == due_ms)
    else {
        return Ok(());
    };
    if !task.state.is_terminal() {
        let said = Some(Said::Reason("nothing happened for 30 days".into()));
        let state = TaskState::Failed;
        moved(apply, fleet, &task, task.clone(), state, said)?;
        let told = payload(&[("state", state.as_str()), ("reason", "idle")]);
        let kind = EventKind::TaskStatus;
        return record(apply, fleet, kind, Actor::System, &task, told);
    }
    task_push::delete_all(apply, fleet, &mut task)?;
    let removed = task::remove_rows(apply.txn, fleet, uuid, REMOVED_AT_ONCE)?;
    if removed == REMOVED_AT_ONCE {
        // The rest is a step of its own.
        wait(apply, fleet, &mut task, 1);
        task::put(apply.txn, fleet, &task);
        return Ok(());
    }
    task::delete(apply.txn, fleet, &task)
}

/// Sets what an agent says of itself in its card.
pub(crate) fn put_card(
    apply: &mut Apply<'_>,
    agent: &Agent,
    card: String,
) -> Result<Outcome, StorageError> {
    let card = agent_card::AgentCard {
        card,
        updated_ms: apply.now(),
    };
    agent_card::put(apply.txn, agent.fleet, agent.no, &card);
    let (actor, resource) = (Actor::Agent(agent.no), Resource::Agent(agent.no));
    apply.record(agent.fleet, EventKind::AgentCardChanged, actor, resource)?;
    Ok(Outcome::Done)
}
