//! A node that outlived the majority of its cluster. The others never were: the log is given two
//! voters that nobody ever hears of, which is what a node sees of a majority that is gone.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use ekho::machine::{Files, RelayMachine, Sink};
use ekho_raft::{Node, NodeConfig, Peer};
use ekho_storage::tables::{AgentNo, FleetNo};
use ekho_storage::{State, StateOptions};
use serde_json::{Value, json};

use super::{fails, json as parsed};
use crate::support::{DEADLINE, Relay, SignedRequest, direct, iso, now_ms, poll_until};

/// Nobody waits for anything.
struct Nobody;

impl Sink for Nobody {
    fn files(&self, _: Files) {}
    fn wake(&self, _: &[(FleetNo, AgentNo)]) {}
    fn close(&self, _: FleetNo) {}
    fn updated(&self, _: &[(FleetNo, u128)]) {}
    fn recorded(&self) {}
}

fn identity(relay: &Relay) -> Value {
    let text = fs::read_to_string(relay.data_dir().join("cluster.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Makes a stopped relay one of three.
pub(super) async fn lose_the_others(relay: &Relay) {
    let identity = identity(relay);
    let dir = relay.data_dir();
    let state = State::open(&dir.join("state"), &StateOptions::default()).unwrap();
    let id = identity["cluster_id"].as_str().unwrap();
    let mut config = NodeConfig::new(dir, id, 1, || now_ms() as u64);
    config.limits.disk_free_min_bytes = 0;
    let node = Node::start(config, state, RelayMachine::new(Nobody))
        .await
        .unwrap();
    let mut leadership = node.leadership();
    leadership
        .wait_for(|leadership| leadership.is_self)
        .await
        .unwrap();
    for node_id in [2, 3] {
        let address = format!("node-{node_id}:4001");
        node.add_learner(node_id, Peer { address }).await.unwrap();
    }
    let change = node.set_voters(BTreeSet::from([1, 2, 3]));
    // Nobody is there to agree.
    assert!(
        tokio::time::timeout(Duration::from_millis(500), change)
            .await
            .is_err()
    );
    poll_until(DEADLINE, "three voters", async || {
        let members = node.status().members;
        (members.iter().filter(|member| member.voter).count() == 3).then_some(())
    })
    .await;
    node.shutdown(Duration::from_secs(1)).await;
}

const RECOVER: [&str; 3] = ["cluster", "recover", "--accept-data-loss"];

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_alone_with_what_it_holds() {
    let mut relay = Relay::start().await;
    let [a, b] = relay.agents(["a", "b"]).await;
    let id = a.send(&direct(&b.id, "before")).await;
    let ahead = a
        .request("POST", "/v1/messages")
        .json(&direct(&b.id, "accepted by the others"))
        .timestamp(&iso(now_ms() + 250_000));
    relay.stop().await;
    lose_the_others(&relay).await;
    let before = identity(&relay);

    let without = relay.run(["cluster", "recover", "--yes"]);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert_eq!(without.status.code(), Some(2), "{said}");
    assert!(said.contains("--accept-data-loss"), "{said}");
    let unsure = relay.run(RECOVER);
    assert_eq!(unsure.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unsure.stdout).into_owned();
    for words in [
        "known to be decided up to entry",
        "2 voter node-2:4001",
        "Lost is what the others accepted",
        "count as decided",
    ] {
        assert!(said.contains(words), "no {words:?}: {said}");
    }
    assert_eq!(identity(&relay), before, "it asked, and nobody said yes");

    let lost_ms = now_ms();
    let recovered = relay.run(RECOVER.iter().chain(&["--yes", "--json"]));
    let recovered = parsed(&recovered);
    assert_eq!(recovered["from_cluster_id"], before["cluster_id"]);
    let after = identity(&relay);
    assert_eq!(recovered["cluster_id"], after["cluster_id"]);
    assert_ne!(after["cluster_id"], before["cluster_id"]);
    assert_eq!(after["node_id"], before["node_id"]);
    assert_eq!(recovered["held"]["members"].as_array().unwrap().len(), 3);
    relay.boot().await;
    let owner = relay.operator().await;
    let shown = owner.get(&format!("/v1/operator/messages/{id}")).await.ok();
    assert_eq!(shown["message"]["id"], id);
    let events = owner
        .get("/v1/operator/events?type=relay.recovered")
        .await
        .ok();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let what = &events[0]["payload"];
    assert_eq!(
        (&what["node_id"], &what["from_cluster_id"]),
        (&json!(1), &before["cluster_id"])
    );
    let floor_ms = what["timestamp_floor_ms"].as_i64().unwrap();
    assert!(floor_ms >= lost_ms + 300_000, "{what}");
    // What the others may have accepted is not accepted again, whoever's clock was ahead.
    let again = SignedRequest {
        relay_url: relay.url(),
        ..ahead
    };
    let answer = again.send().await;
    answer.refused(
        401,
        "timestamp outside allowed skew",
        "timestamp_before_leadership",
    );
    relay.restart().await;
    assert_eq!(again.send().await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_was_cut_short_is_finished() {
    let mut relay = Relay::builder()
        .env("EKHO_TIMESTAMP_SKEW_SECONDS", 1)
        .start()
        .await;
    let [a, b] = relay.agents(["a", "b"]).await;
    let id = a.send(&direct(&b.id, "before")).await;
    relay.stop().await;
    lose_the_others(&relay).await;
    let data_dir = relay.data_dir();
    let becoming = data_dir.join("cluster.becoming.json");
    let mut half = identity(&relay);
    half["cluster_id"] = json!("clu_half");
    fs::write(&becoming, half.to_string()).unwrap();
    relay.spawn();
    assert!(!relay.wait_exit().await.success());
    assert!(
        relay
            .log()
            .contains("a recovery of this node was cut short"),
        "{}",
        relay.log()
    );
    let said = relay.run(RECOVER.iter().chain(&["--yes"]));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.status.success() && text.contains("is finished now"),
        "{text}"
    );
    assert_eq!(identity(&relay)["cluster_id"], "clu_half");
    assert!(!becoming.exists());
    // Cut short at the very end.
    fs::write(&becoming, half.to_string()).unwrap();
    assert!(relay.run(RECOVER.iter().chain(&["--yes"])).status.success());
    relay.boot().await;
    let received = b.receive().await;
    assert_eq!(received[0]["message_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_recovery_is_left_alone() {
    let mut relay = Relay::start().await;
    let args = || RECOVER.iter().chain(&["--yes"]);
    let said = fails(&relay.run(args()));
    assert!(said.contains("in use by another process"), "{said}");
    relay.stop().await;
    let before = identity(&relay);
    let said = fails(&relay.run(args()));
    assert!(said.contains("needs no recovery"), "{said}");
    assert_eq!(identity(&relay), before);
    let nowhere = relay.dir().join("nowhere");
    let nowhere = ["--data-dir", nowhere.to_str().unwrap()];
    let said = fails(&relay.run(args().chain(&nowhere)));
    assert!(said.contains("holds no node"), "{said}");
    relay.boot().await;
}
