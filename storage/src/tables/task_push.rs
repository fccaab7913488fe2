//! Where clients want to be told of their A2A tasks, and how far they were.
//!
//! A configuration has a row beside its task. While it is to be told something it has one in the
//! order of when that is to be tried, and once it was given up one that operators find it by.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

const PUSH: u8 = 19;
const OPEN: u8 = 20;
const GAVE_UP: u8 = 21;

/// A push notification configuration.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Push {
    /// Where notifications go.
    pub url: String,
    /// How the receiver wants to be shown who calls: a scheme of HTTP.
    pub scheme: Option<String>,
    /// Token and credentials, encrypted.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_ms: TimeMs,
    /// Number of the last update that it was told, or need not be told.
    pub told: u64,
    /// Failures in a row.
    pub attempts: u32,
    /// The time of its row among those that are to be told something; 0 for none.
    pub open_ms: TimeMs,
    /// What the last failure was.
    pub last_error: Option<String>,
    /// When it was given up.
    pub gave_up_ms: Option<TimeMs>,
}
record!(Push, "task_push");

/// Names a configuration: its task and its id.
pub type PushId = (u128, String);

fn key(fleet: FleetNo, (task, id): (u128, &str)) -> Key {
    Key::table(PUSH).u32(fleet).u128(task).raw(id.as_bytes())
}

fn open_key(fleet: FleetNo, at_ms: TimeMs, (task, id): (u128, &str)) -> Key {
    let key = Key::table(OPEN).u32(fleet).u64(at_ms);
    key.u128(task).raw(id.as_bytes())
}

fn gave_up_key(fleet: FleetNo, at_ms: TimeMs, (task, id): (u128, &str)) -> Key {
    // The latest first.
    let key = Key::table(GAVE_UP).u32(fleet).u64(u64::MAX - at_ms);
    key.u128(task).raw(id.as_bytes())
}

/// The configuration of this task and id.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    id: &str,
) -> Result<Option<Push>, StorageError> {
    read.record(Cf::Index, key(fleet, (task, id)).bytes())
}

/// Configurations of a task by id, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    task: u128,
    limit: usize,
) -> Result<Vec<(String, Push)>, StorageError> {
    let prefix = key(fleet, (task, ""));
    read.prefix(Cf::Index, prefix.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("task_push", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
            Ok((text(reader), decode(value)?))
        })
        .collect()
}

/// Configurations of a fleet, in the order of their keys, behind one of them; at most `limit`.
pub fn list_all(
    read: &impl Read,
    fleet: FleetNo,
    after: Option<&PushId>,
    limit: usize,
) -> Result<Vec<(PushId, Push)>, StorageError> {
    let prefix = Key::table(PUSH).u32(fleet);
    let lower = match after {
        Some((task, id)) => key(fleet, (*task, id)).u8(0),
        None => prefix.clone(),
    };
    let upper = prefix_end(prefix.bytes());
    read.scan(Cf::Index, lower.bytes(), &upper, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("task_push", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            let task = reader.u128()?;
            Ok(((task, text(reader)), decode(value)?))
        })
        .collect()
}

/// Writes a configuration with the rows that it is found by.
pub fn put(
    txn: &mut Txn,
    fleet: FleetNo,
    task: u128,
    id: &str,
    push: &Push,
) -> Result<(), StorageError> {
    unlist(txn, fleet, task, id)?;
    if push.open_ms > 0 {
        let open = open_key(fleet, push.open_ms, (task, id));
        txn.put(Cf::Index, open, Vec::new());
    }
    if let Some(at_ms) = push.gave_up_ms {
        let gave_up = gave_up_key(fleet, at_ms, (task, id));
        txn.put(Cf::Index, gave_up, Vec::new());
    }
    txn.put_record(Cf::Index, key(fleet, (task, id)), push);
    Ok(())
}

fn unlist(txn: &mut Txn, fleet: FleetNo, task: u128, id: &str) -> Result<bool, StorageError> {
    let Some(before) = get(txn, fleet, task, id)? else {
        return Ok(false);
    };
    if before.open_ms > 0 {
        txn.delete(Cf::Index, open_key(fleet, before.open_ms, (task, id)));
    }
    if let Some(at_ms) = before.gave_up_ms {
        txn.delete(Cf::Index, gave_up_key(fleet, at_ms, (task, id)));
    }
    Ok(true)
}

/// Removes a configuration; whether there was one.
pub fn delete(txn: &mut Txn, fleet: FleetNo, task: u128, id: &str) -> Result<bool, StorageError> {
    let was = unlist(txn, fleet, task, id)?;
    if was {
        txn.delete(Cf::Index, key(fleet, (task, id)));
    }
    Ok(was)
}

/// Configurations of a fleet that are to be told something, with when that is to be tried, the
/// earliest first; at most `limit`.
pub fn open(
    read: &impl Read,
    fleet: FleetNo,
    limit: usize,
) -> Result<Vec<(TimeMs, PushId)>, StorageError> {
    let prefix = Key::table(OPEN).u32(fleet);
    read.prefix(Cf::Index, prefix.bytes(), limit)?
        .iter()
        .map(|(key, _)| place(key))
        .collect()
}

/// A place among those that were given up: when, and which.
pub type GaveUp = (TimeMs, PushId);

/// Configurations of a fleet that were given up, the latest first, behind a place; at most `limit`.
pub fn gave_up(
    read: &impl Read,
    fleet: FleetNo,
    after: Option<&GaveUp>,
    limit: usize,
) -> Result<Vec<GaveUp>, StorageError> {
    let prefix = Key::table(GAVE_UP).u32(fleet);
    let lower = match after {
        Some((at_ms, (task, id))) => gave_up_key(fleet, *at_ms, (*task, id)).u8(0),
        None => prefix.clone(),
    };
    let upper = prefix_end(prefix.bytes());
    read.scan(Cf::Index, lower.bytes(), &upper, limit)?
        .iter()
        .map(|(key, _)| {
            let (inverted, id) = place(key)?;
            Ok((u64::MAX - inverted, id))
        })
        .collect()
}

fn place(key: &[u8]) -> Result<(u64, PushId), StorageError> {
    let mut reader = KeyReader::new("task_push_order", key);
    let (_, _) = (reader.u8()?, reader.u32()?);
    let at = reader.u64()?;
    let task = reader.u128()?;
    Ok((at, (task, text(reader))))
}

fn text(reader: KeyReader<'_>) -> String {
    String::from_utf8_lossy(reader.rest()).into_owned()
}
