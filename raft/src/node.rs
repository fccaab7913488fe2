//! The node: what the rest of the program holds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::{Raft, ServerState};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::error::{ProposeError, ReadError, SnapshotError};
use crate::fatal::Fatal;
use crate::log::{LogStore, LogWriter};
use crate::machine::{Applied, ApplyThread, Machine, StateMachine};
use crate::network::Answers;
use crate::proposer::{Decided, Queue};
use crate::reads::ReadPoints;
use crate::snapshot::{Incoming, Snapshots};
use crate::status::{Backlog, FileGap, Leadership, Member, NodeStatus, Role};
use crate::types::TypeConfig;

use ekho_storage::State;

/// A running node. Clones share it. Call [`Node::shutdown`] before the last one is dropped;
/// without, it ends as a crash would end it.
pub struct Node<M> {
    pub(crate) inner: Arc<Inner>,
    pub(crate) machine: Arc<M>,
}

impl<M> Clone for Node<M> {
    fn clone(&self) -> Self {
        Node {
            inner: self.inner.clone(),
            machine: self.machine.clone(),
        }
    }
}

pub(crate) struct Inner {
    pub(crate) config: NodeConfig,
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) state: State,
    pub(crate) log: LogStore,
    pub(crate) applied: Arc<Applied>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) queue: Queue,
    pub(crate) reads: ReadPoints,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// False while this node believes that it leads, and has not heard from a majority.
    pub(crate) quorum: watch::Receiver<bool>,
    pub(crate) quorum_seen: watch::Sender<bool>,
    pub(crate) disk: Disk,
    pub(crate) fatal: Fatal,
    /// A snapshot on its way here.
    pub(crate) incoming: tokio::sync::Mutex<Option<Incoming>>,
    /// Who answers what the program above is asked.
    pub(crate) answers: Mutex<Option<Arc<dyn Answers>>>,
    pub(crate) is_draining: AtomicBool,
    /// What the program above says of itself to other nodes.
    pub(crate) backlog: Mutex<Option<Backlog>>,
    /// The same of files it lacks.
    pub(crate) files: Mutex<Option<FileGap>>,
    pub(crate) parts: Mutex<Option<Parts>>,
}

/// What a shutdown takes apart.
pub(crate) struct Parts {
    pub(crate) proposer: JoinHandle<()>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) apply: ApplyThread,
    pub(crate) writer: LogWriter,
}

impl<M: Machine> Node<M> {
    /// Opens the log in `config.data_dir`, verifies it against `state`, replays what the state
    /// does not have yet and starts to take part. A lone voter leads shortly after; see
    /// [`Node::leadership`]. Must be called within a tokio runtime with time enabled.
    pub async fn start(
        config: NodeConfig,
        state: State,
        machine: M,
    ) -> Result<Self, crate::StartError> {
        crate::start::start(config, state, machine).await
    }

    /// The machine the node was started with.
    pub fn machine(&self) -> &Arc<M> {
        &self.machine
    }

    /// The state database, for reads after a read point.
    pub fn state(&self) -> &State {
        &self.inner.state
    }

    /// Proposes a command and waits until it is durable on a majority and applied here. Commands
    /// proposed together share one log entry and one fsync; each gets its own outcome.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        self.propose_timed(command)
            .await
            .map(|decided| decided.outcome)
    }

    /// The same, with when what happened.
    pub async fn propose_timed(&self, command: Bytes) -> Result<Decided, ProposeError> {
        let mut quorum = self.inner.quorum.clone();
        if !*quorum.borrow_and_update() {
            return Err(self.inner.no_leader());
        }
        tokio::select! {
            biased;
            outcome = self.inner.queue.propose(command) => outcome,
            // The others may yet decide on it, or on something else.
            _ = quorum.wait_for(|has| !has) => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Waits until a read of the state is linearizable: it will see everything any client was
    /// told before this call, by whichever node. Callers at the same time share one round.
    pub async fn read_point(&self) -> Result<(), ReadError> {
        self.inner.reads.take().await
    }

    /// Up to where a read that begins now must have applied, on whichever node it is made.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        self.inner.reads.index().await
    }

    /// The same, from this node as the leader of `term`: it still led after this was asked.
    pub async fn read_index_as_leader(&self, term: u64) -> Result<u64, ReadError> {
        let index = self.inner.reads.index_as_leader(term).await?;
        index.ok_or_else(|| ReadError::NoLeader {
            leader: None,
            retry_after_ms: self.inner.config.timing.retry_after_ms(),
        })
    }

    /// Waits until `index`, from [`Node::read_index`] of any node, is applied here.
    pub async fn reach(&self, index: u64) {
        self.inner.reads.reach(index).await;
    }

    /// Who leads, and since when; changes are announced.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Where the node stands.
    pub fn status(&self) -> NodeStatus {
        let inner = &self.inner;
        // What leadership is announced from, so that who heard of it sees no older state here.
        let receiver = inner.raft.server_metrics();
        let server = receiver.borrow_watched().clone();
        let receiver = inner.raft.metrics();
        let metrics = receiver.borrow_watched();
        let index = |log_id: &Option<crate::types::LogId>| log_id.map(|log_id| log_id.index);
        let voters: Vec<u64> = server.membership_config.voter_ids().collect();
        let members = server
            .membership_config
            .nodes()
            .map(|(node_id, peer)| Member {
                node_id: *node_id,
                address: peer.address.clone(),
                voter: voters.contains(node_id),
            })
            .collect();
        let membership = &server.membership_config;
        let decided = *inner.applied.position.lock().membership.log_id();
        let is_changing =
            membership.get_joint_config().len() > 1 || *membership.log_id() != decided;
        NodeStatus {
            is_changing,
            members_since: index(membership.log_id()),
            node_id: metrics.id,
            role: role(server.state),
            term: server.vote.leader_id.term,
            leader: server.current_leader,
            last_log_index: metrics.last_log_index,
            committed_index: index(&metrics.local_committed),
            applied_index: inner.applied.index(),
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            log_size_bytes: inner.log.size_bytes(),
            log_since_snapshot_bytes: inner.log.size_above_bytes(index(&metrics.snapshot)),
            waiting_commands: inner.queue.waiting_commands(),
            disk_full: inner.disk.is_full(),
            fatal: inner.fatal.get().map(|reason| reason.to_string()),
            members,
        }
    }

    /// Builds a snapshot of everything applied now and purges the log below it, apart from what
    /// is to be retained. Returns the index the snapshot reaches to.
    pub async fn snapshot(&self) -> Result<Option<u64>, SnapshotError> {
        let Some(target) = self.inner.applied.index() else {
            return Ok(None);
        };
        loop {
            // A request while another snapshot is being built is dropped, hence the loop.
            self.inner
                .raft
                .trigger()
                .snapshot()
                .await
                .map_err(|_| SnapshotError::Stopped)?;
            let reached = self
                .inner
                .raft
                .wait(Some(Duration::from_millis(200)))
                .metrics(
                    |metrics| metrics.snapshot.is_some_and(|last| last.index >= target),
                    "snapshot",
                )
                .await;
            match reached {
                Ok(metrics) => {
                    let index = metrics.snapshot.map(|last| last.index);
                    self.inner
                        .purge(index)
                        .await
                        .map_err(|_| SnapshotError::Stopped)?;
                    return Ok(index);
                }
                Err(openraft::metrics::WaitError::Timeout(..)) => {}
                Err(openraft::metrics::WaitError::ShuttingDown) => {
                    return Err(SnapshotError::Stopped);
                }
            }
        }
    }

    /// The current snapshot, for a backup. Its files stay while the handle is held.
    pub fn current_snapshot(&self) -> Option<crate::SnapshotDir> {
        self.inner.snapshots.current()
    }

    /// Resolves with the reason when the node can no longer take part and the process should
    /// end. Never resolves on a healthy node, nor after a shutdown that was asked for.
    pub async fn fatal(&self) -> Arc<str> {
        self.inner.fatal.wait().await
    }

    /// Stops: refuses new commands, answers those accepted, makes state and log durable. What a
    /// full disk still holds up after `grace`, or what waits for a majority that is not there, is
    /// given up; its callers are told that the outcome is unknown. A second call does nothing.
    pub async fn shutdown(&self, grace: Duration) {
        let Some(parts) = self.inner.parts.lock().take() else {
            return;
        };
        self.inner.shutdown(parts, grace).await;
    }
}

/// A majority that was not heard for this long decides nothing soon.
const MAJORITY_SILENCE_MAX: Duration = Duration::from_secs(2);

impl Inner {
    /// Ends when no majority of the voters was heard for a while.
    async fn majority_gone(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        let Some(book) = self.config.transport.book() else {
            return std::future::pending().await;
        };
        loop {
            let voters: Vec<u64> = {
                let metrics = self.raft.server_metrics();
                let metrics = metrics.borrow_watched();
                metrics.membership_config.voter_ids().collect()
            };
            let is_heard = |node_id: u64| {
                let silence = book.status(node_id).silence;
                node_id == self.config.node_id
                    || silence.is_some_and(|silence| silence < MAJORITY_SILENCE_MAX)
            };
            let heard = voters.iter().filter(|voter| is_heard(**voter)).count();
            if heard < voters.len() / 2 + 1 {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn shutdown(&self, mut parts: Parts, grace: Duration) {
        // A node that failed finishes nothing more.
        let grace = if self.fatal.get().is_some() {
            Duration::ZERO
        } else {
            grace
        };
        self.queue.close();
        let finished = tokio::select! {
            finished = tokio::time::timeout(grace, &mut parts.proposer) => finished.is_ok(),
            () = self.majority_gone() => false,
        };
        if !finished {
            tracing::warn!("giving up on commands that could not be finished");
            parts.proposer.abort();
        } else {
            self.applied_all(grace).await;
        }
        // The committed position saves the next start from asking for it again.
        if !self.disk.is_full()
            && let Err(error) = self.log.sync().await
        {
            tracing::warn!(%error, "the log could not be synced while stopping");
        }
        self.disk.stop();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus ended badly");
        }
        for task in parts.tasks {
            task.abort();
        }
        // Who answers may hold the node.
        self.answers.lock().take();
        let state = self.state.clone();
        let (mut apply, mut writer) = (parts.apply, parts.writer);
        let ended = tokio::task::spawn_blocking(move || {
            writer.stop();
            apply.join();
            // Without it the next start only has more to replay.
            if let Err(error) = state.flush() {
                tracing::warn!(%error, "the state could not be flushed while stopping");
            }
        });
        if ended.await.is_err() {
            tracing::warn!("stopping was cut short");
        }
    }

    /// Waits until everything committed is applied.
    async fn applied_all(&self, grace: Duration) {
        let committed = self.raft.metrics().borrow_watched().local_committed;
        let Some(committed) = committed else { return };
        let reached = self.applied.reach(committed.index);
        // Only a full disk keeps apply from getting there.
        let _ = tokio::time::timeout(grace, reached).await;
    }
}

pub(crate) fn role(state: ServerState) -> Role {
    match state {
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    }
}
