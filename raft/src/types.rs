//! The types openraft is instantiated with. Names of openraft's generics are given short aliases
//! here and used only inside this crate and its tests.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use openraft::raft::responder::Responder;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

/// A node's number. Unique within a cluster and never reused, not even after removal.
pub type NodeId = u64;

/// What the membership says about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where its node-to-node listener is reached, `host:port`. Empty while a node is alone.
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// The payload of one log entry: the commands one group commit collected. Cloning it copies two
/// words and a counter, so the log's cache, replication and apply share one copy of the bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandBatch {
    /// The leader's clock when it proposed the batch, in milliseconds.
    pub now_ms: u64,
    /// The commands, in the order they are applied.
    pub commands: Arc<[Bytes]>,
}

impl CommandBatch {
    /// The bytes of all commands together.
    pub fn size_bytes(&self) -> usize {
        self.commands.iter().map(Bytes::len).sum()
    }
}

impl fmt::Display for CommandBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands at {} ms", self.commands.len(), self.now_ms)
    }
}

impl fmt::Debug for CommandBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What apply answers for a batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// One outcome a command, in order.
    pub outcomes: Vec<Bytes>,
    /// When this node began to apply what the batch was applied with; no part of what is decided.
    #[serde(skip)]
    pub began: Option<Instant>,
}

/// openraft's type parameters for Ekho.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = CommandBatch;
    type R = Outcomes;
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<CommandBatch, NodeId, Peer>;
    type Entry = openraft::Entry<Self::LeaderId, Self::Payload>;
    #[allow(
        deprecated,
        reason = "the crate it should be named from is not ours to depend on"
    )]
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = BatchResponder<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, Peer>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Payload = openraft::EntryPayload<CommandBatch, NodeId, Peer>;

/// Builds a log id; openraft's constructor takes the leader apart from its parts.
pub(crate) fn log_id(term: u64, node_id: NodeId, index: u64) -> LogId {
    LogId {
        leader_id: LeaderId { term, node_id },
        index,
    }
}

/// How openraft answers the proposer for one batch. It is called on the thread that applied the
/// batch, so the callers are woken without another task in between.
pub struct BatchResponder<T> {
    /// A place in the pipeline, given back when the entry is applied. Given back at commit, many
    /// small entries would queue before a busy apply thread, each paying the whole cost of an
    /// entry for a few commands.
    slot: OwnedSemaphorePermit,
    complete: Box<dyn FnOnce(T) + Send>,
}

impl<T> BatchResponder<T> {
    pub(crate) fn new(
        slot: OwnedSemaphorePermit,
        complete: impl FnOnce(T) + Send + 'static,
    ) -> Self {
        BatchResponder {
            slot,
            complete: Box::new(complete),
        }
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for BatchResponder<T> {
    fn on_complete(self, result: T) {
        (self.complete)(result);
        drop(self.slot);
    }
}
