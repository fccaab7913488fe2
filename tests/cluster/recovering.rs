//! A backup taken from a follower, and a survivor that goes on without the majority, which it never
//! listens to again.

use std::fs;

use serde_json::Value;

use crate::rig::{Cluster, at, builder};
use crate::support::{Relay, direct};

/// Runs a command beside a node that must succeed; what it says.
fn run(node: &Relay, args: &[&str]) -> Value {
    let output = node.run(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_and_the_old_majority_is_not_heard_any_more() {
    let first = builder()
        .env("EKHO_TIMESTAMP_SKEW_SECONDS", 2)
        .start()
        .await;
    let mut cluster = Cluster { nodes: vec![first] };
    cluster.join("voter").await;
    cluster.join("voter").await;
    cluster.voters(3).await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let before = sender.send(&direct(&receiver.id, "before")).await;
    let credentials = cluster.nodes[0].data_dir().join("credentials.json");
    let mut third = cluster.nodes.remove(2);
    fs::copy(credentials, third.data_dir().join("credentials.json")).unwrap();
    // Any node gives a backup of all that was answered, also where it does not lead.
    let backup = ["backup", "create", "--output", "ekho.tar", "--json"];
    let backup = run(&third, &backup);
    assert_eq!(backup["messages_accepted"], 1, "{backup}");

    for node in &mut cluster.nodes {
        node.kill();
    }
    third.kill();
    let recover = [
        "cluster",
        "recover",
        "--accept-data-loss",
        "--yes",
        "--json",
    ];
    let recovered = run(&third, &recover);
    assert_eq!(recovered["node_id"], 3);
    assert_eq!(recovered["from_cluster_id"], backup["cluster_id"]);
    third.boot().await;
    // The others come back, and are the majority of a cluster that is no more.
    for node in &mut cluster.nodes {
        node.spawn();
    }
    for node in &mut cluster.nodes {
        node.wait_ready().await;
    }
    let operator = third.operator().await;
    let status = operator.get("/v1/operator/cluster").await.ok();
    assert_eq!(status["cluster_id"], recovered["cluster_id"]);
    assert_eq!(status["nodes"].as_array().unwrap().len(), 1, "{status}");
    let (sender, receiver) = (at(&sender, &third), at(&receiver, &third));
    let after = sender.send(&direct(&receiver.id, "after")).await;
    let inbox = receiver.inbox().await;
    let ids: Vec<&str> = inbox
        .iter()
        .filter_map(|message| message["message_id"].as_str())
        .collect();
    assert_eq!(ids, [before.as_str(), after.as_str()]);

    // It is a cluster like any other: an empty node joins, under a number nobody had.
    let mut anew = Cluster { nodes: vec![third] };
    anew.join("voter").await;
    anew.voters(2).await;
    let status = anew.status(&anew.operator(1).await).await;
    let numbers = status["nodes"].as_array().unwrap().iter();
    let numbers: Vec<_> = numbers.map(|node| node["node_id"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(4)], "{status}");
}
