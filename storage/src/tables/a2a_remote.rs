//! A2A agents elsewhere that agents of the fleet call through the relay. To policies, rates and the
//! audit log each of them is an agent like any other; the relay takes its messages and answers for
//! it.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode};

const TASK: u8 = 22;

/// What an agent elsewhere has beside what every agent has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct A2aRemote {
    /// Where its card is.
    pub card_url: String,
    /// Scheme of HTTP by which to show who calls.
    pub scheme: Option<String>,
    /// What goes with the scheme, encrypted.
    pub sealed: Option<Vec<u8>>,
    /// Public id of the operator who registered it.
    pub created_by: String,
}
record!(A2aRemote, "a2a_remote");

/// A task that an agent elsewhere works on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RemoteTask {
    /// The agent.
    pub agent: AgentNo,
    /// What the task is called there.
    pub task_id: String,
    /// What its context is called there.
    pub context_id: String,
}
record!(RemoteTask, "a2a_remote_task");

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::A2A_REMOTE).u32(fleet).u32(agent)
}

/// What this agent has for being elsewhere; none where it is not.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<Option<A2aRemote>, StorageError> {
    read.record(Cf::Registry, key(fleet, agent).bytes())
}

/// Agents elsewhere of a fleet by number, from number `from` on, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    from: AgentNo,
    limit: usize,
) -> Result<Vec<(AgentNo, A2aRemote)>, StorageError> {
    let upper = crate::prefix_end(Key::table(registry::A2A_REMOTE).u32(fleet).bytes());
    read.scan(Cf::Registry, key(fleet, from).bytes(), &upper, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("a2a_remote", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            Ok((reader.u32()?, decode(value)?))
        })
        .collect()
}

/// Writes an agent elsewhere.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, remote: &A2aRemote) {
    txn.put_record(Cf::Registry, key(fleet, agent), remote);
}

fn task_key(fleet: FleetNo, task: u128) -> Key {
    Key::table(TASK).u32(fleet).u128(task)
}

/// What a task is elsewhere, while it is worked on there.
pub fn task(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
) -> Result<Option<RemoteTask>, StorageError> {
    read.record(Cf::Index, task_key(fleet, task).bytes())
}

/// Tasks of a fleet that are worked on elsewhere, at most `limit`.
pub fn tasks(
    read: &impl Read,
    fleet: FleetNo,
    limit: usize,
) -> Result<Vec<(u128, RemoteTask)>, StorageError> {
    let prefix = Key::table(TASK).u32(fleet);
    read.prefix(Cf::Index, prefix.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("a2a_remote_task", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            Ok((reader.u128()?, decode(value)?))
        })
        .collect()
}

/// Notes what a task is elsewhere.
pub fn put_task(txn: &mut Txn, fleet: FleetNo, task: u128, remote: &RemoteTask) {
    txn.put_record(Cf::Index, task_key(fleet, task), remote);
}

/// Forgets it.
pub fn delete_task(txn: &mut Txn, fleet: FleetNo, task: u128) {
    txn.delete(Cf::Index, task_key(fleet, task));
}
