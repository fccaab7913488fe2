//! Nodes that die, and what is left of what was promised.

use crate::rig::{Cluster, at, send_until_accepted};
use crate::support::{DEADLINE, Http, direct, poll_until};

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_leader_is_killed() {
    let mut cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let before = sender.send(&direct(&receiver.id, "before")).await;
    let operator = cluster.operator(1).await;
    let leader = cluster.leader(&operator).await;
    cluster.nodes[leader].kill();
    let left: Vec<_> = (0..3).filter(|place| *place != leader).collect();
    let nodes: Vec<_> = left.iter().map(|place| &cluster.nodes[*place]).collect();
    let after = send_until_accepted(&sender, &nodes, &direct(&receiver.id, "after")).await;
    let inbox = at(&receiver, nodes[1]).inbox().await;
    let ids: Vec<&str> = inbox
        .iter()
        .filter_map(|message| message["message_id"].as_str())
        .collect();
    assert_eq!(ids, [before.as_str(), after.as_str()]);

    // The dead one comes back and learns what it missed.
    cluster.nodes[leader].boot().await;
    let back = &cluster.nodes[leader];
    let status = at(&sender, back).status(&after).await;
    assert_eq!(status["status"], "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_accepted_and_nothing_is_lost() {
    let mut cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let before = sender.send(&direct(&receiver.id, "before")).await;
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let alone = at(&sender, &cluster.nodes[0]);
    poll_until(
        DEADLINE,
        "the node says that it cannot decide",
        async || {
            let ready = Http::new()
                .get(&format!("{}/readyz", cluster.nodes[0].url()))
                .await;
            (ready.status == 503).then_some(())
        },
    )
    .await;
    let answer = alone
        .request("POST", "/v1/messages")
        .json(&direct(&receiver.id, "alone"))
        .send()
        .await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    cluster.nodes[1].boot().await;
    cluster.nodes[2].boot().await;
    let nodes: Vec<_> = cluster.nodes.iter().collect();
    let after = send_until_accepted(&sender, &nodes, &direct(&receiver.id, "after")).await;
    let inbox = at(&receiver, &cluster.nodes[2]).inbox().await;
    let ids: Vec<&str> = inbox
        .iter()
        .filter_map(|message| message["message_id"].as_str())
        .collect();
    assert_eq!(ids.first(), Some(&before.as_str()));
    assert_eq!(ids.last(), Some(&after.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_stay_used_when_the_leader_changes() {
    let mut cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let operator = cluster.operator(0).await;
    let leader = cluster.leader(&operator).await;
    let other = (leader + 1) % 3;
    let write = at(&sender, &cluster.nodes[other])
        .request("POST", "/v1/messages")
        .json(&direct(&receiver.id, "once"))
        .sealed();
    let read = at(&sender, &cluster.nodes[other])
        .request("GET", "/v1/inbox")
        .sealed();
    assert_eq!(write.send().await.status, 200);
    assert_eq!(read.send().await.status, 200);
    cluster.nodes[leader].kill();
    for mut request in [write, read] {
        request.relay_url = cluster.nodes[(leader + 2) % 3].url();
        poll_until(DEADLINE, "an answer of the new leader", async || {
            let answer = request.try_send(DEADLINE).await.ok()?;
            match answer.status {
                503 => None,
                401 => Some(()),
                status => panic!("{status}: {}", answer.text()),
            }
        })
        .await;
    }
    let inbox = at(&receiver, &cluster.nodes[other]).inbox().await;
    assert_eq!(inbox.len(), 1);
}
