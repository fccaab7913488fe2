//! What a node says of itself: counts and gauges for the metrics page, and whether it is ready.

use std::time::Duration;

use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::{fleet, settings};

use crate::clock::now_ms;
use crate::machine::FLEETS_MAX;
use crate::metrics::{NodeGauges, StateCounts};
use crate::service::{Service, ServiceError};

impl Service {
    /// Counts for the metrics page, read from the counters kept in apply.
    pub fn state_counts(&self) -> Result<StateCounts, ServiceError> {
        let view = self.view();
        let mut counts = StateCounts::default();
        let fleets = fleet::list(&view, FLEETS_MAX as usize)?;
        counts.fleets = fleet::in_use(&view)?;
        for fleet in fleets {
            let get = |counter| counter::get(&view, fleet.no, counter);
            let add = |list: &mut Vec<(&'static str, u64)>, name: &'static str, counter| {
                let value = get(counter)?;
                match list.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => list.push((name, value)),
                }
                Ok::<(), ServiceError>(())
            };
            for (name, counter) in [
                ("healthy", Counter::AgentHealthy),
                ("degraded", Counter::AgentDegraded),
                ("paused", Counter::AgentPaused),
                ("quarantined", Counter::AgentQuarantined),
                ("revoked", Counter::AgentRevoked),
            ] {
                add(&mut counts.agents, name, counter)?;
            }
            for (name, counter) in [
                ("queued", Counter::MessageOpen),
                ("done", Counter::MessageDone),
                ("cancelled", Counter::MessageCancelled),
            ] {
                add(&mut counts.messages, name, counter)?;
            }
            for (name, counter) in [
                ("queued", Counter::DeliveryQueued),
                ("delivered", Counter::DeliveryDelivered),
                ("acked", Counter::DeliveryAcked),
                ("expired", Counter::DeliveryExpired),
                ("dead_lettered", Counter::DeliveryDeadLettered),
                ("cancelled", Counter::DeliveryCancelled),
            ] {
                add(&mut counts.deliveries, name, counter)?;
            }
            for state in TaskState::ALL {
                add(&mut counts.tasks, state.as_str(), state.counter())?;
            }
            counts.messages_accepted += get(Counter::MessageAccepted)?;
            counts.dead_letters += get(Counter::DeadLetters)?;
            counts.rate_violations_24h += get(Counter::RateViolations)?;
        }
        let standing = self.license_standing()?;
        counts.tier = standing.tier.as_str();
        counts.org = standing.license.map(|(license, _)| license.org);
        counts.heartbeats_recent = self.heartbeats.recent(now_ms());
        Ok(counts)
    }

    /// Gauges of this node for the metrics page.
    pub fn node_gauges(&self) -> Result<NodeGauges, ServiceError> {
        let status = self.node.status();
        let size = self.state.size_bytes()?;
        let backlog = self.edge.backlog().unwrap_or_default();
        let oldest_ms = backlog.oldest_ms;
        let waited_ms = oldest_ms.map_or(0, |oldest_ms| now_ms().saturating_sub(oldest_ms));
        Ok(NodeGauges {
            disk_full: status.disk_full,
            state_disk_bytes: size.disk_bytes,
            state_memory_bytes: size.memory_bytes,
            log_bytes: status.log_size_bytes,
            log_index: status.applied_index.unwrap_or(0),
            long_polls: self.waiters.len() as u64,
            task_streams: self.task_streams.open() as u64,
            outbox_entries: backlog.entries,
            outbox_oldest_seconds: waited_ms / 1000,
        })
    }

    /// Whether this node can take requests, or why not.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.draining.is_cancelled() {
            return Err("draining");
        }
        let status = self.node.status();
        if status.fatal.is_some() || self.damaged.is_cancelled() {
            return Err("failed");
        }
        if !self.has_leader(status.leader, status.node_id) {
            return Err("no_leader");
        }
        if status.disk_full {
            return Err("disk_full");
        }
        Ok(())
    }

    /// Whether a leader can be reached, as far as this node knows.
    fn has_leader(&self, leader: Option<u64>, own: u64) -> bool {
        /// Longer than a few heartbeats, shorter than anybody's patience.
        const SILENCE_MAX: Duration = Duration::from_secs(3);
        match leader {
            // A leader answers reads once its guard has begun.
            Some(leader) if leader == own => {
                let quorum = self
                    .cluster()
                    .map(|cluster| cluster.reachable_voters >= cluster.needed_voters);
                self.guard.is_leading() && quorum.unwrap_or(false)
            }
            Some(leader) => {
                let silence = self.node.peer(leader).silence;
                silence.is_some_and(|silence| silence < SILENCE_MAX)
            }
            None => false,
        }
    }

    /// Whether settings in the environment differ from the replicated ones, which decide.
    pub fn settings_differ(&self, seeds: &settings::Settings) -> Result<bool, ServiceError> {
        Ok(self.is_set_up()? && self.settings()? != *seeds)
    }
}
