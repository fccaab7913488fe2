//! A2A tasks: what a client asked of an agent, and how far that is.
//!
//! Beside its row a task has rows for its messages, its artifacts in the chunks they came in, and
//! its updates in the order of their acceptance, which streams and notifications read. Their texts
//! are in the family of bodies, each under a UUID of its own. Both parties and the fleet have a row
//! that lists the task, the latest status first.

use bincode::{Decode, Encode};

use super::counter::Counter;
use super::{AgentNo, FleetNo, TimeMs, message, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

const TASK: u8 = 10;
const BY_PARTY: u8 = 11;
const BY_MESSAGE: u8 = 12;
const MESSAGE: u8 = 13;
const UPDATE: u8 = 14;
const ARTIFACT: u8 = 15;
const CHUNK: u8 = 16;
const PARTY: u8 = 17;
const MESSAGE_TASK: u8 = 18;

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Task {
    /// The UUID behind `task_…`.
    pub uuid: u128,
    /// Who asked.
    pub client: AgentNo,
    /// Who works on it.
    pub agent: AgentNo,
    /// Whom the client asked; another one works on it where the message was redirected.
    pub asked: AgentNo,
    /// What it belongs to; the conversation of its messages.
    pub context_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// Since when.
    pub status_ms: TimeMs,
    /// What was said with that.
    pub status_message: Option<Said>,
    /// When it was made.
    pub created_ms: TimeMs,
    /// The newest message of the client, as it is on its way to the agent.
    pub message: u128,
    /// What the client sent beside its first message, JSON.
    pub metadata: Option<String>,
    /// Number of the newest update.
    pub updates: u64,
    /// Messages of its history.
    pub messages: u32,
    /// Artifacts.
    pub artifacts: u32,
    /// Texts of its messages and artifacts, together.
    pub size_bytes: u64,
    /// Where its client wants to be told of it: how many places.
    pub pushes: u32,
    /// The time of its one entry in the due index.
    pub due_ms: TimeMs,
}
record!(Task, "task");

/// Where a task stands: `TaskState` of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TaskState {
    /// It waits for its agent.
    Submitted,
    /// Its agent works on it.
    Working,
    /// Its agent needs something from the client.
    InputRequired,
    /// Its agent needs an authorization.
    AuthRequired,
    /// Done.
    Completed,
    /// Not done.
    Failed,
    /// Called off.
    Canceled,
    /// Refused.
    Rejected,
}

impl TaskState {
    /// All of them.
    pub const ALL: [TaskState; 8] = [
        TaskState::Submitted,
        TaskState::Working,
        TaskState::InputRequired,
        TaskState::AuthRequired,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Canceled,
        TaskState::Rejected,
    ];

    /// Nothing follows it.
    pub fn is_terminal(self) -> bool {
        use TaskState::{Canceled, Completed, Failed, Rejected};
        matches!(self, Completed | Failed | Canceled | Rejected)
    }

    /// The agent waits for the client.
    pub fn is_interrupted(self) -> bool {
        matches!(self, TaskState::InputRequired | TaskState::AuthRequired)
    }

    /// The word that people and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Submitted => "submitted",
            TaskState::Working => "working",
            TaskState::InputRequired => "input-required",
            TaskState::AuthRequired => "auth-required",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Canceled => "canceled",
            TaskState::Rejected => "rejected",
        }
    }

    /// Counts the tasks in this state.
    pub fn counter(self) -> Counter {
        match self {
            TaskState::Submitted => Counter::TaskSubmitted,
            TaskState::Working => Counter::TaskWorking,
            TaskState::InputRequired => Counter::TaskInputRequired,
            TaskState::AuthRequired => Counter::TaskAuthRequired,
            TaskState::Completed => Counter::TaskCompleted,
            TaskState::Failed => Counter::TaskFailed,
            TaskState::Canceled => Counter::TaskCanceled,
            TaskState::Rejected => Counter::TaskRejected,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, StorageError> {
        let state = TaskState::ALL.get(byte as usize).copied();
        state.ok_or_else(|| StorageError::Corrupt {
            table: "task_by_party",
            detail: format!("unknown state {byte}"),
        })
    }
}

/// One change of a task that its parties are told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Update {
    /// When.
    pub at_ms: TimeMs,
    /// What.
    pub what: Change,
}
record!(Update, "task_update");

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// Where the task stands.
    Status {
        /// The new state.
        state: TaskState,
        /// What was said with it.
        message: Option<Said>,
    },
    /// An artifact, or a part of one.
    Artifact {
        /// The text.
        content: u128,
        /// Whether it goes on with the artifact of this id; otherwise it takes its place.
        append: bool,
        /// Whether it is the end of it.
        last_chunk: bool,
    },
}

/// What was said with a status.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Said {
    /// A message of the agent, by the UUID of its text.
    Content(u128),
    /// Why the relay itself ended the task.
    Reason(String),
}

/// An artifact; its text is in its chunks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Artifact {
    /// As the agent calls it.
    pub id: String,
    /// The first of its chunks; those before it were of one that it took the place of.
    pub first_chunk: u32,
    /// The number that the next chunk gets.
    pub next_chunk: u32,
}
record!(Artifact, "task_artifact");

/// What an agent has of tasks, as either party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Party {
    /// Tasks stored.
    pub tasks: u64,
    /// Of those that it asked for, tasks that are not over.
    pub open: u64,
}
record!(Party, "task_party");

/// In place of a party: the list of all tasks of a fleet. Agents are numbered from 1.
pub const WHOLE_FLEET: AgentNo = 0;

/// A place in the list of a party: status time and UUID of a task.
pub type Place = (TimeMs, u128);

/// A task as the list of a party tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it stands.
    pub state: TaskState,
    /// Whom the client asked.
    pub asked: AgentNo,
    /// What it belongs to.
    pub context_id: String,
}

fn key(table: u8, fleet: FleetNo, task: u128) -> Key {
    Key::table(table).u32(fleet).u128(task)
}

/// The task with this UUID.
pub fn get(read: &impl Read, fleet: FleetNo, task: u128) -> Result<Option<Task>, StorageError> {
    read.record(Cf::Index, key(TASK, fleet, task).bytes())
}

fn party_key(fleet: FleetNo, agent: AgentNo, (status_ms, task): Place) -> Key {
    // The latest first.
    Key::table(BY_PARTY)
        .u32(fleet)
        .u32(agent)
        .u64(u64::MAX - status_ms)
        .u128(task)
}

fn parties(task: &Task) -> impl Iterator<Item = AgentNo> {
    let other = (task.agent != task.client).then_some(task.agent);
    std::iter::once(task.client).chain(other)
}

/// Whose lists it is in.
fn lists(task: &Task) -> impl Iterator<Item = AgentNo> {
    parties(task).chain(std::iter::once(WHOLE_FLEET))
}

/// Writes a task with its places in lists, and keeps the counts in step.
pub fn save(
    txn: &mut Txn,
    fleet: FleetNo,
    before: Option<&Task>,
    task: &Task,
) -> Result<(), StorageError> {
    if let Some(before) = before {
        unlist(txn, fleet, before)?;
    }
    let listed = [
        [task.state as u8].as_slice(),
        &task.asked.to_be_bytes(),
        task.context_id.as_bytes(),
    ]
    .concat();
    for agent in lists(task) {
        let place = party_key(fleet, agent, (task.status_ms, task.uuid));
        txn.put(Cf::Index, place, listed.clone());
    }
    for agent in parties(task) {
        count(txn, fleet, agent, task, 1)?;
    }
    super::counter::add(txn, fleet, task.state.counter(), 1)?;
    put(txn, fleet, task);
    Ok(())
}

/// Writes a task whose status, parties and places in lists stay as they are.
pub fn put(txn: &mut Txn, fleet: FleetNo, task: &Task) {
    txn.put_record(Cf::Index, key(TASK, fleet, task.uuid), task);
}

fn unlist(txn: &mut Txn, fleet: FleetNo, task: &Task) -> Result<(), StorageError> {
    for agent in lists(task) {
        let place = party_key(fleet, agent, (task.status_ms, task.uuid));
        txn.delete(Cf::Index, place);
    }
    for agent in parties(task) {
        count(txn, fleet, agent, task, -1)?;
    }
    super::counter::add(txn, fleet, task.state.counter(), -1)
}

fn count(
    txn: &mut Txn,
    fleet: FleetNo,
    agent: AgentNo,
    task: &Task,
    by: i64,
) -> Result<(), StorageError> {
    let mut party = party(txn, fleet, agent)?;
    party.tasks = party.tasks.saturating_add_signed(by);
    if agent == task.client && !task.state.is_terminal() {
        party.open = party.open.saturating_add_signed(by);
    }
    let key = Key::table(PARTY).u32(fleet).u32(agent);
    match party.tasks {
        0 => txn.delete(Cf::Index, key),
        _ => txn.put_record(Cf::Index, key, &party),
    }
    Ok(())
}

/// What an agent has of tasks.
pub fn party(read: &impl Read, fleet: FleetNo, agent: AgentNo) -> Result<Party, StorageError> {
    let key = Key::table(PARTY).u32(fleet).u32(agent);
    Ok(read.record(Cf::Index, key.bytes())?.unwrap_or_default())
}

/// Tasks that an agent is a party of, or those of [`WHOLE_FLEET`], the latest status first, behind
/// a place; at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<(Place, Listed)>, StorageError> {
    let prefix = Key::table(BY_PARTY).u32(fleet).u32(agent);
    let lower = match after {
        // The key behind that of the place.
        Some(place) => party_key(fleet, agent, place).u8(0),
        None => prefix.clone(),
    };
    read.scan(Cf::Index, lower.bytes(), &prefix_end(prefix.bytes()), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("task_by_party", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u32()?);
            let place = (u64::MAX - reader.u64()?, reader.u128()?);
            let mut value = KeyReader::new("task_by_party", value);
            let listed = Listed {
                state: TaskState::from_byte(value.u8()?)?,
                asked: value.u32()?,
                context_id: String::from_utf8_lossy(value.rest()).into_owned(),
            };
            Ok((place, listed))
        })
        .collect()
}

/// The task that a message belongs to.
pub fn of_message(
    read: &impl Read,
    fleet: FleetNo,
    message: u128,
) -> Result<Option<u128>, StorageError> {
    match read.get(Cf::Index, key(BY_MESSAGE, fleet, message).bytes())? {
        Some(bytes) => Ok(Some(KeyReader::new("task_by_message", &bytes).u128()?)),
        None => Ok(None),
    }
}

/// Notes that a message belongs to a task.
pub fn put_message_of(txn: &mut Txn, fleet: FleetNo, task: u128, message: u128) {
    let by_message = key(BY_MESSAGE, fleet, message);
    txn.put(Cf::Index, by_message, task.to_be_bytes().to_vec());
    txn.put(
        Cf::Index,
        key(MESSAGE_TASK, fleet, task).u128(message),
        Vec::new(),
    );
}

fn number_key(table: u8, fleet: FleetNo, task: u128, number: u32) -> Key {
    key(table, fleet, task).u32(number)
}

/// Adds a text to the history of a task.
pub fn put_message(txn: &mut Txn, fleet: FleetNo, task: u128, number: u32, content: u128) {
    let key = number_key(MESSAGE, fleet, task, number);
    txn.put(Cf::Index, key, content.to_be_bytes().to_vec());
}

/// UUIDs of the newest texts of a task's history, oldest first, at most `limit`.
pub fn newest_messages(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    limit: usize,
) -> Result<Vec<u128>, StorageError> {
    let lower = key(MESSAGE, fleet, task);
    let upper = prefix_end(lower.bytes());
    let rows = read.scan_rev(Cf::Index, lower.bytes(), &upper, limit)?;
    let contents = rows.iter().rev();
    contents
        .map(|(_, value)| KeyReader::new("task_message", value).u128())
        .collect()
}

/// Writes an update.
pub fn put_update(txn: &mut Txn, fleet: FleetNo, task: u128, number: u64, update: &Update) {
    txn.put_record(Cf::Index, key(UPDATE, fleet, task).u64(number), update);
}

/// Updates of a task behind a number, in order, at most `limit`.
pub fn updates(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Update)>, StorageError> {
    let prefix = key(UPDATE, fleet, task);
    let lower = prefix.clone().u64(after.saturating_add(1));
    let upper = prefix_end(prefix.bytes());
    read.scan(Cf::Index, lower.bytes(), &upper, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("task_update", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
            Ok((reader.u64()?, decode(value)?))
        })
        .collect()
}

/// Writes an artifact.
pub fn put_artifact(txn: &mut Txn, fleet: FleetNo, task: u128, number: u32, artifact: &Artifact) {
    txn.put_record(
        Cf::Index,
        number_key(ARTIFACT, fleet, task, number),
        artifact,
    );
}

/// Artifacts of a task with their numbers, in the order they were made.
pub fn artifacts(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    limit: usize,
) -> Result<Vec<(u32, Artifact)>, StorageError> {
    read.prefix(Cf::Index, key(ARTIFACT, fleet, task).bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("task_artifact", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
            Ok((reader.u32()?, decode(value)?))
        })
        .collect()
}

/// Writes a chunk of an artifact.
pub fn put_chunk(
    txn: &mut Txn,
    fleet: FleetNo,
    task: u128,
    (artifact, chunk): (u32, u32),
    content: u128,
) {
    let key = number_key(CHUNK, fleet, task, artifact).u32(chunk);
    txn.put(Cf::Index, key, content.to_be_bytes().to_vec());
}

/// UUIDs of the texts that an artifact is made of, in order.
pub fn chunks(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    number: u32,
    artifact: &Artifact,
) -> Result<Vec<u128>, StorageError> {
    let prefix = number_key(CHUNK, fleet, task, number);
    let lower = prefix.clone().u32(artifact.first_chunk);
    let upper = prefix_end(prefix.bytes());
    let limit = (artifact.next_chunk - artifact.first_chunk) as usize;
    read.scan(Cf::Index, lower.bytes(), &upper, limit)?
        .iter()
        .map(|(_, value)| KeyReader::new("task_chunk", value).u128())
        .collect()
}

/// Removes rows that hang on a task, at most `limit`; how many were removed. With none left, the
/// task itself can go.
pub fn remove_rows(
    txn: &mut Txn,
    fleet: FleetNo,
    task: u128,
    limit: usize,
) -> Result<usize, StorageError> {
    let mut removed = 0;
    for table in [MESSAGE, CHUNK, UPDATE, ARTIFACT, MESSAGE_TASK] {
        let prefix = key(table, fleet, task);
        let rows = txn.prefix(Cf::Index, prefix.bytes(), limit - removed)?;
        removed += rows.len();
        for (row, value) in rows {
            match table {
                MESSAGE | CHUNK => {
                    let content = KeyReader::new("task_content", &value).u128()?;
                    message::delete_body(txn, fleet, content);
                }
                UPDATE => {
                    let update: Update = decode(&value)?;
                    if let Change::Status {
                        message: Some(Said::Content(content)),
                        ..
                    } = update.what
                    {
                        message::delete_body(txn, fleet, content);
                    }
                }
                MESSAGE_TASK => {
                    let mut reader = KeyReader::new("task_messages", &row);
                    let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
                    txn.delete(Cf::Index, key(BY_MESSAGE, fleet, reader.u128()?));
                }
                _ => {}
            }
            txn.delete(Cf::Index, row);
        }
    }
    Ok(removed)
}

/// Removes a task whose rows are gone.
pub fn delete(txn: &mut Txn, fleet: FleetNo, task: &Task) -> Result<(), StorageError> {
    unlist(txn, fleet, task)?;
    txn.delete(Cf::Index, key(TASK, fleet, task.uuid));
    Ok(())
}
