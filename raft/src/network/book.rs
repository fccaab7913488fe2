//! What is known of the other nodes: where they are, and what they last said of themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::status::{Backlog, FileGap, Role};
use crate::types::NodeId;

/// What a node says of itself. Read leniently: nodes of another release say more or less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Who says it.
    pub node_id: NodeId,
    /// Where other nodes reach it, `host:port`.
    pub address: String,
    /// Where clients reach it, a URL; empty where it does not say.
    pub public_url: String,
    /// The release it runs.
    pub release: String,
    /// The feature level it understands.
    pub feature_level: u32,
    /// Names of the keys that it holds; none where it does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Its part.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The end of its log.
    pub last_log_index: u64,
    /// Up to where it has applied.
    pub applied_index: u64,
    /// Free bytes on the disk of its data directory.
    pub disk_free_bytes: Option<u64>,
    /// Whether it refuses commands for want of disk space.
    pub disk_full: bool,
    /// Whether it is about to stop.
    pub is_draining: bool,
    /// Its wall clock, in milliseconds.
    pub clock_ms: u64,
    /// What waits there to be forwarded; none where nothing ever does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// Files that it should have and does not; none where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileGap>,
}

/// Another node, as this one knows it.
#[derive(Clone, Debug, Default)]
pub struct PeerStatus {
    /// What it last said.
    pub report: Option<Report>,
    /// How long ago that was.
    pub silence: Option<Duration>,
    /// How long it took to answer.
    pub round_trip: Option<Duration>,
    /// Why it could not be reached last time, if it could not.
    pub failure: Option<String>,
}

#[derive(Default)]
struct Known {
    /// From the membership.
    member: String,
    /// From the node itself, which knows better.
    told: Option<String>,
    report: Option<(Instant, Report)>,
    round_trip: Option<Duration>,
    failure: Option<String>,
}

/// What a transport keeps of the other nodes; see [`Node::peer`](crate::Node::peer).
#[derive(Default)]
pub struct Book(RwLock<BTreeMap<NodeId, Known>>);

impl Book {
    /// What the membership says.
    pub(crate) fn member(&self, node_id: NodeId, address: &str) {
        // Asked with every request to the leader, and hardly ever new.
        let known = self
            .0
            .read()
            .get(&node_id)
            .is_some_and(|known| known.member == address);
        if !known {
            self.0.write().entry(node_id).or_default().member = address.to_string();
        }
    }

    /// Where a node is reached, if that is known.
    pub(crate) fn address(&self, node_id: NodeId) -> Option<String> {
        let known = self.0.read();
        let known = known.get(&node_id)?;
        let address = known.told.as_ref().unwrap_or(&known.member);
        (!address.is_empty()).then(|| address.clone())
    }

    /// What a node told of itself, with the time it took to answer if it was asked.
    pub(crate) fn told(&self, report: Report, round_trip: Option<Duration>) {
        let mut known = self.0.write();
        let known = known.entry(report.node_id).or_default();
        if !report.address.is_empty() && known.told.as_ref() != Some(&report.address) {
            if !known.member.is_empty() && known.member != report.address {
                tracing::info!(
                    node_id = report.node_id,
                    address = report.address,
                    "a node has moved"
                );
            }
            known.told = Some(report.address.clone());
        }
        known.round_trip = round_trip.or(known.round_trip);
        known.report = Some((Instant::now(), report));
        known.failure = None;
    }

    /// A node did not answer. Said once in the log, until it answers again.
    pub(crate) fn failed(&self, node_id: NodeId, why: String) {
        let mut known = self.0.write();
        let known = known.entry(node_id).or_default();
        if known.failure.is_none() {
            tracing::warn!(node_id, why, "a node cannot be reached");
        }
        known.failure = Some(why);
    }

    /// Every node that is known.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.read().keys().copied().collect()
    }

    /// Forgets nodes that are not among these.
    pub(crate) fn keep(&self, members: &[NodeId]) {
        self.0.write().retain(|id, _| members.contains(id));
    }

    pub(crate) fn status(&self, node_id: NodeId) -> PeerStatus {
        let known = self.0.read();
        let Some(known) = known.get(&node_id) else {
            return PeerStatus::default();
        };
        PeerStatus {
            report: known.report.as_ref().map(|(_, report)| report.clone()),
            silence: known.report.as_ref().map(|(at, _)| at.elapsed()),
            round_trip: known.round_trip,
            failure: known.failure.clone(),
        }
    }
}
