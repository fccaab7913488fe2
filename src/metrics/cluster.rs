//! The cluster as this node sees it, its disk, and what runs its tasks. Set at each scrape.

use std::time::Duration;

use prometheus::{Error, Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts};

use super::{Make, NodeGauges, gauge};

/// The cluster, as a node knows it.
#[derive(Clone, Debug, Default)]
pub struct ClusterGauges {
    /// Whether this node leads.
    pub is_leader: bool,
    /// Whether it can reach a leader, itself included.
    pub has_leader: bool,
    /// The term.
    pub term: u64,
    /// Voters.
    pub voters: u64,
    /// Voters that can be reached.
    pub reachable_voters: u64,
    /// Voters that are needed to decide anything.
    pub needed_voters: u64,
    /// The nodes.
    pub members: Vec<MemberGauges>,
}

/// A node of the cluster, as another one knows it.
#[derive(Clone, Debug, Default)]
pub struct MemberGauges {
    /// Its number.
    pub node_id: u64,
    /// Whether it was heard lately.
    pub is_reachable: bool,
    /// Entries that it is behind.
    pub lag_entries: u64,
    /// How long it takes to answer; none of the node itself.
    pub round_trip: Option<Duration>,
}

/// What runs the tasks of a process.
#[derive(Clone, Debug, Default)]
pub struct RuntimeGauges {
    /// Threads.
    pub workers: Vec<WorkerGauges>,
    /// Tasks that are not done.
    pub tasks: u64,
    /// Tasks that wait for a thread.
    pub waiting_tasks: u64,
}

/// A thread that runs tasks.
#[derive(Clone, Debug, Default)]
pub struct WorkerGauges {
    /// How long it was busy.
    pub busy: Duration,
    /// How often it had nothing to do.
    pub parks: u64,
}

impl RuntimeGauges {
    /// Of the runtime that this is called in.
    pub fn current() -> Self {
        let metrics = tokio::runtime::Handle::current().metrics();
        let worker = |worker| WorkerGauges {
            busy: metrics.worker_total_busy_duration(worker),
            parks: metrics.worker_park_count(worker),
        };
        RuntimeGauges {
            workers: (0..metrics.num_workers()).map(worker).collect(),
            tasks: metrics.num_alive_tasks() as u64,
            waiting_tasks: metrics.global_queue_depth() as u64,
        }
    }

    /// How long the threads were busy, added up.
    fn busy(&self) -> Duration {
        self.workers.iter().map(|worker| worker.busy).sum()
    }
}

pub(super) struct ClusterMetrics {
    ready: IntGauge,
    is_leader: IntGauge,
    has_leader: IntGauge,
    term: IntGauge,
    voters: IntGauge,
    reachable_voters: IntGauge,
    needed_voters: IntGauge,
    reachable: IntGaugeVec,
    lag_entries: IntGaugeVec,
    round_trip: GaugeVec,
    disk_free_bytes: IntGauge,
    disk_size_bytes: IntGauge,
    workers: IntGauge,
    tasks: IntGauge,
    waiting_tasks: IntGauge,
    busy_seconds: Gauge,
}

impl ClusterMetrics {
    pub fn new(make: &Make<'_>) -> Result<Self, Error> {
        let node = ["node"];
        Ok(ClusterMetrics {
            ready: make.gauge("ekho_ready", "1 while this node can take requests")?,
            is_leader: make.gauge("ekho_raft_leader", "1 while this node leads")?,
            has_leader: make.gauge(
                "ekho_raft_has_leader",
                "1 while this node leads or hears from the leader",
            )?,
            term: make.gauge("ekho_raft_term", "The term; it grows with every election")?,
            voters: make.gauge("ekho_raft_voters", "Nodes that vote")?,
            reachable_voters: make.gauge(
                "ekho_raft_voters_reachable",
                "Voters that this node hears, itself included",
            )?,
            needed_voters: make.gauge(
                "ekho_raft_voters_needed",
                "Voters that are needed to decide anything",
            )?,
            reachable: make.gauges(
                "ekho_node_reachable",
                "1 for each node of the cluster that this node heard lately",
                &node,
            )?,
            lag_entries: make.gauges(
                "ekho_node_lag_entries",
                "Log entries that each node of the cluster is behind, as this node knows",
                &node,
            )?,
            round_trip: make.add(GaugeVec::new(
                Opts::new(
                    "ekho_node_round_trip_seconds",
                    "How long each other node takes to answer this one",
                ),
                &node,
            )?)?,
            disk_free_bytes: make.gauge(
                "ekho_disk_free_bytes",
                "What can still be written to the disk of the data directory",
            )?,
            disk_size_bytes: make.gauge(
                "ekho_disk_size_bytes",
                "Size of the disk of the data directory",
            )?,
            workers: make.gauge("ekho_runtime_workers", "Threads that run tasks")?,
            tasks: make.gauge("ekho_runtime_tasks", "Tasks that are not done")?,
            waiting_tasks: make.gauge(
                "ekho_runtime_waiting_tasks",
                "Tasks that wait for a thread, in the queue that all threads share",
            )?,
            busy_seconds: make.add(Gauge::new(
                "ekho_runtime_busy_seconds_total",
                "How long threads were busy with tasks, added up",
            )?)?,
        })
    }

    pub fn set(&self, node: &NodeGauges) {
        let (cluster, runtime) = (&node.cluster, &node.runtime);
        for (metric, value) in [
            (&self.ready, u64::from(node.is_ready)),
            (&self.is_leader, u64::from(cluster.is_leader)),
            (&self.has_leader, u64::from(cluster.has_leader)),
            (&self.term, cluster.term),
            (&self.voters, cluster.voters),
            (&self.reachable_voters, cluster.reachable_voters),
            (&self.needed_voters, cluster.needed_voters),
            (&self.workers, runtime.workers.len() as u64),
            (&self.tasks, runtime.tasks),
            (&self.waiting_tasks, runtime.waiting_tasks),
        ] {
            metric.set(gauge(value));
        }
        self.busy_seconds.set(runtime.busy().as_secs_f64());
        for (metric, value) in [
            (&self.disk_free_bytes, node.disk_free_bytes),
            (&self.disk_size_bytes, node.disk_size_bytes),
        ] {
            // A directory that cannot be asked keeps what it said last.
            if let Some(value) = value {
                metric.set(gauge(value));
            }
        }
        // A node that was removed leaves no series behind.
        self.reachable.reset();
        self.lag_entries.reset();
        self.round_trip.reset();
        for member in &cluster.members {
            let id = member.node_id.to_string();
            let label = [id.as_str()];
            self.reachable
                .with_label_values(&label)
                .set(i64::from(member.is_reachable));
            self.lag_entries
                .with_label_values(&label)
                .set(gauge(member.lag_entries));
            if let Some(took) = member.round_trip {
                self.round_trip
                    .with_label_values(&label)
                    .set(took.as_secs_f64());
            }
        }
    }
}
