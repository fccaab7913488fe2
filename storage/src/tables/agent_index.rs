//! Orders in which agents are listed, and parts of their names by which they are found.
//!
//! Written by [`agent`](super::agent) whenever an agent is. Each order exists twice: over all agents,
//! and over those of one status.

use std::collections::BTreeSet;

use super::agent::{Agent, AgentLive, AgentStatus};
use super::{AgentNo, FleetNo, registry};
use crate::{Cf, Key, KeyReader, Place, Read, StorageError, Txn, page, prefix_end};

/// An order of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// As they enrolled.
    Created = 1,
    /// By name, letters in any case.
    Name = 2,
    /// By the time they were last heard.
    Seen = 3,
    /// By the word for their status, and as they enrolled.
    Status = 4,
}

/// Bytes of a name that count for its place.
const NAME_BYTES: usize = 128;
/// Letters of a part by which a name is found.
const PART_CHARS: usize = 3;

fn status_byte(status: AgentStatus) -> u8 {
    match status {
        AgentStatus::Degraded => 1,
        AgentStatus::Healthy => 2,
        AgentStatus::Paused => 3,
        AgentStatus::Quarantined => 4,
        AgentStatus::Revoked => 5,
    }
}

/// Where the rows of an order begin; with no status, of all agents.
fn prefix(fleet: FleetNo, order: Order, status: Option<AgentStatus>) -> Key {
    // The order by status is that of enrolment, one status after the other.
    let (order, status) = match (order, status) {
        (Order::Status, None) => return Key::table(registry::AGENT_ORDER).u32(fleet).u8(4),
        (Order::Status | Order::Created, Some(status)) => (4, status_byte(status)),
        (order, status) => (order as u8, status.map_or(0, status_byte)),
    };
    Key::table(registry::AGENT_ORDER)
        .u32(fleet)
        .u8(order)
        .u8(status)
}

/// Every row of an agent.
fn rows(agent: &Agent, live: &AgentLive) -> [Key; 6] {
    let (fleet, no) = (agent.fleet, agent.no);
    let status = agent.status(live);
    let name = agent.display_name.to_lowercase();
    let name = &name[..name.floor_char_boundary(NAME_BYTES)];
    let by_name = |status| {
        prefix(fleet, Order::Name, status)
            .raw(name.as_bytes())
            .u8(0)
            .u32(no)
    };
    let by_seen = |status| {
        prefix(fleet, Order::Seen, status)
            .u64(live.last_seen_ms)
            .u32(no)
    };
    [
        prefix(fleet, Order::Created, None).u32(no),
        prefix(fleet, Order::Status, Some(status)).u32(no),
        by_name(None),
        by_name(Some(status)),
        by_seen(None),
        by_seen(Some(status)),
    ]
}

/// Puts an agent into every order, in place of what it was before.
pub(super) fn put(
    txn: &mut Txn,
    before: Option<(&Agent, &AgentLive)>,
    agent: &Agent,
    live: &AgentLive,
) {
    let new = rows(agent, live);
    match before {
        Some((agent, live)) => {
            for (old, new) in rows(agent, live).into_iter().zip(new) {
                if old != new {
                    txn.delete(Cf::Registry, old);
                    txn.put(Cf::Registry, new, Vec::new());
                }
            }
        }
        None => {
            for part in parts(&agent.display_name) {
                let key = part_key(agent.fleet, &part).u32(agent.no);
                txn.put(Cf::Registry, key, Vec::new());
            }
            for row in new {
                txn.put(Cf::Registry, row, Vec::new());
            }
        }
    }
}

/// Agents in an order with their places, at most `limit`, after `from` where it is given.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    (order, status): (Order, Option<AgentStatus>),
    descending: bool,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Place, AgentNo)>, StorageError> {
    let prefix = prefix(fleet, order, status);
    page(read, Cf::Registry, prefix.bytes(), descending, from, limit)?
        .into_iter()
        .map(|(place, _)| {
            let at = place.len().saturating_sub(4);
            let no = KeyReader::new("agent order", &place[at..]).u32()?;
            Ok((place, no))
        })
        .collect()
}

fn part_key(fleet: FleetNo, part: &str) -> Key {
    Key::table(registry::AGENT_NAME_PART).u32(fleet).text(part)
}

/// Every three letters in a row.
fn parts(text: &str) -> BTreeSet<String> {
    let letters: Vec<char> = text.to_lowercase().chars().collect();
    letters
        .windows(PART_CHARS)
        .map(|part| part.iter().collect())
        .collect()
}

/// Numbers from `from` on of agents whose names may hold this text, at most `limit`; none where the
/// text is too short to tell.
pub fn candidates(
    read: &impl Read,
    fleet: FleetNo,
    text: &str,
    from: AgentNo,
    limit: usize,
) -> Result<Option<Vec<AgentNo>>, StorageError> {
    /// Rows by which the rarest part is found.
    const LOOKED_AT: usize = 64;
    let mut rarest: Option<(usize, String)> = None;
    for part in parts(text) {
        let rows = read.prefix(Cf::Registry, part_key(fleet, &part).bytes(), LOOKED_AT)?;
        if rarest
            .as_ref()
            .is_none_or(|(fewest, _)| rows.len() < *fewest)
        {
            rarest = Some((rows.len(), part));
        }
    }
    let Some((_, part)) = rarest else {
        return Ok(None);
    };
    let prefix = part_key(fleet, &part);
    let (lower, upper) = (prefix.clone().u32(from), prefix_end(prefix.bytes()));
    let rows = read.scan(Cf::Registry, lower.bytes(), &upper, limit)?;
    rows.iter()
        .map(|(key, _)| {
            KeyReader::new("agent name part", &key[key.len().saturating_sub(4)..]).u32()
        })
        .collect::<Result<_, _>>()
        .map(Some)
}
