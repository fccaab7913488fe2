//! What a node says about itself.

use serde::{Deserialize, Serialize};

use crate::types::NodeId;

/// Who leads, as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, where one is known.
    pub leader: Option<NodeId>,
    /// The current term.
    pub term: u64,
    /// Whether this node leads.
    pub is_self: bool,
    /// This node's clock when it learned of this leadership, in milliseconds. For the leader
    /// itself: no request was served in this leadership before then.
    pub began_ms: u64,
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Receives the log and does not vote.
    #[default]
    Learner,
    /// Votes and receives the log.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Decides the order of commands.
    Leader,
    /// No longer takes part.
    Stopped,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Learner => "learner",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Stopped => "stopped",
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its number.
    pub node_id: NodeId,
    /// Where it is reached.
    pub address: String,
    /// Whether it votes; the others are learners.
    pub voter: bool,
}

/// What waits at a node that is cut off, until it can reach a leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// How many.
    pub entries: u64,
    /// Since when the oldest of them waits, by the node's clock.
    pub oldest_ms: Option<u64>,
}

/// Files that a node should have and does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGap {
    /// How many.
    pub missing: u64,
    /// Those of them that it may yet get: others it asked for more than once, and nobody had them.
    pub awaited: u64,
    /// Up to which log entry that is known.
    pub index: u64,
}

/// A snapshot of a node's position. Indexes are of the log; none where there is nothing yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// This node.
    pub node_id: NodeId,
    /// Its part.
    pub role: Role,
    /// The current term.
    pub term: u64,
    /// The leader, where one is known.
    pub leader: Option<NodeId>,
    /// The end of the log.
    pub last_log_index: Option<u64>,
    /// Up to where the log is decided.
    pub committed_index: Option<u64>,
    /// Up to where it is applied.
    pub applied_index: Option<u64>,
    /// Up to where the newest snapshot reaches.
    pub snapshot_index: Option<u64>,
    /// Up to where the log was removed.
    pub purged_index: Option<u64>,
    /// Bytes of entries in the log.
    pub log_size_bytes: u64,
    /// Bytes of entries above the newest snapshot.
    pub log_since_snapshot_bytes: u64,
    /// Commands accepted and not yet answered.
    pub waiting_commands: usize,
    /// Whether commands are refused for want of disk space.
    pub disk_full: bool,
    /// Why the node must stop, if it must.
    pub fatal: Option<String>,
    /// Voters and learners.
    pub members: Vec<Member>,
    /// Whether the membership is about to change: until that is decided, majorities of the voters
    /// before and after are needed.
    pub is_changing: bool,
    /// The log entry that made the members what they are.
    pub members_since: Option<u64>,
}
