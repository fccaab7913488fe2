//! The nodes of the cluster as they are meant to be, and the tokens by which nodes join. Belongs to
//! no fleet.
//!
//! Consensus has its own list of members. The leader brings that in line with this one, so that
//! what an operator asked for happens in the end, whoever leads by then. A node without an entry
//! here is one that was there before anybody asked for anything: a voter.

use bincode::{Decode, Encode};

use super::{TimeMs, meta, record};
use crate::{Cf, Key, Read, StorageError, Txn};

/// Nodes there may be, those that were removed not counted.
pub const NODES_MAX: usize = 50;
/// Join tokens there may be at a time.
pub const TOKENS_MAX: usize = 50;

/// What a node is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// Votes, and can lead.
    Voter,
    /// Has all data and does not vote.
    Learner,
    /// Is no longer of the cluster, and never will be again under its number.
    Removed,
    /// A learner that serves agents near it, also while it is cut off. From feature level 2 on.
    Edge,
}

impl Part {
    /// Those a node can join as.
    pub const JOINABLE: [Part; 3] = [Part::Voter, Part::Learner, Part::Edge];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Voter => "voter",
            Part::Learner => "learner",
            Part::Removed => "removed",
            Part::Edge => "edge",
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeEntry {
    /// Its number.
    pub node_id: u64,
    /// What it is meant to be.
    pub part: Part,
    /// SHA-256 of what the node made up when it first asked to join. By it, one that asks again
    /// gets the same answer.
    pub key_hash: [u8; 32],
    /// Where it said it would be reached when it joined, `host:port`.
    pub address: String,
    /// When it joined; 0 for the first one.
    pub joined_ms: TimeMs,
}

/// A token that admits one node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JoinToken {
    /// Its id, by which people name it.
    pub id: String,
    /// Keyed hash of its secret.
    pub hash: [u8; 32],
    /// What the node becomes.
    pub part: Part,
    /// Who made it: an operator's id.
    pub created_by: String,
    /// When.
    pub created_ms: TimeMs,
    /// When it ends.
    pub expires_ms: TimeMs,
    /// The node that used it.
    pub used_by: Option<u64>,
}

/// The cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Cluster {
    /// The highest number that a node was given.
    pub last_node_id: u64,
    /// In the order of their numbers.
    pub nodes: Vec<NodeEntry>,
    /// In the order they were made.
    pub tokens: Vec<JoinToken>,
    /// Commands up to this feature level may be proposed: every node understands them.
    pub feature_level: u32,
}
record!(Cluster, "cluster");

impl Cluster {
    /// What a node is meant to be.
    pub fn part(&self, node_id: u64) -> Part {
        let entry = self.nodes.iter().find(|entry| entry.node_id == node_id);
        entry.map_or(Part::Voter, |entry| entry.part)
    }
}

/// Reads the row; a new state has the default.
pub fn get(read: &impl Read) -> Result<Cluster, StorageError> {
    Ok(read
        .record(Cf::Meta, Key::table(meta::CLUSTER).bytes())?
        .unwrap_or_default())
}

/// Writes the row.
pub fn put(txn: &mut Txn, cluster: &Cluster) {
    txn.put_record(Cf::Meta, Key::table(meta::CLUSTER), cluster);
}
