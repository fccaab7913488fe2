//! Files of attachments on several nodes: a majority before anything is said, fetched where they are
//! missing, mended where they are damaged.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::{Cluster, address, at};
use crate::support::{Agent, DEADLINE, Relay, direct, poll_until, upload_body};

/// Waits until a node has the file of an attachment.
async fn has_file(node: &Relay, made: &Value) {
    poll_until(DEADLINE, "a file", async || {
        node.attachment_path(made).exists().then_some(())
    })
    .await;
}

async fn reads(agent: &Agent, node: &Relay, made: &Value, bytes: &[u8]) {
    let found = at(agent, node).download(made).await;
    assert_eq!(found.status, 200, "{}", found.text());
    assert!(found.bytes == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_has_the_bytes_before_an_upload_is_answered() {
    let mut cluster = Cluster::three().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    let first = agent.upload("first", "text/plain", b"first").await;
    for (place, node) in cluster.nodes.iter().enumerate() {
        let bytes = format!("through node {place}");
        let made = at(&agent, node)
            .upload("a", "text/plain", bytes.as_bytes())
            .await;
        let holders = cluster.nodes.iter();
        let holders = holders.filter(|node| node.attachment_path(&made).exists());
        assert!(holders.count() >= 2);
        for node in &cluster.nodes {
            reads(&agent, node, &made, bytes.as_bytes()).await;
        }
    }
    // With one node gone, a majority is left, and whichever dies next: one of the others has it.
    cluster.nodes[2].kill();
    let two = agent.upload("two", "text/plain", b"two of three").await;
    for node in &cluster.nodes[..2] {
        assert!(node.attachment_path(&two).exists());
    }
    // With two gone, nothing is accepted and nothing is left.
    cluster.nodes[1].kill();
    let before = cluster.nodes[0].attachment_files();
    let refused = agent
        .request("POST", "/v1/attachments")
        .json(&upload_body("alone", "text/plain", b"alone"))
        .send()
        .await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(cluster.nodes[0].attachment_files(), before);
    cluster.nodes[1].boot().await;
    cluster.nodes[2].boot().await;
    // The third gets what it missed by itself.
    has_file(&cluster.nodes[2], &two).await;
    reads(&agent, &cluster.nodes[2], &two, b"two of three").await;
    reads(&agent, &cluster.nodes[1], &first, b"first").await;
}

/// The nodes that a leader counts on may be there and not store anything: that they can vote is not
/// enough.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_cannot_store_do_not_count() {
    let cluster = Cluster::three().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    // What is written goes into this directory; a file in its place is no directory.
    for node in &cluster.nodes[1..] {
        let temporary = node.data_dir().join("attachments/tmp");
        fs::remove_dir_all(&temporary).unwrap();
        fs::write(&temporary, b"").unwrap();
    }
    let before = cluster.nodes[0].attachment_files();
    let body = upload_body("alone", "text/plain", b"alone");
    let refused = agent.post("/v1/attachments", &body).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.code(), "attachment_not_stored");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(cluster.nodes[0].attachment_files(), before);
    let metric = cluster.nodes[0].metric("ekho_attachments_total").await;
    assert_eq!(metric, Some(1.0));
    let temporary = cluster.nodes[1].data_dir().join("attachments/tmp");
    fs::remove_file(&temporary).unwrap();
    fs::create_dir(&temporary).unwrap();
    agent.upload("two", "text/plain", b"two of three").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_answered_while_a_node_hangs() {
    let cluster = Cluster::three().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let operator = cluster.operator(0).await;
    let leader = cluster.leader(&operator).await;
    let other = (0..3)
        .rev()
        .find(|place| *place != leader && *place != 0)
        .unwrap();
    cluster.nodes[other].signal(Signal::STOP);
    let bytes = vec![b'x'; 3 << 20];
    let made = agent.upload("large", "text/plain", &bytes).await;
    cluster.nodes[other].signal(Signal::CONT);
    has_file(&cluster.nodes[other], &made).await;
    reads(&agent, &cluster.nodes[other], &made, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_damaged_is_fetched_from_a_peer_and_kept() {
    let cluster = Cluster::three().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let made = agent
        .upload("large", "application/octet-stream", &bytes)
        .await;
    let node = &cluster.nodes[2];
    has_file(node, &made).await;
    let path = node.attachment_path(&made);
    let fetches = "ekho_attachment_fetches_total{result=\"fetched\"}";
    let before = node.metric(fetches).await.unwrap();
    fs::remove_file(&path).unwrap();
    reads(&agent, node, &made, &bytes).await;
    assert!(path.exists());
    let mut damaged = fs::read(&path).unwrap();
    damaged[2_000_000] ^= 1;
    fs::write(&path, &damaged).unwrap();
    reads(&agent, node, &made, &bytes).await;
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(node.metric(fetches).await, Some(before + 2.0));
    // Two that are damaged are no help to each other, and the third is.
    for node in &cluster.nodes[..2] {
        fs::write(node.attachment_path(&made), &damaged).unwrap();
    }
    reads(&agent, &cluster.nodes[0], &made, &bytes).await;
    // Where nobody has it whole, nothing else is given out.
    for node in &cluster.nodes {
        fs::write(node.attachment_path(&made), &damaged).unwrap();
    }
    let refused = agent.download(&made).await;
    assert_eq!(refused.status, 503, "{}", refused.status);
    assert_eq!(refused.code(), "attachment_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_anothers_place_gets_the_files_before_it_votes() {
    let mut cluster = Cluster::three().await;
    let [writer, reader] = cluster.nodes[0].agents(["writer", "reader"]).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let bytes = format!("file {number}");
        let one = writer.upload(&bytes, "text/plain", bytes.as_bytes()).await;
        let mut message = direct(&reader.id, "file");
        message["attachment_ids"] = json!([one["id"]]);
        writer.send(&message).await;
        made.push((one, bytes));
    }
    let operator = cluster.operator(0).await;
    // The leader stays, so that this test is not about that.
    let leader = cluster.leader(&operator).await;
    let place = (0..3)
        .rev()
        .find(|place| *place != leader && *place != 0)
        .unwrap();
    cluster.nodes[place].kill();
    poll_until(DEADLINE, "the dead node is missed", async || {
        let status = cluster.status(&operator).await;
        (status["nodes"][place]["reachable"] == false).then_some(())
    })
    .await;
    let target = format!("/v1/operator/cluster/nodes/{}", place + 1);
    operator.call("DELETE", &target, None).await.ok();
    let new = cluster.join("voter").await;
    cluster.voters(3).await;
    let node = &cluster.nodes[new];
    for (one, bytes) in &made {
        assert!(node.attachment_path(one).exists(), "{bytes}");
        assert_eq!(
            fs::read(node.attachment_path(one)).unwrap(),
            bytes.as_bytes()
        );
    }
    let status = cluster.status(&operator).await;
    let shown = status["nodes"].as_array().unwrap().iter();
    let shown: Vec<_> = shown.map(|node| node["missing_files"].clone()).collect();
    assert_eq!(shown, [json!(0), json!(0), json!(0)], "{status}");
    assert_eq!(
        node.metric("ekho_attachment_files_missing").await,
        Some(0.0)
    );
    reads(&reader, node, &made[0].0, made[0].1.as_bytes()).await;
    assert!(!address(node).is_empty());
}

/// A node that has all data without a vote keeps what it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_fetches_what_it_is_asked_for() {
    let mut cluster = Cluster::one().await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    let learner = cluster.join("learner").await;
    let made = agent.upload("a", "text/plain", b"hello").await;
    let node = &cluster.nodes[learner];
    reads(&agent, node, &made, b"hello").await;
    assert!(node.attachment_path(&made).exists());
    // Through it, the bytes are on the voter's disk first.
    let made = at(&agent, node)
        .upload("b", "text/plain", b"through a learner")
        .await;
    assert!(cluster.nodes[0].attachment_path(&made).exists());
}

/// What one node got for an upload that came to nothing goes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_uploads_that_came_to_nothing_go_on_every_node() {
    let env = [
        ("EKHO_ATTACHMENT_HOLD_SECONDS", "2"),
        ("EKHO_ATTACHMENT_FLEET_MAX_BYTES", "10"),
    ];
    let cluster = Cluster::three_of(&env).await;
    let [agent] = cluster.nodes[0].agents(["agent"]).await;
    let kept = agent.upload("a", "text/plain", b"0123456789").await;
    let operator = cluster.operator(0).await;
    poll_until(DEADLINE, "the first settings", async || {
        let settings = operator.get("/v1/operator/settings/attachments").await.ok();
        (settings["attachment_hold_ms"] == 2000).then_some(())
    })
    .await;
    let refused = agent
        .post("/v1/attachments", &upload_body("b", "text/plain", b"more"))
        .await;
    assert_eq!(refused.code(), "attachment_quota", "{}", refused.text());
    poll_until(DEADLINE, "one file on each node", async || {
        let counts = cluster.nodes.iter().map(Relay::attachment_files);
        counts.max().is_some_and(|most| most == 1).then_some(())
    })
    .await;
    for node in &cluster.nodes {
        has_file(node, &kept).await;
    }
}
