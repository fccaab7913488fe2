//! Nodes that talk over the network, in one process.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Counter, clock, config, open_state, stop};
use crate::line::Line;
use bytes::Bytes;
use ekho_raft::blobs::Blobs;
use ekho_raft::network::{Answers, Asker, Authority, Identity, Listener, Peers};
use ekho_raft::{Node, NodeId, Peer, ProposeError};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub const SEED: [u8; 32] = [7; 32];
pub const TTL: Duration = Duration::from_secs(10);

/// A question that is not answered before somebody asks [`GO`].
pub const WAIT: &str = "wait";
pub const GO: &str = "go";

/// Proposes what it is asked, unless a stranger asks.
struct Proposes {
    node: Node<Counter>,
    go: Notify,
}

impl Answers for Proposes {
    fn answer(&self, from: Asker, request: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        async move {
            match from {
                Asker::Node(_) if request == WAIT => self.go.notified().await,
                Asker::Node(_) if request == GO => self.go.notify_one(),
                Asker::Node(_) => return self.node.propose(request).await,
                other => return Ok(Bytes::from(format!("{other:?}"))),
            }
            Ok(request)
        }
        .boxed()
    }
}

pub struct Running {
    pub node: Node<Counter>,
    pub address: String,
    end: oneshot::Sender<()>,
    listening: JoinHandle<()>,
}

impl Running {
    pub async fn start(dir: &Path, node_id: NodeId) -> Running {
        Running::start_as(dir, node_id, "test-cluster", SEED).await
    }

    pub async fn start_as(dir: &Path, node_id: NodeId, cluster: &str, seed: [u8; 32]) -> Running {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.address().to_string();
        Running::listening(dir, node_id, cluster, seed, listener, address).await
    }

    /// A node that others reach over this line only.
    pub async fn start_behind(dir: &Path, node_id: NodeId, line: &Line) -> Running {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        line.lead_to(listener.address());
        let address = line.address.to_string();
        Running::listening(dir, node_id, "test-cluster", SEED, listener, address).await
    }

    async fn listening(
        dir: &Path,
        node_id: NodeId,
        cluster: &str,
        seed: [u8; 32],
        listener: Listener,
        address: String,
    ) -> Running {
        let dir = dir.join(node_id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let authority = Authority::from_seed(&seed).unwrap();
        let identity = Identity::node(vec![authority], cluster, node_id, clock()).unwrap();
        let identity = Arc::new(identity);
        let mut config = config(&dir);
        config.cluster_id = cluster.into();
        config.node_id = node_id;
        config.bootstrap = node_id == 1;
        config.address = address.clone();
        config.timing.hello = Duration::from_millis(100);
        config.blobs = Some(Blobs::open(&dir.join("blobs")).unwrap());
        config.transport = Arc::new(Peers::new(identity.clone(), node_id));
        let state = open_state(&dir);
        let node = Node::start(config, state, Counter::default())
            .await
            .unwrap();
        node.answer_with(Arc::new(Proposes {
            node: node.clone(),
            go: Notify::new(),
        }));
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

    pub async fn stop(self) {
        let _ = self.end.send(());
        self.listening.await.unwrap();
        stop(self.node).await;
    }
}

/// Three voters, of which the first leads.
pub async fn three(dir: &Path) -> Vec<Running> {
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
pub async fn add_learner(node: &Node<Counter>, node_id: NodeId, address: &str) {
    let deadline = std::time::Instant::now() + TTL;
    let peer = Peer {
        address: address.into(),
    };
    while let Err(error) = node.add_learner(node_id, peer.clone()).await {
        assert!(std::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
