//! A new cluster made of what one node holds.
//!
//! There are two occasions: a state that was restored from a backup, which comes without a log,
//! and a node that outlived the majority of its cluster, which has one. Both get another cluster
//! id, so that no node and no certificate of the old cluster is listened to any more; a
//! membership with this node as the only voter; and a command that tells the machine. Membership
//! and command are entries at the end of the log, of a new term. Everything before them counts as
//! decided, and the node starts in the ordinary way.
//!
//! The node must not run meanwhile. Whoever is cut short runs the same again: the state and the
//! snapshots are changed first, the log last and in one write, and each step may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ekho_storage::State;
use openraft::EntryPayload;
use openraft::storage::RaftLogReader;
use serde::Serialize;

use crate::codec::Identity;
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::log::{LogStore, LogWriter};
use crate::machine::{Position, give_to, read_position};
use crate::snapshot::Snapshots;
use crate::start::compare;
use crate::status::Member;
use crate::types::{
    CommandBatch, Entry, LeaderId, LogId, Membership, Peer, StoredMembership, Vote, log_id,
};

/// Entries at the end of the log that are looked through for the time of the last command.
const LOOKED_THROUGH: u64 = 256;

/// What a node that does not run holds. Indexes are of the log; none where there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// The last term it took part in.
    pub term: u64,
    /// The end of the log.
    pub last_log_index: Option<u64>,
    /// Up to where it knew the log to be decided.
    pub committed_index: Option<u64>,
    /// Up to where the state has come on disk.
    pub applied_index: Option<u64>,
    /// When the last commands in the log were proposed, in milliseconds of the leader's clock.
    pub last_command_ms: Option<u64>,
    /// Voters and learners, as it last heard.
    pub members: Vec<Member>,
}

/// Looks at what the node in `config.data_dir` holds, and checks that it fits together.
pub async fn inspect(config: &NodeConfig, state: &State) -> Result<Holdings, StartError> {
    let mut stopped = Stopped::open(config, state).await?;
    let end = stopped.end().await?;
    let (vote, committed) = stopped.log.vote_and_committed();
    let (_, last) = stopped.log.ends();
    let index = |log_id: Option<LogId>| log_id.map(|log_id| log_id.index);
    let voters: BTreeSet<u64> = end.membership.voter_ids().collect();
    let members = end.membership.nodes().map(|(node_id, peer)| Member {
        node_id: *node_id,
        address: peer.address.clone(),
        voter: voters.contains(node_id),
    });
    Ok(Holdings {
        term: vote.map_or(0, |vote| vote.leader_id.term),
        last_log_index: index(last),
        committed_index: index(committed),
        applied_index: index(stopped.position.applied),
        last_command_ms: end.last_command_ms,
        members: members.collect(),
    })
}

/// Makes the log and state in `config.data_dir` those of the cluster `config.cluster_id`, with
/// this node as its only voter, and `command` as the last entry of the log. `from` is the cluster
/// they belong to; none for a state that comes without a log. Returns the index of the command.
pub async fn rebuild(
    config: &NodeConfig,
    from: Option<&str>,
    state: &State,
    command: Bytes,
) -> Result<u64, StartError> {
    let (log, writer, position, peer) = match from {
        Some(from) => {
            let old = NodeConfig {
                cluster_id: from.to_string(),
                ..config.clone()
            };
            let mut stopped = match Stopped::open(&old, state).await {
                Err(StartError::Foreign { .. }) => return written(config).await,
                opened => opened?,
            };
            let end = stopped.end().await?;
            let peer = end
                .membership
                .nodes()
                .find(|(id, _)| **id == config.node_id);
            let peer = peer.map(|(_, peer)| peer.clone()).unwrap_or_default();
            stopped.catch_up(state)?;
            give_to(state, &config.cluster_id)?;
            stopped.snapshots.remove_all()?;
            (stopped.log, stopped.writer, stopped.position, peer)
        }
        None => {
            let (log, writer) = open_log(config).await?;
            if log.ends() != (None, None) {
                return Err(StartError::Damaged {
                    what: "the log".into(),
                    detail: "there is one where none should be".into(),
                });
            }
            give_to(state, &config.cluster_id)?;
            (log, writer, read_position(state)?, Peer::default())
        }
    };
    let index = hand_over(config, &log, position.applied, peer, command)?;
    drop(writer);
    Ok(index)
}

/// Writes the end of the log, in a term that is newer than all that this node took part in.
fn hand_over(
    config: &NodeConfig,
    log: &LogStore,
    applied: Option<LogId>,
    peer: Peer,
    command: Bytes,
) -> Result<u64, StartError> {
    let (_, logged) = log.ends();
    let index = |log_id: &LogId| log_id.index;
    let is_behind = logged.as_ref().map(index) < applied.as_ref().map(index);
    let last = if is_behind { applied } else { logged };
    let last = last.ok_or_else(|| nothing_in(&config.data_dir))?;
    let voted = log.vote_and_committed().0.map(|vote| vote.leader_id.term);
    let leader_id = LeaderId {
        term: last.leader_id.term.max(voted.unwrap_or(0)) + 1,
        node_id: config.node_id,
    };
    let members = BTreeMap::from([(config.node_id, peer)]);
    let voters = vec![BTreeSet::from([config.node_id])];
    let membership =
        Membership::new(voters, members).map_err(|error| StartError::Config(error.to_string()))?;
    let batch = CommandBatch {
        now_ms: (config.clock)(),
        commands: Arc::from([command]),
    };
    let entry = |above: u64, payload| Entry {
        log_id: log_id(leader_id.term, leader_id.node_id, last.index + above),
        payload,
    };
    let entries = [
        entry(1, EntryPayload::Membership(membership)),
        entry(2, EntryPayload::Normal(batch)),
    ];
    let identity = Identity {
        cluster_id: config.cluster_id.clone(),
        node_id: config.node_id,
    };
    // Not one that was won: the node campaigns when it starts, in the term after this one.
    let vote = Vote {
        leader_id,
        committed: false,
    };
    let purged = is_behind.then_some(&last);
    log.hand_to(&identity, purged, &vote, &entries)?;
    Ok(last.index + 2)
}

/// The log and snapshots of a node that does not run, and its state's position.
struct Stopped {
    log: LogStore,
    writer: LogWriter,
    snapshots: Snapshots,
    position: Position,
}

/// What the end of a log says.
struct End {
    membership: StoredMembership,
    last_command_ms: Option<u64>,
}

impl Stopped {
    async fn open(config: &NodeConfig, state: &State) -> Result<Self, StartError> {
        if !config.data_dir.join("log").is_dir() {
            return Err(nothing_in(&config.data_dir));
        }
        let (mut log, writer) = open_log(config).await?;
        let snapshots = Snapshots::open(&config.data_dir, &config.cluster_id)?;
        let position = read_position(state)?;
        let snapshot = snapshots
            .current()
            .and_then(|current| current.last_log_id());
        compare(&mut log, position.applied, snapshot).await?;
        Ok(Stopped {
            log,
            writer,
            snapshots,
            position,
        })
    }

    /// Brings a state that is behind the snapshot up to it: a crash came while it was installed.
    fn catch_up(&mut self, state: &State) -> Result<(), StartError> {
        let Some(snapshot) = self.snapshots.current() else {
            return Ok(());
        };
        if snapshot.last_log_id() > self.position.applied {
            state.replace(&self.snapshots.stage(&snapshot)?)?;
            self.position = read_position(state)?;
        }
        Ok(())
    }

    /// Reads what the log says above the applied position, and a little below.
    async fn end(&mut self) -> Result<End, StartError> {
        let snapshot = self.snapshots.current().map(|current| current.meta());
        let newer = snapshot.filter(|meta| meta.last_log_id > self.position.applied);
        let mut end = End {
            membership: match newer {
                Some(meta) => meta.last_membership,
                None => self.position.membership.clone(),
            },
            last_command_ms: None,
        };
        let (purged, last) = self.log.ends();
        let Some(last) = last else { return Ok(end) };
        let above = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index + 1);
        let looked_from =
            above(self.position.applied).min(last.index.saturating_sub(LOOKED_THROUGH));
        let mut next = looked_from.max(above(purged));
        while next <= last.index {
            let read = self.log.limited_get_log_entries(next, last.index + 1).await;
            let entries = read.map_err(|error| StartError::Log(error.to_string()))?;
            let Some(newest) = entries.last() else {
                return Err(StartError::Log(format!("entry {next} cannot be read")));
            };
            next = newest.log_id.index + 1;
            for entry in &entries {
                match &entry.payload {
                    EntryPayload::Blank => {}
                    EntryPayload::Normal(batch) => {
                        end.last_command_ms = end.last_command_ms.max(Some(batch.now_ms));
                    }
                    EntryPayload::Membership(membership) => {
                        let set_at = Some(entry.log_id);
                        end.membership = StoredMembership::new(set_at, membership.clone());
                    }
                }
            }
        }
        Ok(end)
    }
}

/// The end of a log that an earlier run has handed over already.
async fn written(config: &NodeConfig) -> Result<u64, StartError> {
    let (log, _writer) = open_log(config).await?;
    let (_, last) = log.ends();
    last.map(|last| last.index)
        .ok_or_else(|| nothing_in(&config.data_dir))
}

/// Opens the log and reads every entry of it, which takes a while.
async fn open_log(config: &NodeConfig) -> Result<(LogStore, LogWriter), StartError> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || LogStore::open(&config))
        .await
        .map_err(|error| StartError::Log(error.to_string()))?
}

fn nothing_in(dir: &Path) -> StartError {
    StartError::Nothing {
        dir: dir.to_path_buf(),
    }
}
