//! The transport between nodes in different processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;

use super::asks::{Answered, Asks, QUESTION_MAX_BYTES};
use super::book::{Book, Report};
use super::link::{BULK_PING_TIMEOUT, Body, CallError, Link, PING_TIMEOUT, Target, whole};
use super::tls::{Identity, any_node, pinned_client};
use super::wire::Message;
use super::{
    Append, Appended, Ballot, BlobContent, Client, HandedOver, Handover, Installed, LeaderVote,
    Transport, TransportError, Voted, path,
};
use crate::blobs::{self, BlobHash};
use crate::error::ProposeError;
use crate::snapshot::{Outgoing, SnapshotDir};
use crate::types::{NodeId, Peer};

/// Entries may wait for a busy disk at the other end; that the other end is gone, the connection
/// finds out by itself.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// For a question that a node answers from memory.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// For a snapshot, which takes as long as it takes while the connection lives.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// For a file, from its first byte to its being synced.
const BLOB_TIMEOUT: Duration = Duration::from_secs(600);
/// For a piece of a file, or a look at one, which the other end reads to its end.
const BLOB_QUESTION_TIMEOUT: Duration = Duration::from_secs(20);
/// A snapshot is kept so long after it was installed, and the log above it with it: the receiver
/// goes on from there.
const KEPT_AFTER: Duration = Duration::from_secs(5);

/// Connections to the other nodes. Clones share them.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    identity: Arc<Identity>,
    node_id: NodeId,
    book: Arc<Book>,
    links: Mutex<BTreeMap<NodeId, Arc<Links>>>,
}

/// Four connections: what consensus says must not wait behind what it decides on, and nothing
/// behind a snapshot or files.
struct Links {
    consensus: Link,
    appends: Asks,
    snapshot: Link,
    blobs: Link,
    other: Link,
    asks: Asks,
}

impl Peers {
    /// Those of the node with this identity.
    pub fn new(identity: Arc<Identity>, node_id: NodeId) -> Self {
        Peers(Arc::new(Shared {
            identity,
            node_id,
            book: Arc::default(),
            links: Mutex::default(),
        }))
    }

    fn links(&self, node_id: NodeId) -> Result<Arc<Links>, CallError> {
        let mut links = self.0.links.lock();
        if let Some(known) = links.get(&node_id) {
            return Ok(known.clone());
        }
        let shared = &self.0;
        let name = shared.identity.name_of(node_id);
        let name = name.map_err(|error| CallError::NotSent(error.to_string()))?;
        let link = |ping_timeout| {
            Link::new(Target {
                name: name.clone(),
                tls: shared.identity.client.clone(),
                from: Some(shared.node_id),
                ping_timeout,
            })
        };
        let made = Arc::new(Links {
            consensus: link(PING_TIMEOUT),
            appends: Asks::new(path::APPENDS),
            snapshot: link(BULK_PING_TIMEOUT),
            blobs: link(BULK_PING_TIMEOUT),
            other: link(PING_TIMEOUT),
            asks: Asks::new(path::ASKS),
        });
        links.insert(node_id, made.clone());
        Ok(made)
    }

    async fn call(
        &self,
        node_id: NodeId,
        path: &'static str,
        body: Body,
        ttl: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let links = self.links(node_id)?;
        let address = self.address(node_id)?;
        let link = match path {
            path::APPEND | path::VOTE | path::PRE_VOTE | path::HAND_OVER => &links.consensus,
            path::SNAPSHOT_OFFER | path::SNAPSHOT => &links.snapshot,
            path::HOLD_BLOB | path::STORE_BLOB | path::READ_BLOB => &links.blobs,
            _ => &links.other,
        };
        link.call(&address, path, body, ttl).await
    }

    fn address(&self, node_id: NodeId) -> Result<String, CallError> {
        self.0.book.address(node_id).ok_or_else(|| {
            CallError::NotSent(format!("the address of node {node_id} is not known"))
        })
    }

    /// Asks a node over the stream for such questions, or in a request of its own to `path` where the
    /// question is long or the node's release does not know the stream.
    async fn question(
        &self,
        node_id: NodeId,
        path: &'static str,
        question: Bytes,
        ttl: Duration,
    ) -> Result<Answered, CallError> {
        if question.len() <= QUESTION_MAX_BYTES {
            let links = self.links(node_id)?;
            let address = self.address(node_id)?;
            let (stream, link) = match path {
                path::APPEND => (&links.appends, &links.consensus),
                _ => (&links.asks, &links.other),
            };
            let asked = stream.ask(link, &address, question.clone(), ttl);
            if let Some(answered) = asked.await? {
                return Ok(answered);
            }
        }
        Ok(
            match self.call(node_id, path, whole(question), ttl).await? {
                (StatusCode::OK, answer) => Ok(answer),
                (_, refusal) => Err(refusal),
            },
        )
    }

    async fn message<Q: Message, A: Message>(
        &self,
        node_id: NodeId,
        path: &'static str,
        question: &Q,
        ttl: Duration,
    ) -> Result<A, TransportError> {
        let failed = |error: &dyn std::fmt::Display| TransportError::Failed(error.to_string());
        let question = question.encode().map_err(|error| failed(&error))?;
        let answer = match path {
            path::APPEND => {
                let answered = self.question(node_id, path, question, ttl).await;
                answered.map_err(transport)?.map_err(|why| {
                    TransportError::Failed(String::from_utf8_lossy(&why).into_owned())
                })?
            }
            _ => {
                let answer = self.call(node_id, path, whole(question), ttl).await;
                accepted(answer.map_err(transport)?)?
            }
        };
        A::decode(&answer).map_err(|error| failed(&error))
    }
}

impl Transport for Peers {
    fn client(&self, node_id: NodeId, peer: &Peer) -> Box<dyn Client> {
        self.0.book.member(node_id, &peer.address);
        Box::new(ToPeer {
            peers: self.clone(),
            node_id,
        })
    }

    fn ask(
        &self,
        node_id: NodeId,
        peer: &Peer,
        request: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        self.0.book.member(node_id, &peer.address);
        async move {
            match self.question(node_id, path::ASK, request, ttl).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(body)) => Err(refusal(&body)),
                Err(CallError::NotSent(why)) => {
                    tracing::debug!(node_id, why, "a question to the leader did not go out");
                    Err(ProposeError::NoLeader {
                        leader: None,
                        retry_after_ms: 0,
                    })
                }
                Err(CallError::Lost(why)) => {
                    tracing::debug!(node_id, why, "the leader's answer was lost");
                    Err(ProposeError::OutcomeUnknown)
                }
            }
        }
        .boxed()
    }

    fn read_index(
        &self,
        node_id: NodeId,
        peer: &Peer,
    ) -> BoxFuture<'_, Result<u64, TransportError>> {
        self.0.book.member(node_id, &peer.address);
        async move {
            let body = whole(Bytes::new());
            let answer = self.call(node_id, path::READ_INDEX, body, QUESTION_TIMEOUT);
            let answer = accepted(answer.await.map_err(transport)?)?;
            let index = <[u8; 8]>::try_from(answer.as_ref());
            index
                .map(u64::from_le_bytes)
                .map_err(|_| TransportError::Failed("it is no index".into()))
        }
        .boxed()
    }

    fn report(
        &self,
        node_id: NodeId,
        own: &Report,
    ) -> BoxFuture<'_, Result<Report, TransportError>> {
        let own = serde_json::to_vec(own);
        async move {
            let failed = |error: serde_json::Error| TransportError::Failed(error.to_string());
            let body = whole(own.map_err(failed)?.into());
            let answer = self.call(node_id, path::HELLO, body, QUESTION_TIMEOUT);
            let answer = accepted(answer.await.map_err(transport)?)?;
            serde_json::from_slice(&answer).map_err(failed)
        }
        .boxed()
    }

    fn hold_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        hash: BlobHash,
    ) -> BoxFuture<'_, Result<bool, TransportError>> {
        self.0.book.member(node_id, &peer.address);
        async move {
            let body = whole(blobs::request(&hash, 0));
            let answer = self.call(node_id, path::HOLD_BLOB, body, BLOB_QUESTION_TIMEOUT);
            Ok(accepted(answer.await.map_err(transport)?)?.as_ref() == [1])
        }
        .boxed()
    }

    fn store_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        content: BlobContent,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        self.0.book.member(node_id, &peer.address);
        async move {
            let body = StreamBody::new(content).boxed_unsync();
            let answer = self.call(node_id, path::STORE_BLOB, body, BLOB_TIMEOUT);
            accepted(answer.await.map_err(transport)?).map(|_| ())
        }
        .boxed()
    }

    fn read_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        hash: BlobHash,
        offset: u64,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>> {
        self.0.book.member(node_id, &peer.address);
        async move {
            let body = whole(blobs::request(&hash, offset));
            let answer = self.call(node_id, path::READ_BLOB, body, BLOB_QUESTION_TIMEOUT);
            accepted(answer.await.map_err(transport)?)
        }
        .boxed()
    }

    fn book(&self) -> Option<Arc<Book>> {
        Some(self.0.book.clone())
    }
}

/// The client that openraft drives.
struct ToPeer {
    peers: Peers,
    node_id: NodeId,
}

impl Client for ToPeer {
    fn append(
        &mut self,
        request: Append,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Appended, TransportError>> {
        let ttl = if request.entries.is_empty() {
            ttl
        } else {
            APPEND_TIMEOUT
        };
        self.send(path::APPEND, request, ttl)
    }

    fn vote(
        &mut self,
        request: Ballot,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>> {
        self.send(path::VOTE, request, ttl)
    }

    fn pre_vote(
        &mut self,
        request: Ballot,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>> {
        self.send(path::PRE_VOTE, request, ttl)
    }

    fn hand_over(
        &mut self,
        request: Handover,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<HandedOver, TransportError>> {
        self.send(path::HAND_OVER, request, ttl)
    }

    fn snapshot(
        &mut self,
        vote: LeaderVote,
        snapshot: SnapshotDir,
        cancelled: BoxFuture<'static, ()>,
    ) -> BoxFuture<'_, Result<Installed, TransportError>> {
        async move {
            tokio::select! {
                sent = self.send_snapshot(vote, snapshot) => sent,
                () = cancelled => Err(TransportError::Cancelled),
            }
        }
        .boxed()
    }
}

impl ToPeer {
    fn send<Q, A>(
        &self,
        path: &'static str,
        question: Q,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<A, TransportError>>
    where
        Q: Message + Send + Sync + 'static,
        A: Message,
    {
        async move { self.peers.message(self.node_id, path, &question, ttl).await }.boxed()
    }

    /// Offers a snapshot and sends the files that the other end does not have yet.
    async fn send_snapshot(
        &self,
        vote: LeaderVote,
        snapshot: SnapshotDir,
    ) -> Result<Installed, TransportError> {
        let failed = |error: &dyn std::fmt::Display| TransportError::Failed(error.to_string());
        let manifest = snapshot.manifest().map_err(|error| failed(&error))?;
        let offered = self.peers.call(
            self.node_id,
            path::SNAPSHOT_OFFER,
            whole(manifest.into()),
            SNAPSHOT_TIMEOUT,
        );
        let missing = accepted(offered.await.map_err(transport)?)?;
        let missing: Vec<usize> =
            serde_json::from_slice(&missing).map_err(|error| failed(&error))?;
        let mut head = BytesMut::new();
        let vote = vote.encode().map_err(|error| failed(&error))?;
        head.put_u32_le(u32::try_from(vote.len()).map_err(|error| failed(&error))?);
        head.put_slice(&vote);
        let files = snapshot.clone().outgoing(&missing);
        let body = StreamBody::new(content(head.freeze(), files)).boxed_unsync();
        let sent = self
            .peers
            .call(self.node_id, path::SNAPSHOT, body, SNAPSHOT_TIMEOUT);
        let answer = accepted(sent.await.map_err(transport)?)?;
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_AFTER).await;
            drop(snapshot);
        });
        Installed::decode(&answer).map_err(|error| failed(&error))
    }
}

/// The head, then the files.
fn content(
    head: Bytes,
    files: Outgoing,
) -> impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + use<> {
    let head = stream::iter([Ok(Frame::data(head))]);
    head.chain(stream::try_unfold(files, |mut files| async move {
        let chunk = files.next().await?;
        Ok(chunk.map(|chunk| (Frame::data(chunk), files)))
    }))
}

fn transport(error: CallError) -> TransportError {
    match error {
        CallError::NotSent(why) => TransportError::Unreachable(why),
        CallError::Lost(why) => TransportError::Failed(why),
    }
}

fn accepted((status, body): (StatusCode, Bytes)) -> Result<Bytes, TransportError> {
    match status {
        StatusCode::OK => Ok(body),
        status => Err(TransportError::Failed(format!(
            "{status}: {}",
            String::from_utf8_lossy(&body)
        ))),
    }
}

/// What a node that is asked says when it does not do it.
fn refusal(body: &Bytes) -> ProposeError {
    serde_json::from_slice(body).unwrap_or_else(|error| {
        tracing::warn!(%error, "a node refused in words that are not known here");
        ProposeError::OutcomeUnknown
    })
}

/// Asks a node from outside the cluster: as the holder of its secret, or as who has a token with
/// the fingerprint of its authority.
pub async fn ask_from_outside(
    address: &str,
    as_whom: Outsider<'_>,
    request: Bytes,
    ttl: Duration,
) -> Result<Bytes, OutsideError> {
    let tls = match as_whom {
        Outsider::Holder(identity) => identity.client.clone(),
        Outsider::Fingerprint(fingerprint) => pinned_client(fingerprint)
            .map_err(|error| OutsideError::Unreachable(error.to_string()))?,
    };
    let name = any_node().map_err(|error| OutsideError::Unreachable(error.to_string()))?;
    let link = Link::new(Target {
        name,
        tls,
        from: None,
        ping_timeout: PING_TIMEOUT,
    });
    match link.call(address, path::ASK, whole(request), ttl).await {
        Ok((StatusCode::OK, answer)) => Ok(answer),
        Ok((_, body)) => Err(OutsideError::Refused(refusal(&body))),
        Err(error) => Err(OutsideError::Unreachable(error.to_string())),
    }
}

/// Who asks from outside.
pub enum Outsider<'a> {
    /// Who holds the secret.
    Holder(&'a Identity),
    /// Who knows the authority's fingerprint.
    Fingerprint([u8; 32]),
}

/// Why a node gave no answer to who asked from outside.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutsideError {
    /// There was no connection, or it ended.
    #[error("{0}")]
    Unreachable(String),
    /// It said no.
    #[error(transparent)]
    Refused(ProposeError),
}
