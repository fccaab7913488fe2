//! Agents as operators look for them: in some order, by status, by name, by time.

use ekho_storage::tables::agent::{self, Agent, AgentLive, AgentStatus};
use ekho_storage::tables::agent_index::{self, Order};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, rate};
use ekho_storage::{Read, View};

use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// Agents that one answer looks at where it looks for something.
const SCANNED: usize = 100;
/// Refusals by rate limit that are shown.
const VIOLATIONS: usize = 1000;

/// Which agents, and in which order.
pub struct Wanted {
    /// Of this status only.
    pub status: Option<AgentStatus>,
    /// With this in their name, in any case of letters, or with this id.
    pub search: Option<String>,
    /// Enrolled then or later.
    pub from_ms: Option<TimeMs>,
    /// Enrolled then or earlier.
    pub to_ms: Option<TimeMs>,
    /// The order.
    pub order: Order,
    /// The other way round.
    pub descending: bool,
    /// Rows to leave out first.
    pub skip: usize,
    /// Rows at most.
    pub limit: usize,
    /// Where an earlier answer ended.
    pub cursor: Option<Vec<u8>>,
}

/// Agents found.
pub struct Found {
    /// They, with what heartbeats last said.
    pub agents: Vec<(Agent, AgentLive)>,
    /// How many there are in all; of a search, how many it looked at and found.
    pub total: u64,
    /// Where to go on.
    pub next: Option<Vec<u8>>,
}

impl Service {
    /// Looks for agents.
    pub async fn find_agents(&self, fleet: FleetNo, wanted: Wanted) -> Result<Found, ServiceError> {
        let view = self.operator_view().await?;
        self.look_for_agents(&view, fleet, &wanted)
    }

    /// The same, in a state that is known already.
    pub fn look_for_agents(
        &self,
        view: &View,
        fleet: FleetNo,
        wanted: &Wanted,
    ) -> Result<Found, ServiceError> {
        let looks = wanted.search.is_some() || wanted.from_ms.is_some() || wanted.to_ms.is_some();
        match looks {
            true => self.search_agents(view, fleet, wanted),
            false => self.list_agents(view, fleet, wanted),
        }
    }

    /// All of them, or all of a status, in the order of an index.
    fn list_agents(
        &self,
        view: &View,
        fleet: FleetNo,
        wanted: &Wanted,
    ) -> Result<Found, ServiceError> {
        let rows = agent_index::list(
            view,
            fleet,
            (wanted.order, wanted.status),
            wanted.descending,
            wanted.cursor.as_deref(),
            wanted.skip + wanted.limit,
        )?;
        let full = rows.len() == wanted.skip + wanted.limit;
        let next = rows.last().filter(|_| full).map(|(place, _)| place.clone());
        let mut agents = Vec::with_capacity(wanted.limit);
        for (_, no) in rows.into_iter().skip(wanted.skip) {
            if let Some(agent) = agent::get(view, fleet, no)? {
                agents.push(self.with_live(view, agent)?);
            }
        }
        let counters = match wanted.status {
            Some(status) => &[Counter::of_agents(status)][..],
            None => &[
                Counter::AgentHealthy,
                Counter::AgentDegraded,
                Counter::AgentPaused,
                Counter::AgentQuarantined,
                Counter::AgentRevoked,
            ],
        };
        let mut total = 0;
        for counter in counters {
            total += counter::get(view, fleet, *counter)?;
        }
        Ok(Found {
            agents,
            total,
            next,
        })
    }

    /// Those that match among the first ones that may, sorted in memory.
    fn search_agents(
        &self,
        view: &View,
        fleet: FleetNo,
        wanted: &Wanted,
    ) -> Result<Found, ServiceError> {
        let cursor = wanted.cursor.as_deref().and_then(|at| at.try_into().ok());
        let mut from = cursor.map_or(0, AgentNo::from_be_bytes);
        if let Some(from_ms) = wanted.from_ms {
            from = from.max(first_since(view, fleet, from_ms)?);
        }
        let text = wanted.search.as_deref().unwrap_or_default().to_lowercase();
        let by_id = agent::locate(view, &text)?.filter(|(of, _)| *of == fleet);
        let numbers = match by_id {
            Some((_, no)) => Some(vec![no]),
            None => agent_index::candidates(view, fleet, &text, from, SCANNED)?,
        };
        let numbers = match numbers {
            Some(numbers) => numbers,
            None => {
                let agents = agent::list(view, fleet, from, SCANNED)?;
                agents.iter().map(|agent| agent.no).collect()
            }
        };
        let next = numbers.last().filter(|_| numbers.len() == SCANNED);
        let mut next = next.map(|no| no.saturating_add(1).to_be_bytes().to_vec());
        let mut found = Vec::new();
        for no in numbers {
            let Some(agent) = agent::get(view, fleet, no)? else {
                continue;
            };
            if wanted.to_ms.is_some_and(|to_ms| agent.created_ms > to_ms) {
                // They enrolled in the order of their numbers.
                next = None;
                break;
            }
            let matches = wanted
                .from_ms
                .is_none_or(|from_ms| agent.created_ms >= from_ms)
                && (agent.id == text || agent.display_name.to_lowercase().contains(&text));
            if !matches {
                continue;
            }
            // What heartbeats last said is read for those that are shown, unless it decides.
            let live = match (wanted.status, wanted.order) {
                (None, Order::Created | Order::Name) => AgentLive::default(),
                _ => self.with_live(view, agent.clone())?.1,
            };
            if wanted
                .status
                .is_none_or(|status| agent.status(&live) == status)
            {
                found.push((agent, live));
            }
        }
        match wanted.order {
            Order::Created => {}
            Order::Name => found.sort_by_cached_key(|(agent, _)| agent.display_name.to_lowercase()),
            Order::Seen => found.sort_by_key(|(_, live)| live.last_seen_ms),
            Order::Status => found.sort_by_key(|(agent, live)| agent.status(live).as_str()),
        }
        if wanted.descending {
            found.reverse();
        }
        let total = found.len() as u64;
        let shown = found.into_iter().skip(wanted.skip).take(wanted.limit);
        let agents = shown.map(|(agent, _)| self.with_live(view, agent));
        Ok(Found {
            agents: agents.collect::<Result<_, _>>()?,
            total,
            next,
        })
    }

    /// When an agent was refused for rate, newest first, with the numbers of the refusals.
    pub async fn rate_violations(
        &self,
        fleet: FleetNo,
        agent_id: &str,
    ) -> Result<Vec<(TimeMs, u64)>, ServiceError> {
        let view = self.operator_view().await?;
        let found = self.agent_of(&view, fleet, agent_id)?;
        let (agent, _) = found.ok_or(Refusal::NotFound)?;
        Ok(rate::violations_rev(&view, fleet, agent.no, VIOLATIONS)?)
    }
}

/// The number of the first agent that enrolled then or later.
fn first_since(view: &impl Read, fleet: FleetNo, at_ms: TimeMs) -> Result<AgentNo, ServiceError> {
    let last = sequence::last(view, fleet, Sequence::Agent)? as AgentNo;
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let earlier = agent::get(view, fleet, middle)?.is_none_or(|agent| agent.created_ms < at_ms);
        match earlier {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}
