//! The cluster: how its nodes are, and changes of it that keep it able to decide.
//!
//! What an operator wants of a node is a replicated note (`machine/cluster.rs`), which the leader
//! carries out (`effects/nodes.rs`). Refused before is what would leave too few voters that can be
//! reached.

pub mod join;

use std::time::Duration;

use ekho_raft::network::PeerStatus;
use ekho_raft::{Backlog, ClusterError, FileGap, Member, ProposeError, Role};
use ekho_storage::tables::cluster::{self, Cluster, JoinToken, Part};
use zeroize::Zeroizing;

use super::operators::Caller as OperatorCaller;
use super::{Service, ServiceError};
use crate::id;
use crate::machine::command::{NewJoinToken, OperatorRequest};
use crate::machine::outcome::Refusal;

/// A node that was not heard for this long is not counted on.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long a change of the cluster is waited for before it is answered as under way.
const CHANGE_PATIENCE: Duration = Duration::from_secs(20);
/// How far a node may be behind to take over leadership.
const CLOSE_ENTRIES: u64 = 1000;
const LOOK: Duration = Duration::from_millis(50);

/// The cluster as this node knows it.
pub struct ClusterStatus {
    /// Its id.
    pub cluster_id: String,
    /// The node that says so.
    pub node_id: u64,
    /// The leader, where one is known.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// Commands up to this level are in use.
    pub feature_level: u32,
    /// Whether who votes is changing at this moment.
    pub is_changing: bool,
    /// The log entry that made the members what they are.
    pub members_since: u64,
    /// Voters that can be reached, and how many of them are needed.
    pub reachable_voters: usize,
    /// See [`ClusterStatus::reachable_voters`].
    pub needed_voters: usize,
    /// In the order of their numbers.
    pub nodes: Vec<NodeStatus>,
}

impl ClusterStatus {
    /// Whether enough voters can be reached to decide anything.
    pub fn can_decide(&self) -> bool {
        self.reachable_voters >= self.needed_voters
    }
}

/// A node of the cluster.
pub struct NodeStatus {
    /// Its number.
    pub node_id: u64,
    /// Where other nodes reach it.
    pub address: String,
    /// Where clients reach it; empty where it does not say.
    pub public_url: String,
    /// What it does at present.
    pub role: Role,
    /// What it is meant to be.
    pub part: Part,
    /// Whether it votes at present.
    pub is_voter: bool,
    /// Whether it can be reached.
    pub is_reachable: bool,
    /// Up to where it has applied.
    pub applied_index: u64,
    /// The end of its log.
    pub last_log_index: u64,
    /// Entries it is behind the end of the log.
    pub lag_entries: u64,
    /// The release it runs.
    pub release: String,
    /// Free bytes on its disk.
    pub disk_free_bytes: Option<u64>,
    /// Whether it refuses writes for want of disk space.
    pub disk_full: bool,
    /// Whether it is about to stop.
    pub is_draining: bool,
    /// How long it takes to answer this node.
    pub round_trip: Option<Duration>,
    /// Why it cannot be reached.
    pub failure: Option<String>,
    /// What waits there to be forwarded, where it is an edge.
    pub backlog: Option<Backlog>,
    /// Files of attachments that it lacks, where it says.
    pub files: Option<FileGap>,
    /// The feature level that it understands.
    pub feature_level: u32,
    /// Ids of the keys that it holds: of its master secret, and of the next one.
    pub keys: Vec<String>,
}

/// A join token as it is shown once.
pub struct MadeJoinToken {
    /// Its id.
    pub id: String,
    /// What the node is started with.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires_ms: u64,
}

impl Service {
    /// How the cluster is, as this node knows it.
    pub fn cluster(&self) -> Result<ClusterStatus, ServiceError> {
        let row = cluster::get(&self.view())?;
        let own = self.node.status();
        let report = self.node.report();
        let mut nodes: Vec<NodeStatus> = own
            .members
            .iter()
            .map(|member| match member.node_id == own.node_id {
                true => {
                    let here = PeerStatus {
                        silence: Some(Duration::ZERO),
                        report: Some(report.clone()),
                        ..PeerStatus::default()
                    };
                    node_status(&row, member, here)
                }
                false => node_status(&row, member, self.node.peer(member.node_id)),
            })
            .collect();
        let end = nodes.iter().map(|node| node.last_log_index).max();
        for node in &mut nodes {
            node.lag_entries = end.unwrap_or_default().saturating_sub(node.applied_index);
            // What a node said a moment ago of its own part may be over.
            if own.leader == Some(node.node_id) {
                node.role = Role::Leader;
            } else if node.role == Role::Leader {
                node.role = Role::Follower;
            }
        }
        let voters = nodes.iter().filter(|node| node.is_voter);
        let reachable_voters = voters.clone().filter(|node| node.is_reachable).count();
        Ok(ClusterStatus {
            cluster_id: self.cluster_id.clone(),
            node_id: own.node_id,
            leader: own.leader,
            term: own.term,
            feature_level: row.feature_level,
            is_changing: own.is_changing,
            members_since: own.members_since.unwrap_or(0),
            reachable_voters,
            needed_voters: voters.count() / 2 + 1,
            nodes,
        })
    }

    /// How the cluster is at this moment, for who is about to change it.
    pub(super) async fn cluster_now(&self) -> Result<ClusterStatus, ServiceError> {
        self.node.read_point().await?;
        self.node.greet().await;
        self.cluster()
    }

    /// The join tokens that can still be used.
    pub async fn join_tokens(&self) -> Result<Vec<JoinToken>, ServiceError> {
        let row = cluster::get(&self.operator_view().await?)?;
        let now_ms = crate::clock::now_ms();
        let is_open = |token: &JoinToken| token.used_by.is_none() && token.expires_ms > now_ms;
        Ok(row.tokens.into_iter().filter(is_open).collect())
    }

    /// Makes a token by which one node can join.
    pub async fn create_join_token(
        &self,
        by: &OperatorCaller,
        part: Part,
        ttl_ms: u64,
    ) -> Result<MadeJoinToken, ServiceError> {
        if self.node.report().address.is_empty() {
            return Err(refuse(
                "this node takes no other nodes: set EKHO_NODE_ADDRESS, where others reach it, \
                 and start it again",
            ));
        }
        let id = id::new_id("jtk_");
        let secret = Zeroizing::new(id::new_secret("join_"));
        let request = OperatorRequest::CreateJoinToken(NewJoinToken {
            id: id.clone(),
            hash: self.tokens.hash(&secret),
            part,
            ttl_ms,
        });
        self.order(by, request).await?;
        let row = cluster::get(&self.view())?;
        let made = row.tokens.iter().find(|token| token.id == id);
        Ok(MadeJoinToken {
            token: join::Token::new(&self.cluster_id, self.node_fingerprint, &secret).text(),
            expires_ms: made.map_or(0, |token| token.expires_ms),
            id,
        })
    }

    /// Takes a join token back.
    pub async fn delete_join_token(
        &self,
        by: &OperatorCaller,
        id: String,
    ) -> Result<(), ServiceError> {
        let request = OperatorRequest::DeleteJoinToken { id };
        self.order(by, request).await.map(|_| ())
    }

    /// Changes what a node is meant to be and waits until it is. False where that takes longer.
    pub async fn set_node_part(
        &self,
        by: &OperatorCaller,
        node_id: u64,
        part: Part,
    ) -> Result<bool, ServiceError> {
        let status = self.cluster_now().await?;
        let Some(node) = status.nodes.iter().find(|node| node.node_id == node_id) else {
            return Err(Refusal::NotFound.into());
        };
        let was_voter = node.is_voter;
        let waiting = node.backlog.map_or(0, |backlog| backlog.entries);
        if part == Part::Removed && node.is_reachable && waiting > 0 {
            return Err(refuse(&format!(
                "{waiting} sends wait at node {node_id} to be forwarded, and would be lost: try \
                 again in a moment"
            )));
        }
        if was_voter && part != Part::Voter {
            check_quorum(&status, node_id)?;
        }
        if !was_voter && part == Part::Voter && !node.is_reachable {
            return Err(refuse(&format!(
                "node {node_id} cannot be reached; as a voter it could keep the others from \
                 deciding"
            )));
        }
        let request = OperatorRequest::SetNodePart { node_id, part };
        self.order(by, request).await?;
        Ok(self
            .reached(|member| is_in_line(member, part), node_id)
            .await)
    }

    /// Moves leadership to a node and waits until it leads.
    pub async fn transfer_leader(
        &self,
        by: &OperatorCaller,
        node_id: u64,
    ) -> Result<bool, ServiceError> {
        let status = self.cluster_now().await?;
        let Some(node) = status.nodes.iter().find(|node| node.node_id == node_id) else {
            return Err(Refusal::NotFound.into());
        };
        if status.leader == Some(node_id) {
            return Ok(true);
        }
        let why = match node {
            node if !node.is_voter => Some("does not vote"),
            node if !node.is_reachable => Some("cannot be reached"),
            node if node.is_draining => Some("is about to stop"),
            node if node.lag_entries > CLOSE_ENTRIES => Some("is too far behind"),
            _ => None,
        };
        if let Some(why) = why {
            return Err(refuse(&format!("node {node_id} {why}")));
        }
        let request = OperatorRequest::NodeMoved {
            node_id,
            is_drain: false,
        };
        self.order(by, request).await?;
        self.ask_to_hand_over(node_id).await?;
        let mut leadership = self.node.leadership();
        let leads = leadership.wait_for(|now| now.leader == Some(node_id));
        Ok(tokio::time::timeout(CHANGE_PATIENCE, leads).await.is_ok())
    }

    /// Makes a node ready to stop: leadership goes elsewhere, long polls end.
    pub async fn drain_node(&self, by: &OperatorCaller, node_id: u64) -> Result<(), ServiceError> {
        let status = self.cluster_now().await?;
        let Some(node) = status.nodes.iter().find(|node| node.node_id == node_id) else {
            return Err(Refusal::NotFound.into());
        };
        if !node.is_reachable {
            return Err(refuse(&format!("node {node_id} cannot be reached")));
        }
        if node.is_voter {
            check_quorum(&status, node_id)?;
        }
        let request = OperatorRequest::NodeMoved {
            node_id,
            is_drain: true,
        };
        self.order(by, request).await?;
        self.ask_to_drain(node_id).await
    }

    /// Gives leadership away, if this node has it and another voter can take it. Waits a moment
    /// until that is so.
    pub async fn step_down(&self) {
        const PATIENCE: Duration = Duration::from_secs(3);
        let mut leadership = self.node.leadership();
        if !leadership.borrow().is_self {
            return;
        }
        let Ok(status) = self.cluster() else { return };
        let others = status.nodes.iter().filter(|node| {
            node.node_id != status.node_id
                && node.is_voter
                && node.is_reachable
                && !node.is_draining
        });
        let Some(closest) = others.min_by_key(|node| (node.lag_entries, node.node_id)) else {
            return;
        };
        tracing::info!(to = closest.node_id, "handing leadership over");
        if let Err(error) = self.node.hand_over(closest.node_id).await {
            return tracing::warn!(%error, "leadership was not handed over");
        }
        let elsewhere = leadership.wait_for(|now| !now.is_self && now.leader.is_some());
        if tokio::time::timeout(PATIENCE, elsewhere).await.is_err() {
            tracing::warn!(to = closest.node_id, "nobody took leadership over in time");
        }
    }

    /// Hands over, as the leader that is asked to.
    pub(super) async fn hand_over_here(&self, node_id: u64) -> Result<(), ProposeError> {
        match self.node.hand_over(node_id).await {
            Ok(()) => Ok(()),
            Err(ClusterError::NoLeader { leader }) => Err(ProposeError::NoLeader {
                leader,
                retry_after_ms: 1000,
            }),
            Err(ClusterError::Refused(why)) => Err(ProposeError::Forbidden(why)),
            Err(ClusterError::Stopped) => Err(ProposeError::Stopped),
        }
    }

    async fn reached(&self, is_so: impl Fn(Option<&Member>) -> bool, node_id: u64) -> bool {
        let reached = async {
            loop {
                let status = self.node.status();
                let mut members = status.members.iter();
                let member = members.find(|member| member.node_id == node_id);
                if is_so(member) && !status.is_changing {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(CHANGE_PATIENCE, reached).await.is_ok()
    }
}

fn is_in_line(member: Option<&Member>, part: Part) -> bool {
    match (member, part) {
        (None, part) => part == Part::Removed,
        (Some(member), Part::Voter) => member.voter,
        (Some(member), Part::Learner | Part::Edge) => !member.voter,
        (Some(_), Part::Removed) => false,
    }
}

/// Refuses where the voters that would be left could not decide.
fn check_quorum(status: &ClusterStatus, without: u64) -> Result<(), ServiceError> {
    if status.is_changing {
        return Err(refuse("who votes is changing at this moment: try again"));
    }
    let left = || {
        let voters = status.nodes.iter().filter(|node| node.is_voter);
        voters.filter(|node| node.node_id != without)
    };
    let needed = left().count() / 2 + 1;
    let reachable = left().filter(|node| node.is_reachable).count();
    if reachable >= needed {
        return Ok(());
    }
    Err(refuse(&format!(
        "without node {without} there would be {reachable} voters that can be reached, and \
         {needed} are needed to decide anything"
    )))
}

fn refuse(why: &str) -> ServiceError {
    Refusal::Conflict(why.into()).into()
}

fn node_status(row: &Cluster, member: &Member, peer: PeerStatus) -> NodeStatus {
    let is_reachable =
        peer.failure.is_none() && peer.silence.is_some_and(|silence| silence < SILENCE_MAX);
    let report = peer.report.unwrap_or_default();
    let role = match (report.role, member.voter) {
        (Role::Learner, true) => Role::Follower,
        (role, _) => role,
    };
    NodeStatus {
        node_id: member.node_id,
        address: member.address.clone(),
        public_url: report.public_url,
        role,
        part: row.part(member.node_id),
        is_voter: member.voter,
        is_reachable,
        applied_index: report.applied_index,
        last_log_index: report.last_log_index,
        lag_entries: 0,
        release: report.release,
        disk_free_bytes: report.disk_free_bytes,
        disk_full: report.disk_full,
        is_draining: report.is_draining,
        round_trip: peer.round_trip,
        failure: peer.failure,
        backlog: report.backlog,
        files: report.files,
        feature_level: report.feature_level,
        keys: report.keys,
    }
}
