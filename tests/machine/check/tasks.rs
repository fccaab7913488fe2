//! The recount of A2A tasks: every row belongs to a task, and every count and list is what the
//! rows say.

use std::collections::{BTreeMap, BTreeSet};

use ekho_storage::tables::AgentNo;
use ekho_storage::tables::counter;
use ekho_storage::tables::due::Due;
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::task::{
    self, Change, Listed, Party, Place, Said, Task, TaskState, WHOLE_FLEET,
};
use ekho_storage::{Cf, Key, KeyReader, Read, decode};

use super::same;
use crate::rig::FLEET;

/// First bytes of the tables of tasks in the index family, and of what hangs on a task.
const TASK: u8 = 10;
const BY_PARTY: u8 = 11;
const BY_MESSAGE: u8 = 12;
const HANGING: [u8; 5] = [13, 14, 15, 16, MESSAGE_TASK];
const PARTY: u8 = 17;
const MESSAGE_TASK: u8 = 18;

/// Rows of a table of this fleet: what follows the fleet in their keys.
fn rows(read: &impl Read, table: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
    let prefix = Key::table(table).u32(FLEET).into_bytes();
    let rows = read.prefix(Cf::Index, &prefix, usize::MAX).unwrap();
    rows.into_iter()
        .map(|(key, value)| (key[prefix.len()..].to_vec(), value))
        .collect()
}

/// The number at the beginning of these bytes.
fn number(bytes: &[u8]) -> u128 {
    KeyReader::new("test", bytes).u128().unwrap()
}

/// Fails where a count, a list or an index of tasks differs from what their rows say.
pub fn consistent(read: &impl Read, messages: &[Message], due: &[(u64, Due)]) {
    let tasks: BTreeMap<u128, Task> = rows(read, TASK)
        .iter()
        .map(|(key, value)| (number(key), decode(value).unwrap()))
        .collect();
    for (table, key) in HANGING.iter().flat_map(|table| {
        rows(read, *table)
            .into_iter()
            .map(move |row| (table, row.0))
    }) {
        let of = number(&key);
        assert!(tasks.contains_key(&of), "a row of table {table} of no task");
    }
    let mut contents = BTreeSet::new();
    for (uuid, task) in &tasks {
        assert_eq!(*uuid, task.uuid);
        contents.extend(texts(read, task));
        updates(read, task);
    }
    bodies(read, messages, contents);
    lists(read, &tasks);
    by_message(read, &tasks);
    for state in TaskState::ALL {
        let kept = counter::get(read, FLEET, state.counter()).unwrap();
        let found = tasks.values().filter(|task| task.state == state).count();
        assert_eq!(kept, found as u64, "{state:?} against a recount");
    }
    let expected: Vec<(u64, u128)> = tasks
        .values()
        .map(|task| (task.due_ms, task.uuid))
        .collect();
    let entries = due.iter().filter_map(|(at, due)| match due {
        Due::Task { task, .. } => Some((*at, *task)),
        _ => None,
    });
    let (mut entries, mut expected): (Vec<_>, _) = (entries.collect(), expected);
    entries.sort_unstable();
    expected.sort_unstable();
    same("due entries of tasks", &entries, &expected);
}

/// Messages and artifacts are numbered without gaps, and are as large as their task says. Returns
/// their texts.
fn texts(read: &impl Read, task: &Task) -> Vec<u128> {
    let mut contents =
        task::newest_messages(read, FLEET, task.uuid, task.messages as usize + 1).unwrap();
    assert_eq!(
        contents.len(),
        task.messages as usize,
        "history of {task:?}"
    );
    if let Some(Said::Content(content)) = &task.status_message {
        contents.push(*content);
    }
    let artifacts = task::artifacts(read, FLEET, task.uuid, usize::MAX).unwrap();
    let numbers: Vec<u32> = artifacts.iter().map(|(number, _)| *number).collect();
    let expected: Vec<u32> = (1..=task.artifacts).collect();
    same("numbers of artifacts", &numbers, &expected);
    for (number, artifact) in &artifacts {
        assert!(artifact.first_chunk < artifact.next_chunk, "{artifact:?}");
        // Those before the first one are still there: updates that are read later tell them.
        let all = task::Artifact {
            first_chunk: 0,
            ..artifact.clone()
        };
        let chunks = task::chunks(read, FLEET, task.uuid, *number, &all).unwrap();
        assert_eq!(chunks.len(), artifact.next_chunk as usize, "{artifact:?}");
        contents.extend(chunks);
    }
    let bytes = contents.iter().map(|content| {
        let body = message::body(read, FLEET, *content).unwrap();
        body.unwrap_or_else(|| panic!("a text of {task:?} is not there"))
            .len() as u64
    });
    assert_eq!(task.size_bytes, bytes.sum::<u64>(), "size of {task:?}");
    contents
}

/// Updates are numbered without gaps and never go back in time; nothing follows a terminal state,
/// and the last status is where the task stands.
fn updates(read: &impl Read, task: &Task) {
    let updates = task::updates(read, FLEET, task.uuid, 0, usize::MAX).unwrap();
    let numbers: Vec<u64> = updates.iter().map(|(number, _)| *number).collect();
    let expected: Vec<u64> = (1..=task.updates).collect();
    same("numbers of updates", &numbers, &expected);
    let mut standing = (TaskState::Submitted, task.created_ms, None);
    let mut at_ms = task.created_ms;
    for (number, update) in updates {
        assert!(
            !standing.0.is_terminal(),
            "{number} follows the end of {task:?}"
        );
        assert!(
            update.at_ms >= at_ms,
            "{number} is before its time: {task:?}"
        );
        at_ms = update.at_ms;
        if let Change::Status { state, message } = update.what {
            standing = (state, update.at_ms, message);
        }
    }
    assert_eq!(
        (standing.0, standing.1),
        (task.state, task.status_ms),
        "{task:?}"
    );
    // A message of the client moves into history what the agent said before it.
    let said = &task.status_message;
    assert!(said.is_none() || *said == standing.2, "{task:?}");
}

/// No text is left behind, and none is two things.
fn bodies(read: &impl Read, messages: &[Message], contents: BTreeSet<u128>) {
    let prefix = Key::new().u32(FLEET).into_bytes();
    let stored = read.prefix(Cf::Body, &prefix, usize::MAX).unwrap();
    let stored: BTreeSet<u128> = stored
        .iter()
        .map(|(key, _)| number(&key[prefix.len()..]))
        .collect();
    let mut expected = contents;
    for message in messages {
        assert!(expected.insert(message.uuid), "two texts of {message:?}");
    }
    same("texts", &stored, &expected);
}

/// Each party lists its tasks, once, and knows how many there are; so does the fleet, uncounted.
fn lists(read: &impl Read, tasks: &BTreeMap<u128, Task>) {
    let mut expected: BTreeMap<AgentNo, (Party, BTreeMap<Place, Listed>)> = BTreeMap::new();
    for task in tasks.values() {
        for agent in BTreeSet::from([task.client, task.agent, WHOLE_FLEET]) {
            let (party, list) = expected.entry(agent).or_default();
            party.tasks += u64::from(agent != WHOLE_FLEET);
            party.open += u64::from(agent == task.client && !task.state.is_terminal());
            let listed = Listed {
                state: task.state,
                asked: task.asked,
                context_id: task.context_id.clone(),
            };
            list.insert((task.status_ms, task.uuid), listed);
        }
    }
    let parties: BTreeMap<AgentNo, Party> = rows(read, PARTY)
        .iter()
        .map(|(key, value)| {
            let agent = KeyReader::new("test", key).u32().unwrap();
            (agent, decode(value).unwrap())
        })
        .collect();
    let counts = expected
        .iter()
        .filter(|(agent, _)| **agent != WHOLE_FLEET)
        .map(|(agent, (party, _))| (*agent, party.clone()));
    same("counts of parties", &parties, &counts.collect());
    let mut listed = 0;
    for (agent, (_, expected)) in &expected {
        let found = task::list(read, FLEET, *agent, None, usize::MAX).unwrap();
        let order = found.iter().map(|((at, uuid), _)| (u64::MAX - at, *uuid));
        assert!(order.is_sorted(), "list of agent {agent}: {found:?}");
        listed += found.len();
        same("list of a party", &found.into_iter().collect(), expected);
    }
    assert_eq!(rows(read, BY_PARTY).len(), listed, "rows in lists");
}

/// Messages and their tasks know of each other.
fn by_message(read: &impl Read, tasks: &BTreeMap<u128, Task>) {
    let found: BTreeSet<(u128, u128)> = rows(read, BY_MESSAGE)
        .iter()
        .map(|(key, value)| (number(value), number(key)))
        .collect();
    let expected: BTreeSet<(u128, u128)> = rows(read, MESSAGE_TASK)
        .iter()
        .map(|(key, _)| (number(key), number(&key[16..])))
        .collect();
    same("messages of tasks", &found, &expected);
    for task in tasks.values() {
        let newest = (task.uuid, task.message);
        assert!(found.contains(&newest), "the newest message of {task:?}");
    }
}
