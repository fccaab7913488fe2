//! Backups of the running relay.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ekho_raft::SnapshotDir;
use ekho_storage::View;
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::{fleet, system};
use tokio::sync::OwnedSemaphorePermit;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::backup::{BackupFile, Counts, FORM, Manifest, Point};
use crate::machine::FLEETS_MAX;
use crate::machine::access::Need;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;

/// Backups taken from one node at once: each reads the whole state.
pub const AT_ONCE: usize = 1;
/// Longest time for the snapshot. It waits while the disk is full.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(600);

/// A backup that can be written. Its files stay while it is held, and no other is taken meanwhile.
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    snapshot: SnapshotDir,
    _place: OwnedSemaphorePermit,
}

impl Backup {
    /// Where the files of the state are.
    pub fn dir(&self) -> PathBuf {
        self.snapshot.state_path()
    }

    /// Their checksums, in the order of the manifest.
    pub fn crc32s(&self) -> Vec<u32> {
        self.snapshot
            .files()
            .iter()
            .map(|file| file.crc32)
            .collect()
    }
}

impl Service {
    /// Makes ready a backup of everything that was answered before this call, and writes down who
    /// takes it.
    pub async fn begin_backup(
        &self,
        by: &Caller,
        label: Option<String>,
    ) -> Result<Backup, ServiceError> {
        by.principal.require(Need::Scope(Scope::Backup))?;
        let place = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| {
            let why = "another backup is being taken from this node";
            Refusal::Conflict(why.into())
        })?;
        let request = OperatorRequest::TakeBackup {
            label: label.clone().unwrap_or_default(),
        };
        self.order(by, request).await?;
        // Which may be behind the leader.
        self.node.read_point().await?;
        match tokio::time::timeout(SNAPSHOT_PATIENCE, self.node.snapshot()).await {
            Ok(Ok(_)) => {}
            Ok(Err(ekho_raft::SnapshotError::Stopped)) => return Err(ServiceError::Stopping),
            Ok(Err(error)) => return Err(ServiceError::Internal(error.to_string())),
            Err(_) if self.node.status().disk_full => return Err(ServiceError::DiskFull),
            Err(_) => return Err(ServiceError::Overloaded),
        }
        let none = || ServiceError::Internal("a snapshot was made, but there is none".into());
        let snapshot = self.node.current_snapshot().ok_or_else(none)?;
        let described = tokio::task::spawn_blocking(move || {
            let manifest = describe(&snapshot, label)?;
            Ok::<_, ServiceError>((manifest, snapshot))
        });
        let described = described.await;
        let (manifest, snapshot) =
            described.map_err(|error| ServiceError::Internal(error.to_string()))??;
        Ok(Backup {
            manifest,
            snapshot,
            _place: place,
        })
    }
}

/// Reads from the snapshot itself what a backup says, which the running state is ahead of. That it
/// opens is a proof as well.
fn describe(snapshot: &SnapshotDir, label: Option<String>) -> Result<Manifest, ServiceError> {
    let view = View::open(&snapshot.state_path())?;
    let system = system::get(&view)?;
    let mut counts = Counts::default();
    for fleet in fleet::list(&view, FLEETS_MAX as usize)? {
        let get = |counter| counter::get(&view, fleet.no, counter);
        counts.fleets += 1;
        counts.messages_open += get(Counter::MessageOpen)?;
        counts.messages_accepted += get(Counter::MessageAccepted)?;
        for status in [
            Counter::AgentHealthy,
            Counter::AgentDegraded,
            Counter::AgentPaused,
            Counter::AgentQuarantined,
        ] {
            counts.agents += get(status)?;
        }
    }
    let files = snapshot.files().iter().map(|file| BackupFile {
        name: file.name.clone(),
        size_bytes: file.size_bytes,
    });
    Ok(Manifest {
        ekho_backup: FORM,
        release: env!("CARGO_PKG_VERSION").into(),
        cluster_id: snapshot.cluster_id().into(),
        label,
        point: Point {
            at_ms: system.now_ms,
            log_index: snapshot.last_index().unwrap_or_default(),
        },
        sealing_key_id: system.sealing_key_id,
        counts,
        files: files.collect(),
    })
}
