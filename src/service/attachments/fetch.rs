//! The file of an attachment: the one here where it is whole, otherwise another node's.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ekho_raft::blobs::{BlobError, BlobHash, Blobs, Look, hex};
use tokio::time::{Instant, timeout, timeout_at};

use super::super::{Service, ServiceError};

/// How long whoever reads waits until a file is here.
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// Longest time for a piece of a file to come.
const PIECE_PATIENCE: Duration = Duration::from_secs(20);
/// When to try again where no node has it.
const RETRY_MS: u64 = 5000;

impl Service {
    /// The files of this node.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Opens a file whose bytes were compared with its hash just now; where there is none, it is
    /// fetched and kept.
    pub async fn open_blob(&self, hash: BlobHash, size_bytes: u64) -> Result<File, ServiceError> {
        let deadline = Instant::now() + READ_PATIENCE;
        if let Some(file) = self.open_here(hash).await? {
            return Ok(file);
        }
        let fetched = timeout_at(deadline, self.fetch_blob(hash, size_bytes, None)).await;
        let is_here = match fetched {
            Ok(fetched) => fetched?,
            Err(_) => false,
        };
        let unavailable = ServiceError::NoNodeHasIt {
            retry_after_ms: RETRY_MS,
        };
        match is_here {
            true => self.open_here(hash).await?.ok_or(unavailable),
            false => Err(unavailable),
        }
    }

    /// The file here, if it is whole. A damaged one is thrown away.
    async fn open_here(&self, hash: BlobHash) -> Result<Option<File>, ServiceError> {
        let internal = |error: &dyn std::fmt::Display| ServiceError::Internal(error.to_string());
        let permit = self.attachments.checks.acquire().await;
        let _permit = permit.map_err(|error| internal(&error))?;
        let blobs = self.blobs().clone();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = blobs.open_whole(&hash)?;
            if let Err(Look::Damaged) = opened {
                tracing::error!(file = hex(&hash), "a file is damaged; it is fetched anew");
                blobs.discard(&hash)?;
            }
            Ok::<_, std::io::Error>(opened.ok())
        });
        Ok(opened.await.map_err(|error| internal(&error))??)
    }

    /// Gets a file from another node and keeps it; whether it is here now. With `pace`, it waits
    /// that long after each piece.
    pub async fn fetch_blob(
        &self,
        hash: BlobHash,
        size_bytes: u64,
        pace: Option<Duration>,
    ) -> Result<bool, ServiceError> {
        let turn = Arc::clone(self.attachments.fetching.lock().entry(hash).or_default());
        let fetched = {
            let _turn = turn.lock().await;
            match self.blobs().size(&hash)? {
                // Somebody else got it meanwhile.
                Some(have_bytes) if have_bytes == size_bytes => Ok(true),
                _ => self.fetch_in_turn(hash, size_bytes, pace).await,
            }
        };
        let mut fetching = self.attachments.fetching.lock();
        drop(turn);
        if fetching.get(&hash).map(Arc::strong_count) == Some(1) {
            fetching.remove(&hash);
        }
        drop(fetching);
        fetched
    }

    async fn fetch_in_turn(
        &self,
        hash: BlobHash,
        size_bytes: u64,
        pace: Option<Duration>,
    ) -> Result<bool, ServiceError> {
        if self.node.status().disk_full || !self.node.has_room_for(size_bytes) {
            return Err(ServiceError::DiskFull);
        }
        for node_id in self.likely_holders() {
            match self.fetch_from(node_id, hash, size_bytes, pace).await {
                Ok(true) => {
                    self.metrics.attachment_fetch(true);
                    tracing::info!(file = hex(&hash), node_id, "fetched a file");
                    return Ok(true);
                }
                Ok(false) => {
                    tracing::warn!(file = hex(&hash), node_id, "what a node gave is damaged");
                }
                Err(BlobError::DiskFull) => return Err(ServiceError::DiskFull),
                Err(error) => {
                    tracing::debug!(file = hex(&hash), node_id, %error, "a node did not give a file");
                }
            }
        }
        self.metrics.attachment_fetch(false);
        Ok(false)
    }

    /// Other nodes, those first that can be reached and vote.
    fn likely_holders(&self) -> Vec<u64> {
        let status = self.node.status();
        let mut others: Vec<(bool, bool, u64)> = status
            .members
            .iter()
            .filter(|member| member.node_id != status.node_id)
            .map(|member| {
                let fails = self.node.peer(member.node_id).failure.is_some();
                (fails, !member.voter, member.node_id)
            })
            .collect();
        others.sort_unstable();
        others.into_iter().map(|(_, _, node_id)| node_id).collect()
    }

    /// Goes on with what there is of a file; whether it is whole at its end.
    async fn fetch_from(
        &self,
        node_id: u64,
        hash: BlobHash,
        size_bytes: u64,
        pace: Option<Duration>,
    ) -> Result<bool, BlobError> {
        let blobs = self.blobs().clone();
        let mut partial = blocking(move || blobs.partial(hash)).await?;
        if partial.size_bytes() > size_bytes {
            let blobs = self.blobs().clone();
            blocking(move || blobs.remove_partial(&hash)).await?;
            return Ok(false);
        }
        loop {
            let offset = partial.size_bytes();
            if offset == size_bytes {
                return blocking(move || partial.finish()).await;
            }
            let piece = self.node.read_blob_from(node_id, hash, offset);
            let (have_bytes, piece): (u64, Bytes) = match timeout(PIECE_PATIENCE, piece).await {
                Ok(piece) => piece?,
                Err(_) => return Err(BlobError::Missing(node_id)),
            };
            let is_short = have_bytes != size_bytes || piece.is_empty();
            if is_short || offset + piece.len() as u64 > size_bytes {
                // It has another file under this name: a damaged one.
                return Err(BlobError::Missing(node_id));
            }
            partial = blocking(move || {
                partial.append(&piece)?;
                Ok(partial)
            })
            .await?;
            if let Some(pace) = pace {
                tokio::time::sleep(pace).await;
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| BlobError::Io(error.to_string()))?;
    Ok(done?)
}
