//! A2A tasks: what is asked, what is answered, and how each of them ends.
//!
//! - `moving`: what moves a task, and what ends it
//! - `answers`: what agents say of tasks, and what of it they may
//! - `keeping`: limits, and what is left when a task is over
//! - `clients`: bearer tokens
//! - `pushes`: telling clients, and giving up
//! - `remotes`: agents elsewhere
//! - `imported`: those of another relay
//! - `order`: any order of calls, against what a task promises

mod answers;
mod clients;
mod imported;
mod keeping;
mod moving;
mod order;
mod pushes;
mod remotes;

use ekho::machine::command::{
    AgentRequest, Command, NewA2aClient, NewA2aToken, NewChange, NewMessage, OperatorRequest,
    SendTask, TaskRequest, TaskUpdate,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::task::{self, Change, Said, Task, TaskState, Update};
use ekho_storage::tables::{agent, message};

use crate::rig::{FLEET, HOUR, Peer, Relay, agent_id};

/// Keyed hash of the token of a client.
const TOKEN: [u8; 32] = [0xcc; 32];

impl Relay {
    /// Makes an A2A client with a bearer token, which may reach these agents; all where none are
    /// named.
    pub(crate) fn client(&mut self, agents: &[&Peer]) -> Peer {
        let made = self.operator(OperatorRequest::CreateA2aClient(Box::new(NewA2aClient {
            client_id: agent_id("client"),
            name: "client".into(),
            agents: agents.iter().map(|agent| agent.id.clone()).collect(),
            rate_max_messages: None,
            token: NewA2aToken {
                id: "tok_1".into(),
                hash: TOKEN,
                expires_ms: None,
            },
        })));
        assert_eq!(made, Outcome::Done);
        let id = agent_id("client");
        let (_, no) = agent::locate(&self.txn, &id).unwrap().unwrap();
        Peer { no, id }
    }

    /// What the client with the token asks for.
    pub(crate) fn by_token(&mut self, request: TaskRequest) -> Outcome {
        let token_hash = TOKEN;
        self.apply(Command::A2aClient {
            token_hash,
            request,
        })
    }

    /// A message that begins a task.
    fn begin(&mut self, agent: &Peer) -> SendTask {
        let task = self.next_id();
        self.further(agent, task, true)
    }

    /// A message to a task.
    fn further(&mut self, agent: &Peer, task: u128, is_new: bool) -> SendTask {
        let text = r#"{"messageId":"m","parts":[{"text":"hello"}]}"#;
        let before = r#"{"a2a":true,"message":"#;
        SendTask {
            message: NewMessage {
                message_type: "a2a.message".into(),
                ttl_ms: HOUR,
                body: format!("{before}{text}}}").into_bytes(),
                conversation_id: "ctx_1".into(),
                ..self.to(agent)
            },
            text_from: before.len() as u32,
            task,
            is_new,
            content: self.next_id(),
            metadata: None,
            push: None,
        }
    }

    /// The client begins a task: its UUID, and that of the message.
    fn asked(&mut self, agent: &Peer) -> (u128, u128) {
        let send = self.begin(agent);
        let (task, message) = (send.task, send.message.uuid);
        let sent = self.by_token(TaskRequest::Send(Box::new(send)));
        let made =
            matches!(sent, Outcome::TaskSent { task: made, repeated: false, .. } if made == task);
        assert!(made, "{sent:?}");
        (task, message)
    }

    /// The same; the agent takes the message and acks it.
    pub(crate) fn working(&mut self, agent: &Peer) -> u128 {
        let (task, message) = self.asked(agent);
        assert_eq!(self.take(agent), [message]);
        assert_eq!(self.ack(agent, message), 1);
        assert_eq!(self.task(task).state, TaskState::Working);
        task
    }

    fn task(&self, uuid: u128) -> Task {
        task::get(&self.txn, FLEET, uuid).unwrap().unwrap()
    }

    fn updates(&self, task: u128) -> Vec<Update> {
        let updates = task::updates(&self.txn, FLEET, task, 0, usize::MAX).unwrap();
        updates.into_iter().map(|(_, update)| update).collect()
    }

    /// The states that a task went through after it was made.
    fn states(&self, task: u128) -> Vec<TaskState> {
        let updates = self.updates(task).into_iter();
        updates
            .filter_map(|update| match update.what {
                Change::Status { state, .. } => Some(state),
                Change::Artifact { .. } => None,
            })
            .collect()
    }

    /// Why the relay ended a task.
    fn reason(&self, task: u128) -> String {
        match self.task(task).status_message {
            Some(Said::Reason(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn text(&self, content: u128) -> String {
        let text = message::body(&self.txn, FLEET, content).unwrap().unwrap();
        String::from_utf8(text).unwrap()
    }

    /// An agent says something of a task.
    fn update(&mut self, agent: &Peer, task: u128, change: NewChange, text: &str) -> Outcome {
        let update = TaskUpdate {
            task,
            content: self.next_id(),
            carrier: NewMessage {
                message_type: "a2a.update".into(),
                body: text.as_bytes().to_vec(),
                ..self.to(agent)
            },
            change,
        };
        self.sign(
            agent,
            AgentRequest::Task(TaskRequest::Update(Box::new(update))),
        )
    }

    /// An agent says how far it is, perhaps with a text.
    fn set(&mut self, agent: &Peer, task: u128, state: TaskState, said: Option<&str>) -> Outcome {
        let has_message = said.is_some();
        let change = NewChange::Status { state, has_message };
        self.update(agent, task, change, said.unwrap_or("{}"))
    }

    /// An agent adds a chunk of an artifact.
    fn chunk(&mut self, agent: &Peer, task: u128, (id, append): (&str, bool)) -> Outcome {
        let change = NewChange::Artifact {
            artifact_id: id.into(),
            append,
            last_chunk: false,
        };
        self.update(agent, task, change, &format!("chunk of {id}"))
    }

    fn cancel(&mut self, agent: &Peer, task: u128) -> Outcome {
        self.sign(agent, AgentRequest::Task(TaskRequest::Cancel { task }))
    }
}

fn changed(number: u64, state: TaskState) -> Outcome {
    Outcome::TaskChanged { number, state }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

/// A relay with a client that has a token, and an agent.
fn relay() -> (Relay, Peer, Peer) {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    let client = relay.client(&[]);
    (relay, client, agent)
}
