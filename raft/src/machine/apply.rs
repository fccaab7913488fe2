//! The apply thread: batches of committed entries go into the state database, one `Txn` each,
//! together with the position they bring it to.
//!
//! The state has no write-ahead file. Position and data are in one atomic batch, so after a crash
//! the state is exactly what some prefix of the log makes of it, and the rest is replayed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use bytes::Bytes;
use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::{Cf, Read, State, StorageError, Txn};
use openraft::EntryPayload;
use openraft::storage::ApplyResponder;
use tokio::sync::oneshot;

use super::applied::{Applied, Position};
use super::{ApplyError, Machine, Stamp};
use crate::codec::{self, CodecError};
use crate::disk::{Disk, Short};
use crate::error::{SnapshotError, StartError};
use crate::fatal::Fatal;
use crate::types::{CommandBatch, Entry, Outcomes, StoredMembership, TypeConfig};

const APPLIED: &[u8] = b"raft/applied";
const CLUSTER: &[u8] = b"raft/cluster";
const MEMBERSHIP: &[u8] = b"raft/membership";

/// An entry with whoever waits for its outcome on this node.
pub(super) type Item = (Entry, Option<ApplyResponder<TypeConfig>>);

/// What the thread is asked to do.
pub(crate) enum Job {
    Apply {
        items: Vec<Item>,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Copy the state, as it is between two batches, to a directory that does not exist yet.
    Checkpoint {
        dest: PathBuf,
        done: oneshot::Sender<Result<Position, SnapshotError>>,
    },
    /// Replace the state by the one in a directory, which is moved.
    Replace {
        from: PathBuf,
        done: oneshot::Sender<Result<Position, SnapshotError>>,
    },
}

pub(super) struct Applier<M> {
    pub(super) state: State,
    pub(super) machine: Arc<M>,
    pub(super) shared: Arc<Applied>,
    pub(super) disk: Disk,
    pub(super) fatal: Fatal,
}

impl<M: Machine> Applier<M> {
    /// Runs until every sender of jobs is gone.
    pub(super) fn run(self, jobs: Receiver<Job>) {
        // Whoever asked may have stopped waiting; the work is done all the same.
        for job in jobs {
            match job {
                Job::Apply { items, done } => drop(done.send(self.apply(items))),
                Job::Checkpoint { dest, done } => drop(done.send(self.checkpoint(dest))),
                Job::Replace { from, done } => drop(done.send(self.replace(from))),
            }
        }
    }

    fn apply(&self, items: Vec<Item>) -> io::Result<()> {
        let began = Instant::now();
        let mut txn = self.state.begin();
        let mut effects = M::Effects::default();
        let mut position = self.shared.position.lock().clone();
        let mut answers = Vec::with_capacity(items.len());
        for (entry, responder) in items {
            let index = entry.log_id.index;
            if is_broken(Break::PoisonEntry) && index == 200 {
                return Err(self.stop(index, ""));
            }
            let mut outcomes = Vec::new();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => {
                    outcomes = self
                        .apply_batch(&mut txn, index, &batch, &mut effects)
                        .map_err(|error| self.stop(index, &error.to_string()))?;
                }
                EntryPayload::Membership(membership) => {
                    position.membership = StoredMembership::new(Some(entry.log_id), membership);
                    let record = codec::encode_membership(&position.membership)
                        .map_err(|error| self.stop(index, &error.to_string()))?;
                    txn.put(Cf::Meta, MEMBERSHIP, record);
                }
            }
            position.applied = Some(entry.log_id);
            let began = Some(began);
            answers.push((responder, Outcomes { outcomes, began }));
        }
        let Some(applied) = position.applied else {
            return Ok(());
        };
        let record = codec::encode_log_id(&applied)
            .map_err(|error| self.stop(applied.index, &error.to_string()))?;
        txn.put(Cf::Meta, APPLIED, record);
        self.disk
            .retry(Short::State, StorageError::is_no_space, || txn.commit())
            .map_err(|error| self.stop(applied.index, &error.to_string()))?;
        self.machine.committed(effects);
        self.shared.set(position);
        for (responder, outcomes) in answers {
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
        }
        Ok(())
    }

    fn apply_batch(
        &self,
        txn: &mut Txn,
        index: u64,
        batch: &CommandBatch,
        effects: &mut M::Effects,
    ) -> Result<Vec<Bytes>, ApplyError> {
        let mut outcomes = Vec::with_capacity(batch.commands.len());
        for (position, command) in (0u32..).zip(batch.commands.iter()) {
            let at = Stamp {
                index,
                position,
                now_ms: batch.now_ms,
            };
            outcomes.push(self.machine.apply(txn, at, command, effects)?);
        }
        Ok(outcomes)
    }

    fn checkpoint(&self, dest: PathBuf) -> Result<Position, SnapshotError> {
        self.state.checkpoint(&dest)?;
        Ok(self.shared.position.lock().clone())
    }

    fn replace(&self, from: PathBuf) -> Result<Position, SnapshotError> {
        self.state.replace(&from)?;
        let position = read_position(&self.state).map_err(|error| SnapshotError::Damaged {
            dir: from,
            detail: error.to_string(),
        })?;
        self.shared.set(position.clone());
        Ok(position)
    }

    /// Ends the node: what the others apply, this one cannot.
    fn stop(&self, index: u64, reason: &str) -> io::Error {
        let sentence = format!("log entry {index} cannot be applied: {reason}");
        if !self.disk.is_stopping() {
            self.fatal.set(sentence.clone());
        }
        io::Error::other(sentence)
    }
}

/// Refuses the state of another cluster; a new state becomes this one's.
///
/// The mark is not flushed here. It goes to disk with the first applied position at the latest,
/// as all families are flushed together, and without a position there is nothing to mistake.
pub(super) fn claim(state: &State, cluster_id: &str, dir: &Path) -> Result<(), StartError> {
    let found = state.view().get(Cf::Meta, CLUSTER)?;
    let whose = |id: &[u8]| format!("cluster {}", String::from_utf8_lossy(id));
    match found {
        Some(id) if id == cluster_id.as_bytes() => Ok(()),
        Some(id) => Err(StartError::Foreign {
            dir: dir.to_path_buf(),
            found: whose(&id),
            expected: whose(cluster_id.as_bytes()),
        }),
        None if state.view().exists(Cf::Meta, APPLIED)? => Err(StartError::Damaged {
            what: format!("the state in {}", dir.display()),
            detail: "it does not say which cluster it belongs to".into(),
        }),
        None => {
            let mut txn = state.begin();
            txn.put(Cf::Meta, CLUSTER, cluster_id.as_bytes().to_vec());
            Ok(txn.commit()?)
        }
    }
}

/// Gives the state to another cluster, durably.
pub(crate) fn give_to(state: &State, cluster_id: &str) -> Result<(), StartError> {
    let mut txn = state.begin();
    txn.put(Cf::Meta, CLUSTER, cluster_id.as_bytes().to_vec());
    txn.commit()?;
    Ok(state.flush()?)
}

/// Reads the position the state was left at.
pub(crate) fn read_position(state: &State) -> Result<Position, StartError> {
    let view = state.view();
    let record = |what: &str, error: CodecError| StartError::record(what, error);
    let applied = view
        .get(Cf::Meta, APPLIED)?
        .map(|bytes| codec::decode_log_id(&bytes))
        .transpose()
        .map_err(|error| record("the applied position of the state", error))?;
    let membership = view
        .get(Cf::Meta, MEMBERSHIP)?
        .map(|bytes| codec::decode_membership(&bytes))
        .transpose()
        .map_err(|error| record("the membership in the state", error))?
        .unwrap_or_default();
    Ok(Position {
        applied,
        membership,
    })
}
