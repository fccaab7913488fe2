//! Tasks of another relay: what becomes of their messages moves them, and they come once.

use ekho::machine::command::{
    ImportDelivery, ImportMessage, ImportRow, ImportSaid, ImportTask, ImportText, NewMessage,
    OperatorRequest,
};
use ekho::machine::outcome::{Outcome, RowOutcome};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message;
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::task::{self, Said, TaskState};

use super::changed;
use crate::determinism::same;
use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay};

const MONTH: u64 = 30 * DAY;

fn text(relay: &mut Relay, text: &str) -> ImportText {
    ImportText {
        content: relay.next_id(),
        text: text.into(),
    }
}

/// A task given ten minutes ago, with one message in its history.
fn task(relay: &mut Relay, (client, agent): (&Peer, &Peer), state: TaskState) -> ImportTask {
    let at_ms = relay.now_ms - 10 * MINUTE;
    ImportTask {
        uuid: relay.next_id(),
        client_id: client.id.clone(),
        agent_id: agent.id.clone(),
        context_id: "ctx_1".into(),
        state,
        status_ms: at_ms,
        said: None,
        created_ms: at_ms,
        message: Some(relay.next_id()),
        metadata: None,
        history: vec![text(relay, "what was asked")],
        artifacts: vec![],
    }
}

/// The message by which a task was given.
fn given(relay: &mut Relay, (client, agent): (&Peer, &Peer), task: &ImportTask) -> ImportMessage {
    let uuid = task.message.unwrap_or_else(|| relay.next_id());
    ImportMessage {
        sender_id: client.id.clone(),
        message: NewMessage {
            uuid,
            message_type: "a2a.message".into(),
            conversation_id: "ctx_1".into(),
            ..relay.to(agent)
        },
        created_ms: relay.now_ms - 10 * MINUTE,
        deadline_ms: relay.now_ms + HOUR,
        deliveries: vec![ImportDelivery {
            agent_id: agent.id.clone(),
            given_up: None,
        }],
        task: Some(task.uuid),
    }
}

fn import(relay: &mut Relay, row: ImportRow) -> RowOutcome {
    let (source, rows) = ("ekho.db".into(), vec![row]);
    match relay.operator(OperatorRequest::Import { source, rows }) {
        Outcome::RowsImported(mut outcomes) => outcomes.remove(0),
        other => panic!("{other:?}"),
    }
}

fn bring(relay: &mut Relay, task: &ImportTask) -> RowOutcome {
    import(relay, ImportRow::Task(Box::new(task.clone())))
}

fn bring_message(relay: &mut Relay, message: &ImportMessage) -> RowOutcome {
    import(relay, ImportRow::Message(Box::new(message.clone())))
}

fn refused(why: &str) -> RowOutcome {
    RowOutcome::Refused(why.into())
}

#[test]
fn an_open_task_goes_on_and_comes_once() {
    let mut relay = Relay::new();
    let (client, agent) = relay.pair();
    let pair = (&client, &agent);
    let row = task(&mut relay, pair, TaskState::Submitted);
    let message = given(&mut relay, pair, &row);
    let uuid = row.uuid;
    assert_eq!(bring(&mut relay, &row), RowOutcome::Imported);
    assert_eq!(
        relay.events(2),
        [EventKind::RowsImported, EventKind::TaskStatus]
    );
    assert_eq!(relay.count(Counter::TaskSubmitted), 1);
    assert_eq!(bring_message(&mut relay, &message), RowOutcome::Imported);
    assert_eq!(bring(&mut relay, &row), RowOutcome::Exists);
    let stored = relay.task(uuid);
    assert_eq!((stored.created_ms, stored.messages), (row.created_ms, 1));
    let history = task::newest_messages(&relay.txn, FLEET, uuid, 9).unwrap();
    assert_eq!(relay.text(history[0]), "what was asked");

    assert_eq!(relay.take(&agent), [message.message.uuid]);
    assert_eq!(relay.ack(&agent, message.message.uuid), 1);
    assert_eq!(relay.task(uuid).state, TaskState::Working);
    let done = relay.set(&agent, uuid, TaskState::Completed, Some("here"));
    assert_eq!(done, changed(3, TaskState::Completed));
    // It is over and removed before the month ends in which the row could come again.
    relay.change_settings(|settings| settings.message_retention_ms = HOUR);
    relay.pass(8 * DAY);
    assert!(task::get(&relay.txn, FLEET, uuid).unwrap().is_none());
    assert_eq!(bring(&mut relay, &row), RowOutcome::Exists);
    relay.pass(MONTH);
    let why = "nothing happened for 30 days";
    assert_eq!(bring(&mut relay, &row), refused(why));
    same(&relay.log, &[1, 7, 2]);
}

#[test]
fn what_becomes_of_its_message_moves_it() {
    let mut relay = Relay::new();
    let (client, agent) = relay.pair();
    let pair = (&client, &agent);
    // Its message ran out on the way.
    let late = task(&mut relay, pair, TaskState::Submitted);
    let mut message = given(&mut relay, pair, &late);
    message.deadline_ms = relay.now_ms;
    assert_eq!(bring(&mut relay, &late), RowOutcome::Imported);
    assert_eq!(
        bring_message(&mut relay, &message),
        refused("its time is over")
    );
    assert_eq!(relay.task(late.uuid).state, TaskState::Failed);
    // It was given up.
    let dead = task(&mut relay, pair, TaskState::Submitted);
    let mut message = given(&mut relay, pair, &dead);
    message.deliveries[0].given_up = Some(("max_retries_exceeded".into(), 5));
    assert_eq!(bring(&mut relay, &dead), RowOutcome::Imported);
    assert_eq!(bring_message(&mut relay, &message), RowOutcome::Imported);
    assert_eq!(relay.task(dead.uuid).state, TaskState::Failed);
    assert!(relay.reason(dead.uuid).contains("max_retries_exceeded"));
    // The other relay does not say by which message it was given.
    let loose = ImportTask {
        message: None,
        ..task(&mut relay, pair, TaskState::Submitted)
    };
    let message = given(&mut relay, pair, &loose);
    let stranger = given(&mut relay, (&agent, &client), &loose);
    assert_eq!(bring(&mut relay, &loose), RowOutcome::Imported);
    for message in [&message, &stranger] {
        assert_eq!(bring_message(&mut relay, message), RowOutcome::Imported);
    }
    assert_eq!(relay.task(loose.uuid).message, message.message.uuid);
    assert_eq!(relay.take(&client), [stranger.message.uuid]);
    relay.ack(&client, stranger.message.uuid);
    assert_eq!(relay.task(loose.uuid).state, TaskState::Submitted);
    assert_eq!(relay.take(&agent), [message.message.uuid]);
    relay.ack(&agent, message.message.uuid);
    assert_eq!(relay.task(loose.uuid).state, TaskState::Working);
    // One that stands elsewhere stays there.
    let asks = task(&mut relay, pair, TaskState::InputRequired);
    assert_eq!(bring(&mut relay, &asks), RowOutcome::Imported);
    assert_eq!(
        relay.cancel(&client, asks.uuid),
        changed(2, TaskState::Canceled)
    );
    same(&relay.log, &[1, 5, 3]);
}

#[test]
fn one_that_is_over_is_kept_as_long_as_others() {
    let mut relay = Relay::new();
    let (client, agent) = relay.pair();
    let pair = (&client, &agent);
    let kept_ms = Settings::default().message_retention_ms;
    let mut row = task(&mut relay, pair, TaskState::Completed);
    row.said = Some(ImportSaid::Message(text(&mut relay, "done")));
    row.artifacts = vec![("art".into(), text(&mut relay, "42"))];
    assert_eq!(bring(&mut relay, &row), RowOutcome::Imported);
    let stored = relay.task(row.uuid);
    let Some(Said::Content(said)) = stored.status_message else {
        panic!("{stored:?}")
    };
    assert_eq!(relay.text(said), "done");
    let artifacts = task::artifacts(&relay.txn, FLEET, row.uuid, 9).unwrap();
    let (number, artifact) = &artifacts[0];
    let chunks = task::chunks(&relay.txn, FLEET, row.uuid, *number, artifact).unwrap();
    assert_eq!(
        (artifact.id.as_str(), relay.text(chunks[0])),
        ("art", "42".into())
    );
    // It was over ten minutes ago.
    relay.pass(kept_ms - 10 * MINUTE - 1);
    assert!(task::get(&relay.txn, FLEET, row.uuid).unwrap().is_some());
    relay.pass(1);
    assert!(task::get(&relay.txn, FLEET, row.uuid).unwrap().is_none());
    let bodies = [said, chunks[0], row.history[0].content];
    for content in bodies {
        assert!(message::body(&relay.txn, FLEET, content).unwrap().is_none());
    }
    let why = "it has been over for longer than tasks are kept here";
    assert_eq!(bring(&mut relay, &row), refused(why));

    relay.revoke(&agent);
    let over = task(&mut relay, pair, TaskState::Failed);
    assert_eq!(bring(&mut relay, &over), RowOutcome::Imported);
    let open = task(&mut relay, pair, TaskState::Working);
    let nobody = ImportTask {
        client_id: "agent_nobody".into(),
        ..task(&mut relay, pair, TaskState::Failed)
    };
    for row in [open, nobody] {
        let why = "one of its two agents is not here";
        assert_eq!(bring(&mut relay, &row), refused(why));
    }
    same(&relay.log, &[1, 4, 2]);
}
