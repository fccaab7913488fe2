//! What peers ask of a node, and changes of the membership.

use std::collections::BTreeSet;

use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Snapshot};

use crate::error::ClusterError;
use crate::machine::Machine;
use crate::network::{
    Append, Appended, Ballot, HandedOver, Handover, Installed, LeaderVote, Voted,
};
use crate::node::Node;
use crate::snapshot::SnapshotDir;
use crate::types::{NodeId, Peer, TypeConfig};

impl<M: Machine> Node<M> {
    /// Serves entries or a heartbeat from a leader.
    pub async fn serve_append(&self, request: Append) -> Result<Appended, ClusterError> {
        self.inner.raft.append_entries(request).await.map_err(fatal)
    }

    /// Serves a candidate in an election.
    pub async fn serve_vote(&self, request: Ballot) -> Result<Voted, ClusterError> {
        self.inner.raft.vote(request).await.map_err(fatal)
    }

    /// Serves a candidate before an election.
    pub async fn serve_pre_vote(&self, request: Ballot) -> Result<Voted, ClusterError> {
        self.inner.raft.pre_vote(request).await.map_err(fatal)
    }

    /// Serves a leader that hands over.
    pub async fn serve_hand_over(&self, request: Handover) -> Result<HandedOver, ClusterError> {
        self.inner
            .raft
            .handle_transfer_leader(request)
            .await
            .map_err(|_| ClusterError::Stopped)
    }

    /// Installs a snapshot that was received completely. The receiver verifies it first
    /// ([`SnapshotDir::verify`]) and asks for it again where it is damaged: what is handed in
    /// here and does not verify ends the node.
    pub async fn serve_snapshot(
        &self,
        vote: LeaderVote,
        snapshot: SnapshotDir,
    ) -> Result<Installed, ClusterError> {
        let meta = snapshot.meta();
        self.inner
            .raft
            .install_full_snapshot(vote, Snapshot { meta, snapshot })
            .await
            .map_err(|_| ClusterError::Stopped)
    }

    /// Adds a node that receives the log and does not vote. Returns when that is decided, not
    /// when the node has caught up.
    pub async fn add_learner(&self, node_id: NodeId, peer: Peer) -> Result<(), ClusterError> {
        self.inner
            .raft
            .add_learner(node_id, peer, false)
            .await
            .map(|_| ())
            .map_err(change)
    }

    /// Makes `voters` the voters. Each must be a member already; a voter left out becomes a
    /// learner.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ClusterError> {
        let change_set = ChangeMembers::ReplaceAllVoters(voters);
        self.inner
            .raft
            .change_membership(change_set, true)
            .await
            .map(|_| ())
            .map_err(change)
    }

    /// Removes a node that does not vote. It may not come back under its number.
    pub async fn remove(&self, node_id: NodeId) -> Result<(), ClusterError> {
        let change_set = ChangeMembers::RemoveNodes(BTreeSet::from([node_id]));
        self.inner
            .raft
            .change_membership(change_set, true)
            .await
            .map(|_| ())
            .map_err(change)
    }

    /// Asks `node_id` to lead instead of this node. Returns before it does.
    pub async fn hand_over(&self, node_id: NodeId) -> Result<(), ClusterError> {
        self.inner
            .raft
            .trigger()
            .transfer_leader(node_id)
            .await
            .map_err(|_| ClusterError::Stopped)
    }
}

fn fatal(_: RaftError<TypeConfig>) -> ClusterError {
    ClusterError::Stopped
}

fn change(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ClusterError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => ClusterError::NoLeader {
            leader: forward.leader_id,
        },
        RaftError::APIError(error) => ClusterError::Refused(error.to_string()),
        RaftError::Fatal(_) => ClusterError::Stopped,
    }
}
