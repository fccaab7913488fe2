//! Telling clients of their tasks: what is to be told when, and when it is given up.

use ekho::machine::command::{
    AgentRequest, Command, NewPush, OperatorRequest, PushTold, TaskRequest,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::task_push::{self, Push};

use crate::rig::{FLEET, HOUR, Relay};

const SECOND: u64 = 1000;

fn new_push(id: &str) -> NewPush {
    NewPush {
        id: id.into(),
        url: "https://example.com/hook".into(),
        scheme: None,
        sealed: vec![1],
    }
}

impl Relay {
    fn put_push(&mut self, task: u128, id: &str) -> Outcome {
        let push = new_push(id);
        self.by_token(TaskRequest::PutPush { task, push })
    }

    fn push(&self, task: u128, id: &str) -> Push {
        task_push::get(&self.txn, FLEET, task, id).unwrap().unwrap()
    }

    /// What is to be told now or later, with when.
    fn open(&self) -> Vec<(u64, String)> {
        let open = task_push::open(&self.txn, FLEET, 100).unwrap();
        open.into_iter().map(|(at, (_, id))| (at, id)).collect()
    }

    /// The leader notes what came of telling it.
    fn told(&mut self, task: u128, id: &str, told: u64, failure: Option<&str>) {
        let told = PushTold {
            task,
            id: id.into(),
            created_ms: self.push(task, id).created_ms,
            told,
            failure: failure.map(Into::into),
        };
        let told = vec![told];
        self.apply(Command::PushesTold { fleet: FLEET, told });
    }
}

#[test]
fn what_follows_is_to_be_told_until_it_is() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    relay.client(&[]);
    let task = relay.working(&agent);
    assert_eq!(relay.put_push(task, "a"), Outcome::Done);
    // What was before is known to who asks for it now.
    assert!(relay.open().is_empty());
    assert_eq!(relay.push(task, "a").told, 1);
    relay.set(&agent, task, TaskState::Working, Some("{}"));
    let now = relay.now_ms;
    assert_eq!(relay.open(), [(now, "a".to_string())]);
    relay.wait(5);
    relay.set(&agent, task, TaskState::Working, Some("{}"));
    assert_eq!(relay.open(), [(now, "a".to_string())]);
    relay.told(task, "a", 2, None);
    assert_eq!(relay.open(), [(relay.now_ms, "a".to_string())]);
    relay.told(task, "a", 3, None);
    assert!(relay.open().is_empty());
    assert_eq!(relay.push(task, "a").told, 3);
}

#[test]
fn a_receiver_that_fails_is_tried_later_and_later_and_given_up() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    relay.client(&[]);
    let task = relay.working(&agent);
    relay.put_push(task, "a");
    relay.set(&agent, task, TaskState::Working, None);
    let seconds = [1, 5, 30, 120, 600, 1800, 3600, 7200, 14_400];
    for delay in seconds {
        relay.told(task, "a", 1, Some("answered 503"));
        let at = relay.now_ms + delay * SECOND;
        assert_eq!(relay.open(), [(at, "a".to_string())]);
        // Something new does not make it any sooner.
        relay.set(&agent, task, TaskState::Working, None);
        assert_eq!(relay.open(), [(at, "a".to_string())]);
        relay.pass(delay * SECOND);
    }
    relay.told(task, "a", 1, Some("answered 503"));
    assert!(relay.open().is_empty());
    assert_eq!(relay.events(1), [EventKind::TaskPushGaveUp]);
    let given_up = task_push::gave_up(&relay.txn, FLEET, None, 10).unwrap();
    assert_eq!(given_up, [(relay.now_ms, (task, "a".to_string()))]);
    // Nothing more is told.
    relay.set(&agent, task, TaskState::Working, None);
    assert!(relay.open().is_empty());

    let retry = || OperatorRequest::RetryPush {
        task,
        id: "a".into(),
    };
    assert_eq!(relay.operator(retry()), Outcome::Done);
    assert_eq!(relay.open().len(), 1);
    assert!(
        task_push::gave_up(&relay.txn, FLEET, None, 10)
            .unwrap()
            .is_empty()
    );
    let again = relay.operator(retry());
    assert!(
        matches!(again, Outcome::Refused(Refusal::Conflict(_))),
        "{again:?}"
    );
    // What it heard counts from the beginning.
    relay.told(task, "a", 2, None);
    relay.told(task, "a", 2, Some("answered 503"));
    assert_eq!(relay.push(task, "a").attempts, 1);
}

#[test]
fn what_took_its_place_is_not_told_by_what_was_there_before() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    relay.client(&[]);
    let task = relay.working(&agent);
    relay.put_push(task, "a");
    let before = relay.push(task, "a").created_ms;
    relay.wait(10);
    relay.put_push(task, "a");
    relay.set(&agent, task, TaskState::Completed, None);
    let told = vec![PushTold {
        task,
        id: "a".into(),
        created_ms: before,
        told: 2,
        failure: None,
    }];
    relay.apply(Command::PushesTold { fleet: FLEET, told });
    assert_eq!(relay.push(task, "a").told, 1);
    assert_eq!(relay.open().len(), 1);
}

#[test]
fn only_the_client_says_where_and_nothing_is_left_of_it() {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    relay.client(&[]);
    let task = relay.working(&agent);
    let push = new_push("agent's");
    let request = AgentRequest::Task(TaskRequest::PutPush { task, push });
    let refused = relay.sign(&agent, request);
    assert_eq!(refused, Outcome::Refused(Refusal::NotFound));
    for number in 0..10 {
        relay.put_push(task, &number.to_string());
    }
    let refused = relay.put_push(task, "one too many");
    assert_eq!(
        refused,
        Outcome::Refused(Refusal::LimitReached { limit: 10 })
    );
    let id = "3".to_string();
    for _ in 0..2 {
        let id = id.clone();
        let deleted = relay.by_token(TaskRequest::DeletePush { task, id });
        assert_eq!(deleted, Outcome::Done);
    }
    assert_eq!(relay.task(task).pushes, 9);
    relay.set(&agent, task, TaskState::Completed, None);
    assert_eq!(relay.open().len(), 9);
    relay.pass(8 * 24 * HOUR);
    assert!(relay.open().is_empty());
    assert!(
        task_push::list(&relay.txn, FLEET, task, 10)
            .unwrap()
            .is_empty()
    );
}
