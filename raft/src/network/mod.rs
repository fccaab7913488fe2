//! The seam to the network. openraft asks for one client a peer; a [`Transport`] makes the
//! connections behind them. What arrives from a peer is handed to the node's `serve_*` methods.
//!
//! Between processes that is [`Peers`] on one side and [`Listener`] on the other: HTTP/2 over
//! mutually authenticated TLS. A node without peers uses [`NoPeers`].

mod asks;
mod book;
mod held;
mod link;
mod peers;
mod serve;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream};
use hyper::body::Frame;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use thiserror::Error;

use crate::blobs::BlobHash;
use crate::error::ProposeError;
use crate::proposer::Upcoming;
use crate::snapshot::SnapshotDir;
use crate::types::{NodeId, Peer, TypeConfig, Vote};

use self::held::held;

pub use self::book::{Book, PeerStatus, Report};
pub use self::peers::{OutsideError, Outsider, Peers, ask_from_outside};
pub use self::serve::{Answers, Listener};
pub(crate) use self::serve::{Failure, Served, read_body};
pub use self::tls::{Asker, Authority, Identity, TlsError};
pub(crate) use self::wire::{Message, split_head};

/// What a node serves to others.
pub(crate) mod path {
    pub(crate) const APPEND: &str = "/raft/1/append";
    pub(crate) const APPENDS: &str = "/raft/1/appends";
    pub(crate) const VOTE: &str = "/raft/1/vote";
    pub(crate) const PRE_VOTE: &str = "/raft/1/pre-vote";
    pub(crate) const HAND_OVER: &str = "/raft/1/hand-over";
    pub(crate) const SNAPSHOT_OFFER: &str = "/raft/1/snapshot-offer";
    pub(crate) const SNAPSHOT: &str = "/raft/1/snapshot";
    pub(crate) const READ_INDEX: &str = "/raft/1/read-index";
    pub(crate) const HELLO: &str = "/raft/1/hello";
    pub(crate) const ASK: &str = "/raft/1/ask";
    pub(crate) const ASKS: &str = "/raft/1/asks";
    pub(crate) const HOLD_BLOB: &str = "/raft/1/hold-blob";
    pub(crate) const STORE_BLOB: &str = "/raft/1/store-blob";
    pub(crate) const READ_BLOB: &str = "/raft/1/read-blob";
}

/// Entries for a follower, or a heartbeat.
pub type Append = AppendEntriesRequest<TypeConfig>;
/// A follower's answer to [`Append`].
pub type Appended = AppendEntriesResponse<TypeConfig>;
/// A candidate's question, before or in an election.
pub type Ballot = VoteRequest<TypeConfig>;
/// The answer to [`Ballot`].
pub type Voted = VoteResponse<TypeConfig>;
/// A leader's wish to be succeeded.
pub type Handover = TransferLeaderRequest<TypeConfig>;
/// The answer to [`Handover`].
pub type HandedOver = TransferLeaderResponse<TypeConfig>;
/// The answer to a snapshot.
pub type Installed = SnapshotResponse<TypeConfig>;
/// Under whose leadership a snapshot is sent.
pub type LeaderVote = Vote;

/// A file on its way to another node: its name and length, and then what is in it.
pub type BlobContent = BoxStream<'static, std::io::Result<Frame<Bytes>>>;

/// Why a peer gave no answer.
#[derive(Clone, Debug, Error)]
pub enum TransportError {
    /// The peer is away; trying again at once is of no use.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// This message failed; the next may not.
    #[error("{0}")]
    Failed(String),
    /// The sender changed its mind.
    #[error("cancelled")]
    Cancelled,
}

/// Makes connections to peers.
pub trait Transport: Send + Sync + 'static {
    /// A client for one peer. It connects when it is first used and again after a failure.
    fn client(&self, node_id: NodeId, peer: &Peer) -> Box<dyn Client>;

    /// Asks a node what the program above this crate wants to know of it. A refusal that says
    /// that nothing was done is true: the request may be sent again.
    fn ask(
        &self,
        node_id: NodeId,
        peer: &Peer,
        request: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        let _ = (node_id, peer, request, ttl);
        async {
            Err(ProposeError::NoLeader {
                leader: None,
                retry_after_ms: 0,
            })
        }
        .boxed()
    }

    /// Asks the leader up to where a read must have applied.
    fn read_index(
        &self,
        node_id: NodeId,
        peer: &Peer,
    ) -> BoxFuture<'_, Result<u64, TransportError>> {
        let _ = (node_id, peer);
        nobody()
    }

    /// Tells a node about this one, and hears about it.
    fn report(
        &self,
        node_id: NodeId,
        own: &Report,
    ) -> BoxFuture<'_, Result<Report, TransportError>> {
        let _ = (node_id, own);
        nobody()
    }

    /// Asks a node whether it has a file, which counts as new there from then on.
    fn hold_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        hash: BlobHash,
    ) -> BoxFuture<'_, Result<bool, TransportError>> {
        let _ = (node_id, peer, hash);
        nobody()
    }

    /// Hands a node a file, and waits until it is stored there.
    fn store_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        content: BlobContent,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        let _ = (node_id, peer, content);
        nobody()
    }

    /// Asks a node for part of a file: its length in eight bytes, and the part; nothing where it
    /// does not have it.
    fn read_blob(
        &self,
        node_id: NodeId,
        peer: &Peer,
        hash: BlobHash,
        offset: u64,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>> {
        let _ = (node_id, peer, hash, offset);
        nobody()
    }

    /// What is known of other nodes, where that is kept.
    #[doc(hidden)]
    fn book(&self) -> Option<Arc<Book>> {
        None
    }
}

/// Sends messages to one peer. Each call is bounded by its `ttl`, but for snapshots, which take
/// as long as they make progress.
pub trait Client: Send + Sync + 'static {
    /// Sends entries or a heartbeat.
    fn append(
        &mut self,
        request: Append,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Appended, TransportError>>;

    /// Asks for a vote.
    fn vote(
        &mut self,
        request: Ballot,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>>;

    /// Asks whether a vote would be given.
    fn pre_vote(
        &mut self,
        request: Ballot,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>>;

    /// Hands leadership over.
    fn hand_over(
        &mut self,
        request: Handover,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<HandedOver, TransportError>>;

    /// Sends a snapshot and waits until it is installed or refused. Stops with
    /// [`TransportError::Cancelled`] when `cancelled` resolves.
    fn snapshot(
        &mut self,
        vote: LeaderVote,
        snapshot: SnapshotDir,
        cancelled: BoxFuture<'static, ()>,
    ) -> BoxFuture<'_, Result<Installed, TransportError>>;
}

/// The transport of a node that has no peers.
pub struct NoPeers;

impl Transport for NoPeers {
    fn client(&self, _node_id: NodeId, _peer: &Peer) -> Box<dyn Client> {
        Box::new(NoPeers)
    }
}

fn nobody<T: Send + 'static>() -> BoxFuture<'static, Result<T, TransportError>> {
    async {
        Err(TransportError::Unreachable(
            "no peers are configured".into(),
        ))
    }
    .boxed()
}

impl Client for NoPeers {
    fn append(
        &mut self,
        _: Append,
        _: Duration,
    ) -> BoxFuture<'_, Result<Appended, TransportError>> {
        nobody()
    }

    fn vote(&mut self, _: Ballot, _: Duration) -> BoxFuture<'_, Result<Voted, TransportError>> {
        nobody()
    }

    fn pre_vote(&mut self, _: Ballot, _: Duration) -> BoxFuture<'_, Result<Voted, TransportError>> {
        nobody()
    }

    fn hand_over(
        &mut self,
        _: Handover,
        _: Duration,
    ) -> BoxFuture<'_, Result<HandedOver, TransportError>> {
        nobody()
    }

    fn snapshot(
        &mut self,
        _: LeaderVote,
        _: SnapshotDir,
        _: BoxFuture<'static, ()>,
    ) -> BoxFuture<'_, Result<Installed, TransportError>> {
        nobody()
    }
}

/// What openraft gets: a factory of clients.
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) upcoming: Upcoming,
}

/// One client as openraft sees it.
pub struct NetworkClient {
    client: Box<dyn Client>,
    upcoming: Upcoming,
}

/// The answers to a stream of appends.
type Appending<'s> = BoxFuture<'s, Result<BoxStream<'s, AppendAnswer>, RPCError<TypeConfig>>>;
type AppendAnswer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = NetworkClient;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> NetworkClient {
        NetworkClient {
            client: self.transport.client(target, node),
            upcoming: self.upcoming.clone(),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for NetworkClient {
    type SnapshotData = SnapshotDir;

    async fn append_entries(
        &mut self,
        rpc: Append,
        option: RPCOption,
    ) -> Result<Appended, RPCError<TypeConfig>> {
        self.client
            .append(rpc, option.soft_ttl())
            .await
            .map_err(rpc_error)
    }

    fn stream_append<'s, S>(&'s mut self, input: S, option: RPCOption) -> Appending<'s>
    where
        S: Stream<Item = Append> + openraft::OptionalSend + Unpin + 'static,
    {
        let appends = held(input, self.upcoming.clone());
        stream_append_sequential(self, appends, option)
    }

    async fn vote(
        &mut self,
        rpc: Ballot,
        option: RPCOption,
    ) -> Result<Voted, RPCError<TypeConfig>> {
        self.client
            .vote(rpc, option.soft_ttl())
            .await
            .map_err(rpc_error)
    }

    async fn pre_vote(
        &mut self,
        rpc: Ballot,
        option: RPCOption,
    ) -> Result<Voted, RPCError<TypeConfig>> {
        self.client
            .pre_vote(rpc, option.soft_ttl())
            .await
            .map_err(rpc_error)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, SnapshotDir>,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<Installed, StreamingError<TypeConfig>> {
        let cancelled = cancel.map(|_| ()).boxed();
        self.client
            .snapshot(vote, snapshot.snapshot, cancelled)
            .await
            .map_err(|error| match error {
                TransportError::Cancelled => {
                    StreamingError::Closed(ReplicationClosed::new("cancelled"))
                }
                error => StreamingError::from(rpc_error(error)),
            })
    }

    async fn transfer_leader(
        &mut self,
        request: Handover,
        option: RPCOption,
    ) -> Result<HandedOver, RPCError<TypeConfig>> {
        self.client
            .hand_over(request, option.soft_ttl())
            .await
            .map_err(rpc_error)
    }
}

fn rpc_error(error: TransportError) -> RPCError<TypeConfig> {
    match error {
        TransportError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&error)),
        error => RPCError::Network(NetworkError::new(&error)),
    }
}
