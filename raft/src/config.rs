//! What a node needs to be told: where it lives, who it is, its limits, and who listens to its
//! measurements.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::blobs::Blobs;
use crate::error::StartError;
use crate::network::{NoPeers, Transport};
use crate::types::NodeId;

/// Everything a [`Node`](crate::Node) is started with.
#[derive(Clone)]
pub struct NodeConfig {
    /// The node's own directory; holds `log/` and `snapshots/`. It must be on the file system
    /// of the state database, as snapshots share its files by hard link.
    pub data_dir: PathBuf,
    /// The cluster's id. A directory written under another id is refused.
    pub cluster_id: String,
    /// This node's number, never reused within a cluster.
    pub node_id: NodeId,
    /// Where peers reach this node, `host:port`; may be empty while it is alone.
    pub address: String,
    /// Whether an empty directory becomes a cluster of this one voter. A node that is to join an
    /// existing cluster says false and waits to be added.
    pub bootstrap: bool,
    /// Wall clock in milliseconds; read by the proposer only, stamped into batches.
    pub clock: fn() -> u64,
    /// Sizes and counts.
    pub limits: Limits,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Listens to measurements.
    pub observer: Arc<dyn Observer>,
    /// Carries messages to peers.
    pub transport: Arc<dyn Transport>,
    /// Files that it keeps and exchanges with its peers.
    pub blobs: Option<Blobs>,
    /// Where clients reach this node, a URL, as other nodes are told.
    pub public_url: String,
    /// The release, as other nodes are told.
    pub release: String,
    /// The feature level that this release understands, as other nodes are told.
    pub feature_level: u32,
    /// Names of the keys that it holds, as other nodes are told.
    pub keys: Vec<String>,
}

impl NodeConfig {
    /// A lone voter with default limits.
    pub fn new(
        data_dir: impl Into<PathBuf>,
        cluster_id: impl Into<String>,
        node_id: NodeId,
        clock: fn() -> u64,
    ) -> Self {
        NodeConfig {
            data_dir: data_dir.into(),
            cluster_id: cluster_id.into(),
            node_id,
            address: String::new(),
            bootstrap: true,
            clock,
            limits: Limits::default(),
            timing: Timing::default(),
            observer: Arc::new(NoObserver),
            transport: Arc::new(NoPeers),
            blobs: None,
            public_url: String::new(),
            release: String::new(),
            feature_level: 1,
            keys: Vec::new(),
        }
    }
}

/// Upper bounds. None is unlimited.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one command.
    pub command_bytes: usize,
    /// Commands in one log entry.
    pub batch_commands: usize,
    /// Bytes of commands in one log entry; a single larger command still goes alone.
    pub batch_bytes: usize,
    /// Commands accepted and not yet answered; beyond it propose answers `Overloaded`.
    pub waiting_commands: usize,
    /// Bytes of commands accepted and not yet answered.
    pub waiting_bytes: usize,
    /// Entries proposed and not yet applied. While that many are under way, commands collect.
    /// Two measure best: one is replicated while the other is applied. More make entries smaller.
    pub pipelined_batches: usize,
    /// Durable entries kept in memory for apply and for followers that are close.
    pub tail_cache_bytes: usize,
    /// Log written since the last snapshot that calls for the next one.
    pub log_snapshot_bytes: u64,
    /// Log kept below the snapshot, so that a follower shortly away needs no snapshot.
    pub log_retained_bytes: u64,
    /// Log kept above an older snapshot while that is sent to a follower, or read for a backup.
    pub log_held_bytes: u64,
    /// Memory RocksDB collects log writes in before it writes a table file.
    pub log_write_buffer_bytes: usize,
    /// Free bytes on the disk below which propose answers `DiskFull`. It must leave room for
    /// what is already accepted and for RocksDB's background work.
    pub disk_free_min_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            command_bytes: 4 << 20,
            batch_commands: 1024,
            batch_bytes: 2 << 20,
            waiting_commands: 16 * 1024,
            waiting_bytes: 64 << 20,
            pipelined_batches: 2,
            tail_cache_bytes: 16 << 20,
            log_snapshot_bytes: 256 << 20,
            log_retained_bytes: 32 << 20,
            log_held_bytes: 4 << 30,
            log_write_buffer_bytes: 16 << 20,
            disk_free_min_bytes: 256 << 20,
        }
    }
}

/// Heartbeats and elections.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How often a leader tells followers that it is there.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower campaigns.
    pub election_min: Duration,
    /// The longest; each follower draws a time between the two.
    pub election_max: Duration,
    /// How often free space, snapshot size and purging are looked at.
    pub maintenance: Duration,
    /// How often nodes tell each other how they are, and where.
    pub hello: Duration,
    /// How long a request waits for a leader before it is told that there is none.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            maintenance: Duration::from_millis(200),
            hello: Duration::from_secs(1),
            patience: Duration::from_millis(1500),
        }
    }
}

impl Timing {
    /// How long a client should wait when there is no leader: an election, with one retry.
    pub(crate) fn retry_after_ms(&self) -> u64 {
        2 * self.election_max.as_millis() as u64
    }

    /// openraft's own configuration.
    pub(crate) fn openraft(&self, cluster_id: &str) -> Result<openraft::Config, StartError> {
        openraft::Config {
            cluster_name: cluster_id.to_string(),
            heartbeat_interval: self.heartbeat.as_millis() as u64,
            election_timeout_min: self.election_min.as_millis() as u64,
            election_timeout_max: self.election_max.as_millis() as u64,
            install_snapshot_timeout: 60_000,
            // Snapshots and purging follow bytes, not entries, and are triggered by maintenance.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            enable_pre_vote: Some(true),
            // A restarted leader campaigns again: the new term's first entry is above everything
            // that was ever acknowledged, so a read point after a restart covers all of it, and
            // a leadership has a beginning that guards in the leader's memory can rely on.
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        }
        .validate()
        .map_err(|error| StartError::Config(error.to_string()))
    }
}

/// Hears what the node measures. Methods are called on hot paths and must only record.
pub trait Observer: Send + Sync + 'static {
    /// One durable write to the log: how long it took, entries and bytes in it.
    fn log_write(&self, took: Duration, entries: usize, size_bytes: usize) {
        let _ = (took, entries, size_bytes);
    }

    /// One command, from propose to its outcome.
    fn commit(&self, took: Duration) {
        let _ = took;
    }

    /// One batch was proposed.
    fn batch(&self, commands: usize, size_bytes: usize) {
        let _ = (commands, size_bytes);
    }

    /// Commands accepted and not yet answered, seen when a batch is proposed or answered.
    fn queue_depth(&self, commands: usize) {
        let _ = commands;
    }

    /// Writes are refused, or accepted again, for want of disk space.
    fn disk_full(&self, full: bool) {
        let _ = full;
    }
}

/// Listens to nothing.
pub struct NoObserver;

impl Observer for NoObserver {}
