//! Starting a node: open, compare log, state and snapshot, replay, take part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ekho_storage::State;
use openraft::Raft;
use openraft::errors::{InitializeError, RaftError};
use openraft::storage::RaftLogReader;
use parking_lot::Mutex;

use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::error::StartError;
use crate::fatal::Fatal;
use crate::hello;
use crate::log::LogStore;
use crate::machine::{Machine, StateMachine};
use crate::maintenance;
use crate::network::Network;
use crate::node::{Inner, Node, Parts};
use crate::proposer::{Queue, Upcoming};
use crate::reads::ReadPoints;
use crate::snapshot::Snapshots;
use crate::types::{LogId, Peer};

pub(crate) async fn start<M: Machine>(
    config: NodeConfig,
    state: State,
    machine: M,
) -> Result<Node<M>, StartError> {
    let raft_config = Arc::new(config.timing.openraft(&config.cluster_id)?);
    let fatal = Fatal::new();
    let disk = Disk::new(
        &config.data_dir,
        config.limits.disk_free_min_bytes,
        config.observer.clone(),
    );
    let machine = Arc::new(machine);

    let opening = (
        config.clone(),
        state.clone(),
        machine.clone(),
        disk.clone(),
        fatal.clone(),
    );
    let opened = tokio::task::spawn_blocking(move || {
        let (config, state, machine, disk, fatal) = opening;
        let (log, writer) = LogStore::open_with(
            &config,
            disk.clone(),
            fatal.clone(),
            config.observer.clone(),
        )?;
        let snapshots = Arc::new(Snapshots::open(&config.data_dir, &config.cluster_id)?);
        let (store, apply) = StateMachine::open_with(
            &config,
            state,
            machine,
            snapshots.clone(),
            disk,
            fatal,
            Some(log.clone()),
        )?;
        Ok::<_, StartError>((log, writer, snapshots, store, apply))
    });
    let (mut log, writer, snapshots, store, apply) = opened
        .await
        .map_err(|error| StartError::Raft(error.to_string()))??;
    let snapshot = snapshots
        .current()
        .and_then(|snapshot| snapshot.last_log_id());
    compare(&mut log, store.position().applied, snapshot).await?;
    disk.check();

    let applied = store.applied();
    let upcoming = Upcoming::default();
    let network = Network {
        transport: config.transport.clone(),
        upcoming: upcoming.clone(),
    };
    let raft = Raft::new(config.node_id, raft_config, network, log.clone(), store)
        .await
        .map_err(|error| match fatal.get() {
            Some(reason) => StartError::Raft(reason.to_string()),
            None => StartError::Raft(error.to_string()),
        })?;
    if config.bootstrap {
        bootstrap(&config, &raft).await?;
    }

    let retry_after_ms = config.timing.retry_after_ms();
    let (queue, proposer) = Queue::new(
        &config.limits,
        disk.clone(),
        raft.clone(),
        upcoming,
        config.clock,
        retry_after_ms,
        config.observer.clone(),
    );
    let (reads, asker) = ReadPoints::new(raft.clone(), applied.clone(), &config);
    let (leadership, follow) = maintenance::leadership(&config, &raft, disk.clone(), fatal.clone());
    let parts = Parts {
        proposer: tokio::spawn(proposer.run()),
        tasks: vec![tokio::spawn(asker.run()), tokio::spawn(follow)],
        apply,
        writer,
    };
    let (quorum_seen, quorum) = tokio::sync::watch::channel(true);
    let inner = Arc::new(Inner {
        config,
        raft,
        state,
        log,
        applied,
        snapshots,
        queue,
        reads,
        leadership,
        quorum,
        quorum_seen,
        disk,
        fatal,
        incoming: tokio::sync::Mutex::new(None),
        answers: Mutex::new(None),
        is_draining: AtomicBool::new(false),
        backlog: Default::default(),
        files: Default::default(),
        parts: Mutex::new(Some(parts)),
    });
    let maintenance = tokio::spawn(maintenance::run(Arc::downgrade(&inner)));
    let hello = tokio::spawn(hello::run(Arc::downgrade(&inner)));
    if let Some(parts) = inner.parts.lock().as_mut() {
        parts.tasks.extend([maintenance, hello]);
    }
    Ok(Node { inner, machine })
}

/// Makes an empty node a cluster of its own; one that is not empty stays what it is.
async fn bootstrap(
    config: &NodeConfig,
    raft: &Raft<crate::types::TypeConfig, StateMachine>,
) -> Result<(), StartError> {
    let members = BTreeMap::from([(
        config.node_id,
        Peer {
            address: config.address.clone(),
        },
    )]);
    match raft.initialize(members).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(StartError::Raft(error.to_string())),
    }
}

/// Refuses a log, state and snapshot that do not belong together.
///
/// The state may be behind the log, by what was not flushed, and behind the snapshot, when a
/// crash came while it was being installed. It may be ahead of the log only where it is the
/// snapshot just installed, whose log has not been cut yet.
pub(crate) async fn compare(
    log: &mut LogStore,
    applied: Option<LogId>,
    snapshot: Option<LogId>,
) -> Result<(), StartError> {
    let (purged, last) = log.ends();
    let index = |log_id: Option<LogId>| log_id.map(|log_id| log_id.index);
    let damaged = |what: &str, detail: String| StartError::Damaged {
        what: what.into(),
        detail,
    };
    let base = index(applied).max(index(snapshot));
    if index(purged) > base {
        return Err(damaged(
            "the state",
            format!(
                "it and the newest snapshot reach to {}, but the log before {} was removed",
                display(base),
                display(index(purged).map(|purged| purged + 1)),
            ),
        ));
    }
    let Some(applied) = applied else {
        return Ok(());
    };
    if index(last) < Some(applied.index) {
        if snapshot == Some(applied) {
            return Ok(());
        }
        return Err(damaged(
            "the log",
            format!(
                "it ends at {}, but {} is applied",
                display(index(last)),
                applied.index
            ),
        ));
    }
    let logged = if purged.is_some_and(|purged| purged.index == applied.index) {
        purged
    } else if purged.is_none_or(|purged| purged.index < applied.index) {
        let entries = log
            .try_get_log_entries(applied.index..=applied.index)
            .await
            .map_err(|error| damaged("the log", error.to_string()))?;
        entries.first().map(|entry| entry.log_id)
    } else {
        return Ok(());
    };
    if logged != Some(applied) {
        return Err(damaged(
            "the state",
            format!("its position {applied} is not an entry of this log"),
        ));
    }
    Ok(())
}

fn display(index: Option<u64>) -> String {
    index.map_or_else(|| "nothing".to_string(), |index| format!("entry {index}"))
}
