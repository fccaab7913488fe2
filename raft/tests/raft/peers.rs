//! Nodes that talk over the network, with certificates: what separate processes do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Counter, clock, config, count, eventually, fill, open_state, propose, stop};
use bytes::Bytes;
use ekho_raft::network::{
    Answers, Asker, Authority, Identity, Listener, OutsideError, Outsider, Peers, ask_from_outside,
};
use ekho_raft::{Node, NodeId, Peer, ProposeError, ReadError};
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SEED: [u8; 32] = [7; 32];
const TTL: Duration = Duration::from_secs(10);

/// Proposes what it is asked, unless a stranger asks.
struct Proposes(Node<Counter>);

impl Answers for Proposes {
    fn answer(&self, from: Asker, request: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        async move {
            match from {
                Asker::Node(_) => self.0.propose(request).await,
                other => Ok(Bytes::from(format!("{other:?}"))),
            }
        }
        .boxed()
    }
}

struct Running {
    node: Node<Counter>,
    address: String,
    end: oneshot::Sender<()>,
    listening: JoinHandle<()>,
}

impl Running {
    async fn start(dir: &Path, node_id: NodeId) -> Running {
        Running::start_as(dir, node_id, "test-cluster", SEED).await
    }

    async fn start_as(dir: &Path, node_id: NodeId, cluster: &str, seed: [u8; 32]) -> Running {
        let dir = dir.join(node_id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.address().to_string();
        let authority = Authority::from_seed(&seed).unwrap();
        let identity = Identity::node(authority, cluster, node_id, clock()).unwrap();
        let identity = Arc::new(identity);
        let mut config = config(&dir);
        config.cluster_id = cluster.into();
        config.node_id = node_id;
        config.bootstrap = node_id == 1;
        config.address = address.clone();
        config.timing.hello = Duration::from_millis(100);
        config.transport = Arc::new(Peers::new(identity.clone(), node_id));
        let state = open_state(&dir);
        let node = Node::start(config, state, Counter::default())
            .await
            .unwrap();
        node.answer_with(Arc::new(Proposes(node.clone())));
        let (end, ended) = oneshot::channel();
        let listening = tokio::spawn({
            let node = node.clone();
            async move { node.listen(&listener, identity, ended.map(|_| ())).await }
        });
        Running {
            node,
            address,
            end,
            listening,
        }
    }

    async fn stop(self) {
        let _ = self.end.send(());
        self.listening.await.unwrap();
        stop(self.node).await;
    }
}

/// Three voters, of which the first leads.
async fn three(dir: &Path) -> Vec<Running> {
    let mut nodes = Vec::new();
    for node_id in 1..=3 {
        nodes.push(Running::start(dir, node_id).await);
    }
    crate::common::lead(&nodes[0].node).await;
    for (node_id, running) in (1..).zip(&nodes).skip(1) {
        add_learner(&nodes[0].node, node_id, &running.address).await;
    }
    let voters = BTreeSet::from([1, 2, 3]);
    nodes[0].node.set_voters(voters).await.unwrap();
    nodes
}

/// A change of the membership waits for the one before it.
async fn add_learner(node: &Node<Counter>, node_id: NodeId, address: &str) {
    let deadline = std::time::Instant::now() + TTL;
    let peer = Peer {
        address: address.into(),
    };
    while let Err(error) = node.add_learner(node_id, peer.clone()).await {
        assert!(std::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(node: &Node<Counter>, command: &'static str) -> String {
    let answer = node.ask(Bytes::from_static(command.as_bytes()), TTL).await;
    String::from_utf8(answer.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_writes_and_reads_what_others_wrote() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    for (at, running) in nodes.iter().enumerate() {
        assert_eq!(ask(&running.node, "one").await, format!("one={}", at + 1));
        for reader in &nodes {
            reader.node.read_point().await.unwrap();
            assert_eq!(count(reader.node.state(), "one"), at as u64 + 1);
        }
    }
    for running in nodes {
        running.stop().await;
    }
}

/// A leader that was paused and wakes up under another one must not vouch for what it alone remembers:
/// that the other one gives it a read point proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_of_that_term_speaks_for_it() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let (first, second) = (&nodes[0].node, &nodes[1].node);
    let term = first.leadership().borrow().term;
    let index = first.read_index_as_leader(term).await.unwrap();
    assert_eq!(first.read_index().await.unwrap(), index);
    for term in [term - 1, term + 1] {
        let refused = first.read_index_as_leader(term).await;
        assert!(
            matches!(refused, Err(ReadError::NoLeader { .. })),
            "{refused:?}"
        );
    }

    first.hand_over(2).await.unwrap();
    crate::common::lead(second).await;
    eventually("the old leader knows", || {
        first.leadership().borrow().leader == Some(2)
    })
    .await;
    first.read_index().await.unwrap();
    let refused = first.read_index_as_leader(term).await;
    assert!(
        matches!(refused, Err(ReadError::NoLeader { .. })),
        "{refused:?}"
    );
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_is_found_and_nothing_is_done_twice() {
    let dir = TempDir::new().unwrap();
    let mut nodes = three(dir.path()).await;
    assert_eq!(ask(&nodes[2].node, "one").await, "one=1");
    nodes.remove(0).stop().await;
    // The first question may meet no leader; one that is answered so was not done.
    let mut answered = None;
    for _ in 0..10 {
        match nodes[0].node.ask(Bytes::from_static(b"one"), TTL).await {
            Ok(answer) => {
                answered = Some(answer);
                break;
            }
            Err(ProposeError::NoLeader { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(answered.unwrap(), "one=2");
    nodes[1].node.read_point().await.unwrap();
    assert_eq!(count(nodes[1].node.state(), "one"), 2);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_is_found_again() {
    let dir = TempDir::new().unwrap();
    let mut nodes = three(dir.path()).await;
    let old = nodes[2].address.clone();
    nodes.pop().unwrap().stop().await;
    propose(&nodes[0].node, "one").await;
    let moved = Running::start(dir.path(), 3).await;
    assert_ne!(moved.address, old);
    eventually("the node at its new address catches up", || {
        count(moved.node.state(), "one") == 1
    })
    .await;
    let address = moved.address.clone();
    eventually("the membership has the new address", || {
        let members = nodes[1].node.status().members;
        members.iter().any(|member| member.address == address)
    })
    .await;
    nodes.push(moved);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_gets_a_snapshot() {
    let dir = TempDir::new().unwrap();
    let mut nodes = three(dir.path()).await;
    nodes.pop().unwrap().stop().await;
    for seed in 0..20 {
        propose(&nodes[0].node, fill(seed, 200_000)).await;
    }
    nodes[0].node.snapshot().await.unwrap();
    eventually("the log before the snapshot is gone", || {
        nodes[0].node.status().purged_index > Some(20)
    })
    .await;
    propose(&nodes[0].node, "after").await;
    let back = Running::start(dir.path(), 3).await;
    eventually("the node catches up", || {
        count(back.node.state(), "after") == 1
    })
    .await;
    assert!(back.node.status().snapshot_index.is_some());
    assert_eq!(
        crate::common::dump(back.node.state()),
        crate::common::dump(nodes[0].node.state())
    );
    eventually("nothing of the transfer is left", || {
        let left = std::fs::read_dir(dir.path().join("3/snapshots")).unwrap();
        left.count() == 1
    })
    .await;
    nodes.push(back);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_nodes_of_other_clusters_are_not_heard() {
    let dir = TempDir::new().unwrap();
    let node = Running::start(dir.path(), 1).await;
    crate::common::lead(&node.node).await;
    let request = Bytes::from_static(b"one");

    // Who has the fingerprint only is a stranger; a wrong fingerprint gives no connection.
    let authority = || Authority::from_seed(&SEED).unwrap();
    let right = Outsider::Fingerprint(authority().fingerprint());
    let answer = ask_from_outside(&node.address, right, request.clone(), TTL).await;
    assert_eq!(answer.unwrap(), "Stranger");
    let wrong = Outsider::Fingerprint([1; 32]);
    let refused = ask_from_outside(&node.address, wrong, request.clone(), TTL).await;
    assert!(matches!(refused, Err(OutsideError::Unreachable(_))));

    // Who holds the secret is known as that; who holds another gets no connection.
    let holder = Identity::joining(authority(), clock()).unwrap();
    let answer = ask_from_outside(
        &node.address,
        Outsider::Holder(&holder),
        request.clone(),
        TTL,
    );
    assert_eq!(answer.await.unwrap(), "Holder");
    let other = Authority::from_seed(&[8; 32]).unwrap();
    let other = Identity::joining(other, clock()).unwrap();
    let refused = ask_from_outside(
        &node.address,
        Outsider::Holder(&other),
        request.clone(),
        TTL,
    );
    assert!(matches!(refused.await, Err(OutsideError::Unreachable(_))));

    // Nodes of other clusters, with our number: another secret, or the same secret.
    for (cluster, seed) in [("other-cluster", SEED), ("test-cluster", [8; 32])] {
        let other_dir = TempDir::new().unwrap();
        let other = Running::start_as(other_dir.path(), 1, cluster, seed).await;
        crate::common::lead(&other.node).await;
        add_learner(&other.node, 2, &node.address).await;
        eventually("the node is not reached", || {
            other.node.peer(2).failure.is_some()
        })
        .await;
        other.stop().await;
    }
    assert_eq!(node.node.status().members.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_cannot_write() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    nodes[0]
        .node
        .set_voters(BTreeSet::from([1, 2]))
        .await
        .unwrap();
    nodes[0].node.remove(3).await.unwrap();
    eventually("the leader does not know it any more", || {
        !nodes[0].node.is_member(3)
    })
    .await;
    assert!(nodes[2].node.read_point().await.is_err());
    let refused = nodes[2].node.ask(Bytes::from_static(b"one"), TTL).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(count(nodes[0].node.state(), "one"), 0);
    for running in nodes {
        running.stop().await;
    }
}
