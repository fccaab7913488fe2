//! What moves a task, and what ends it.

use ekho::machine::command::{AgentRequest, NewMessage, OperatorRequest, SendTask, TaskRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::control;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::task::{self, Said, TaskState};

use super::{changed, refused, relay};
use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay, nack};

#[test]
fn a_message_makes_a_task_and_its_ack_sets_it_to_work() {
    let (mut relay, client, agent) = relay();
    let (uuid, message) = relay.asked(&agent);
    let task = relay.task(uuid);
    assert_eq!(
        (task.client, task.agent, task.asked, task.state),
        (client.no, agent.no, agent.no, TaskState::Submitted)
    );
    assert_eq!((task.updates, task.messages, task.artifacts), (0, 1, 0));
    let history = task::newest_messages(&relay.txn, FLEET, uuid, 10).unwrap();
    assert_eq!(
        relay.text(history[0]),
        r#"{"messageId":"m","parts":[{"text":"hello"}]}"#
    );
    assert_eq!(relay.take(&agent), [message]);
    assert_eq!(relay.task(uuid), task, "to hand it out changes nothing");
    relay.updated.clear();
    relay.ack(&agent, message);
    assert_eq!(relay.states(uuid), [TaskState::Working]);
    assert_eq!(relay.updated, [(FLEET, uuid)], "who follows it is told");
    assert_eq!(relay.count(Counter::TaskSubmitted), 0);
    assert_eq!(relay.count(Counter::TaskWorking), 1);
}

#[test]
fn the_same_message_again_gives_the_same_task() {
    let (mut relay, _, agent) = relay();
    let keyed = |relay: &mut Relay, hash: u8| {
        let send = relay.begin(&agent);
        let message = NewMessage {
            idempotency: Some(("a2a:m".into(), [hash; 32])),
            ..send.message
        };
        TaskRequest::Send(Box::new(SendTask { message, ..send }))
    };
    let sent = |outcome: Outcome| match outcome {
        Outcome::TaskSent { task, repeated, .. } => (task, repeated),
        other => panic!("{other:?}"),
    };
    let first = keyed(&mut relay, 1);
    let (task, repeated) = sent(relay.by_token(first));
    assert!(!repeated);
    let again = keyed(&mut relay, 1);
    assert_eq!(sent(relay.by_token(again)), (task, true));
    assert_eq!(relay.take(&agent).len(), 1, "one message for both");
    let other = keyed(&mut relay, 2);
    let outcome = relay.by_token(other);
    assert_eq!(outcome, refused(Refusal::IdempotencyConflict));
    assert_eq!(relay.count(Counter::TaskSubmitted), 1);
    // Also once it is over.
    relay.cancel(&agent, task);
    let again = keyed(&mut relay, 1);
    assert_eq!(sent(relay.by_token(again)), (task, true));
}

#[test]
fn an_agent_asks_and_the_client_answers() {
    let (mut relay, _, agent) = relay();
    let task = relay.working(&agent);
    let asked = relay.set(&agent, task, TaskState::InputRequired, Some("which one?"));
    assert_eq!(asked, changed(2, TaskState::InputRequired));
    let answer = relay.further(&agent, task, false);
    let message = answer.message.uuid;
    relay.by_token(TaskRequest::Send(Box::new(answer)));
    let stored = relay.task(task);
    assert_eq!(
        (stored.state, stored.message),
        (TaskState::Submitted, message)
    );
    assert_eq!(stored.status_message, None, "it is history now");
    let history = task::newest_messages(&relay.txn, FLEET, task, 10).unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(relay.text(history[1]), "which one?");
    assert_eq!(relay.take(&agent), [message]);
    relay.ack(&agent, message);
    let expected = [
        TaskState::Working,
        TaskState::InputRequired,
        TaskState::Submitted,
        TaskState::Working,
    ];
    assert_eq!(relay.states(task), expected);
    // What is added while it works does not take it back.
    let more = relay.further(&agent, task, false);
    relay.by_token(TaskRequest::Send(Box::new(more)));
    assert_eq!(relay.states(task), expected);
}

/// Ends the message of a task that was just asked for.
type End = fn(&mut Relay, &Peer, u128);

#[test]
fn the_end_of_its_message_is_the_end_of_a_task() {
    let expires: End = |relay, _, _| relay.pass(HOUR);
    let dies: End = |relay, agent, message| {
        for _ in 0..6 {
            assert_eq!(relay.take(agent), [message]);
            let mut nack = nack(message);
            (nack.delay_ms, nack.reason) = (Some(0), Some("no".into()));
            relay.nack(agent, nack);
        }
    };
    let taken_back: End = |relay, _, message| {
        let request = OperatorRequest::Cancel { message };
        assert!(!matches!(relay.operator(request), Outcome::Refused(_)));
    };
    for (end, state, reason) in [
        (
            expires,
            TaskState::Failed,
            "the agent did not take the message in time",
        ),
        (
            dies,
            TaskState::Failed,
            "the agent did not take the message: max_retries_exceeded: no",
        ),
        (
            taken_back,
            TaskState::Canceled,
            "the message was taken back",
        ),
    ] {
        let (mut relay, _, agent) = relay();
        let (task, message) = relay.asked(&agent);
        end(&mut relay, &agent, message);
        assert_eq!(
            (relay.states(task), relay.reason(task)),
            (vec![state], reason.into())
        );
        assert!(
            relay.events(2).contains(&EventKind::TaskStatus),
            "{state:?}"
        );
    }
}

#[test]
fn a_message_that_is_not_approved_rejects_its_task() {
    let (mut relay, _, agent) = relay();
    for (approve, state) in [(false, TaskState::Rejected), (true, TaskState::Submitted)] {
        let mut send = relay.begin(&agent);
        send.message.requires_approval = true;
        let (task, approval) = (send.task, send.message.approval);
        relay.by_token(TaskRequest::Send(Box::new(send)));
        assert!(relay.take(&agent).is_empty(), "it waits");
        assert_eq!(relay.task(task).state, TaskState::Submitted);
        let reason = None;
        let decided = relay.operator(OperatorRequest::DecideApproval {
            approval,
            approve,
            reason,
        });
        assert!(!matches!(decided, Outcome::Refused(_)), "{decided:?}");
        assert_eq!(relay.task(task).state, state);
    }
    assert_eq!(relay.take(&agent).len(), 1);
}

#[test]
fn what_became_of_an_earlier_message_does_not_matter() {
    let (mut relay, _, agent) = relay();
    let task = relay.working(&agent);
    relay.set(&agent, task, TaskState::InputRequired, None);
    let send = relay.further(&agent, task, false);
    let earlier = send.message.uuid;
    relay.by_token(TaskRequest::Send(Box::new(send)));
    let send = relay.further(&agent, task, false);
    relay.by_token(TaskRequest::Send(Box::new(send)));
    let request = OperatorRequest::Cancel { message: earlier };
    relay.operator(request);
    assert_eq!(relay.task(task).state, TaskState::Submitted);
}

#[test]
fn a_client_calls_its_task_off() {
    let (mut relay, _, agent) = relay();
    let cancel = |task| TaskRequest::Cancel { task };
    // Before the agent has it: it never gets it.
    let (task, message) = relay.asked(&agent);
    assert_eq!(
        relay.by_token(cancel(task)),
        changed(1, TaskState::Canceled)
    );
    assert_eq!(relay.reason(task), "called off by the client");
    assert_eq!(relay.state(&agent, message), DeliveryState::Cancelled);
    assert!(relay.take(&agent).is_empty());
    // While it works: it is told, and keeps the message.
    let (task, message) = relay.asked(&agent);
    relay.take(&agent);
    assert_eq!(
        relay.by_token(cancel(task)),
        changed(1, TaskState::Canceled)
    );
    assert_eq!(relay.state(&agent, message), DeliveryState::Delivered);
    let controls = control::list_rev(&relay.txn, FLEET, agent.no, 1).unwrap();
    let (action, reason) = (&controls[0].1.action, &controls[0].1.reason);
    assert_eq!(action, "a2a.task_canceled");
    assert_eq!(*reason, format!("task_{task:032x}"));
    assert_eq!(relay.ack(&agent, message), 1);
    assert_eq!(
        relay.states(task),
        [TaskState::Canceled],
        "the ack comes late"
    );
    // Twice is once.
    let over = Refusal::TaskOver(TaskState::Canceled);
    assert_eq!(relay.by_token(cancel(task)), refused(over));
}

#[test]
fn a_client_that_calls_tasks_off_does_not_hide_what_an_operator_decided() {
    let (mut relay, _, agent) = relay();
    relay.resume(&agent);
    relay.hold(&agent, HoldKind::Pause);
    for _ in 0..60 {
        let (task, _) = relay.asked(&agent);
        assert_eq!(
            relay.by_token(TaskRequest::Cancel { task }),
            changed(1, TaskState::Canceled)
        );
        relay.pass(MINUTE);
    }
    let controls = control::list_rev(&relay.txn, FLEET, agent.no, 100).unwrap();
    assert_eq!(controls.len(), 51);
    let newest = |action: &str| controls.iter().position(|(_, one)| one.action == action);
    assert_eq!(newest("pause"), Some(50), "the 50 newest, and the hold");
    assert_eq!(newest("resume"), None, "what it replaced makes room");
    // They leave by themselves.
    relay.pass(8 * DAY);
    let left = control::list_rev(&relay.txn, FLEET, agent.no, 100).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].1.action, "pause");
}

#[test]
fn an_agent_calls_its_task_off_and_a_stranger_does_not() {
    let (mut relay, _, agent) = relay();
    let stranger = relay.enroll("stranger");
    let task = relay.working(&agent);
    assert_eq!(relay.cancel(&stranger, task), refused(Refusal::NotFound));
    assert_eq!(relay.cancel(&agent, task), changed(2, TaskState::Canceled));
    assert_eq!(relay.reason(task), "called off by the agent");
    let controls = control::list_rev(&relay.txn, FLEET, agent.no, 1).unwrap();
    assert!(controls.is_empty(), "it knows: {controls:?}");
}

#[test]
fn a_task_goes_where_its_message_goes() {
    let (mut relay, client, agent) = relay();
    let other = relay.enroll("other");
    let (task, message) = relay.asked(&agent);
    let redirected = relay.operator(OperatorRequest::Redirect {
        from_agent_id: agent.id.clone(),
        to_agent_id: other.id.clone(),
        seqs: vec![1],
        reason: "away".into(),
    });
    assert_eq!(redirected, Outcome::Updated(1));
    let stored = relay.task(task);
    assert_eq!((stored.agent, stored.asked), (other.no, agent.no));
    let listed = |relay: &Relay, of: &Peer| {
        let list = task::list(&relay.txn, FLEET, of.no, None, 10).unwrap();
        list.len()
    };
    assert_eq!(
        [&client, &agent, &other].map(|of| listed(&relay, of)),
        [1, 0, 1]
    );
    let working = |relay: &mut Relay, by| relay.set(by, task, TaskState::Working, None);
    assert_eq!(working(&mut relay, &agent), refused(Refusal::NotFound));
    assert_eq!(relay.take(&other), [message]);
    relay.ack(&other, message);
    assert_eq!(working(&mut relay, &other), changed(2, TaskState::Working));
}

#[test]
fn a_hold_sends_new_tasks_elsewhere() {
    let (mut relay, _, agent) = relay();
    let other = relay.enroll("other");
    relay.operator(OperatorRequest::Hold {
        agent_id: agent.id.clone(),
        kind: HoldKind::Pause,
        reason: "away".into(),
        expires_ms: None,
        redirect_agent_id: Some(other.id.clone()),
    });
    let (task, message) = relay.asked(&agent);
    let stored = relay.task(task);
    assert_eq!((stored.agent, stored.asked), (other.no, agent.no));
    assert_eq!(relay.take(&other), [message]);
}

#[test]
fn a_task_that_is_left_alone_for_thirty_days_has_failed() {
    let (mut relay, _, agent) = relay();
    let task = relay.working(&agent);
    relay.pass(20 * DAY);
    relay.set(&agent, task, TaskState::Working, None);
    relay.pass(20 * DAY);
    assert_eq!(
        relay.task(task).state,
        TaskState::Working,
        "it was not alone"
    );
    relay.pass(10 * DAY);
    assert_eq!(relay.reason(task), "nothing happened for 30 days");
    assert_eq!(relay.states(task).last(), Some(&TaskState::Failed));
}

/// An agent that asks another one signs, and is a client like any other.
#[test]
fn agents_ask_agents_and_themselves() {
    let (mut relay, _, agent) = relay();
    for asked in [relay.enroll("other"), agent.clone()] {
        let send = relay.begin(&asked);
        let (task, message) = (send.task, send.message.uuid);
        let request = AgentRequest::Task(TaskRequest::Send(Box::new(send)));
        let sent = relay.sign(&agent, request);
        assert!(matches!(sent, Outcome::TaskSent { .. }), "{sent:?}");
        assert_eq!(relay.take(&asked), [message]);
        relay.ack(&asked, message);
        let done = relay.set(&asked, task, TaskState::Completed, Some("done"));
        assert_eq!(done, changed(2, TaskState::Completed));
        let said = relay.task(task).status_message;
        assert!(matches!(said, Some(Said::Content(_))), "{said:?}");
    }
}
