//! Agents elsewhere: the relay takes their messages and answers for them.

use ekho::machine::command::{
    AgentRequest, Command, NewA2aRemote, NewChange, NewMessage, OperatorRequest, Poll,
    RemoteRequest, TaskRequest, TaskUpdate,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::{a2a_remote, agent, message};

use crate::rig::{FLEET, Peer, Relay, agent_id};

impl Relay {
    fn elsewhere(&mut self) -> Peer {
        let id = agent_id("elsewhere");
        let made = self.operator(OperatorRequest::CreateA2aRemote(Box::new(NewA2aRemote {
            agent_id: id.clone(),
            name: "elsewhere".into(),
            card_url: "https://example.com/card.json".into(),
            scheme: None,
            sealed: None,
        })));
        assert_eq!(made, Outcome::Done);
        let (_, no) = agent::locate(&self.txn, &id).unwrap().unwrap();
        Peer { no, id }
    }

    fn act(&mut self, remote: &Peer, request: RemoteRequest) -> Outcome {
        self.apply(Command::Remote {
            fleet: FLEET,
            agent: remote.no,
            request,
        })
    }

    /// An agent asks the one elsewhere, which was sent the message: the task.
    fn asked_elsewhere(&mut self, asker: &Peer, remote: &Peer) -> u128 {
        let send = self.begin(remote);
        let (task, message) = (send.task, send.message.uuid);
        let request = AgentRequest::Task(TaskRequest::Send(Box::new(send)));
        self.sign(asker, request);
        let poll = Poll {
            limit: 10,
            types: Vec::new(),
            resume_after: None,
        };
        let taken = self.act(remote, RemoteRequest::Poll(poll));
        let Outcome::Polled { messages } = taken else {
            panic!("{taken:?}")
        };
        assert_eq!(messages.len(), 1);
        let sent = RemoteRequest::Sent {
            message,
            task,
            task_id: "theirs".into(),
            context_id: "their context".into(),
        };
        assert_eq!(self.act(remote, sent), Outcome::Updated(1));
        assert_eq!(self.task(task).state, TaskState::Working);
        task
    }

    fn answers(
        &mut self,
        remote: &Peer,
        asker: &Peer,
        task: u128,
        change: NewChange,
        text: &str,
    ) -> Outcome {
        let update = TaskUpdate {
            task,
            content: self.next_id(),
            carrier: NewMessage {
                message_type: "a2a.update".into(),
                body: text.as_bytes().to_vec(),
                ..self.to(asker)
            },
            change,
        };
        self.act(remote, RemoteRequest::Update(Box::new(update)))
    }
}

#[test]
fn what_is_answered_elsewhere_comes_into_the_inbox_of_who_asked() {
    let mut relay = Relay::new();
    let asker = relay.enroll("asker");
    let remote = relay.elsewhere();
    let task = relay.asked_elsewhere(&asker, &remote);
    let known = a2a_remote::task(&relay.txn, FLEET, task).unwrap().unwrap();
    assert_eq!(known.task_id, "theirs");
    let artifact = NewChange::Artifact {
        artifact_id: "a".into(),
        append: false,
        last_chunk: true,
    };
    relay.answers(&remote, &asker, task, artifact, r#"{"artifactId":"a"}"#);
    let done = NewChange::Status {
        state: TaskState::Completed,
        has_message: true,
    };
    relay.answers(&remote, &asker, task, done.clone(), r#"{"messageId":"m"}"#);
    let bodies: Vec<serde_json::Value> = relay
        .take(&asker)
        .into_iter()
        .map(|uuid| {
            let body = message::body(&relay.txn, FLEET, uuid).unwrap().unwrap();
            serde_json::from_slice(&body).unwrap()
        })
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["artifact"]["artifactId"], "a");
    assert_eq!(bodies[0]["taskId"], format!("task_{task:032x}"));
    assert_eq!(bodies[1]["state"], "completed");
    assert_eq!(bodies[1]["message"]["messageId"], "m");
    // What is over stays so, and nothing more is told.
    let late = relay.answers(&remote, &asker, task, done, "{}");
    assert!(
        matches!(late, Outcome::Refused(Refusal::TaskOver(_))),
        "{late:?}"
    );
    assert!(relay.take(&asker).is_empty());
    relay.act(&remote, RemoteRequest::Forget { task });
    assert!(a2a_remote::task(&relay.txn, FLEET, task).unwrap().is_none());
}

#[test]
fn only_a2a_reaches_it_and_nobody_else_acts_for_it() {
    let mut relay = Relay::new();
    let asker = relay.enroll("asker");
    let remote = relay.elsewhere();
    let plain = relay.to(&remote);
    assert_eq!(relay.send(&asker, plain), Err(Refusal::OnlyA2a));
    let poll = || {
        RemoteRequest::Poll(Poll {
            limit: 1,
            types: Vec::new(),
            resume_after: None,
        })
    };
    // No agent of the fleet is acted for.
    let refused = relay.act(&asker, poll());
    assert_eq!(refused, Outcome::Refused(Refusal::InvalidCredentials));
    relay.revoke(&remote);
    let refused = relay.act(&remote, poll());
    assert_eq!(refused, Outcome::Refused(Refusal::InvalidCredentials));
}
