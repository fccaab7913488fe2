//! Becoming a cluster: by token, by secret, all at once; and who is refused.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use serde_json::json;

use crate::rig::{Cluster, address, builder, node_address};
use crate::support::{DEADLINE, Http, Relay, free_port, poll_until};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_by_token_and_become_voters() {
    let cluster = Cluster::three().await;
    let operator = cluster.operator(2).await;
    let status = cluster.status(&operator).await;
    assert_eq!(status["can_decide"], true, "{status}");
    assert_eq!(status["needed_voters"], 2);
    assert_eq!(status["node_id"], 3);
    let nodes = status["nodes"].as_array().unwrap();
    let ids: Vec<u64> = nodes
        .iter()
        .map(|node| node["node_id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3]);
    // Those that joined were given the secrets and kept them for themselves.
    let secrets = cluster.nodes[1].data_dir().join("secrets.toml");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(secrets).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

/// Whoever replaces nodes one after the other waits until each is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_once_it_has_its_place() {
    let mut cluster = Cluster::one().await;
    for (part, voters) in [("voter", 2), ("voter", 3), ("learner", 3)] {
        let at = cluster.join(part).await;
        let status = cluster.status(&cluster.operator(at).await).await;
        let nodes = status["nodes"].as_array().unwrap().iter();
        let voting = nodes.filter(|node| node["voter"] == true).count();
        assert_eq!(voting, voters, "{status}");
    }
    let operator = cluster.operator(0).await;
    let removed = operator
        .call("DELETE", "/v1/operator/cluster/nodes/4", None)
        .await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    let url = format!("{}/readyz", cluster.nodes[3].url());
    // It may be cut off before it hears why.
    poll_until(DEADLINE, "the node is not ready any more", async || {
        let answer = Http::new().get(&url).await;
        let reason = &answer.json()["reason"];
        (answer.status == 503 && (reason == "removed" || reason == "no_leader")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_admits_one_node_and_only_its_own_cluster() {
    let mut cluster = Cluster::one().await;
    let token = cluster.token("learner").await;
    let mut second = cluster.joining(&token);
    second.boot().await;

    // The same token again, by another node, which costs no entry of the log.
    let operator = cluster.operator(0).await;
    let end = async || cluster.status(&operator).await["nodes"][0]["log_index"].clone();
    let before = poll_until(DEADLINE, "the second node is a member", async || {
        let status = cluster.status(&operator).await;
        let is_member = status["nodes"][1]["health"] == "ok";
        is_member.then(|| status["nodes"][0]["log_index"].clone())
    })
    .await;
    let mut third = cluster.joining(&token);
    third.spawn();
    assert!(!third.wait_exit().await.success());
    let log = third.log();
    assert!(log.contains("was used, or has expired"), "{log}");
    assert_eq!(end().await, before);

    // A token of another cluster: whom it leads to is not who it says.
    let other = Cluster::one().await;
    let foreign = other.token("voter").await;
    let mut fourth = cluster.joining(&foreign);
    fourth.spawn();
    poll_until(DEADLINE, "a line about it", async || {
        let log = fourth.log();
        log.contains("not a node of the cluster that the token is of")
            .then_some(())
    })
    .await;
    fourth.kill();

    // One that was taken back.
    let made = operator
        .post("/v1/operator/cluster/tokens", &json!({}))
        .await
        .ok();
    let id = made["id"].as_str().unwrap();
    operator
        .call("DELETE", &format!("/v1/operator/cluster/tokens/{id}"), None)
        .await
        .ok();
    let mut fifth = cluster.joining(made["token"].as_str().unwrap());
    fifth.spawn();
    assert!(!fifth.wait_exit().await.success());
    cluster.nodes.push(second);
    assert_eq!(
        cluster.status(&operator).await["nodes"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joined_comes_back_without_its_token() {
    let mut cluster = Cluster::three().await;
    let second = &mut cluster.nodes[1];
    second
        .env
        .retain(|(name, _)| name != "EKHO_JOIN_TOKEN" && name != "EKHO_JOIN");
    second.restart().await;
    cluster.voters(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_is_found_again() {
    let mut cluster = Cluster::three().await;
    cluster.nodes[2].stop().await;
    let moved = node_address();
    for (name, value) in &mut cluster.nodes[2].env {
        if name == "EKHO_NODE_ADDRESS" || name == "EKHO_NODE_LISTEN" {
            value.clone_from(&moved);
        }
    }
    cluster.nodes[2].boot().await;
    let operator = cluster.operator(0).await;
    poll_until(DEADLINE, "the new address", async || {
        let status = cluster.status(&operator).await;
        let node = &status["nodes"][2];
        (node["address"] == moved && node["health"] == "ok").then_some(())
    })
    .await;
}

/// Three empty nodes that know of each other and of one secret.
fn peers(addresses: &[String; 3], at: usize) -> Relay {
    Relay::builder()
        .bare()
        .env("EKHO_NODE_ADDRESS", &addresses[at])
        .env("EKHO_NODE_LISTEN", &addresses[at])
        .env("EKHO_NODE_PEERS", addresses.join(","))
        .env("EKHO_MASTER_SECRET", "the master secret of this test")
        .env(
            "EKHO_OPERATOR_SESSION_SECRET",
            "the session secret of this test",
        )
        .set_up()
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_nodes_that_start_together_form_one_cluster() {
    let addresses = [node_address(), node_address(), node_address()];
    let mut nodes = [0, 1, 2].map(|at| peers(&addresses, at));
    // The first one last: the others wait for it.
    for at in [2, 1] {
        nodes[at].spawn();
    }
    poll_until(DEADLINE, "the others wait", async || {
        let waits = |node: &Relay| node.log().contains("waiting for the cluster to form");
        (waits(&nodes[1]) && waits(&nodes[2])).then_some(())
    })
    .await;
    nodes[0].spawn();
    for node in &mut nodes {
        node.wait_ready().await;
    }
    let mut cluster = Cluster {
        nodes: nodes.into(),
    };
    cluster.voters(3).await;
    let ids = cluster.nodes.iter().map(|node| {
        let text = std::fs::read_to_string(node.data_dir().join("cluster.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["cluster_id"].clone()
    });
    let ids: std::collections::BTreeSet<String> = ids.map(|id| id.to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");

    // The first one loses its disk: it joins the others instead of beginning anew.
    let credentials = cluster.nodes[0].data_dir().join("credentials.json");
    let kept = std::fs::read(&credentials).unwrap();
    cluster.nodes[0].kill();
    std::fs::remove_dir_all(cluster.nodes[0].data_dir()).unwrap();
    cluster.nodes[0].boot().await;
    std::fs::write(&credentials, kept).unwrap();
    let operator = cluster.operator(0).await;
    let status = cluster.status(&operator).await;
    assert_eq!(status["node_id"], 4, "{status}");
    assert!(ids.contains(&status["cluster_id"].to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_and_a_holder_of_another_secret_are_refused() {
    let cluster = Cluster::one().await;
    let mut other = builder()
        .bare()
        .env("EKHO_JOIN", address(&cluster.nodes[0]))
        .env("EKHO_MASTER_SECRET", "another master secret than theirs")
        .env("EKHO_OPERATOR_SESSION_SECRET", "another session secret")
        .set_up();
    other.spawn();
    poll_until(DEADLINE, "a line about it", async || {
        let log = cluster.nodes[0].log();
        log.contains("refused a connection to the node address")
            .then_some(())
    })
    .await;
    let operator = cluster.operator(0).await;
    assert_eq!(
        cluster.status(&operator).await["nodes"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_to_join_survives_sighup() {
    let mut node = builder()
        .bare()
        .env("EKHO_JOIN", format!("127.0.0.1:{}", free_port()))
        .env("EKHO_MASTER_SECRET", "a master secret of theirs")
        .env("EKHO_OPERATOR_SESSION_SECRET", "a session secret")
        .set_up();
    node.spawn();
    poll_until(DEADLINE, "a line about it", async || {
        let log = node.log();
        log.contains("waiting for a node of the cluster")
            .then_some(())
    })
    .await;
    // Of two signals that wait the kernel delivers the lower one first.
    node.signal(Signal::HUP);
    node.signal(Signal::TERM);
    let ended = node.wait_exit().await;
    assert_eq!(ended.signal(), Some(15), "{ended}: {}", node.log());
}
