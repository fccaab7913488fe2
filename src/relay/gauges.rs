//! What a node says of itself: counts and gauges for the metrics page, and whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use ekho_raft::{Member, NodeStatus};
use ekho_storage::View;
use ekho_storage::tables::cluster::{self, Part};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::derived::{self, Tag};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::{TimeMs, fleet, settings};

use prometheus::proto::MetricFamily;

use crate::clock::now_ms;
use crate::machine::FLEETS_MAX;
use crate::metrics::{
    ClusterGauges, MemberGauges, Metrics, NodeGauges, RuntimeGauges, StateCounts,
};
use crate::service::cluster::ClusterStatus;
use crate::service::{Service, ServiceError};

impl Service {
    /// Counts for the metrics page, read from the counters kept in apply.
    fn state_counts(&self) -> Result<StateCounts, ServiceError> {
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
            counts.attachments += get(Counter::Attachments)?;
            counts.attachment_bytes += get(Counter::AttachmentBytes)?;
            counts.rate_violations_24h += get(Counter::RateViolations)?;
            counts.approvals_pending += get(Counter::ApprovalsPending)?;
        }
        let standing = self.license_standing()?;
        counts.tier = standing.tier.as_str();
        counts.org = standing.license.map(|(license, _)| license.org);
        counts.heartbeats_recent = self.heartbeats.recent(now_ms());
        counts.last_backup_ms = last_backup_ms(&view)?;
        Ok(counts)
    }

    /// Gauges of this node for the metrics page. Must be called within a runtime.
    fn node_gauges(&self) -> Result<NodeGauges, ServiceError> {
        let status = self.node.status();
        let size = self.state.size_bytes()?;
        let backlog = self.edge.backlog().unwrap_or_default();
        let oldest_ms = backlog.oldest_ms;
        let waited_ms = oldest_ms.map_or(0, |oldest_ms| now_ms().saturating_sub(oldest_ms));
        let disk = self.node.disk();
        let cluster = self.cluster()?;
        let has_leader = self.has_leader(&status, || cluster.can_decide());
        Ok(NodeGauges {
            is_ready: self.ready(&status, || has_leader).is_ok(),
            disk_free_bytes: disk.map(|disk| disk.free_bytes),
            disk_size_bytes: disk.map(|disk| disk.size_bytes),
            cluster: cluster_gauges(&cluster, has_leader),
            runtime: RuntimeGauges::current(),
            disk_full: status.disk_full,
            state_disk_bytes: size.disk_bytes,
            state_memory_bytes: size.memory_bytes,
            log_bytes: status.log_size_bytes,
            log_index: status.applied_index.unwrap_or(0),
            long_polls: self.waiters.len() as u64,
            task_streams: self.task_streams.open() as u64,
            outbox_entries: backlog.entries,
            outbox_oldest_seconds: waited_ms / 1000,
            files_missing: self.attachments.files.missing(),
            files_stored: self.attachments.files.stored(),
            files_stored_bytes: self.attachments.files.stored_bytes(),
        })
    }

    /// All metrics at this moment.
    pub async fn gather_metrics(self: &Arc<Self>) -> Result<Vec<MetricFamily>, ServiceError> {
        self.scrape(Metrics::gather).await
    }

    /// The same as a page for Prometheus.
    pub async fn metrics_page(self: &Arc<Self>) -> Result<String, ServiceError> {
        self.scrape(Metrics::render).await
    }

    /// Reads counters of every fleet and files of the kernel off the async threads, for one after
    /// another: anybody may ask, and each would hold a thread.
    async fn scrape<T: Send + 'static>(
        self: &Arc<Self>,
        take: fn(&Metrics, &StateCounts, &NodeGauges) -> T,
    ) -> Result<T, ServiceError> {
        let turn = Arc::clone(&self.scrapes).acquire_owned().await;
        let turn = turn.map_err(|_| ServiceError::Stopping)?;
        let service = Arc::clone(self);
        let scraped = tokio::task::spawn_blocking(move || {
            // Kept to the end, also where whoever asked has left.
            let _turn = turn;
            let (counts, gauges) = (service.state_counts()?, service.node_gauges()?);
            Ok(take(&service.metrics, &counts, &gauges))
        });
        let scraped = scraped.await;
        scraped.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Whether this node can take requests, or why not.
    pub fn readiness(&self) -> Result<(), &'static str> {
        let status = self.node.status();
        let can_decide = || self.cluster().is_ok_and(|cluster| cluster.can_decide());
        self.ready(&status, || self.has_leader(&status, can_decide))
    }

    fn ready(
        &self,
        status: &NodeStatus,
        has_leader: impl FnOnce() -> bool,
    ) -> Result<(), &'static str> {
        if self.draining.is_cancelled() {
            return Err("draining");
        }
        if status.fatal.is_some() || self.damaged.is_cancelled() {
            return Err("failed");
        }
        self.place(status)?;
        if !has_leader() {
            return Err("no_leader");
        }
        if status.disk_full {
            return Err("disk_full");
        }
        Ok(())
    }

    /// Whether this node has the place in the cluster that it is to have. One that is to vote counts
    /// for little before it does: whoever starts or stops nodes one after the other waits for it.
    fn place(&self, status: &NodeStatus) -> Result<(), &'static str> {
        let is_self = |member: &&Member| member.node_id == status.node_id;
        if status
            .members
            .iter()
            .find(is_self)
            .is_some_and(|member| member.voter)
        {
            return Ok(());
        }
        let wanted = cluster::get(&self.view()).map_err(|error| {
            tracing::error!(%error, "what the nodes are to be cannot be read");
            "failed"
        })?;
        let entry = wanted
            .nodes
            .iter()
            .find(|entry| entry.node_id == status.node_id);
        match entry.map(|entry| entry.part) {
            Some(Part::Learner | Part::Edge) => Ok(()),
            Some(Part::Removed) => Err("removed"),
            // One that just joined does not even know yet what it is to be.
            Some(Part::Voter) | None => Err("catching_up"),
        }
    }

    /// Whether a leader can be reached, as far as this node knows. `can_decide` is asked where it is
    /// this node.
    fn has_leader(&self, status: &NodeStatus, can_decide: impl FnOnce() -> bool) -> bool {
        /// Longer than a few heartbeats, shorter than anybody's patience.
        const SILENCE_MAX: Duration = Duration::from_secs(3);
        match status.leader {
            // A leader answers reads once its guard has begun.
            Some(leader) if leader == status.node_id => self.guard.is_leading() && can_decide(),
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

/// When the last backup was begun. The audit log of the first fleet has it, as long as that keeps
/// it; found by the index over the log, which is never far behind.
fn last_backup_ms(view: &View) -> Result<Option<TimeMs>, ServiceError> {
    let tag = Tag::Kind(EventKind::BackupTaken.as_str().into());
    let newest = derived::tagged_rev(view, fleet::FIRST, &tag, u64::MAX, 1)?;
    let Some(seq) = newest.first() else {
        return Ok(None);
    };
    let stored = event::get(view, fleet::FIRST, *seq)?;
    let event = stored.map(|stored| stored.event()).transpose()?;
    Ok(event.map(|event| event.at_ms))
}

fn cluster_gauges(cluster: &ClusterStatus, has_leader: bool) -> ClusterGauges {
    let members = cluster.nodes.iter().map(|node| MemberGauges {
        node_id: node.node_id,
        is_reachable: node.is_reachable,
        lag_entries: node.lag_entries,
        round_trip: node.round_trip,
    });
    ClusterGauges {
        is_leader: has_leader && cluster.leader == Some(cluster.node_id),
        has_leader,
        term: cluster.term,
        voters: cluster.nodes.iter().filter(|node| node.is_voter).count() as u64,
        reachable_voters: cluster.reachable_voters as u64,
        needed_voters: cluster.needed_voters as u64,
        members: members.collect(),
    }
}
