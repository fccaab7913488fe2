//! An edge node that is cut off: what it stores, what comes of it, and what it refuses.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::rig::{Cluster, at, builder};
use crate::support::{
    Agent, Answer, DEADLINE, Http, Operator, Relay, SignedRequest, direct, poll_until,
};

const SEND: &str = "/v1/messages";

/// A send under an idempotency key, now, to be sent as often as wanted.
fn keyed(agent: &Agent, node: &Relay, key: &str, message: &Value) -> SignedRequest {
    at(agent, node)
        .request("POST", SEND)
        .header("idempotency-key", key)
        .json(message)
        .sealed()
}

/// Sends what has to be stored at the edge; the answer.
async fn stored(agent: &Agent, edge: &Relay, key: &str, message: &Value) -> Value {
    let answer = poll_until(DEADLINE, "the edge node stores it", async || {
        let answer = keyed(agent, edge, key, message).send().await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["status"], "stored_at_edge");
    answer
}

fn id(answer: &Value) -> String {
    answer["message_id"].as_str().expect("an id").to_string()
}

/// An answer of a node that has come as far as to give one.
async fn answered(request: &SignedRequest) -> Answer {
    poll_until(DEADLINE, "an answer", async || {
        let answer = request.try_send(DEADLINE).await.ok()?;
        (answer.status != 503).then_some(answer)
    })
    .await
}

/// Waits until the process listens; a node that is cut off is not ready.
async fn listens(node: &Relay) {
    poll_until(DEADLINE, "the node listens", async || {
        let url = format!("{}/healthz", node.url());
        let answer = Http::new()
            .try_send("GET", &url, &[], bytes::Bytes::new(), DEADLINE)
            .await;
        answer.ok()
    })
    .await;
}

/// Waits until nothing waits at the edge any more, as the voter says.
async fn forwarded(cluster: &Cluster) {
    let operator = cluster.operator(0).await;
    poll_until(DEADLINE, "an empty outbox", async || {
        let edge = cluster.nodes[1].metric("ekho_edge_outbox_entries").await;
        let status = cluster.status(&operator).await;
        let shown = &status["nodes"][1]["outbox_entries"];
        (edge == Some(0.0) && *shown == json!(0)).then_some(())
    })
    .await;
}

async fn inbox_ids(agent: &Agent) -> Vec<String> {
    let inbox = agent.inbox().await;
    inbox.iter().map(id).collect()
}

/// The controls of an agent: what each is, and why.
async fn controls(agent: &Agent) -> Vec<(String, String)> {
    let inbox = agent.get("/v1/inbox").await.ok();
    let controls = inbox["controls"].as_array().expect("controls").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    controls
        .map(|control| (text(&control["action"]), text(&control["reason"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_edge_stores_arrives_in_order_and_once() {
    let mut cluster = Cluster::with_edge().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    // With the leader in reach it answers as any node.
    let first = at(&sender, &cluster.nodes[1])
        .send(&direct(&receiver.id, "before"))
        .await;
    cluster.nodes[0].kill();
    let mut ids = vec![first];
    let text = |number: u32| direct(&receiver.id, &format!("number {number}"));
    for number in 0..20 {
        let key = format!("key-{number}");
        ids.push(id(
            &stored(&sender, &cluster.nodes[1], &key, &text(number)).await
        ));
    }
    // The same again, and something else under its key.
    let again = stored(&sender, &cluster.nodes[1], "key-3", &text(3)).await;
    assert_eq!(id(&again), ids[4]);
    assert_eq!(again["idempotent_replay"], true);
    let other = keyed(&sender, &cluster.nodes[1], "key-3", &text(99))
        .send()
        .await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (409, "idempotency_conflict")
    );
    let sealed = keyed(&sender, &cluster.nodes[1], "key-20", &text(20));
    let answer = answered(&sealed).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    ids.push(id(&answer.json()));
    let replayed = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "replayed_nonce")
        );
    };
    replayed(sealed.send().await);
    // A key is not signed: with another one it is the same request.
    let mut with_another_key = sealed.clone();
    with_another_key.headers = vec![("idempotency-key".into(), "another".into())];
    replayed(with_another_key.send().await);

    cluster.nodes[1].kill();
    cluster.nodes[1].spawn();
    replayed(answered(&sealed).await);
    replayed(answered(&with_another_key).await);
    let waiting = cluster.nodes[1].metric("ekho_edge_outbox_entries").await;
    assert_eq!(waiting, Some(21.0));

    cluster.nodes[0].boot().await;
    forwarded(&cluster).await;
    assert_eq!(inbox_ids(&receiver).await, ids);
    assert_eq!(
        at(&sender, &cluster.nodes[1]).status(&ids[1]).await["status"],
        "delivered"
    );
    for node in &cluster.nodes {
        with_another_key.relay_url = node.url();
        replayed(answered(&with_another_key).await);
    }
    // From now on it asks the leader again.
    let answer = keyed(&sender, &cluster.nodes[1], "after", &text(21))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(controls(&sender).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_when_it_arrives_is_told_by_control() {
    let mut cluster = Cluster::with_edge().await;
    let [denied, held, elsewhere, heard, receiver] = cluster.nodes[0]
        .agents(["denied", "held", "elsewhere", "heard", "receiver"])
        .await;
    // So that the edge node knows them.
    at(&receiver, &cluster.nodes[1]).inbox().await;
    cluster.nodes[0].kill();
    let message = direct(&receiver.id, "from the edge");
    let edge = &cluster.nodes[1];
    let of_denied = id(&stored(&denied, edge, "denied", &message).await);
    let of_held = id(&stored(&held, edge, "held", &message).await);
    let of_elsewhere = id(&stored(&elsewhere, edge, "elsewhere", &message).await);
    let overheard = keyed(&heard, edge, "heard", &message);
    let of_heard = id(&answered(&overheard).await.json());
    cluster.nodes[1].kill();
    let left = fs_copy(&cluster.nodes[1]);

    // Meanwhile, where the edge does not hear of it.
    cluster.nodes[0].boot().await;
    let operator = cluster.operator(0).await;
    let policy = json!({
        "name": "not from denied",
        "scope_kind": "fleet",
        "rule": { "action": "deny", "conditions": { "sender_agent_id": denied.id } },
    });
    let made = operator.post("/v1/operator/policies", &policy).await;
    assert_eq!(made.status, 201, "{}", made.text());
    operator.order(&held, "quarantine").await;
    let voter = &cluster.nodes[0];
    let first = id(&keyed(&elsewhere, voter, "elsewhere", &message)
        .send()
        .await
        .ok());
    let mut replay = overheard.clone();
    replay.relay_url = voter.url();
    replay.headers = vec![("idempotency-key".into(), "another".into())];
    let second = id(&replay.send().await.ok());

    for again in [false, true] {
        if again {
            // As if the answers of all that was forwarded had been lost.
            cluster.nodes[1].kill();
            restore(&cluster.nodes[1], &left);
        }
        cluster.nodes[1].boot().await;
        forwarded(&cluster).await;
        for (agent, message_id, key, why) in [
            (
                &denied,
                &of_denied,
                "denied",
                "policy_denied: blocked by policy \"not from denied\"",
            ),
            (&held, &of_held, "held", "agent_quarantined"),
            (&heard, &of_heard, "heard", "replayed_nonce"),
        ] {
            let told = controls(agent).await;
            let refused: Vec<_> = told
                .iter()
                .filter(|(action, _)| action == "send.refused")
                .collect();
            assert_eq!(refused.len(), 1, "{told:?}");
            let reason = &refused[0].1;
            assert!(reason.contains(message_id.as_str()), "{reason}");
            assert!(reason.contains(&format!("{key:?}")), "{reason}");
            assert!(reason.contains(why), "{reason}");
        }
        let told = controls(&elsewhere).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, "send.repeated");
        assert!(
            told[0].1.contains(&of_elsewhere) && told[0].1.contains(&first),
            "{told:?}"
        );
    }
    assert_eq!(inbox_ids(&receiver).await, [first, second]);
    let events = operator
        .get("/v1/operator/events?type=message&limit=100")
        .await
        .ok();
    let refused = events["events"].as_array().expect("events").iter();
    let refused = refused.filter(|event| event["event_type"] == "message.edge_refused");
    assert_eq!(refused.count(), 3);
}

/// A copy of what a node that does not run has in its outbox.
fn fs_copy(node: &Relay) -> std::path::PathBuf {
    let copy = node.dir().join("outbox-copy");
    copy_files(&node.data_dir().join("outbox"), &copy);
    copy
}

fn restore(node: &Relay, copy: &Path) {
    let outbox = node.data_dir().join("outbox");
    fs::remove_dir_all(&outbox).expect("the outbox");
    copy_files(copy, &outbox);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for file in fs::read_dir(from).expect("files") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_sends_wait_does_not_overtake_itself() {
    let mut cluster = Cluster::with_edge().await;
    let [sender, other, receiver] = cluster.nodes[0]
        .agents(["sender", "other", "receiver"])
        .await;
    let operator = cluster.operator(0).await;
    let limit = json!({ "rate_max_messages": 3, "rate_window_ms": 31_000_000_000_u64 });
    operator.put("/v1/operator/settings", &limit).await.ok();
    let text = |number: u32| direct(&receiver.id, &format!("number {number}"));
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(sender.send(&text(number)).await);
    }
    // The edge has to know of the limit.
    at(&sender, &cluster.nodes[1]).inbox().await;
    cluster.nodes[0].kill();
    for number in 3..5 {
        let key = format!("key-{number}");
        ids.push(id(
            &stored(&sender, &cluster.nodes[1], &key, &text(number)).await
        ));
    }
    let of_other = id(&stored(&other, &cluster.nodes[1], "other", &text(9)).await);
    cluster.nodes[0].boot().await;
    // Its own limit holds up the sender, and nobody else.
    let edge = &cluster.nodes[1];
    poll_until(DEADLINE, "the other's message", async || {
        let waiting = edge.metric("ekho_edge_outbox_entries").await;
        (waiting == Some(2.0)).then_some(())
    })
    .await;
    let behind = keyed(&sender, edge, "key-5", &text(5)).send().await;
    assert_eq!(behind.status, 202, "{}", behind.text());
    ids.push(id(&behind.json()));
    let without_key = at(&sender, edge).request("POST", SEND).json(&text(6));
    let refused = without_key.send().await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "no_leader")
    );
    // No more of them than its limit allows here either.
    let too_many = keyed(&sender, edge, "key-7", &text(7)).send().await;
    assert_eq!(
        (too_many.status, too_many.code().as_str()),
        (429, "rate_limited")
    );

    let operator = cluster.operator(0).await;
    let limit = json!({ "rate_max_messages": 1000 });
    operator.put("/v1/operator/settings", &limit).await.ok();
    forwarded(&cluster).await;
    ids.insert(3, of_other);
    assert_eq!(inbox_ids(&receiver).await, ids);
    assert!(controls(&sender).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_where_it_is_not_allowed() {
    let mut cluster = Cluster::with_edge_of(&[("EKHO_EDGE_OUTBOX_ENTRIES", "2")]).await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let message = direct(&receiver.id, "hello");
    // A learner is no edge.
    let learner = cluster.join("learner").await;
    cluster.nodes[0].kill();
    stored(&sender, &cluster.nodes[1], "first", &message).await;
    stored(&sender, &cluster.nodes[1], "second", &message).await;
    let full = keyed(&sender, &cluster.nodes[1], "third", &message)
        .send()
        .await;
    assert_eq!(
        (full.status, full.code().as_str()),
        (503, "edge_outbox_full")
    );
    assert!(full.headers.contains_key("retry-after"));
    let no_leader = |answer: Answer| {
        assert_eq!((answer.status, answer.code().as_str()), (503, "no_leader"));
        assert!(answer.headers.contains_key("retry-after"));
    };
    no_leader(
        keyed(&sender, &cluster.nodes[learner], "k", &message)
            .send()
            .await,
    );
    let [other] = [at(&receiver, &cluster.nodes[1])];
    let to_sender = direct(&sender.id, "hello");
    no_leader(other.request("POST", SEND).json(&to_sender).send().await);
    let mut with_key = to_sender.clone();
    with_key["idempotency_key"] = json!("k");
    let batch = json!({ "messages": [with_key] });
    no_leader(
        other
            .request("POST", "/v1/messages/batch")
            .json(&batch)
            .send()
            .await,
    );
    let acks = json!({ "acks": [{ "message_id": "msg_1", "status": "received" }] });
    no_leader(other.request("POST", "/v1/acks").json(&acks).send().await);

    // The fleet changes its mind.
    cluster.nodes[0].boot().await;
    forwarded(&cluster).await;
    cluster.allow_edge(false).await;
    at(&receiver, &cluster.nodes[1]).inbox().await;
    cluster.nodes[0].kill();
    no_leader(
        keyed(&sender, &cluster.nodes[1], "fourth", &message)
            .send()
            .await,
    );
    let read = at(&receiver, &cluster.nodes[1]).request("GET", "/v1/inbox");
    no_leader(read.send().await);
    assert_eq!(
        cluster.nodes[1].metric("ekho_edge_outbox_entries").await,
        Some(0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_edge_shows_what_it_knows_and_how_old_that_is() {
    let mut cluster = Cluster::with_edge().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    let sent = sender.send(&direct(&receiver.id, "before")).await;
    // So that the edge has it.
    let edge = &cluster.nodes[1];
    let normal = at(&sender, edge).get(&format!("/v1/messages/{sent}")).await;
    assert!(!normal.headers.contains_key("x-ekho-view-age-ms"));
    assert!(normal.ok().get("view_age_ms").is_none());
    let before = at(&receiver, edge).request("GET", "/v1/inbox").sealed();
    cluster.nodes[0].kill();
    let edge = &cluster.nodes[1];
    let look = async || {
        let request = at(&receiver, edge)
            .request("GET", "/v1/inbox?limit=10")
            .sealed();
        let answer = request.send().await;
        (answer.status == 200).then_some((request, answer))
    };
    let (request, answer) = poll_until(DEADLINE, "a view of the inbox", look).await;
    let view = answer.json();
    let age_ms = view["view_age_ms"].as_u64().expect("an age");
    assert!(age_ms > 2000, "{view}");
    assert_eq!(
        answer.headers["x-ekho-view-age-ms"].to_str().unwrap(),
        age_ms.to_string()
    );
    assert_eq!(id(&view["messages"][0]), sent);
    assert_eq!(view["messages"][0]["attempt"], 0);
    // Once each, and nothing from before it was cut off.
    for (request, code) in [
        (&request, "replayed_nonce"),
        (&before, "timestamp_before_leadership"),
    ] {
        let answer = request.send().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, code));
    }
    // It changed nothing, so it is there again, and older.
    let (_, answer) = poll_until(DEADLINE, "another view", look).await;
    let view = answer.json();
    assert_eq!(id(&view["messages"][0]), sent);
    assert!(view["view_age_ms"].as_u64().unwrap() >= age_ms);
    let status = at(&sender, edge)
        .request("GET", &format!("/v1/messages/{sent}"))
        .send()
        .await;
    assert!(status.headers.contains_key("x-ekho-view-age-ms"));
    let status = status.ok();
    assert_eq!(status["status"], "queued");
    assert!(status["view_age_ms"].as_u64().is_some());

    // Also after a restart; and it waits for the leader where there is nothing to show.
    cluster.nodes[1].kill();
    cluster.nodes[1].spawn();
    listens(&cluster.nodes[1]).await;
    let edge = &cluster.nodes[1];
    let empty = async || {
        let request = at(&sender, edge).request("GET", "/v1/inbox?wait=1");
        let answer = request.send().await;
        (answer.status == 200).then(|| answer.json())
    };
    let view = poll_until(DEADLINE, "an empty view", empty).await;
    assert_eq!(view["messages"], json!([]));
    assert!(view["view_age_ms"].as_u64().unwrap() >= age_ms, "{view}");

    cluster.nodes[0].boot().await;
    let edge = &cluster.nodes[1];
    let handed_out = poll_until(DEADLINE, "the message for good", async || {
        let inbox = at(&receiver, edge).request("GET", "/v1/inbox").send().await;
        let inbox = (inbox.status == 200).then(|| inbox.json())?;
        inbox.get("view_age_ms").is_none().then_some(inbox)
    })
    .await;
    assert_eq!(handed_out["messages"][0]["attempt"], 1);
    assert_eq!(at(&receiver, edge).ack(&[&sent]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_node_is_shown_kept_and_removed() {
    let mut cluster = Cluster::with_edge().await;
    let operator = cluster.operator(0).await;
    let edge = cluster.status(&operator).await["nodes"][1].clone();
    assert_eq!(
        (&edge["part"], &edge["voter"]),
        (&json!("edge"), &json!(false))
    );
    for verb in ["promote", "demote"] {
        let path = format!("/v1/operator/cluster/nodes/2/{verb}");
        let refused = operator.post(&path, &json!({})).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
    }
    // Three voters and an edge: two of the voters are a majority.
    cluster.join("voter").await;
    cluster.join("voter").await;
    cluster.voters(3).await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    // So that the edge node knows them.
    at(&receiver, &cluster.nodes[1]).inbox().await;
    cluster.nodes[0].kill();
    let edge = &cluster.nodes[1];
    let key = "through the edge";
    let message = direct(&receiver.id, "hello");
    let answer = answered(&keyed(&sender, edge, key, &message)).await;
    let sent = id(&answer.json());
    let inbox = poll_until(DEADLINE, "the message", async || {
        let inbox = at(&receiver, &cluster.nodes[2])
            .request("GET", "/v1/inbox")
            .send()
            .await;
        let inbox = (inbox.status == 200).then(|| inbox.json())?;
        (inbox["messages"] != json!([])).then_some(inbox)
    })
    .await;
    assert_eq!(id(&inbox["messages"][0]), sent);
    cluster.nodes[0].boot().await;
    let operator = cluster.operator(0).await;
    let removed = operator
        .call("DELETE", "/v1/operator/cluster/nodes/2", None)
        .await;
    assert_eq!(removed.status, 200, "{}", removed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_feature_level_keeps_the_way_back_open() {
    let mut node = builder().env("EKHO_FEATURE_LEVEL_MAX", 1).start().await;
    let operator = node.operator().await;
    let level = async |operator: &Operator| {
        operator.get("/v1/operator/cluster").await.ok()["feature_level"].clone()
    };
    let edge = json!({ "part": "edge" });
    let allow = json!({ "edge_outbox": true });
    for refused in [
        operator.post("/v1/operator/cluster/tokens", &edge).await,
        operator.put("/v1/operator/settings/fleet", &allow).await,
    ] {
        assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));
        assert!(
            refused.text().contains("feature level 2"),
            "{}",
            refused.text()
        );
    }
    assert_eq!(level(&operator).await, 1);
    node.stop().await;
    node.env.push(("EKHO_FEATURE_LEVEL_MAX".into(), "2".into()));
    node.boot().await;
    poll_until(DEADLINE, "the second level", async || {
        (level(&operator).await == 2).then_some(())
    })
    .await;
    operator
        .put("/v1/operator/settings/fleet", &allow)
        .await
        .ok();
    // There is no way back from here.
    node.stop().await;
    node.env.push(("EKHO_FEATURE_LEVEL_MAX".into(), "1".into()));
    node.spawn();
    assert!(!node.wait_exit().await.success());
    assert!(node.log().contains("no way back"), "{}", node.log());
}
