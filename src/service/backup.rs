//! Backups of the running relay.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ekho_raft::SnapshotDir;
use ekho_raft::blobs::{BlobHash, Blobs};
use ekho_storage::View;
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::{fleet, system};
use tokio::sync::OwnedSemaphorePermit;

use super::attachments::each_content;
use super::operators::Caller;
use super::{Service, ServiceError};
use crate::backup::{Attached, BackupFile, Counts, FORM, Manifest, Point};
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
    attached: Linked,
    _place: OwnedSemaphorePermit,
}

/// Files of attachments, linked where nobody removes them. The links go with this.
struct Linked {
    dir: PathBuf,
    files: Vec<(BlobHash, u64)>,
}

impl Drop for Linked {
    fn drop(&mut self) {
        // What is left of it goes at the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Linked {
    /// Links a file of this node; whether it was there.
    fn link(&self, blobs: &Blobs, hash: &BlobHash) -> io::Result<bool> {
        match fs::hard_link(blobs.path(hash), self.dir.join(hex::encode(hash))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(true),
            linked => linked.map(|()| true),
        }
    }
}

impl Backup {
    /// Where the files of the state are.
    pub fn dir(&self) -> PathBuf {
        self.snapshot.state_path()
    }

    /// Where the files of attachments are, each under its hash.
    pub fn attachments_dir(&self) -> &Path {
        &self.attached.dir
    }

    /// The files of attachments, and how long they are.
    pub fn attached(&self) -> &[(BlobHash, u64)] {
        &self.attached.files
    }

    /// Checksums of the files of the state, in the order of the manifest.
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
        self: &Arc<Self>,
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
        // Before the snapshot, so that nothing in it can be removed until it is linked.
        let attached = self.link_all().await?;
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
            let (manifest, contents) = describe(&snapshot, label)?;
            Ok::<_, ServiceError>((manifest, contents, snapshot))
        });
        let described = described.await;
        let (mut manifest, contents, snapshot) =
            described.map_err(|error| ServiceError::Internal(error.to_string()))??;
        let attached = self.attach(attached, contents, &mut manifest).await?;
        Ok(Backup {
            manifest,
            snapshot,
            attached,
            _place: place,
        })
    }

    /// Links every file that attachments name now and that is here.
    async fn link_all(self: &Arc<Self>) -> Result<Linked, ServiceError> {
        let service = Arc::clone(self);
        let linked = tokio::task::spawn_blocking(move || {
            let linked = Linked {
                dir: service.blobs().aside()?,
                files: Vec::new(),
            };
            service.each_content(&service.view(), |hash, _| {
                linked.link(service.blobs(), &hash)?;
                Ok(())
            })?;
            Ok(linked)
        });
        let linked = linked.await;
        linked.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// Has every file that the snapshot's attachments name linked; what is not here is fetched. What
    /// nobody has is counted.
    async fn attach(
        &self,
        mut linked: Linked,
        contents: BTreeMap<BlobHash, u64>,
        manifest: &mut Manifest,
    ) -> Result<Linked, ServiceError> {
        for (hash, size_bytes) in contents {
            let mut is_linked = linked.link(self.blobs(), &hash)?;
            if !is_linked && self.fetch_blob(hash, size_bytes, None).await? {
                is_linked = linked.link(self.blobs(), &hash)?;
            }
            if !is_linked {
                tracing::warn!(file = hex::encode(hash), "a file is missing in a backup");
                manifest.attachments.missing += 1;
                continue;
            }
            linked.files.push((hash, size_bytes));
            manifest.attachments.add(size_bytes);
        }
        Ok(linked)
    }

    /// A backup found a file of this node damaged: it is fetched anew.
    pub fn attachment_damaged(&self, hash: BlobHash) {
        match self.blobs().discard(&hash) {
            Ok(_) => self.waiters.files.lost(hash),
            Err(error) => tracing::error!(%error, "a damaged file cannot be removed"),
        }
    }
}

/// Reads from the snapshot itself what a backup says, which the running state is ahead of. That it
/// opens is a proof as well.
fn describe(
    snapshot: &SnapshotDir,
    label: Option<String>,
) -> Result<(Manifest, BTreeMap<BlobHash, u64>), ServiceError> {
    let view = View::open(&snapshot.state_path())?;
    let system = system::get(&view)?;
    let mut counts = Counts::default();
    let mut contents = BTreeMap::new();
    each_content(&view, |hash, content| {
        contents.insert(hash, content.size_bytes);
        Ok(())
    })?;
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
    let manifest = Manifest {
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
        attachments: Attached::default(),
    };
    Ok((manifest, contents))
}
