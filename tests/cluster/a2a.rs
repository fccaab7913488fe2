//! A2A over several nodes: a task is one task, whichever node is asked of it and whatever becomes
//! of nodes meanwhile.

use serde_json::{Value, json};

use crate::rig::{Cluster, at, builder};
use crate::support::{
    A2aClient, Agent, DEADLINE, Events, Operator, Relay, a2a_message, direct, poll_until, rpc,
};

/// The same client, at another node.
fn client_at(client: &A2aClient, node: &Relay) -> A2aClient {
    A2aClient {
        relay_url: node.url(),
        ..client.clone()
    }
}

async fn pair(cluster: &Cluster) -> (A2aClient, Agent) {
    let operator = cluster.operator(0).await;
    let client = operator.a2a_client("client").await;
    (client, operator.enrol("agent").await)
}

fn address(agent: &Agent) -> String {
    format!("/agents/{}/a2a", agent.id)
}

fn id(task: &Value) -> Value {
    json!({ "id": task["id"] })
}

async fn follow(client: &A2aClient, node: &Relay, task: &Value) -> Events {
    let client = client_at(client, node);
    client.stream("/a2a", "SubscribeToTask", &id(task)).await
}

/// What a stream tells next; none at its end. A sign that the connection holds is nothing yet.
async fn next(events: &mut Events) -> Option<Value> {
    let next = tokio::time::timeout(DEADLINE, events.next()).await;
    let event = next.expect("something of the task in time")?;
    Some(event.json()["result"].clone())
}

/// What a stream tells, to its end: it ends with the task, or with the node.
async fn told(mut events: Events) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some(event) = next(&mut events).await {
        told.push(event);
    }
    told
}

/// Texts of artifacts in what was told, in order: of the task at the beginning, and after it.
fn chunks(told: &[Value]) -> Vec<String> {
    let parts = told.iter().flat_map(|event| {
        let update = &event["artifactUpdate"]["artifact"];
        let artifacts = event["task"]["artifacts"].as_array().cloned();
        let artifacts = artifacts.unwrap_or_default();
        let artifacts = artifacts.into_iter().chain([update.clone()]);
        artifacts.flat_map(|artifact| artifact["parts"].as_array().cloned().unwrap_or_default())
    });
    parts
        .map(|part| part["text"].as_str().unwrap().to_string())
        .collect()
}

/// Adds a chunk through one of these nodes, once: where nobody knows whether it was added, the
/// task says so.
async fn append(agent: &Agent, nodes: &[&Relay], task: &Value, number: usize) {
    let text = number.to_string();
    let chunk = json!({
        "artifact": { "artifactId": "book", "parts": [{ "text": text }] },
        "append": number > 0,
    });
    let target = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    let mut turn = number;
    poll_until(DEADLINE, "a chunk is added", async || {
        let agent = at(agent, nodes[turn % nodes.len()]);
        turn += 1;
        let there = agent
            .request("GET", &target)
            .try_send(DEADLINE)
            .await
            .ok()?;
        if there.status != 200 {
            return None;
        }
        let there = chunks(&[json!({ "task": there.json() })]);
        if there.contains(&text) {
            return Some(());
        }
        let request = agent.request("POST", &format!("{target}/artifacts"));
        let answer = request.json(&chunk).try_send(DEADLINE).await.ok()?;
        match answer.status {
            200 => Some(()),
            503 => None,
            _ => panic!("{}: {}", answer.status, answer.text()),
        }
    })
    .await;
}

async fn give_leadership(operator: &Operator, place: usize) {
    let moved = json!({ "node_id": place + 1 });
    let path = "/v1/operator/cluster/transfer";
    operator.post(path, &moved).await.ok();
}

fn numbers(upto: usize) -> Vec<String> {
    (0..upto).map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_made_followed_answered_and_read_at_different_nodes() {
    let cluster = Cluster::three().await;
    let (client, agent) = pair(&cluster).await;
    for turn in 0..3 {
        let node = |more: usize| &cluster.nodes[(turn + more) % 3];
        let task = client_at(&client, node(0))
            .send(&agent, &a2a_message("hello"))
            .await;
        let events = follow(&client, node(1), &task).await;
        let works = at(&agent, node(2));
        works.take().await;
        let done = json!({ "state": "completed", "message": "there it is" });
        at(&agent, node(0)).set_status(&task, &done).await.ok();
        let seen = client_at(&client, node(1)).task(&task).await;
        assert_eq!(seen["status"]["state"], "TASK_STATE_COMPLETED");
        for node in &cluster.nodes {
            assert_eq!(client_at(&client, node).task(&task).await, seen);
        }
        let states: Vec<Value> = told(events)
            .await
            .iter()
            .skip(1)
            .map(|event| event["statusUpdate"]["status"]["state"].clone())
            .collect();
        assert_eq!(states, ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_all_nodes_tell_the_same_across_a_change_of_leader() {
    let cluster = Cluster::three().await;
    let (client, agent) = pair(&cluster).await;
    let task = client.send(&agent, &a2a_message("watch")).await;
    let mut streams = Vec::new();
    for node in &cluster.nodes {
        let events = follow(&client, node, &task).await;
        streams.push(tokio::spawn(told(events)));
    }
    let nodes: Vec<&Relay> = cluster.nodes.iter().collect();
    for node in &nodes {
        poll_until(DEADLINE, "the stream is followed", async || {
            (node.metric("ekho_a2a_streams").await? == 1.0).then_some(())
        })
        .await;
    }
    let operator = cluster.operator(0).await;
    let mut number = 0;
    for place in [1, 2, 0] {
        for _ in 0..4 {
            append(&agent, &nodes, &task, number).await;
            number += 1;
        }
        give_leadership(&operator, place).await;
    }
    let done = json!({ "state": "completed" });
    agent.set_status(&task, &done).await.ok();
    let first = streams.remove(0).await.unwrap();
    assert_eq!(chunks(&first), numbers(number));
    for other in streams {
        assert_eq!(other.await.unwrap(), first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_node_dies_goes_on_elsewhere_and_misses_nothing() {
    let mut cluster = Cluster::three().await;
    let (client, agent) = pair(&cluster).await;
    let operator = cluster.operator(1).await;
    let leader = cluster.leader(&operator).await;
    let task = client.send(&agent, &a2a_message("watch")).await;
    let mut events = follow(&client, &cluster.nodes[leader], &task).await;
    let nodes: Vec<&Relay> = cluster.nodes.iter().collect();
    append(&agent, &nodes, &task, 0).await;
    let mut before = Vec::new();
    while chunks(&before).is_empty() {
        before.push(next(&mut events).await.unwrap());
    }
    cluster.nodes[leader].kill();
    let rest = told(events).await;
    assert!(
        rest.is_empty(),
        "nothing more comes of a dead node: {rest:?}"
    );
    let left: Vec<&Relay> = [1, 2]
        .iter()
        .map(|more| &cluster.nodes[(leader + more) % 3])
        .collect();
    append(&agent, &left, &task, 1).await;
    let events = follow(&client, left[1], &task).await;
    append(&agent, &left, &task, 2).await;
    let done = json!({ "state": "completed" });
    at(&agent, left[0]).set_status(&task, &done).await.ok();
    let after = told(events).await;
    assert_eq!(chunks(&after), numbers(3));
    let last = &after.last().unwrap()["statusUpdate"];
    assert_eq!(last["status"]["state"], "TASK_STATE_COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_send_survives_a_change_of_leader() {
    let cluster = Cluster::three().await;
    let (client, agent) = pair(&cluster).await;
    let operator = cluster.operator(0).await;
    give_leadership(&operator, 0).await;
    let asks = client_at(&client, &cluster.nodes[1]);
    let target = address(&agent);
    let blocking = tokio::spawn(async move {
        let params = json!({ "message": a2a_message("take your time") });
        asks.result(&target, "SendMessage", &params).await
    });
    poll_until(DEADLINE, "the request waits", async || {
        let waits = cluster.nodes[1].metric("ekho_a2a_blocking_waits").await?;
        (waits == 1.0).then_some(())
    })
    .await;
    let received = agent.take().await;
    for place in [2, 1] {
        give_leadership(&operator, place).await;
    }
    assert!(!blocking.is_finished());
    let task = json!({ "id": received["correlation_id"] });
    let done = json!({ "state": "completed", "message": "at last" });
    poll_until(DEADLINE, "the task is done", async || {
        let set = agent.set_status(&task, &done).await;
        // Where the answer to an earlier try was lost, it is done already.
        matches!(set.status, 200 | 409).then_some(())
    })
    .await;
    let task = blocking.await.unwrap()["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_begins_and_ends_at_all_nodes_at_once() {
    let cluster = Cluster::three().await;
    let (_, agent) = pair(&cluster).await;
    for turn in 0..6 {
        let operator = cluster.operator(turn % 3).await;
        let client = operator.a2a_client(&format!("client {turn}")).await;
        let mut last = None;
        for node in &cluster.nodes {
            let client = client_at(&client, node);
            client.result("/a2a", "ListTasks", &json!({})).await;
            last = Some(client.send(&agent, &a2a_message("hello")).await);
        }
        let task = last.unwrap();
        let events = follow(&client, &cluster.nodes[2], &task).await;
        let target = format!(
            "/v1/operator/a2a/clients/{}/tokens/{}",
            client.id, client.token_id
        );
        let elsewhere = cluster.operator((turn + 1) % 3).await;
        elsewhere.call("DELETE", &target, None).await.ok();
        for node in &cluster.nodes {
            let client = client_at(&client, node);
            let params = json!({ "message": a2a_message("hello") });
            for (method, params) in [("ListTasks", json!({})), ("SendMessage", params)] {
                let body = rpc(method, &params).to_string();
                let target = address(&agent);
                let answer = client.call_as("1.0", "POST", &target, body).await;
                assert_eq!(answer.status, 401, "{method}: {}", answer.text());
            }
        }
        // Who follows a task learns nothing more of it.
        let working = json!({ "state": "working", "message": "a secret" });
        agent.set_status(&task, &working).await.ok();
        let told = json!(told(events).await);
        assert!(!told.to_string().contains("a secret"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_every_node_knows_a2a_none_takes_it_up() {
    const LEVEL_MAX: &str = "EKHO_FEATURE_LEVEL_MAX";
    let first = builder().env(LEVEL_MAX, 2).start().await;
    let mut cluster = Cluster { nodes: vec![first] };
    cluster.join("voter").await;
    cluster.voters(2).await;
    let operator = cluster.operator(0).await;
    let [agent, other] = cluster.nodes[0].agents(["agent", "other"]).await;
    let send = json!({
        "jsonrpc": "2.0", "id": 1, "method": "SendMessage",
        "params": { "message": a2a_message("hello") },
    });
    for node in 0..2 {
        let by = cluster.operator(node).await;
        let asked = json!({ "name": "client" });
        let client = by.post("/v1/operator/a2a/clients", &asked).await;
        let agent = at(&agent, &cluster.nodes[node]);
        let card = agent.request("PUT", "/v1/agent-card").json(&json!({}));
        let card = card.send().await;
        let task = agent
            .request("POST", &address(&other))
            .header("a2a-version", "1.0")
            .json(&send)
            .send()
            .await;
        assert_eq!((client.status, card.status), (409, 409));
        assert!(task.json()["error"].is_object(), "{}", task.text());
        for refused in [client, card, task] {
            let text = refused.text();
            assert!(text.contains("feature level 3"), "{text}");
        }
        // All else goes on.
        agent.send(&direct(&other.id, "hello")).await;
        let id = other.receive().await[0]["message_id"].clone();
        assert_eq!(other.ack(&[id.as_str().unwrap()]).await, 1);
    }
    let events = operator.get("/v1/operator/events?limit=100").await.ok();
    // Ids are hexadecimal and random: any of them may have "a2a" in it.
    for event in events["events"].as_array().unwrap() {
        let kind = event["event_type"].as_str().unwrap();
        assert!(!kind.contains("a2a") && !kind.contains("card"), "{event}");
    }
    // With the last node, it is there.
    cluster.nodes[0].env.push((LEVEL_MAX.into(), "3".into()));
    cluster.nodes[0].restart().await;
    let made = poll_until(DEADLINE, "the third feature level", async || {
        let asked = json!({ "name": "client" });
        let made = operator.post("/v1/operator/a2a/clients", &asked).await;
        (made.status == 201).then(|| made.json())
    })
    .await;
    let client = A2aClient {
        id: made["client_id"].as_str().unwrap().into(),
        token: made["token"].as_str().unwrap().into(),
        token_id: made["token_id"].as_str().unwrap().into(),
        relay_url: cluster.nodes[1].url(),
        http: operator.http.clone(),
    };
    let task = client.send(&agent, &a2a_message("now")).await;
    assert_eq!(agent.take().await["correlation_id"], task["id"]);
}
