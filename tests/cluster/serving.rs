//! Any node answers any request, and all of them together are as exact as one.

use serde_json::json;

use crate::rig::{Cluster, at};
use crate::support::{Agent, DEADLINE, direct, poll_until};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_was_told_every_node_knows() {
    let cluster = Cluster::three().await;
    // Enrolled at one node, at work at others a moment later.
    let operator = cluster.operator(1).await;
    let sender = operator.enrol("sender").await;
    let receiver = operator.enrol("receiver").await;
    for (turn, node) in cluster.nodes.iter().enumerate() {
        let sends = at(&sender, node);
        let receives = at(&receiver, &cluster.nodes[(turn + 1) % 3]);
        let looks = at(&sender, &cluster.nodes[(turn + 2) % 3]);
        let id = sends.send(&direct(&receiver.id, "hello")).await;
        let inbox = receives.inbox().await;
        assert_eq!(inbox.len(), 1, "node {turn}");
        assert_eq!(inbox[0]["message_id"], id.as_str());
        assert_eq!(looks.status(&id).await["status"], "delivered");
        assert_eq!(looks_at(&cluster, &receiver, turn).ack(&[&id]).await, 1);
        assert_eq!(looks.status(&id).await["status"], "acked");
    }
}

fn looks_at(cluster: &Cluster, agent: &Agent, turn: usize) -> Agent {
    at(agent, &cluster.nodes[(turn + 2) % 3])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_wakes_at_the_node_it_waits_at() {
    let cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    for (turn, node) in cluster.nodes.iter().enumerate() {
        let waits = at(&receiver, node);
        let waiting = tokio::spawn(async move { waits.receive().await });
        let sends = at(&sender, &cluster.nodes[(turn + 1) % 3]);
        let id = sends.send(&direct(&receiver.id, "wake up")).await;
        let received = waiting.await.unwrap();
        assert_eq!(received[0]["message_id"], id.as_str());
        receiver.ack(&[&id]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_accepted_once_in_the_whole_cluster() {
    let cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    // Until the leader vouches for reads from memory.
    at(&sender, &cluster.nodes[1]).inbox().await;
    let write = at(&sender, &cluster.nodes[1])
        .request("POST", "/v1/messages")
        .json(&direct(&receiver.id, "once"))
        .sealed();
    let read = at(&sender, &cluster.nodes[1])
        .request("GET", "/v1/inbox")
        .sealed();
    for request in [write, read] {
        assert_eq!(request.send().await.status, 200);
        for node in &cluster.nodes {
            let mut copy = request.clone();
            copy.relay_url = node.url();
            let answer = copy.send().await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "replayed_nonce")
            );
        }
    }
    assert_eq!(at(&receiver, &cluster.nodes[2]).inbox().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_counts_at_every_node() {
    let cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let mut ids = std::collections::BTreeSet::new();
    for node in &cluster.nodes {
        let answer = at(&sender, node)
            .call_with(
                "POST",
                "/v1/messages",
                direct(&receiver.id, "once").to_string(),
                &[("idempotency-key", "the-key")],
            )
            .await
            .ok();
        ids.insert(answer["message_id"].to_string());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(receiver.inbox().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_forbids_no_node_accepts() {
    let cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    for turn in 0..6 {
        let operator = cluster.operator(turn % 3).await;
        let path = format!("/v1/operator/agents/{}", sender.id);
        operator
            .post(&format!("{path}/pause"), &json!({ "reason": "test" }))
            .await
            .ok();
        for node in &cluster.nodes {
            let answer = at(&sender, node)
                .post("/v1/messages", &direct(&receiver.id, "held"))
                .await;
            assert_eq!(answer.status, 403, "{}", answer.text());
        }
        operator
            .post(&format!("{path}/resume"), &json!({ "reason": "test" }))
            .await
            .ok();
        let node = &cluster.nodes[(turn + 1) % 3];
        at(&sender, node).send(&direct(&receiver.id, "free")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_across_nodes() {
    let cluster = Cluster::three().await;
    let operator = cluster.operator(0).await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let limit = json!({ "rate_max_messages": 10, "rate_window_ms": 3_600_000 });
    operator.put("/v1/operator/settings", &limit).await.ok();
    let mut accepted = 0;
    // Few too many: an agent that goes on and on is quarantined.
    for turn in 0..13 {
        let node = &cluster.nodes[turn % 3];
        let answer = at(&sender, node)
            .post("/v1/messages", &direct(&receiver.id, "counted"))
            .await;
        match answer.status {
            200 => accepted += 1,
            429 => {}
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert_eq!(accepted, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_reach_the_leader_from_any_node() {
    let cluster = Cluster::three().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    for node in &cluster.nodes {
        let answer = at(&agent, node)
            .post("/v1/heartbeats", &json!({ "status": "healthy" }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let operator = cluster.operator(2).await;
    poll_until(DEADLINE, "the agent is seen", async || {
        let seen = operator.agent(&agent).await;
        (seen["status"] == "healthy").then_some(())
    })
    .await;
}
