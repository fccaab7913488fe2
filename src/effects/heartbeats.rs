//! Heartbeats that change nothing but the time: kept in the leader's memory, passed on together.

use std::collections::BTreeMap;

use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use parking_lot::Mutex;

/// When each agent was last heard, as far as the log does not say it yet.
#[derive(Default)]
pub struct Heartbeats {
    seen: Mutex<BTreeMap<(FleetNo, AgentNo), TimeMs>>,
    recent: Mutex<Recent>,
}

/// Heartbeats by minute: the present one and the last.
#[derive(Default)]
struct Recent {
    minute: u64,
    present: u64,
    last: u64,
}

impl Recent {
    fn turn(&mut self, now_ms: TimeMs) {
        let minute = now_ms / 60_000;
        if minute != self.minute {
            self.last = if minute == self.minute + 1 {
                self.present
            } else {
                0
            };
            self.present = 0;
            self.minute = minute;
        }
    }
}

impl Heartbeats {
    /// Counts a heartbeat.
    pub fn count(&self, now_ms: TimeMs) {
        let mut recent = self.recent.lock();
        recent.turn(now_ms);
        recent.present += 1;
    }

    /// Heartbeats of the last minute or two.
    pub fn recent(&self, now_ms: TimeMs) -> u64 {
        let mut recent = self.recent.lock();
        recent.turn(now_ms);
        recent.present + recent.last
    }

    /// Notes that an agent was heard.
    pub fn note(&self, fleet: FleetNo, agent: AgentNo, now_ms: TimeMs) {
        self.seen.lock().insert((fleet, agent), now_ms);
    }

    /// Takes what was noted, to be put in the log.
    pub fn take(&self) -> Vec<(FleetNo, AgentNo, TimeMs)> {
        let seen = std::mem::take(&mut *self.seen.lock());
        seen.into_iter()
            .map(|((fleet, agent), at_ms)| (fleet, agent, at_ms))
            .collect()
    }

    /// When an agent was last heard, if the log does not say it yet.
    pub fn last(&self, fleet: FleetNo, agent: AgentNo) -> Option<TimeMs> {
        self.seen.lock().get(&(fleet, agent)).copied()
    }
}
