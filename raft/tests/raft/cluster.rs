//! Three nodes in one process: what runs alone today is what runs as a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::common::{Counter, config, count, dump, eventually, fill, open_state, propose, stop};
use bytes::Bytes;
use ekho_raft::network::{
    Append, Appended, Ballot, Client, HandedOver, Handover, Installed, LeaderVote, Transport,
    TransportError, Voted,
};
use ekho_raft::{
    ClusterError, Node, NodeId, Peer, ProposeError, ReadError, SnapshotDir, StartError, inspect,
    rebuild,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;

/// Hands messages from node to node by a call. Nodes that are not in the map are away.
#[derive(Clone, Default)]
struct Wire(Arc<RwLock<BTreeMap<NodeId, Node<Counter>>>>);

struct Line {
    wire: Wire,
    from: NodeId,
    to: NodeId,
}

/// One node's end of the wire.
struct End {
    wire: Wire,
    from: NodeId,
}

impl Transport for End {
    fn client(&self, node_id: NodeId, _peer: &Peer) -> Box<dyn Client> {
        Box::new(Line {
            wire: self.wire.clone(),
            from: self.from,
            to: node_id,
        })
    }
}

impl Line {
    fn peer(&self) -> Result<Node<Counter>, TransportError> {
        let nodes = self.wire.0.read().unwrap();
        let away = || TransportError::Unreachable("away".into());
        // A node that was taken off the wire is not heard either.
        nodes.get(&self.from).ok_or_else(away)?;
        nodes.get(&self.to).cloned().ok_or_else(away)
    }
}

fn failed(error: ClusterError) -> TransportError {
    TransportError::Failed(error.to_string())
}

impl Client for Line {
    fn append(
        &mut self,
        request: Append,
        _: Duration,
    ) -> BoxFuture<'_, Result<Appended, TransportError>> {
        async move { self.peer()?.serve_append(request).await.map_err(failed) }.boxed()
    }

    fn vote(
        &mut self,
        request: Ballot,
        _: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>> {
        async move { self.peer()?.serve_vote(request).await.map_err(failed) }.boxed()
    }

    fn pre_vote(
        &mut self,
        request: Ballot,
        _: Duration,
    ) -> BoxFuture<'_, Result<Voted, TransportError>> {
        async move { self.peer()?.serve_pre_vote(request).await.map_err(failed) }.boxed()
    }

    fn hand_over(
        &mut self,
        request: Handover,
        _: Duration,
    ) -> BoxFuture<'_, Result<HandedOver, TransportError>> {
        async move { self.peer()?.serve_hand_over(request).await.map_err(failed) }.boxed()
    }

    fn snapshot(
        &mut self,
        vote: LeaderVote,
        snapshot: SnapshotDir,
        _cancelled: BoxFuture<'static, ()>,
    ) -> BoxFuture<'_, Result<Installed, TransportError>> {
        async move {
            self.peer()?
                .serve_snapshot(vote, snapshot)
                .await
                .map_err(failed)
        }
        .boxed()
    }
}

impl Wire {
    async fn start(&self, dir: &Path, node_id: NodeId) -> Node<Counter> {
        let dir = dir.join(node_id.to_string());
        let mut config = config(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        config.node_id = node_id;
        config.bootstrap = node_id == 1;
        config.address = format!("node-{node_id}");
        config.transport = Arc::new(End {
            wire: self.clone(),
            from: node_id,
        });
        let state = open_state(&dir);
        let node = Node::start(config, state, Counter::default())
            .await
            .unwrap();
        self.0.write().unwrap().insert(node_id, node.clone());
        node
    }

    fn take_off(&self, node_id: NodeId) {
        self.0.write().unwrap().remove(&node_id);
    }
}

async fn applied(node: &Node<Counter>, index: u64) {
    eventually("catching up", || node.status().applied_index >= Some(index)).await;
}

async fn three(dir: &Path) -> (Wire, [Node<Counter>; 3]) {
    let wire = Wire::default();
    let first = wire.start(dir, 1).await;
    crate::common::lead(&first).await;
    let second = wire.start(dir, 2).await;
    let third = wire.start(dir, 3).await;
    for node_id in [2, 3] {
        let peer = Peer {
            address: format!("node-{node_id}"),
        };
        first.add_learner(node_id, peer).await.unwrap();
    }
    first.set_voters(BTreeSet::from([1, 2, 3])).await.unwrap();
    (wire, [first, second, third])
}

/// Without the rows in which nodes may differ: none.
fn same_state(nodes: &[Node<Counter>]) {
    let dumps: Vec<_> = nodes.iter().map(|node| dump(node.state())).collect();
    assert!(
        dumps.windows(2).all(|pair| pair[0] == pair[1]),
        "the states differ"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_hold_the_same_and_survive_their_leader() {
    let dir = TempDir::new().unwrap();
    let (wire, [first, second, third]) = three(dir.path()).await;
    for round in 1..=20 {
        assert_eq!(propose(&first, "key").await, format!("key={round}"));
    }
    let followers = [&second, &third];
    for follower in followers {
        let refused = follower.propose(Bytes::from_static(b"key")).await;
        assert!(
            matches!(
                refused,
                Err(ProposeError::NoLeader {
                    leader: Some(1),
                    ..
                })
            ),
            "{refused:?}"
        );
        assert!(matches!(
            follower.read_point().await,
            Err(ReadError::NoLeader { .. })
        ));
    }

    // The leader falls silent; what it answered is with the others.
    wire.take_off(1);
    eventually("an election", || {
        followers
            .iter()
            .any(|node| node.leadership().borrow().is_self)
    })
    .await;
    let leader = followers
        .into_iter()
        .find(|node| node.leadership().borrow().is_self)
        .unwrap();
    assert_eq!(propose(leader, "key").await, "key=21");
    leader.read_point().await.unwrap();
    // Cut off, the old one decides nothing and serves no reads.
    assert!(first.read_point().await.is_err());
    let lost = tokio::time::timeout(Duration::from_secs(3), first.propose("key".into())).await;
    assert!(!matches!(lost, Ok(Ok(_))), "{lost:?}");

    // Back again, it follows.
    wire.0.write().unwrap().insert(1, first.clone());
    let index = leader.status().applied_index.unwrap();
    for node in [&first, &second, &third] {
        applied(node, index).await;
        assert!(count(node.state(), "key") >= 21);
    }
    for node in [first, second, third] {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let dir = TempDir::new().unwrap();
    let (wire, [first, second, third]) = three(dir.path()).await;
    propose(&first, "before").await;
    wire.take_off(3);
    for seed in 0..100 {
        propose(&first, fill(seed, 2000)).await;
    }
    let index = first.snapshot().await.unwrap();
    eventually("purging", || first.status().purged_index == index).await;
    propose(&first, "after").await;

    wire.0.write().unwrap().insert(3, third.clone());
    let index = first.status().applied_index.unwrap();
    for node in [&second, &third] {
        applied(node, index).await;
    }
    assert!(third.status().snapshot_index.is_some());
    assert_eq!(count(third.state(), "before"), 1);
    assert_eq!(count(third.state(), "after"), 1);
    same_state(&[first.clone(), second.clone(), third.clone()]);

    // It restarts on what it installed.
    wire.take_off(3);
    stop(third).await;
    let third = wire.start(dir.path(), 3).await;
    applied(&third, index).await;
    assert_eq!(count(third.state(), "after"), 1);
    propose(&first, "after").await;
    let index = first.status().applied_index.unwrap();
    applied(&third, index).await;
    same_state(&[first.clone(), third.clone()]);
    for node in [first, second, third] {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_request() {
    let dir = TempDir::new().unwrap();
    let (_wire, [first, second, third]) = three(dir.path()).await;
    propose(&first, "one").await;
    let index = first.status().applied_index.unwrap();
    applied(&second, index).await;
    first.hand_over(2).await.unwrap();
    crate::common::lead(&second).await;
    assert_eq!(propose(&second, "one").await, "one=2");
    for node in [first, second, third] {
        stop(node).await;
    }
}

/// What was decided is there, and what only the survivor was asked to do counts as decided.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_three_goes_on_alone() {
    let dir = TempDir::new().unwrap();
    let (wire, [first, second, third]) = three(dir.path()).await;
    for _ in 0..20 {
        propose(&first, "decided").await;
    }
    wire.take_off(2);
    wire.take_off(3);
    let undecided = first.propose(Bytes::from_static(b"undecided"));
    let undecided = tokio::time::timeout(Duration::from_millis(100), undecided).await;
    assert!(undecided.is_err(), "{undecided:?}");
    wire.take_off(1);
    for node in [first, second, third] {
        node.shutdown(Duration::ZERO).await;
    }

    let own = dir.path().join("1");
    let state = open_state(&own);
    let holdings = inspect(&config(&own), &state).await.unwrap();
    assert_eq!(holdings.members.len(), 3, "{holdings:?}");
    assert!(
        holdings.last_log_index > holdings.committed_index.max(holdings.applied_index),
        "{holdings:?}"
    );
    let mut anew = config(&own);
    anew.cluster_id = "new-cluster".into();
    let told = Bytes::from_static(b"told");
    rebuild(&anew, Some("test-cluster"), &state, told)
        .await
        .unwrap();
    drop(state);
    let node = crate::common::start_with(anew).await;
    node.read_point().await.unwrap();
    assert_eq!(count(node.state(), "decided"), 20);
    assert_eq!(count(node.state(), "undecided"), 1);
    assert_eq!(count(node.state(), "told"), 1);
    let members = node.status().members;
    assert_eq!((members.len(), members[0].address.as_str()), (1, "node-1"));
    stop(node).await;
    // Nor does it start as what it was.
    let old = Node::start(config(&own), open_state(&own), Counter::default()).await;
    assert!(matches!(old, Err(StartError::Foreign { .. })));
}
