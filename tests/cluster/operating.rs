//! What operators do with nodes.

use serde_json::json;

use crate::rig::{Cluster, at, send_until_accepted};
use crate::support::{A2aClient, Agent, DEADLINE, Http, a2a_message, direct, poll_until, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_to_the_node_that_is_named() {
    let cluster = Cluster::three().await;
    for node_id in [2, 3, 1] {
        let operator = cluster.operator(node_id % 3).await;
        let moved = operator
            .post(
                "/v1/operator/cluster/transfer",
                &json!({ "node_id": node_id }),
            )
            .await;
        assert_eq!(moved.status, 200, "{}", moved.text());
        assert_eq!(cluster.leader(&operator).await, node_id - 1);
    }
    let operator = cluster.operator(0).await;
    for (node_id, status) in [(9, 404), (0, 400)] {
        let answer = operator
            .post(
                "/v1/operator/cluster/transfer",
                &json!({ "node_id": node_id }),
            )
            .await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_gives_leadership_away_and_still_answers() {
    let mut cluster = Cluster::three().await;
    let operator = cluster.operator(1).await;
    let leader = cluster.leader(&operator).await;
    let path = format!("/v1/operator/cluster/nodes/{}/drain", leader + 1);
    operator.post(&path, &json!({})).await.ok();
    let operator = cluster.operator((leader + 1) % 3).await;
    poll_until(DEADLINE, "another leader", async || {
        (cluster.leader(&operator).await != leader).then_some(())
    })
    .await;
    let ready = Http::new()
        .get(&format!("{}/readyz", cluster.nodes[leader].url()))
        .await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("draining"), "{}", ready.text());
    let (sender, receiver) = (
        operator.enrol("sender").await,
        operator.enrol("receiver").await,
    );
    at(&sender, &cluster.nodes[leader])
        .send(&direct(&receiver.id, "through a drained node"))
        .await;
    cluster.nodes[leader].restart().await;
    cluster.voters(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_demoted_promoted_and_removed() {
    let mut cluster = Cluster::three().await;
    let operator = cluster.operator(0).await;
    let node = |verb: &str| format!("/v1/operator/cluster/nodes/3/{verb}");
    let demoted = operator.post(&node("demote"), &json!({})).await;
    assert_eq!(demoted.status, 200, "{}", demoted.text());
    let shown = cluster.status(&operator).await["nodes"][2].clone();
    assert_eq!(
        (shown["voter"].clone(), shown["part"].clone()),
        (json!(false), json!("learner"))
    );
    let promoted = operator.post(&node("promote"), &json!({})).await;
    assert_eq!(promoted.status, 200, "{}", promoted.text());

    // With one node dead the other cannot be spared.
    cluster.nodes[2].kill();
    poll_until(DEADLINE, "the dead node is missed", async || {
        let status = cluster.status(&operator).await;
        (status["nodes"][2]["reachable"] == false).then_some(())
    })
    .await;
    let refused = operator
        .call("DELETE", "/v1/operator/cluster/nodes/2", None)
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text());

    // The dead one can, and another takes its place.
    let removed = operator
        .call("DELETE", "/v1/operator/cluster/nodes/3", None)
        .await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    let place = cluster.join("voter").await;
    cluster.voters(3).await;
    let status = cluster.status(&operator).await;
    assert_eq!(status["nodes"][2]["node_id"], 4, "{status}");

    // The removed one is not heard any more.
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let mut back = cluster.nodes.remove(2);
    back.spawn();
    let answer = poll_until(DEADLINE, "the removed node listens", async || {
        let request = at(&sender, &back).request("POST", "/v1/messages");
        let request = request.json(&direct(&receiver.id, "from a removed node"));
        request.try_send(DEADLINE).await.ok()
    })
    .await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(receiver.inbox().await.is_empty());
    drop(back);
    assert_eq!(place, 3);

    // Audited, each of them.
    let events = operator
        .get("/v1/operator/events?type=node&limit=50")
        .await
        .ok();
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["event_type"].as_str())
        .collect();
    for kind in ["node.joined", "node.changed", "node.removed"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

/// Sends as an SDK does that knows all nodes: what one does not accept goes to the next, once.
async fn send_with_one_retry(sender: &Agent, urls: &[String], turn: usize, to: &str) -> String {
    let key = uuid();
    let mut said = Vec::new();
    for attempt in 0..2 {
        let mut agent = sender.clone();
        agent
            .relay_url
            .clone_from(&urls[(turn + attempt) % urls.len()]);
        let request = agent
            .request("POST", "/v1/messages")
            .header("idempotency-key", &key)
            .json(&direct(to, "under way"));
        match request.try_send(DEADLINE).await {
            Ok(answer) if answer.status == 200 => {
                return answer.json()["message_id"].as_str().unwrap().to_string();
            }
            Ok(answer) => said.push(format!("{}: {}", answer.status, answer.text())),
            Err(error) => said.push(error.to_string()),
        }
    }
    panic!("failed twice: {said:?}");
}

/// Waits for the third feature level; then a client asks, and an agent answers, at every node.
async fn a_task_comes_to_its_end(cluster: &Cluster) {
    let operator = cluster.operator(0).await;
    poll_until(DEADLINE, "the third feature level", async || {
        let level = cluster.status(&operator).await["feature_level"].clone();
        (level == 3).then_some(())
    })
    .await;
    let client = operator.a2a_client("client").await;
    let agent = operator.enrol("answers").await;
    for (turn, node) in cluster.nodes.iter().enumerate() {
        let client = A2aClient {
            relay_url: node.url(),
            ..client.clone()
        };
        let task = client.send(&agent, &a2a_message("under way")).await;
        let works = at(&agent, &cluster.nodes[(turn + 1) % 3]);
        works.take().await;
        let done = json!({ "state": "completed" });
        works.set_status(&task, &done).await.ok();
        let state = client.task(&task).await["status"]["state"].clone();
        assert_eq!(state, "TASK_STATE_COMPLETED");
    }
}

/// From nodes that know feature level 1 only to nodes that know the second, and on to the fourth,
/// under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_fails_no_request_that_is_tried_once_more() {
    const LEVEL_MAX: &str = "EKHO_FEATURE_LEVEL_MAX";
    let mut cluster = Cluster::three_of(&[(LEVEL_MAX, "1")]).await;
    let [receiver, a, b, c] = cluster.nodes[0].agents(["receiver", "a", "b", "c"]).await;
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url()).collect();
    let is_over = std::cell::Cell::new(false);
    let load = async |sender: Agent| {
        let mut sent = Vec::new();
        while !is_over.get() {
            let turn = sent.len();
            sent.push(send_with_one_retry(&sender, &urls, turn, &receiver.id).await);
        }
        sent
    };
    let upgrade = async {
        for newer in [2, 3, 4] {
            for place in 0..3 {
                let operator = cluster.operator(place).await;
                let level = cluster.status(&operator).await["feature_level"].clone();
                assert_eq!(level, newer - 1, "before node {} is a newer one", place + 1);
                let node = &mut cluster.nodes[place];
                node.env.push((LEVEL_MAX.into(), newer.to_string()));
                node.restart().await;
            }
            cluster.voters(3).await;
            // What only the newer level knows is used while the load goes on.
            match newer {
                2 => cluster.allow_edge(true).await,
                3 => a_task_comes_to_its_end(&cluster).await,
                _ => drop(a.upload("a", "text/plain", b"hello").await),
            }
        }
        is_over.set(true);
    };
    let (first, second, third, ()) = tokio::join!(load(a.clone()), load(b), load(c), upgrade);
    let sent = [first, second, third];
    let count: usize = sent.iter().map(Vec::len).sum();
    let mut received = Vec::new();
    while received.len() < count {
        let messages = receiver.receive().await;
        let ids: Vec<String> = messages
            .iter()
            .map(|message| message["message_id"].as_str().unwrap().to_string())
            .collect();
        receiver
            .ack(&ids.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        received.extend(ids);
    }
    // Each once, and those of each sender in the order in which they were accepted.
    for sent in sent {
        let of_sender = received.iter().filter(|id| sent.contains(id));
        assert!(of_sender.eq(&sent));
    }
    assert_eq!(received.len(), count);
    let nodes: Vec<_> = cluster.nodes.iter().collect();
    send_until_accepted(&a, &nodes, &direct(&receiver.id, "after")).await;
}
