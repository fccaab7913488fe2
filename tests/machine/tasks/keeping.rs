//! Limits of tasks, and what is left when they are over.

use ekho::machine::command::{NewMessage, SendTask, TaskRequest};
use ekho::machine::outcome::{Outcome, Refusal, TaskPart};
use ekho::machine::task::{
    ARTIFACTS_MAX, MESSAGES_MAX, OPEN_TASKS_MAX, SIZE_MAX_BYTES, UPDATES_MAX,
};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::task::{self, Party, Task, TaskState};
use ekho_storage::{Cf, Key, Read};

use super::{changed, refused, relay};
use crate::check;
use crate::rig::{DAY, FLEET, HOUR, Relay};

/// Rows of the index family that tasks have, and texts.
fn rows(relay: &Relay) -> usize {
    let of_tasks = (10..=22).map(|table| {
        let prefix = Key::table(table).u32(FLEET);
        relay.txn.prefix(Cf::Index, prefix.bytes(), usize::MAX)
    });
    let texts = Key::new().u32(FLEET);
    let texts = relay.txn.prefix(Cf::Body, texts.bytes(), usize::MAX);
    let rows = of_tasks.chain([texts]);
    rows.map(|rows| rows.unwrap().len()).sum()
}

#[test]
fn a_full_task_takes_nothing_more_but_its_end() {
    type Fill = fn(&mut Task);
    let cases: [(TaskPart, u64, Fill); 4] = [
        (TaskPart::Messages, MESSAGES_MAX.into(), |task| {
            task.messages = MESSAGES_MAX;
        }),
        (TaskPart::Updates, UPDATES_MAX, |task| {
            task.updates = UPDATES_MAX;
        }),
        (TaskPart::Bytes, SIZE_MAX_BYTES, |task| {
            task.size_bytes = SIZE_MAX_BYTES;
        }),
        (TaskPart::Artifacts, ARTIFACTS_MAX.into(), |task| {
            task.artifacts = ARTIFACTS_MAX;
        }),
    ];
    for (what, limit, fill) in cases {
        let (mut relay, _, agent) = relay();
        let uuid = relay.working(&agent);
        // As if it had come so far.
        relay.recount = false;
        let mut task = relay.task(uuid);
        fill(&mut task);
        task::put(&mut relay.txn, FLEET, &task);
        let full = refused(Refusal::TaskFull { what, limit });
        let chunk = relay.chunk(&agent, uuid, ("new", false));
        assert_eq!(chunk, full);
        if what != TaskPart::Artifacts {
            let said = relay.set(&agent, uuid, TaskState::Working, Some("more"));
            assert_eq!(said, full);
            let more = relay.further(&agent, uuid, false);
            let more = relay.by_token(TaskRequest::Send(Box::new(more)));
            assert_eq!(more, full);
            assert!(relay.take(&agent).is_empty(), "nothing was sent");
        }
        assert_eq!(relay.task(uuid), task, "nothing changed");
        let end = relay.set(&agent, uuid, TaskState::Completed, Some("done"));
        assert_eq!(end, changed(task.updates + 1, TaskState::Completed));
    }
}

#[test]
fn a_client_has_so_many_open_tasks() {
    let (mut relay, client, agent) = relay();
    let task = relay.working(&agent);
    relay.recount = false;
    let party = Party {
        tasks: OPEN_TASKS_MAX,
        open: OPEN_TASKS_MAX,
    };
    let place = Key::table(17).u32(FLEET).u32(client.no);
    relay.txn.put_record(Cf::Index, place, &party);
    let limit = OPEN_TASKS_MAX;
    let full = refused(Refusal::LimitReached { limit });
    let more = relay.begin(&agent);
    let more = TaskRequest::Send(Box::new(more));
    assert_eq!(relay.by_token(more.clone()), full);
    assert!(relay.take(&agent).is_empty(), "nothing was sent");
    relay.cancel(&agent, task);
    let sent = relay.by_token(more);
    assert!(matches!(sent, Outcome::TaskSent { .. }), "{sent:?}");
}

#[test]
fn nothing_is_left_of_a_task_when_its_time_is_over() {
    let (mut relay, _, agent) = relay();
    let before = rows(&relay);
    let task = relay.working(&agent);
    relay.set(&agent, task, TaskState::InputRequired, Some("which?"));
    let answer = relay.further(&agent, task, false);
    relay.by_token(TaskRequest::Send(Box::new(answer)));
    for message in relay.take(&agent) {
        relay.ack(&agent, message);
    }
    relay.chunk(&agent, task, ("a", false));
    relay.chunk(&agent, task, ("a", false));
    relay.set(&agent, task, TaskState::Completed, Some("done"));
    relay.pass(7 * DAY - HOUR);
    assert_eq!(relay.task(task).state, TaskState::Completed, "not yet");
    relay.pass(HOUR);
    assert_eq!(rows(&relay), before);
    assert_eq!(relay.count(Counter::TaskCompleted), 0);
}

/// More rows than go in one step.
#[test]
fn a_large_task_goes_in_steps() {
    let (mut relay, _, agent) = relay();
    let before = rows(&relay);
    let task = relay.working(&agent);
    relay.recount = false;
    for number in 0..600 {
        relay.chunk(&agent, task, ("a", number > 0));
    }
    relay.set(&agent, task, TaskState::Completed, None);
    check::consistent(&relay.txn);
    relay.pass(7 * DAY);
    // A step is due a moment after the one before it.
    for _ in 0..10 {
        relay.pass(1);
    }
    assert_eq!(rows(&relay), before);
    check::consistent(&relay.txn);
}

/// The key is kept for longer than the task: it makes no second one.
#[test]
fn a_message_to_a_task_that_is_gone_is_not_sent_again() {
    let mut relay = Relay::with(Settings {
        message_retention_ms: HOUR,
        ..Settings::default()
    });
    let agent = relay.enroll("agent");
    relay.client(&[]);
    let keyed = |relay: &mut Relay| {
        let send = relay.begin(&agent);
        let message = NewMessage {
            idempotency: Some(("a2a:m".into(), [1; 32])),
            ..send.message
        };
        TaskRequest::Send(Box::new(SendTask { message, ..send }))
    };
    let first = keyed(&mut relay);
    relay.by_token(first);
    for message in relay.take(&agent) {
        relay.ack(&agent, message);
    }
    let tasks = task::list(&relay.txn, FLEET, agent.no, None, 2).unwrap();
    relay.set(&agent, tasks[0].0.1, TaskState::Completed, None);
    relay.pass(HOUR);
    let again = keyed(&mut relay);
    assert_eq!(relay.by_token(again), refused(Refusal::NotFound));
    assert!(relay.take(&agent).is_empty());
}
