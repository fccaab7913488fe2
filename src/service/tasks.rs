//! A2A tasks: what their two parties do with them, see of them and wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ekho_storage::View;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::message;
use ekho_storage::tables::task::{self, Change, Said, Task, TaskState, Update};
use ekho_storage::tables::{AgentNo, FleetNo};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Caller, Service, ServiceError};
use crate::clock::now_ms;
use crate::effects::waiters::Waiter;
use crate::machine::a2a_client;
use crate::machine::command::{AgentRequest, Command, TaskRequest};
use crate::machine::outcome::{Outcome, RateState, Refusal};
use crate::machine::task::{ARTIFACTS_MAX, MESSAGES_MAX};

/// Updates that a stream reads at once.
const UPDATES: usize = 50;

/// Streams of one party on one node.
const STREAMS_MAX: usize = 5_000;
/// Streams of all parties on one node.
const STREAMS_MAX_IN_ALL: usize = 20_000;

/// Who follows tasks on this node, and how many at once.
#[derive(Default)]
pub struct TaskStreams(Mutex<Followers>);

#[derive(Default)]
struct Followers {
    of: HashMap<(FleetNo, AgentNo), usize>,
    in_all: usize,
}

/// A place among those who follow tasks; given up when dropped.
pub struct TaskStream {
    streams: Arc<TaskStreams>,
    party: (FleetNo, AgentNo),
}

impl TaskStreams {
    /// Takes a place, where one is left.
    pub fn enter(self: &Arc<Self>, by: &Party) -> Result<TaskStream, ServiceError> {
        let party = (by.fleet(), by.agent().no);
        let mut followers = self.0.lock();
        let of_party = followers.of.get(&party).copied().unwrap_or(0);
        if of_party >= STREAMS_MAX {
            let limit = STREAMS_MAX as u64;
            return Err(Refusal::LimitReached { limit }.into());
        }
        if followers.in_all >= STREAMS_MAX_IN_ALL {
            return Err(ServiceError::Overloaded);
        }
        followers.in_all += 1;
        *followers.of.entry(party).or_default() += 1;
        Ok(TaskStream {
            streams: Arc::clone(self),
            party,
        })
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.0.lock().in_all
    }
}

impl Drop for TaskStream {
    fn drop(&mut self) {
        let mut followers = self.streams.0.lock();
        followers.in_all -= 1;
        if let Some(count) = followers.of.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                followers.of.remove(&self.party);
            }
        }
    }
}

/// A party of A2A tasks: an agent that signs, or a client with a bearer token.
#[derive(Clone, Debug)]
pub enum Party {
    /// It signed the request.
    Signed(Caller),
    /// It showed a token.
    Token {
        /// What it is to everything but sign-in: an agent.
        agent: Agent,
        /// Keyed hash of the token.
        token_hash: [u8; 32],
    },
}

impl Party {
    /// Who it is.
    pub fn agent(&self) -> &Agent {
        match self {
            Party::Signed(caller) => &caller.agent,
            Party::Token { agent, .. } => agent,
        }
    }

    pub(super) fn signed(&self) -> Option<&Caller> {
        match self {
            Party::Signed(caller) => Some(caller),
            Party::Token { .. } => None,
        }
    }

    pub(super) fn fleet(&self) -> FleetNo {
        self.agent().fleet
    }
}

/// A task with its texts, JSON of the protocol.
pub struct TaskText {
    /// The task.
    pub task: Task,
    /// The newest messages of its history, oldest first; none where they were not wanted.
    pub history: Option<Vec<Vec<u8>>>,
    /// Its artifacts, each in its chunks; none where they were not wanted.
    pub artifacts: Option<Vec<Vec<Vec<u8>>>>,
    /// What was last said with its status.
    pub said: Option<SaidText>,
}

/// What was said with a status.
#[derive(Clone, Debug)]
pub enum SaidText {
    /// By the agent: a message, JSON of the protocol.
    Message(Vec<u8>),
    /// By the relay.
    Reason(String),
}

/// An update with its text.
pub enum UpdateText {
    /// Where the task stands.
    Status {
        /// The state.
        state: TaskState,
        /// Since when.
        at_ms: u64,
        /// What was said with it.
        said: Option<SaidText>,
    },
    /// An artifact or a part of one, JSON of the protocol.
    Artifact {
        /// When.
        at_ms: u64,
        /// The artifact.
        text: Vec<u8>,
        /// Whether it goes on with the one of this id.
        append: bool,
        /// Whether it is the end of it.
        last_chunk: bool,
    },
}

impl UpdateText {
    /// When it was.
    pub fn at_ms(&self) -> u64 {
        match self {
            UpdateText::Status { at_ms, .. } | UpdateText::Artifact { at_ms, .. } => *at_ms,
        }
    }
}

/// How much of a task is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Messages of its history at most; none for all.
    pub history: Option<usize>,
    /// Whether its artifacts.
    pub artifacts: bool,
}

impl Wanted {
    /// All of it.
    pub const ALL: Wanted = Wanted {
        history: None,
        artifacts: true,
    };
}

impl Service {
    /// The client with this bearer token.
    pub async fn client_of(&self, token: &str) -> Result<Party, ServiceError> {
        let token_hash = self.tokens.hash(token);
        let find = || a2a_client::of_token(&self.view(), &token_hash, now_ms());
        let found = match find()? {
            // The token may have been made on another node a moment ago.
            None if !self.node.leadership().borrow().is_self => {
                self.node.read_point().await?;
                find()?
            }
            found => found,
        };
        let agent = found.ok_or(Refusal::InvalidCredentials)?;
        Ok(Party::Token { agent, token_hash })
    }

    /// Sends a message to a task; the task, and whether the message was sent before.
    pub async fn send_to_task(
        &self,
        by: &Party,
        request: TaskRequest,
    ) -> Result<(u128, bool, RateState), ServiceError> {
        match self.do_task(by, request).await? {
            Outcome::TaskSent {
                task,
                repeated,
                rate,
            } => Ok((task, repeated, rate)),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Changes a task, or calls it off; where it stands then.
    pub async fn change_task(
        &self,
        by: &Party,
        request: TaskRequest,
    ) -> Result<TaskState, ServiceError> {
        match self.do_task(by, request).await? {
            Outcome::TaskChanged { state, .. } => Ok(state),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    pub(super) async fn do_task(
        &self,
        by: &Party,
        request: TaskRequest,
    ) -> Result<Outcome, ServiceError> {
        /// As with other messages: who changes hooks all the time must not keep us here.
        const TRIES: usize = 5;
        let mut request = request;
        for _ in 0..TRIES {
            if let Some(message) = request.message_mut() {
                self.judge_of(by, message).await?;
            }
            let outcome = self.propose_task(by, request.clone()).await;
            match outcome {
                Err(ServiceError::Refused(Refusal::ExtensionsNotAsked)) => {}
                outcome => return outcome,
            }
        }
        Err(Refusal::ExtensionsNotAsked.into())
    }

    async fn propose_task(
        &self,
        by: &Party,
        request: TaskRequest,
    ) -> Result<Outcome, ServiceError> {
        match by {
            Party::Signed(caller) => self.signed(caller, AgentRequest::Task(request)).await,
            Party::Token { token_hash, .. } => {
                let token_hash = *token_hash;
                self.propose(&Command::A2aClient {
                    token_hash,
                    request,
                })
                .await
            }
        }
    }

    /// The state with all that was answered before; a signed request's nonce is used up.
    pub async fn task_view(&self, by: &Party) -> Result<View, ServiceError> {
        match by {
            Party::Signed(caller) => self.read(caller).await,
            Party::Token { token_hash, .. } => {
                self.node.read_point().await?;
                let view = self.view();
                match a2a_client::of_token(&view, token_hash, now_ms())? {
                    Some(_) => Ok(view),
                    None => Err(Refusal::InvalidCredentials.into()),
                }
            }
        }
    }

    /// The task, for one of its parties; it does not exist for anybody else.
    pub fn task_of(&self, view: &View, by: &Party, uuid: u128) -> Result<Task, ServiceError> {
        let no = by.agent().no;
        let found = task::get(view, by.fleet(), uuid)?;
        let found = found.filter(|task| task.client == no || task.agent == no);
        found.ok_or_else(|| Refusal::NotFound.into())
    }

    /// A task of the caller's as this node knows it, for one who is about to send to it; where it
    /// is not known, all that was answered before is waited for.
    pub async fn task_to_send_to(&self, by: &Party, uuid: u128) -> Result<Task, ServiceError> {
        match self.task_of(&self.view(), by, uuid) {
            Err(ServiceError::Refused(Refusal::NotFound)) => {
                self.node.read_point().await?;
                self.task_of(&self.view(), by, uuid)
            }
            found => found,
        }
    }

    /// The agent with this public id in the caller's fleet, where it may be asked for something.
    pub async fn asked(&self, by: &Party, agent_id: &str) -> Result<Agent, ServiceError> {
        let find = || -> Result<Option<Agent>, ServiceError> {
            let view = self.view();
            let found = agent::by_id(&view, agent_id)?;
            let may_be =
                |agent: &Agent| agent.fleet == by.fleet() && !agent.revoked && !agent.is_client();
            let Some(found) = found.filter(may_be) else {
                return Ok(None);
            };
            let recipient = message::Recipient::Agent(found.id.clone());
            let may = a2a_client::may_reach(&view, by.agent(), &recipient)?;
            Ok(may.then_some(found))
        };
        if let Some(found) = find()? {
            return Ok(found);
        }
        self.node.read_point().await?;
        find()?.ok_or_else(|| Refusal::UnknownRecipient.into())
    }

    /// Registers for a task, to see what becomes of it.
    pub fn follow(&self, by: &Party, uuid: u128) -> Waiter {
        self.waiters.follow((by.fleet(), uuid))
    }

    /// Waits until a task is over or waits for its client, at most so long.
    pub async fn settled(
        &self,
        by: &Party,
        uuid: u128,
        patience: Duration,
    ) -> Result<Task, ServiceError> {
        let deadline = Instant::now() + patience;
        let waiter = self.follow(by, uuid);
        loop {
            let woken = waiter.woken();
            let task = self.task_of(&self.view(), by, uuid)?;
            if task.state.is_terminal() || task.state.is_interrupted() {
                return Ok(task);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(deadline) => return Ok(task),
                () = self.draining.cancelled() => return Ok(task),
            }
            self.still_admits(by)?;
        }
    }

    /// Whether a party that has waited may still be told anything.
    pub fn still_admits(&self, by: &Party) -> Result<(), ServiceError> {
        let view = self.view();
        let is_admitted = match by {
            Party::Signed(caller) => {
                let auth = caller.auth(None);
                crate::machine::auth::may_sign(&view, &auth, now_ms())?.is_some()
            }
            Party::Token { token_hash, .. } => {
                a2a_client::of_token(&view, token_hash, now_ms())?.is_some()
            }
        };
        match is_admitted {
            true => Ok(()),
            false => Err(Refusal::InvalidCredentials.into()),
        }
    }

    /// The texts of a task.
    pub fn task_text(
        &self,
        view: &View,
        fleet: FleetNo,
        task: Task,
        wanted: Wanted,
    ) -> Result<TaskText, ServiceError> {
        let text = |content| text(view, fleet, content);
        let history = match wanted.history {
            Some(0) => None,
            limit => {
                let limit = limit.unwrap_or(MESSAGES_MAX as usize);
                let contents = task::newest_messages(view, fleet, task.uuid, limit)?;
                Some(contents.into_iter().map(text).collect::<Result<_, _>>()?)
            }
        };
        let artifacts = match wanted.artifacts {
            false => None,
            true => {
                let found = task::artifacts(view, fleet, task.uuid, ARTIFACTS_MAX as usize)?;
                let mut artifacts = Vec::with_capacity(found.len());
                for (number, artifact) in found {
                    let chunks = task::chunks(view, fleet, task.uuid, number, &artifact)?;
                    artifacts.push(chunks.into_iter().map(text).collect::<Result<_, _>>()?);
                }
                Some(artifacts)
            }
        };
        let said = task.status_message.clone();
        Ok(TaskText {
            said: said.map(|said| said_text(view, fleet, said)).transpose()?,
            task,
            history,
            artifacts,
        })
    }

    /// Updates of a task behind a number, with theirs.
    pub fn updates(
        &self,
        view: &View,
        fleet: FleetNo,
        task: u128,
        after: u64,
    ) -> Result<Vec<(u64, UpdateText)>, ServiceError> {
        let updates = task::updates(view, fleet, task, after, UPDATES)?;
        let texts = updates
            .into_iter()
            .map(|(number, update)| Ok((number, update_text(view, fleet, update)?)));
        texts.collect()
    }
}

fn text(view: &View, fleet: FleetNo, content: u128) -> Result<Vec<u8>, ServiceError> {
    message::body(view, fleet, content)?.ok_or_else(|| {
        ServiceError::Internal(format!("text {content:032x} of a task is not there"))
    })
}

fn said_text(view: &View, fleet: FleetNo, said: Said) -> Result<SaidText, ServiceError> {
    Ok(match said {
        Said::Content(content) => SaidText::Message(text(view, fleet, content)?),
        Said::Reason(reason) => SaidText::Reason(reason),
    })
}

fn update_text(view: &View, fleet: FleetNo, update: Update) -> Result<UpdateText, ServiceError> {
    Ok(match update.what {
        Change::Status { state, message } => UpdateText::Status {
            state,
            at_ms: update.at_ms,
            said: message
                .map(|said| said_text(view, fleet, said))
                .transpose()?,
        },
        Change::Artifact {
            content,
            append,
            last_chunk,
        } => UpdateText::Artifact {
            at_ms: update.at_ms,
            text: text(view, fleet, content)?,
            append,
            last_chunk,
        },
    })
}
