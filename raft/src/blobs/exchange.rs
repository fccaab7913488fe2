//! Files between nodes. A node is handed a whole file in one stream, and answers when it is synced
//! and what its name says; who lacks a file asks for it piece by piece, and can go on where it was
//! cut off.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming as Body};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{BlobHash, Blobs, CHUNK_BYTES, hex};
use crate::disk::Disk;
use crate::error::ProposeError;
use crate::machine::Machine;
use crate::network::{BlobContent, Failure, TransportError};
use crate::node::Node;
use crate::types::NodeId;

/// The name and the length before a file.
const HEAD_BYTES: usize = 32 + 8;
/// Longest file.
const SIZE_MAX_BYTES: u64 = 4 << 30;
/// The next piece has to come within this time.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pieces that wait for the disk, a frame each.
const WAITING: usize = 2;
/// Pieces sent at once.
const SENT_BYTES: usize = 256 << 10;

/// Why a node did not take, or give, a file.
#[derive(Clone, Debug, Error)]
pub enum BlobError {
    /// There is no room here.
    #[error("the disk is full")]
    DiskFull,
    /// The other node does not have it.
    #[error("node {0} does not have it")]
    Missing(NodeId),
    /// The other node does not answer, or says no.
    #[error("node {node_id}: {why}")]
    Peer {
        /// Which.
        node_id: NodeId,
        /// What came back.
        why: String,
    },
    /// A file here cannot be read or written.
    #[error("{0}")]
    Io(String),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match is_no_space(&error) {
            true => BlobError::DiskFull,
            false => BlobError::Io(error.to_string()),
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl<M: Machine> Node<M> {
    /// The files of this node.
    pub fn blobs(&self) -> Option<&Blobs> {
        self.inner.config.blobs.as_ref()
    }

    /// Whether that many more bytes leave the room on the disk that has to stay free.
    pub fn has_room_for(&self, size_bytes: u64) -> bool {
        self.inner.disk.has_room_for(size_bytes)
    }

    /// Each a set of voters of which a majority decides; two while the membership changes.
    pub fn voter_sets(&self) -> Vec<Vec<NodeId>> {
        use openraft::async_runtime::WatchReceiver;
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let sets = metrics.membership_config.get_joint_config().iter();
        sets.map(|set| set.iter().copied().collect()).collect()
    }

    /// Hands a node a file of this one, unless it has it. When this returns the file is synced
    /// there, and what its name says.
    pub async fn store_blob_at(
        &self,
        node_id: NodeId,
        hash: BlobHash,
        size_bytes: u64,
    ) -> Result<(), BlobError> {
        let failed = peer_failed(node_id);
        let transport = &self.inner.config.transport;
        let peer = self.inner.member(node_id);
        let held = transport.hold_blob(node_id, &peer, hash).await;
        if held.map_err(&failed)? {
            return Ok(());
        }
        let Some(blobs) = self.blobs() else {
            return Err(BlobError::Io("this node keeps no files".into()));
        };
        let file = tokio::fs::File::open(blobs.path(&hash)).await?;
        let stored = transport.store_blob(node_id, &peer, outgoing(hash, size_bytes, file));
        stored.await.map_err(&failed)
    }

    /// Asks a node for part of a file: the whole length, and up to `CHUNK_BYTES` from `offset` on.
    pub async fn read_blob_from(
        &self,
        node_id: NodeId,
        hash: BlobHash,
        offset: u64,
    ) -> Result<(u64, Bytes), BlobError> {
        let peer = self.inner.member(node_id);
        let transport = &self.inner.config.transport;
        let answer = transport.read_blob(node_id, &peer, hash, offset).await;
        let mut answer = answer.map_err(peer_failed(node_id))?;
        if answer.len() < 8 {
            return Err(BlobError::Missing(node_id));
        }
        let size_bytes = answer.get_u64_le();
        Ok((size_bytes, answer))
    }

    fn blobs_for(&self, from: NodeId) -> Result<&Blobs, Failure> {
        if !self.is_member(from) {
            let why = format!("node {from} is not of this cluster, or no longer");
            return Err(Failure::Refused(ProposeError::Forbidden(why)));
        }
        self.blobs().ok_or(Failure::Unknown)
    }

    /// Another node asks whether this one has a file, which then counts as new.
    pub(crate) async fn serve_hold_blob(
        &self,
        from: NodeId,
        request: Bytes,
    ) -> Result<Bytes, Failure> {
        let blobs = self.blobs_for(from)?.clone();
        let (hash, _) = split_request(request)?;
        let held = blocking(move || {
            // Told before it is asked, so that nothing can take it back in between.
            blobs.promise(hash);
            blobs.renew(&hash)
        });
        let held = held.await?;
        Ok(Bytes::from(vec![u8::from(held)]))
    }

    /// Another node asks for part of a file.
    pub(crate) async fn serve_read_blob(
        &self,
        from: NodeId,
        request: Bytes,
    ) -> Result<Bytes, Failure> {
        let blobs = self.blobs_for(from)?.clone();
        let (hash, offset) = split_request(request)?;
        let part = blocking(move || blobs.read(&hash, offset, CHUNK_BYTES)).await?;
        let Some((size_bytes, bytes)) = part else {
            return Ok(Bytes::new());
        };
        let mut answer = BytesMut::with_capacity(8 + bytes.len());
        answer.put_u64_le(size_bytes);
        answer.put_slice(&bytes);
        Ok(answer.freeze())
    }

    /// Another node hands this one a file.
    pub(crate) async fn serve_store_blob(
        &self,
        from: NodeId,
        body: Body,
    ) -> Result<Bytes, Failure> {
        let blobs = self.blobs_for(from)?;
        let Ok(_place) = blobs.0.receiving.try_acquire() else {
            return Err(Failure::Unavailable("too many files at once".into()));
        };
        Receiving { body }.take(blobs, &self.inner.disk).await?;
        Ok(Bytes::new())
    }
}

fn peer_failed(node_id: NodeId) -> impl Fn(TransportError) -> BlobError {
    move |error| BlobError::Peer {
        node_id,
        why: error.to_string(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Failure::Unavailable(error.to_string()))?;
    done.map_err(|error| Failure::Unavailable(error.to_string()))
}

/// A request that names a file and a number.
pub(crate) fn request(hash: &BlobHash, number: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES);
    bytes.put_slice(hash);
    bytes.put_u64_le(number);
    bytes.freeze()
}

fn split_request(mut request: Bytes) -> Result<(BlobHash, u64), Failure> {
    if request.len() != HEAD_BYTES {
        return Err(Failure::Malformed("it names no file".into()));
    }
    let mut hash = [0; 32];
    request.copy_to_slice(&mut hash);
    Ok((hash, request.get_u64_le()))
}

/// The head, then the file.
fn outgoing(hash: BlobHash, size_bytes: u64, file: tokio::fs::File) -> BlobContent {
    use tokio::io::AsyncReadExt;
    let head = stream::iter([Ok(Frame::data(request(&hash, size_bytes)))]);
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut bytes = BytesMut::with_capacity(SENT_BYTES);
        let count = file.read_buf(&mut bytes).await?;
        Ok((count > 0).then(|| (Frame::data(bytes.freeze()), file)))
    });
    head.chain(pieces).boxed()
}

/// A file that arrives.
struct Receiving {
    body: Body,
}

impl Receiving {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match tokio::time::timeout(PIECE_TIMEOUT, self.body.frame()).await {
                Err(_) => return Err(Failure::Malformed("nothing more came".into())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Failure::Malformed(error.to_string())),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn take(mut self, blobs: &Blobs, disk: &Disk) -> Result<(), Failure> {
        let cut = || Failure::Malformed("the file was cut short".into());
        let mut head = BytesMut::new();
        while head.len() < HEAD_BYTES {
            let more = self.next().await?.ok_or_else(cut)?;
            head.put_slice(&more);
        }
        let first = head.split_off(HEAD_BYTES).freeze();
        let (hash, size_bytes) = split_request(head.freeze())?;
        if size_bytes > SIZE_MAX_BYTES {
            let why = format!("{size_bytes} bytes, at most {SIZE_MAX_BYTES}");
            return Err(Failure::Malformed(why));
        }
        if disk.is_full() || !disk.has_room_for(size_bytes) {
            return Err(Failure::Unavailable("the disk is full".into()));
        }
        let (sender, mut pieces) = mpsc::channel::<Bytes>(WAITING);
        let blobs = blobs.clone();
        let written = tokio::task::spawn_blocking(move || {
            blobs.promise(hash);
            let mut incoming = blobs.begin()?;
            while let Some(piece) = pieces.blocking_recv() {
                incoming.write_all(&piece)?;
                if incoming.size_bytes() > size_bytes {
                    let why = "more came than was said";
                    return Err(io::Error::new(ErrorKind::InvalidData, why));
                }
            }
            // Shorter ones have another hash.
            incoming.finish_as(&hash).map(|_| ())
        });
        let mut failed = None;
        let mut next = Some(first);
        while let Some(piece) = next {
            if sender.send(piece).await.is_err() {
                // Who writes has ended, and says why.
                break;
            }
            next = match self.next().await {
                Ok(next) => next,
                Err(error) => {
                    failed = Some(error);
                    None
                }
            };
        }
        drop(sender);
        let written = written.await;
        if let Some(failed) = failed {
            return Err(failed);
        }
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                Err(Failure::Malformed(error.to_string()))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, blob = hex(&hash), "a file of another node was not stored");
                Err(Failure::Unavailable(error.to_string()))
            }
            Err(error) => Err(Failure::Unavailable(error.to_string())),
        }
    }
}
