//! What a node does on its own: watch who leads, watch the disk, build snapshots when the log has
//! grown, purge what they cover.

use std::sync::Weak;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::{Instant as _, Raft, ServerState};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::fatal::Fatal;
use crate::machine::StateMachine;
use crate::node::Inner;
use crate::status::Leadership;
use crate::types::TypeConfig;

/// The part of the snapshot threshold at which a node short of space builds one, hoping that the
/// log it can then purge makes room.
const SHORT_OF_SPACE_DIVISOR: u64 = 8;

/// A leader that has not heard from a majority for so long accepts nothing. Several elections long:
/// by then another leads, if anybody can.
const QUORUM_SILENCE_MAX: Duration = Duration::from_secs(2);

/// Follows who leads. The future ends with openraft, and says so if nobody asked for that.
pub(crate) fn leadership(
    config: &NodeConfig,
    raft: &Raft<TypeConfig, StateMachine>,
    disk: Disk,
    fatal: Fatal,
) -> (
    watch::Receiver<Leadership>,
    impl Future<Output = ()> + Send + 'static,
) {
    let mut metrics = raft.server_metrics();
    let all = raft.metrics();
    let (node_id, clock) = (config.node_id, config.clock);
    let (sender, receiver) = watch::channel(Leadership::default());
    let follow = async move {
        loop {
            let now = of(&metrics.borrow_watched(), node_id);
            sender.send_if_modified(|known| {
                let (leader, term, is_self) = now;
                let same = (known.leader, known.term, known.is_self) == now;
                if !same {
                    tracing::info!(?leader, term, is_self, "leadership changed");
                    *known = Leadership {
                        leader,
                        term,
                        is_self,
                        began_ms: clock(),
                    };
                }
                !same
            });
            if metrics.changed().await.is_err() {
                break;
            }
        }
        sender.send_modify(|known| {
            known.leader = None;
            known.is_self = false;
        });
        let state = all.borrow_watched().running_state.clone();
        match state {
            // Asked for; on a full disk it may end with the error of a write given up.
            _ if disk.is_stopping() => {}
            Err(openraft::errors::Fatal::Stopped) => {}
            Err(error) => fatal.set(format!("consensus ended: {error}")),
            Ok(()) => fatal.set("consensus ended without a word; its message is above"),
        }
    };
    (receiver, follow)
}

fn of(metrics: &RaftServerMetrics<TypeConfig>, node_id: u64) -> (Option<u64>, u64, bool) {
    let is_self = metrics.state == ServerState::Leader && metrics.current_leader == Some(node_id);
    (metrics.current_leader, metrics.vote.leader_id.term, is_self)
}

/// Looks after disk, snapshots and purging until the node is gone.
pub(crate) async fn run(node: Weak<Inner>) {
    let Some(period) = node.upgrade().map(|inner| inner.config.timing.maintenance) else {
        return;
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = node.upgrade() else { return };
        if inner.look_after().await.is_err() {
            return;
        }
    }
}

/// openraft has ended.
pub(crate) struct Ended;

impl Inner {
    /// Whether a leader heard from a majority lately. A node that does not lead is not asked.
    fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader {
            return true;
        }
        let is_alone = metrics.membership_config.voter_ids().count() == 1;
        is_alone
            || metrics
                .last_quorum_acked
                .as_ref()
                .is_none_or(|at| (**at).elapsed() < QUORUM_SILENCE_MAX)
    }

    async fn look_after(&self) -> Result<(), Ended> {
        let has_quorum = self.has_quorum();
        self.quorum_seen.send_if_modified(|before| {
            let changes = *before != has_quorum;
            if changes && has_quorum {
                tracing::info!("a majority of the voters can be reached again");
            } else if changes {
                tracing::warn!("a majority of the voters cannot be reached: nothing is accepted");
            }
            *before = has_quorum;
            changes
        });
        let short_of_space = self.disk.check();
        let snapshot = {
            let metrics = self.raft.data_metrics();
            let metrics = metrics.borrow_watched();
            metrics.snapshot.map(|last| last.index)
        };
        let limit_bytes = self.config.limits.log_snapshot_bytes;
        let due_bytes = if short_of_space {
            limit_bytes / SHORT_OF_SPACE_DIVISOR
        } else {
            limit_bytes
        };
        let is_damaged = self
            .snapshots
            .current()
            .is_some_and(|current| current.is_damaged());
        if is_damaged || self.log.size_above_bytes(snapshot) > due_bytes {
            // Ignored while one is being built.
            self.raft.trigger().snapshot().await.map_err(|_| Ended)?;
        }
        self.forget_incoming();
        self.purge(snapshot).await
    }

    /// Removes what came of a snapshot that is of no use any more: the log led there as well.
    fn forget_incoming(&self) {
        let Ok(mut incoming) = self.incoming.try_lock() else {
            return;
        };
        let applied = self.applied.index();
        if incoming
            .as_ref()
            .is_some_and(|one| one.last_index() <= applied)
        {
            let useless = incoming.take();
            tokio::task::spawn_blocking(move || drop(useless));
        }
    }

    /// Purges what the snapshot that reaches to `snapshot` covers, but for what is retained. Who
    /// is sent an older snapshot goes on from the log above that one, and would never catch up
    /// if it were gone by then; there is a limit to that too.
    pub(crate) async fn purge(&self, snapshot: Option<u64>) -> Result<(), Ended> {
        let Some(mut snapshot) = snapshot else {
            return Ok(());
        };
        if let Some(read) = self.snapshots.read_index()
            && !self.disk.is_full()
            && self.log.size_above_bytes(Some(read)) < self.config.limits.log_held_bytes
        {
            snapshot = snapshot.min(read);
        }
        let retained_bytes = self.config.limits.log_retained_bytes;
        let Some(upto) = self.log.purge_point(snapshot, retained_bytes) else {
            return Ok(());
        };
        self.raft.trigger().purge_log(upto).await.map_err(|_| Ended)
    }
}
