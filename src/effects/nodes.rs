//! The leader brings the members of consensus in line with what operators want of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ekho_raft::{ClusterError, Peer};
use ekho_storage::tables::cluster::{self, Cluster, Part};

use crate::machine::command::Command;
use crate::service::cluster::{ClusterStatus, NodeStatus};
use crate::service::{Service, ServiceError};

/// Between two looks. A change takes about as long as a few of them.
const LOOK: Duration = Duration::from_millis(200);
/// How close to the end of the log a node must be to vote.
const CAUGHT_UP_ENTRIES: u64 = 200;

/// Runs until the node stops. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    loop {
        tokio::select! {
            led = leadership.wait_for(|leadership| leadership.is_self) => {
                if led.is_err() {
                    return;
                }
            }
            () = service.stopping.cancelled() => return,
        }
        if let Err(error) = look(&service).await {
            tracing::warn!(%error, "the cluster's nodes are not as they should be yet");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

/// One step towards what is wanted.
async fn look(service: &Service) -> Result<(), ServiceError> {
    let wanted = cluster::get(&service.view())?;
    let status = service.cluster()?;
    if service.draining.is_cancelled() {
        // It may have been made leader again, for want of others.
        service.step_down().await;
        return Ok(());
    }
    let changed = match step(&wanted, &status) {
        Some(Step::Add(node_id, address)) => {
            tracing::info!(node_id, address, "adding a node");
            service.node.add_learner(node_id, Peer { address }).await
        }
        Some(Step::Vote(voters)) => {
            tracing::info!(?voters, "changing who votes");
            service.node.set_voters(voters).await
        }
        Some(Step::HandOver) => {
            service.step_down().await;
            Ok(())
        }
        Some(Step::Remove(node_id)) => {
            tracing::info!(node_id, "removing a node");
            service.node.remove(node_id).await
        }
        None => Ok(()),
    };
    match changed {
        Ok(()) | Err(ClusterError::NoLeader { .. } | ClusterError::Stopped) => {}
        Err(ClusterError::Refused(why)) => {
            tracing::debug!(why, "a change of the cluster has to wait");
        }
    }
    raise_feature_level(service, &wanted, &status).await?;
    service.seed_attachments().await
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Add(u64, String),
    Vote(BTreeSet<u64>),
    HandOver,
    Remove(u64),
}

fn step(wanted: &Cluster, status: &ClusterStatus) -> Option<Step> {
    if status.is_changing {
        return None;
    }
    let voters: BTreeSet<u64> = status
        .nodes
        .iter()
        .filter(|node| node.is_voter)
        .map(|node| node.node_id)
        .collect();
    for entry in &wanted.nodes {
        let is_member = status
            .nodes
            .iter()
            .any(|node| node.node_id == entry.node_id);
        if entry.part != Part::Removed && !is_member && !entry.address.is_empty() {
            return Some(Step::Add(entry.node_id, entry.address.clone()));
        }
    }
    for node in &status.nodes {
        let node_id = node.node_id;
        match (node.part, node.is_voter) {
            (Part::Voter, false)
                if node.is_reachable
                    && node.last_log_index > 0
                    && node.lag_entries <= CAUGHT_UP_ENTRIES
                    && has_files(node, status.members_since) =>
            {
                let mut voters = voters.clone();
                voters.insert(node_id);
                return Some(Step::Vote(voters));
            }
            (Part::Learner | Part::Edge | Part::Removed, true) if voters.len() > 1 => {
                if status.leader == Some(node_id) {
                    return Some(Step::HandOver);
                }
                let mut voters = voters.clone();
                voters.remove(&node_id);
                return Some(Step::Vote(voters));
            }
            (Part::Removed, false) => return Some(Step::Remove(node_id)),
            _ => {}
        }
    }
    None
}

/// Whether a node has the files of attachments, which a voter counts for: all that are older than
/// the latest change of the members, so than itself; of newer ones it may be a little behind. One
/// that is of an older release knows of none.
fn has_files(node: &NodeStatus, members_since: u64) -> bool {
    const FILES_LEVEL: u32 = 4;
    match node.files {
        Some(files) => {
            let unseen_entries = node.applied_index.saturating_sub(files.index);
            files.awaited == 0
                && files.index >= members_since
                && unseen_entries <= CAUGHT_UP_ENTRIES
        }
        None => node.feature_level < FILES_LEVEL,
    }
}

/// New commands may be used once every node understands them.
async fn raise_feature_level(
    service: &Service,
    wanted: &Cluster,
    status: &ClusterStatus,
) -> Result<(), ServiceError> {
    let levels = status
        .nodes
        .iter()
        .map(|node| match node.node_id == status.node_id {
            true => Some(service.node.report().feature_level),
            false => service
                .node
                .peer(node.node_id)
                .report
                .map(|report| report.feature_level),
        });
    // A node that was never heard may understand nothing.
    let Some(level) = levels
        .collect::<Option<Vec<u32>>>()
        .and_then(|all| all.into_iter().min())
    else {
        return Ok(());
    };
    // The first level is in use without a word.
    if level > wanted.feature_level.max(1) {
        tracing::info!(level, "every node understands a new feature level");
        service
            .propose(&Command::RaiseFeatureLevel { level })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ekho_raft::Role;
    use ekho_storage::tables::cluster::NodeEntry;

    use ekho_raft::FileGap;

    use super::*;

    fn node(node_id: u64, part: Part, is_voter: bool, lag_entries: u64) -> NodeStatus {
        NodeStatus {
            node_id,
            address: format!("10.0.0.{node_id}:4001"),
            public_url: String::new(),
            role: Role::Follower,
            part,
            is_voter,
            is_reachable: true,
            applied_index: 1000 - lag_entries,
            last_log_index: 1000,
            lag_entries,
            release: String::new(),
            disk_free_bytes: None,
            disk_full: false,
            is_draining: false,
            round_trip: None,
            failure: None,
            backlog: None,
            files: Some(FileGap {
                index: 1000,
                ..FileGap::default()
            }),
            feature_level: 4,
            keys: Vec::new(),
        }
    }

    fn status(nodes: Vec<NodeStatus>) -> ClusterStatus {
        ClusterStatus {
            cluster_id: "clu_1".into(),
            node_id: 1,
            leader: Some(1),
            term: 1,
            feature_level: 1,
            is_changing: false,
            members_since: 990,
            reachable_voters: 0,
            needed_voters: 0,
            nodes,
        }
    }

    fn wanted(nodes: &[(u64, Part)]) -> Cluster {
        let entry = |(node_id, part): &(u64, Part)| NodeEntry {
            node_id: *node_id,
            part: *part,
            key_hash: [0; 32],
            address: format!("10.0.0.{node_id}:4001"),
            joined_ms: 1,
        };
        Cluster {
            nodes: nodes.iter().map(entry).collect(),
            ..Cluster::default()
        }
    }

    #[test]
    fn a_node_is_added_then_catches_up_then_votes() {
        let wanted = wanted(&[(2, Part::Voter)]);
        let first = || node(1, Part::Voter, true, 0);
        let added = step(&wanted, &status(vec![first()]));
        assert_eq!(added, Some(Step::Add(2, "10.0.0.2:4001".into())));
        let behind = vec![first(), node(2, Part::Voter, false, 500)];
        assert_eq!(step(&wanted, &status(behind)), None);
        let close = vec![first(), node(2, Part::Voter, false, 10)];
        let votes = step(&wanted, &status(close));
        assert_eq!(votes, Some(Step::Vote(BTreeSet::from([1, 2]))));
        let done = vec![first(), node(2, Part::Voter, true, 0)];
        assert_eq!(step(&wanted, &status(done)), None);
    }

    #[test]
    fn a_node_gets_its_files_before_it_votes() {
        let wanted = wanted(&[(2, Part::Voter)]);
        let with = |files: Option<FileGap>, feature_level| {
            let second = NodeStatus {
                files,
                feature_level,
                ..node(2, Part::Voter, false, 0)
            };
            step(
                &wanted,
                &status(vec![node(1, Part::Voter, true, 0), second]),
            )
        };
        let gap = |missing, awaited| {
            Some(FileGap {
                missing,
                awaited,
                index: 1000,
            })
        };
        let votes = Some(Step::Vote(BTreeSet::from([1, 2])));
        assert_eq!(with(gap(5, 3), 4), None);
        // What nobody has keeps nobody from voting.
        assert_eq!(with(gap(5, 0), 4), votes);
        // It has not looked at what it just got, be it a little only.
        let early = FileGap {
            index: 989,
            ..FileGap::default()
        };
        assert_eq!(with(Some(early), 4), None);
        assert_eq!(with(Some(FileGap::default()), 4), None);
        assert_eq!(with(None, 4), None);
        assert_eq!(with(None, 3), votes);
    }

    #[test]
    fn a_leader_that_goes_hands_over_first() {
        let wanted = wanted(&[(1, Part::Removed), (2, Part::Voter)]);
        let both = vec![
            node(1, Part::Removed, true, 0),
            node(2, Part::Voter, true, 0),
        ];
        assert_eq!(step(&wanted, &status(both)), Some(Step::HandOver));
        let both = vec![
            node(1, Part::Removed, true, 0),
            node(2, Part::Voter, true, 0),
        ];
        let elsewhere = ClusterStatus {
            leader: Some(2),
            ..status(both)
        };
        let votes = Some(Step::Vote(BTreeSet::from([2])));
        assert_eq!(step(&wanted, &elsewhere), votes);
        let left = vec![
            node(1, Part::Removed, false, 0),
            node(2, Part::Voter, true, 0),
        ];
        assert_eq!(step(&wanted, &status(left)), Some(Step::Remove(1)));
    }

    #[test]
    fn one_change_after_the_other() {
        let under_way = ClusterStatus {
            is_changing: true,
            ..status(vec![node(1, Part::Voter, true, 0)])
        };
        assert_eq!(step(&wanted(&[(2, Part::Voter)]), &under_way), None);
    }

    #[test]
    fn the_only_voter_stays() {
        let alone = vec![node(1, Part::Removed, true, 0)];
        assert_eq!(step(&wanted(&[(1, Part::Removed)]), &status(alone)), None);
    }
}
