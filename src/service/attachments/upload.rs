//! An upload: from a file that was written here to an attachment. The file is synced on a majority
//! of voters, each of which compared it with its hash, before the command that makes the attachment
//! is proposed; whoever reads the row in the log finds the bytes on one of them.

use std::collections::BTreeSet;
use std::time::Duration;

use ekho_raft::blobs::{BlobHash, Incoming, Stored};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::super::operators::Caller as OperatorCaller;
use super::super::{Caller, Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::machine::command::{AgentRequest, Command, NewAttachment, OperatorRequest};
use crate::machine::outcome::Outcome;
use crate::sniff;
use ekho_storage::tables::TimeMs;

/// Longest time for a majority to store a file.
const STORE_PATIENCE: Duration = Duration::from_secs(120);
/// When to try again where too few nodes could.
const RETRY_MS: u64 = 2000;

/// A place among the uploads of this node, and what it may come to.
pub struct Uploading {
    /// Bytes that the file may have.
    pub limit_bytes: u64,
    _place: OwnedSemaphorePermit,
}

/// A file that was written here and has no name yet.
pub struct NewFile {
    /// Its name.
    pub filename: String,
    /// Its type, as given.
    pub mime: String,
    /// The file.
    pub incoming: Incoming,
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Whether all of it is text in UTF-8.
    pub is_utf8: bool,
}

/// An attachment that was made.
pub struct Uploaded {
    /// Its UUID.
    pub uuid: u128,
    /// Its name.
    pub filename: String,
    /// Its type, as given.
    pub mime: String,
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: BlobHash,
    /// When it was made.
    pub created_ms: TimeMs,
    /// When it goes unless a message binds it.
    pub expires_ms: TimeMs,
}

/// Who uploads.
enum By<'a> {
    Agent(&'a Caller),
    Operator(&'a OperatorCaller),
}

impl Service {
    /// A place for an upload, before anything of it is read.
    pub fn begin_upload(&self) -> Result<Uploading, ServiceError> {
        let limit_bytes = self.attachment_settings()?.attachment_max_bytes;
        if self.node.status().disk_full || !self.node.has_room_for(limit_bytes) {
            return Err(ServiceError::DiskFull);
        }
        let place = self.attachments.uploads.clone().try_acquire_owned();
        Ok(Uploading {
            limit_bytes,
            _place: place.map_err(|_| ServiceError::Overloaded)?,
        })
    }

    /// An agent's upload.
    pub async fn upload(
        &self,
        caller: &Caller,
        place: Uploading,
        file: NewFile,
    ) -> Result<Uploaded, ServiceError> {
        let uploaded = self.make(By::Agent(caller), file).await;
        drop(place);
        uploaded
    }

    /// An operator's upload.
    pub async fn upload_for_operator(
        &self,
        by: &OperatorCaller,
        place: Uploading,
        file: NewFile,
    ) -> Result<Uploaded, ServiceError> {
        let uploaded = self.make(By::Operator(by), file).await;
        drop(place);
        uploaded
    }

    async fn make(&self, by: By<'_>, file: NewFile) -> Result<Uploaded, ServiceError> {
        let sniffed = sniff::recognise(&file.head);
        if let Some(why) = sniff::contradiction(&file.mime, &sniffed, file.is_utf8) {
            return Err(ServiceError::UnsupportedType(why));
        }
        let stored_ms = now_ms();
        let incoming = file.incoming;
        let stored = tokio::task::spawn_blocking(move || incoming.finish()).await;
        let stored = stored.map_err(|error| ServiceError::Internal(error.to_string()))??;
        let new = NewAttachment {
            uuid: id::new_uuid(),
            filename: file.filename,
            mime: file.mime,
            sniffed,
            size_bytes: stored.size_bytes,
            sha256: stored.hash,
            stored_ms,
        };
        let made = async {
            self.store_on_majority(&stored).await?;
            self.propose_attachment(by, new.clone()).await
        };
        match made.await {
            Ok((created_ms, expires_ms)) => Ok(Uploaded {
                uuid: new.uuid,
                filename: new.filename,
                mime: new.mime,
                size_bytes: new.size_bytes,
                sha256: new.sha256,
                created_ms,
                expires_ms,
            }),
            Err(error) => {
                if !matches!(error, ServiceError::OutcomeUnknown) {
                    self.take_back(stored).await;
                }
                Err(error)
            }
        }
    }

    async fn propose_attachment(
        &self,
        by: By<'_>,
        new: NewAttachment,
    ) -> Result<(TimeMs, TimeMs), ServiceError> {
        let outcome = match by {
            By::Agent(caller) => {
                let request = AgentRequest::CreateAttachment(new);
                self.signed(caller, request).await?
            }
            By::Operator(by) => {
                let request = OperatorRequest::CreateAttachment(Box::new(new));
                self.order(by, request).await?
            }
        };
        match outcome {
            Outcome::AttachmentCreated {
                created_ms,
                expires_ms,
            } => Ok((created_ms, expires_ms)),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Removes what was written here for nothing. What other nodes wrote, they remove after a while.
    async fn take_back(&self, stored: Stored) {
        let is_needed = self.is_needed(&self.view(), &stored.hash);
        let blobs = self.blobs().clone();
        // What may be needed stays, and is looked at later.
        if matches!(is_needed, Ok(false)) {
            let removed = tokio::task::spawn_blocking(move || blobs.take_back(stored)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "a file of an upload that came to nothing is left");
            }
        }
    }

    /// Hands a file of this node to the voters, until a majority of them has it.
    async fn store_on_majority(&self, stored: &Stored) -> Result<(), ServiceError> {
        let own = self.node.status().node_id;
        let sets = self.node.voter_sets();
        let mut holders = BTreeSet::from([own]);
        let is_enough = |holders: &BTreeSet<u64>| {
            !sets.is_empty()
                && sets.iter().all(|set| {
                    let count = set.iter().filter(|voter| holders.contains(voter)).count();
                    count > set.len() / 2
                })
        };
        let others: BTreeSet<u64> = sets.iter().flatten().copied().collect();
        let mut storing = JoinSet::new();
        for node_id in others.into_iter().filter(|node_id| *node_id != own) {
            let node = self.node.clone();
            let (hash, size_bytes) = (stored.hash, stored.size_bytes);
            storing.spawn(async move {
                let done = node.store_blob_at(node_id, hash, size_bytes).await;
                (node_id, done)
            });
        }
        let deadline = Instant::now() + STORE_PATIENCE;
        while !is_enough(&holders) {
            match timeout_at(deadline, storing.join_next()).await {
                Ok(Some(Ok((node_id, Ok(()))))) => {
                    holders.insert(node_id);
                }
                Ok(Some(Ok((node_id, Err(error))))) => {
                    tracing::debug!(node_id, %error, "a node did not store a file");
                }
                Ok(Some(Err(error))) => tracing::warn!(%error, "storing a file broke off"),
                Ok(None) | Err(_) => {
                    tracing::warn!(
                        holders = holders.len(),
                        "too few nodes could store the file of an upload"
                    );
                    return Err(ServiceError::NotReplicated {
                        retry_after_ms: RETRY_MS,
                    });
                }
            }
        }
        self.let_stragglers_end(storing);
        Ok(())
    }

    /// Nodes that are late may end in their own time, if they are few. Otherwise they fetch what
    /// they lack later.
    fn let_stragglers_end(&self, mut storing: JoinSet<(u64, Result<(), impl Send + 'static>)>) {
        if storing.is_empty() {
            return;
        }
        if let Ok(place) = self.attachments.stragglers.clone().try_acquire_owned() {
            tokio::spawn(async move {
                while storing.join_next().await.is_some() {}
                drop(place);
            });
        }
    }

    /// Refuses uploads until every node understands attachments.
    pub fn check_attachments(&self) -> Result<(), ServiceError> {
        let first = Command::SeedAttachments(self.attachments.seed.clone());
        self.check_level(&first)
    }
}

impl From<std::io::Error> for ServiceError {
    /// Of a file beside the state.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => ServiceError::DiskFull,
            _ => ServiceError::Internal(error.to_string()),
        }
    }
}
