//! Telling clients of their A2A tasks: where they want to be told, how far they were, and when it
//! is tried again. The leader tells them; what came of it is decided here.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::task::{self, Task};
use ekho_storage::tables::task_push::{self, Push};
use ekho_storage::tables::{FleetNo, TimeMs};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::{NewPush, PushTold};
use super::outcome::{Outcome, Refusal};

/// Configurations of one task.
pub const PUSHES_MAX: u32 = 10;
/// After each failure in a row it is tried again so much later; after the last it is given up.
const RETRY_MS: [TimeMs; 9] = [
    1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000,
];

/// The client's own task; where it wants to be told of it is no affair of the agent's.
fn of_client(apply: &Apply<'_>, by: &Agent, uuid: u128) -> Result<Option<Task>, StorageError> {
    let found = task::get(apply.txn, by.fleet, uuid)?;
    Ok(found.filter(|task| task.client == by.no))
}

/// A client says where it wants to be told of its task; the same id takes the place of what was
/// said before.
pub(crate) fn put(
    apply: &mut Apply<'_>,
    by: &Agent,
    uuid: u128,
    new: NewPush,
) -> Result<Outcome, StorageError> {
    let Some(mut task) = of_client(apply, by, uuid)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let is_known = task_push::get(apply.txn, by.fleet, uuid, &new.id)?.is_some();
    if !is_known && task.pushes >= PUSHES_MAX {
        let limit = u64::from(PUSHES_MAX);
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    add(apply, by.fleet, &mut task, new)?;
    task::put(apply.txn, by.fleet, &task);
    Ok(Outcome::Done)
}

/// Adds a configuration that is told what follows from now on, where there is room. The caller
/// writes the task.
pub(crate) fn add(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: &mut Task,
    new: NewPush,
) -> Result<(), StorageError> {
    let is_known = task_push::get(apply.txn, fleet, task.uuid, &new.id)?.is_some();
    if !is_known {
        if task.pushes >= PUSHES_MAX {
            return Ok(());
        }
        task.pushes += 1;
    }
    let push = Push {
        url: new.url,
        scheme: new.scheme,
        sealed: new.sealed,
        created_ms: apply.now(),
        told: task.updates,
        attempts: 0,
        open_ms: 0,
        last_error: None,
        gave_up_ms: None,
    };
    task_push::put(apply.txn, fleet, task.uuid, &new.id, &push)
}

/// A client does not want to be told there any more.
pub(crate) fn delete(
    apply: &mut Apply<'_>,
    by: &Agent,
    uuid: u128,
    id: &str,
) -> Result<Outcome, StorageError> {
    let Some(mut task) = of_client(apply, by, uuid)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if task_push::delete(apply.txn, by.fleet, uuid, id)? {
        task.pushes = task.pushes.saturating_sub(1);
        task::put(apply.txn, by.fleet, &task);
    }
    Ok(Outcome::Done)
}

/// Removes every configuration of a task. The caller writes or removes the task.
pub(crate) fn delete_all(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: &mut Task,
) -> Result<(), StorageError> {
    if task.pushes == 0 {
        return Ok(());
    }
    for (id, _) in task_push::list(apply.txn, fleet, task.uuid, PUSHES_MAX as usize)? {
        task_push::delete(apply.txn, fleet, task.uuid, &id)?;
    }
    task.pushes = 0;
    Ok(())
}

/// There is something new to tell of a task: to everybody who is not waiting for a further try
/// already, and was not given up.
pub(crate) fn open_all(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    task: u128,
) -> Result<(), StorageError> {
    for (id, mut push) in task_push::list(apply.txn, fleet, task, PUSHES_MAX as usize)? {
        if push.open_ms == 0 && push.gave_up_ms.is_none() {
            push.open_ms = apply.now();
            task_push::put(apply.txn, fleet, task, &id, &push)?;
        }
    }
    Ok(())
}

/// Clients were told, or could not be.
pub(crate) fn told(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    told: Vec<PushTold>,
) -> Result<Outcome, StorageError> {
    for one in told {
        told_one(apply, fleet, one)?;
    }
    Ok(Outcome::Done)
}

fn told_one(apply: &mut Apply<'_>, fleet: FleetNo, one: PushTold) -> Result<(), StorageError> {
    let found = task_push::get(apply.txn, fleet, one.task, &one.id)?;
    let found = found.filter(|push| push.created_ms == one.created_ms);
    let (Some(mut push), Some(task)) = (found, task::get(apply.txn, fleet, one.task)?) else {
        return Ok(());
    };
    let now = apply.now();
    if one.told > push.told {
        push.told = one.told;
        push.attempts = 0;
        push.last_error = None;
    }
    push.open_ms = match push.told < task.updates {
        true => now,
        false => 0,
    };
    if let Some(failure) = one.failure {
        push.attempts += 1;
        push.last_error = Some(failure.clone());
        match RETRY_MS.get(push.attempts as usize - 1) {
            Some(delay_ms) => push.open_ms = now.saturating_add(*delay_ms),
            None => {
                push.open_ms = 0;
                push.gave_up_ms = Some(now);
                let told = payload(&[
                    ("config_id", &one.id),
                    ("url", &push.url),
                    ("last_error", &failure),
                ]);
                apply.record_with(
                    fleet,
                    EventKind::TaskPushGaveUp,
                    Actor::System,
                    Resource::Task(one.task),
                    Some(task.context_id),
                    told,
                )?;
            }
        }
    }
    task_push::put(apply.txn, fleet, one.task, &one.id, &push)
}

/// An operator has one tried again that was given up.
pub(crate) fn retry(
    apply: &mut Apply<'_>,
    by: &Principal,
    task: u128,
    id: &str,
) -> Result<Outcome, StorageError> {
    let found = task_push::get(apply.txn, by.fleet, task, id)?;
    let Some(mut push) = found else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if push.gave_up_ms.is_none() {
        let why = "it was not given up";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    push.gave_up_ms = None;
    push.attempts = 0;
    push.open_ms = apply.now();
    task_push::put(apply.txn, by.fleet, task, id, &push)?;
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record_with(
        by.fleet,
        EventKind::TaskPushRetried,
        actor,
        Resource::Task(task),
        None,
        payload(&[("config_id", id)]),
    )?;
    Ok(Outcome::Done)
}
