//! Nodes that talk over the network, with certificates: what separate processes do.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::{Counter, clock, count, eventually, propose};
use crate::nodes::{GO, Running, SEED, TTL, WAIT, add_learner, three};
use bytes::Bytes;
use ekho_raft::network::{
    Answers, Asker, Authority, Identity, Listener, OutsideError, Outsider, ask_from_outside,
};
use ekho_raft::{Node, ProposeError, ReadError};
use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;

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
async fn reads_wait_for_the_next_leader() {
    const ROUNDS: usize = 6;
    const READS: usize = 200;
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let reader = &nodes[2].node;
    for round in 0..ROUNDS {
        let (from, to) = (round % 2, (round + 1) % 2);
        let reads = async {
            for _ in 0..READS {
                reader.read_point().await?;
            }
            Ok::<(), ReadError>(())
        };
        let moved = nodes[from].node.hand_over(to as u64 + 1);
        let (moved, read) = tokio::join!(moved, reads);
        moved.unwrap();
        read.unwrap();
        crate::common::lead(&nodes[to].node).await;
    }
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
async fn questions_of_many_at_once_are_each_answered_once() {
    const MANY: usize = 500;
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    // Too long for the stream that the others go over.
    let long = "x".repeat(100 << 10);
    let asked = (0..MANY).map(|number| {
        let question = match number % 100 {
            0 => Bytes::from(long.clone()),
            _ => Bytes::from_static(b"one"),
        };
        nodes[1 + number % 2].node.ask(question, TTL)
    });
    let answers: Vec<Bytes> = futures::future::try_join_all(asked).await.unwrap();
    let different: BTreeSet<Bytes> = answers.into_iter().collect();
    assert_eq!(different.len(), MANY);
    nodes[2].node.read_point().await.unwrap();
    let long_ones = MANY as u64 / 100;
    assert_eq!(count(nodes[2].node.state(), &long), long_ones);
    assert_eq!(count(nodes[2].node.state(), "one"), MANY as u64 - long_ones);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_holds_up_no_other() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let follower = nodes[1].node.clone();
    let slow =
        tokio::spawn(async move { follower.ask(Bytes::from_static(WAIT.as_bytes()), TTL).await });
    for number in 1..=3 {
        assert_eq!(ask(&nodes[1].node, "one").await, format!("one={number}"));
    }
    assert!(!slow.is_finished());
    assert_eq!(ask(&nodes[1].node, GO).await, GO);
    assert_eq!(slow.await.unwrap().unwrap(), WAIT);
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
    let holder = Identity::joining(vec![authority()], clock()).unwrap();
    let answer = ask_from_outside(
        &node.address,
        Outsider::Holder(&holder),
        request.clone(),
        TTL,
    );
    assert_eq!(answer.await.unwrap(), "Holder");
    let other = Authority::from_seed(&[8; 32]).unwrap();
    let other = Identity::joining(vec![other], clock()).unwrap();
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

/// Says who asks.
struct Says;

impl Answers for Says {
    fn answer(&self, from: Asker, _: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        async move { Ok(Bytes::from(format!("{from:?}"))) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_two_secrets_gets_on_with_who_holds_either() {
    let (old, new): (&[u8], &[u8]) = (&[7], &[8]);
    let both: &[u8] = &[7, 8];
    let authority = |seed: &u8| Authority::from_seed(&[*seed; 32]).unwrap();
    let holder = |seeds: &[u8]| {
        let authorities = seeds.iter().map(authority).collect();
        Identity::joining(authorities, clock()).unwrap()
    };
    for server in [old, both, new] {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.address().to_string();
        let identity = Arc::new(holder(server));
        let serving = tokio::spawn(async move {
            let never = std::future::pending::<()>();
            listener.run_alone(identity, Arc::new(Says), never).await;
        });
        for client in [old, both, new] {
            let client_holder = holder(client);
            let asked = Outsider::Holder(&client_holder);
            let answer = ask_from_outside(&address, asked, Bytes::new(), TTL).await;
            let shared = client.iter().any(|seed| server.contains(seed));
            let said = answer.as_ref().map(|said| said.as_ref() == b"Holder");
            assert_eq!(
                said.ok(),
                shared.then_some(true),
                "{client:?} asks {server:?}"
            );
        }
        for seed in both {
            let asked = Outsider::Fingerprint(authority(seed).fingerprint());
            let answer = ask_from_outside(&address, asked, Bytes::new(), TTL).await;
            assert_eq!(
                answer.is_ok(),
                server.contains(seed),
                "{seed} asks {server:?}"
            );
        }
        serving.abort();
    }
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

/// Commands that wait for a majority that is not there do not keep a node from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_node_stops_without_the_others() {
    let dir = TempDir::new().unwrap();
    let mut nodes = three(dir.path()).await;
    let last = nodes.remove(0);
    for running in nodes {
        running.stop().await;
    }
    let leader = last.node.clone();
    let undecided = tokio::spawn(async move { leader.propose(Bytes::from_static(b"one")).await });
    eventually("the command is in its log", || {
        let report = last.node.report();
        report.last_log_index > report.applied_index || undecided.is_finished()
    })
    .await;
    // Much longer than the test may take.
    let stopped = last.node.shutdown(TTL * 100);
    tokio::time::timeout(TTL, stopped).await.expect("it stops");
    let refused = undecided.await.unwrap();
    assert!(
        matches!(
            refused,
            Err(ProposeError::OutcomeUnknown
                | ProposeError::NoLeader { .. }
                | ProposeError::Stopped)
        ),
        "{refused:?}"
    );
}
