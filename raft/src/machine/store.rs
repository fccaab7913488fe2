//! The state machine as openraft uses it: apply, snapshots, and where the state stands.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use ekho_storage::State;
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::oneshot;

use super::Machine;
use super::applied::{Applied, Position};
use super::apply::{Applier, Item, Job, claim, read_position};
use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::error::{SnapshotError, StartError};
use crate::fatal::Fatal;
use crate::log::LogStore;
use crate::snapshot::{Builder, SnapshotDir, Snapshots};
use crate::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// Bytes of commands in one write to the state. More is written in several.
const APPLY_BYTES: usize = 8 << 20;
/// Entries in one write to the state.
const APPLY_ENTRIES: usize = 1024;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotDir>;

/// What openraft drives. Dropping it ends the apply thread.
pub struct StateMachine {
    jobs: Sender<Job>,
    shared: Arc<Applied>,
    snapshots: Arc<Snapshots>,
    state: State,
    disk: Disk,
    log: Option<LogStore>,
}

/// The thread that applies; ends when the [`StateMachine`] and its builders are gone.
pub struct ApplyThread(Option<JoinHandle<()>>);

impl StateMachine {
    /// Starts applying to `state`, with snapshots in `data_dir/snapshots`, and nothing else of a
    /// node.
    pub fn open<M: Machine>(
        config: &NodeConfig,
        state: State,
        machine: M,
    ) -> Result<(Self, ApplyThread), StartError> {
        let disk = Disk::new(&config.data_dir, 0, config.observer.clone());
        let snapshots = Snapshots::open(&config.data_dir, &config.cluster_id)?;
        let (machine, snapshots) = (Arc::new(machine), Arc::new(snapshots));
        Self::open_with(config, state, machine, snapshots, disk, Fatal::new(), None)
    }

    pub(crate) fn open_with<M: Machine>(
        config: &NodeConfig,
        state: State,
        machine: Arc<M>,
        snapshots: Arc<Snapshots>,
        disk: Disk,
        fatal: Fatal,
        log: Option<LogStore>,
    ) -> Result<(Self, ApplyThread), StartError> {
        claim(&state, &config.cluster_id, &config.data_dir.join("state"))?;
        let shared = Arc::new(Applied::new(read_position(&state)?));
        let applier = Applier {
            state: state.clone(),
            machine,
            shared: shared.clone(),
            disk: disk.clone(),
            fatal: fatal.clone(),
        };
        let (jobs, queue) = channel();
        let thread = fatal.spawn("ekho-apply", &config.data_dir, move || applier.run(queue))?;
        let machine = StateMachine {
            jobs,
            shared,
            snapshots,
            state,
            disk,
            log,
        };
        Ok((machine, ApplyThread(Some(thread))))
    }

    pub(crate) fn applied(&self) -> Arc<Applied> {
        self.shared.clone()
    }

    pub(crate) fn position(&self) -> Position {
        self.shared.position.lock().clone()
    }

    async fn apply_items(&self, items: Vec<Item>) -> io::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let (done, applied) = oneshot::channel();
        self.jobs
            .send(Job::Apply { items, done })
            .map_err(|_| stopped())?;
        applied.await.map_err(|_| stopped())?
    }
}

impl ApplyThread {
    /// Waits for the thread to end. Blocks.
    pub fn join(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic was already reported by the thread that panicked.
            let _ = thread.join();
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let position = self.position();
        Ok((position.applied, position.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut items = Vec::new();
        let mut size_bytes = 0;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            if let EntryPayload::Normal(batch) = &entry.payload {
                size_bytes += batch.size_bytes();
            }
            items.push((entry, responder));
            if size_bytes >= APPLY_BYTES || items.len() >= APPLY_ENTRIES {
                self.apply_items(std::mem::take(&mut items)).await?;
                size_bytes = 0;
            }
        }
        self.apply_items(items).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder::new(
            self.snapshots.clone(),
            self.state.clone(),
            self.jobs.clone(),
            self.disk.clone(),
        )
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
    ) -> io::Result<()> {
        if let Some(log) = &self.log {
            // Entries that the snapshot contradicts were truncated before this. They must be
            // gone from the disk before the state is one they do not lead to.
            log.sync().await?;
        }
        self.snapshots
            .install(meta, snapshot, &self.jobs, &self.disk)
            .await
            .map_err(|error: SnapshotError| io::Error::other(error.to_string()))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.current().map(|snapshot| Snapshot {
            meta: snapshot.meta(),
            snapshot,
        }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshot = self
            .build()
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Snapshot {
            meta: snapshot.meta(),
            snapshot,
        })
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the apply thread has stopped")
}
