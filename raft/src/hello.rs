//! Nodes tell each other how they are and where. By this a node that moved is found again, and
//! every node can say how the cluster is.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::future::join_all;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{MissedTickBehavior, interval};

use crate::network::{Book, Report};
use crate::node::{Inner, role};
use crate::types::{NodeId, Peer};

/// Greets all other members, again and again, until the node is gone.
pub(crate) async fn run(node: Weak<Inner>) {
    let Some(period) = node.upgrade().map(|inner| inner.config.timing.hello) else {
        return;
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = node.upgrade() else { return };
        inner.greet().await;
    }
}

impl Inner {
    pub(crate) async fn greet(&self) {
        let Some(book) = self.config.transport.book() else {
            return;
        };
        let members = self.members();
        for (node_id, address) in &members {
            book.member(*node_id, address);
        }
        let ids: Vec<NodeId> = members.iter().map(|(node_id, _)| *node_id).collect();
        // Before it was added to the cluster, a node knows of others only by what they told it.
        if ids.contains(&self.config.node_id) {
            book.keep(&ids);
        }
        let own = self.report();
        let others = book.nodes().into_iter();
        let greetings = others.filter(|node_id| *node_id != self.config.node_id);
        let greetings = greetings.map(|node_id| {
            let (book, own) = (&book, &own);
            async move {
                let began = Instant::now();
                match self.config.transport.report(node_id, own).await {
                    Ok(mut report) => {
                        report.node_id = node_id;
                        book.told(report, Some(began.elapsed()));
                    }
                    Err(error) => book.failed(node_id, error.to_string()),
                }
            }
        });
        join_all(greetings).await;
        self.correct_addresses(&book, &members).await;
    }

    /// The leader writes down where nodes have moved to, for those who have not heard of it.
    async fn correct_addresses(&self, book: &Book, members: &[(NodeId, String)]) {
        if !self.leadership.borrow().is_self {
            return;
        }
        let own = (self.config.node_id, &self.config.address);
        let mut moved = BTreeMap::new();
        for (node_id, address) in members {
            let now = match *node_id == own.0 {
                true => own.1.clone(),
                false => book.address(*node_id).unwrap_or_default(),
            };
            if !now.is_empty() && now != *address {
                moved.insert(*node_id, Peer { address: now });
            }
        }
        if moved.is_empty() {
            return;
        }
        let change = self
            .raft
            .change_membership(ChangeMembers::SetNodes(moved), true);
        if let Err(error) = change.await {
            tracing::debug!(%error, "addresses will be written down later");
        }
    }

    /// The members, with where the membership says they are.
    pub(crate) fn members(&self) -> Vec<(NodeId, String)> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let nodes = metrics.membership_config.nodes();
        nodes
            .map(|(node_id, peer)| (*node_id, peer.address.clone()))
            .collect()
    }

    pub(crate) fn report(&self) -> Report {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Report {
            node_id: self.config.node_id,
            address: self.config.address.clone(),
            public_url: self.config.public_url.clone(),
            release: self.config.release.clone(),
            feature_level: self.config.feature_level,
            keys: self.config.keys.clone(),
            role: role(metrics.state),
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: self.applied.index().unwrap_or_default(),
            disk_free_bytes: self.disk.free_bytes(),
            disk_full: self.disk.is_full(),
            is_draining: self.is_draining.load(Ordering::Relaxed),
            clock_ms: (self.config.clock)(),
            backlog: *self.backlog.lock(),
            files: *self.files.lock(),
        }
    }
}
