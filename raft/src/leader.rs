//! Asking the leader, from whichever node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;

use crate::disk::DiskRoom;
use crate::error::ProposeError;
use crate::machine::Machine;
use crate::network::{Answers, Asker, Identity, Listener, PeerStatus, Report, Served};
use crate::node::{Inner, Node};
use crate::status::{Backlog, FileGap};
use crate::types::{NodeId, Peer};

/// Between two attempts at the same leader.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

impl<M: Machine> Node<M> {
    /// Names who answers what nodes are asked, until the node stops; see [`Node::ask`].
    pub fn answer_with(&self, answers: Arc<dyn Answers>) {
        *self.inner.answers.lock() = Some(answers);
    }

    /// Serves other nodes until `stop`. Answers have to be named before.
    pub async fn listen(
        &self,
        listener: &Listener,
        identity: Arc<Identity>,
        stop: impl Future<Output = ()>,
    ) {
        let Some(answers) = self.inner.answers.lock().clone() else {
            return tracing::error!("nobody was named who answers");
        };
        let served: Arc<dyn Served> = Arc::new(self.clone());
        listener.run(identity, answers, Some(served), stop).await;
    }

    /// Asks the leader, which may be this node. Waits a little for one to be elected. What was
    /// certainly not heard is asked again; whatever may have been heard is not.
    pub async fn ask(&self, request: Bytes, ttl: Duration) -> Result<Bytes, ProposeError> {
        let inner = &self.inner;
        let deadline = Instant::now() + inner.config.timing.patience;
        let mut leadership = inner.leadership.clone();
        loop {
            let known = leadership.borrow_and_update().clone();
            let refused = match known.leader {
                Some(_) if known.is_self => self.ask_here(request.clone()).await,
                Some(leader) => {
                    let peer = inner.member(leader);
                    let transport = &inner.config.transport;
                    transport.ask(leader, &peer, request.clone(), ttl).await
                }
                None => Err(inner.no_leader()),
            };
            let refused = match refused {
                Err(error @ (ProposeError::NoLeader { .. } | ProposeError::Stopped)) => error,
                decided => return decided,
            };
            if self.inner.queue.is_closed() {
                return Err(ProposeError::Stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::debug!(%refused, "no leader answered");
                return Err(inner.no_leader());
            }
            // Another leader is asked at once; the same one again after a moment.
            let _ = tokio::time::timeout(left.min(PAUSE), leadership.changed()).await;
        }
    }

    /// Asks one node, which may be this one. Once.
    pub async fn ask_node(
        &self,
        node_id: NodeId,
        request: Bytes,
        ttl: Duration,
    ) -> Result<Bytes, ProposeError> {
        match node_id == self.inner.config.node_id {
            true => self.ask_here(request).await,
            false => {
                let peer = self.inner.member(node_id);
                let transport = &self.inner.config.transport;
                transport.ask(node_id, &peer, request, ttl).await
            }
        }
    }

    async fn ask_here(&self, request: Bytes) -> Result<Bytes, ProposeError> {
        let answers = self.inner.answers.lock().clone();
        match answers {
            Some(answers) => {
                let from = Asker::Node(self.inner.config.node_id);
                answers.answer(from, request).await
            }
            None => Err(ProposeError::Stopped),
        }
    }

    /// Whether a node is of this cluster, as far as this one knows.
    pub fn is_member(&self, node_id: NodeId) -> bool {
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.get_node(&node_id).is_some()
    }

    /// What is known of another node.
    pub fn peer(&self, node_id: NodeId) -> PeerStatus {
        match self.inner.config.transport.book() {
            Some(book) => book.status(node_id),
            None => PeerStatus::default(),
        }
    }

    /// Asks all other nodes how they are, now. Takes as long as the slowest, at most a few seconds.
    pub async fn greet(&self) {
        self.inner.greet().await;
    }

    /// Up to where this node has applied.
    pub fn applied_index(&self) -> u64 {
        self.inner.applied.index().unwrap_or_default()
    }

    /// The latest time that any other node's clock can show now, by what they last said.
    pub fn latest_clock_ms(&self) -> u64 {
        let peers = self.inner.members().into_iter();
        let clocks = peers.filter_map(|(node_id, _)| {
            let peer = self.peer(node_id);
            let silence_ms = peer.silence?.as_millis() as u64;
            Some(peer.report?.clock_ms.saturating_add(silence_ms))
        });
        clocks.max().unwrap_or_default()
    }

    /// The disk of this node's directory; none where it cannot be asked.
    pub fn disk(&self) -> Option<DiskRoom> {
        self.inner.disk.room()
    }

    /// What this node says of itself.
    pub fn report(&self) -> Report {
        self.inner.report()
    }

    /// Tells other nodes that this one is about to stop, or is not after all.
    pub fn set_draining(&self, is_draining: bool) {
        self.inner.is_draining.store(is_draining, Ordering::Relaxed);
    }

    /// Tells other nodes which files this one lacks; none while it does not know.
    pub fn set_files(&self, files: Option<FileGap>) {
        *self.inner.files.lock() = files;
    }

    /// Tells other nodes what waits at this one.
    pub fn set_backlog(&self, backlog: Backlog) {
        *self.inner.backlog.lock() = Some(backlog);
    }
}

impl Inner {
    /// What the membership says of a node.
    pub(crate) fn member(&self, node_id: NodeId) -> Peer {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let peer = metrics.membership_config.membership().get_node(&node_id);
        peer.cloned().unwrap_or_default()
    }

    pub(crate) fn no_leader(&self) -> ProposeError {
        ProposeError::NoLeader {
            leader: None,
            retry_after_ms: self.config.timing.retry_after_ms(),
        }
    }
}
