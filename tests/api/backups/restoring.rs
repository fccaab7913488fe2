//! A restored relay: it has everything that was answered before the backup, and accepts nothing a
//! second time.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{at, empty_like, json, restore, take};
use crate::support::{
    Agent, DEADLINE, Relay, SignedRequest, direct, iso, now_ms, poll_until, uuid,
};

/// Sends until it is told to stop; the ids, in order.
async fn send_on(sender: Agent, recipient: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{}: {}", ids.len(), "x".repeat(300));
        ids.push(sender.send(&direct(&recipient, &text)).await);
    }
    ids
}

/// Takes everything out of an inbox, in order.
async fn drain(agent: &Agent) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        let messages = agent.inbox().await;
        if messages.is_empty() {
            return taken;
        }
        let ids: Vec<&str> = messages
            .iter()
            .map(|one| one["message_id"].as_str().unwrap())
            .collect();
        agent.ack(&ids).await;
        taken.extend(ids.into_iter().map(str::to_string));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_backup_under_load_is_in_the_restored_relay() {
    let mut relay = Relay::builder()
        .env("EKHO_TIMESTAMP_SKEW_SECONDS", 5)
        .start()
        .await;
    let agents = relay.agents(["a", "b", "c", "d"]).await;
    // Leaves a snapshot behind, which is too old for the next.
    tokio::task::block_in_place(|| take(&relay, "too-early.tar"));
    let [a, b, c, d] = agents;
    let stop = Arc::new(AtomicBool::new(false));
    let pairs = [
        (a.clone(), b.clone()),
        (c.clone(), d.clone()),
        (b.clone(), a.clone()),
    ];
    let loads = pairs.map(|(sender, recipient)| {
        let recipient_id = recipient.id.clone();
        let load = tokio::spawn(send_on(sender, recipient_id, Arc::clone(&stop)));
        (recipient, load)
    });
    // Until something is stored, and more is on its way.
    poll_until(DEADLINE, "messages", async || {
        let accepted = relay.metric("ekho_messages_accepted_total").await?;
        (accepted > 100.0).then_some(())
    })
    .await;
    let operator = relay.operator().await;
    let pause = json!({ "reason": "held before the backup" });
    operator
        .post(&format!("/v1/operator/agents/{}/pause", d.id), &pause)
        .await
        .ok();
    let before = relay.metric("ekho_messages_accepted_total").await.unwrap();
    let (file, said) = tokio::task::block_in_place(|| take(&relay, "ekho.tar"));
    stop.store(true, Ordering::Relaxed);
    let in_backup = said["messages_accepted"].as_f64().unwrap();
    assert!(in_backup >= before, "{in_backup} of {before}");
    let mut sent = Vec::new();
    for (recipient, load) in loads {
        sent.push((recipient, load.await.unwrap()));
    }
    let total: usize = sent.iter().map(|(_, ids)| ids.len()).sum();
    assert!(total as f64 > in_backup, "the load went on: {total}");
    relay.kill();

    let mut restored = empty_like(&relay);
    let said = restore(&restored, &file, &[]);
    assert_ne!(said["cluster_id"], said["from_cluster_id"]);
    restored.boot().await;
    let accepted = restored.metric("ekho_messages_accepted_total").await;
    assert_eq!(accepted, Some(in_backup));
    let mut found = 0;
    for (recipient, ids) in &sent {
        if recipient.id == d.id {
            continue;
        }
        let taken = drain(&at(recipient, &restored)).await;
        // The first ones, in the order in which they were accepted, and nothing else.
        assert_eq!(taken, ids[..taken.len()], "{}", recipient.id);
        found += taken.len();
    }
    let operator = restored.operator().await;
    let held = operator
        .get(&format!("/v1/operator/agents/{}", d.id))
        .await
        .ok();
    assert_eq!(held["agent"]["status"], "paused");
    let list = operator
        .get(&format!("/v1/operator/agents/{}/inbox?limit=1", d.id))
        .await
        .ok();
    let waiting = list["total"].as_u64().unwrap_or_default();
    assert_eq!(found as u64 + waiting, in_backup as u64, "{list}");
    // It works on, also through a restart.
    let (a, b) = (at(&a, &restored), at(&b, &restored));
    let id = a.send(&direct(&b.id, "after the restore")).await;
    restored.restart().await;
    assert_eq!(drain(&b).await, [id]);
}

fn message(from: &Agent, to: &Agent, text: &str, at_ms: i64) -> SignedRequest {
    from.request("POST", "/v1/messages")
        .json(&direct(&to.id, text))
        .timestamp(&iso(at_ms))
}

/// With the default skew, so that nothing is refused only for being old.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_before_is_accepted_again() {
    let mut relay = Relay::start().await;
    let [a, b] = relay.agents(["a", "b"]).await;
    a.inbox().await;
    let skews = [-250_000, 0, 250_000, 299_000];
    let send_all = async |when: &str| {
        let mut requests = Vec::new();
        for skew_ms in skews {
            let at_ms = now_ms() + skew_ms;
            requests.push(message(&a, &b, &format!("{when} {skew_ms}"), at_ms));
            let notice = json!({ "conversation_id": uuid(), "reason": "r", "pending_count": 1 });
            let notice = a.request("POST", "/v1/notices").json(&notice);
            requests.push(notice.timestamp(&iso(at_ms)));
            if skew_ms >= 0 {
                let poll = a.request("GET", "/v1/inbox?limit=1");
                requests.push(poll.timestamp(&iso(at_ms)));
            }
        }
        for request in &requests {
            request.send().await.ok();
        }
        requests
    };
    let mut requests = send_all("before the backup").await;
    let (file, _) = tokio::task::block_in_place(|| take(&relay, "ekho.tar"));
    requests.extend(send_all("after the backup").await);
    let lost_ms = now_ms();
    relay.kill();

    let mut restored = empty_like(&relay);
    let lost_at = iso(lost_ms + 1);
    let said = restore(&restored, &file, &["--lost-at", &lost_at]);
    let floor_ms = lost_ms + 1 + 300_000;
    restored.boot().await;
    for round in ["first", "after a restart"] {
        for request in &requests {
            let again = SignedRequest {
                relay_url: restored.url(),
                ..request.clone()
            };
            let answer = again.send().await;
            assert_eq!(
                answer.status,
                401,
                "{round}: {}: {}",
                again.timestamp,
                answer.text()
            );
        }
        restored.restart().await;
    }
    assert_eq!(said["signed_requests_from"], iso(floor_ms + 1));
    // New ones are refused as well until the time has come, and told when to try again.
    let (a, b) = (at(&a, &restored), at(&b, &restored));
    let early = message(&a, &b, "early", now_ms()).send().await;
    early.refused(
        401,
        "timestamp outside allowed skew",
        "timestamp_before_leadership",
    );
    assert_eq!(early.header("retry-after"), Some("30"));
    let poll = a.request("GET", "/v1/inbox").send().await;
    poll.refused(
        401,
        "timestamp outside allowed skew",
        "timestamp_before_leadership",
    );
    // A clock ahead is over it already.
    poll_until(DEADLINE, "a time within the skew", async || {
        (now_ms() + 299_000 > floor_ms + 1000).then_some(())
    })
    .await;
    message(&a, &b, "new", floor_ms + 500).send().await.ok();
    let accepted = restored.metric("ekho_messages_accepted_total").await;
    assert_eq!(
        accepted,
        Some(5.0),
        "four before the backup and the new one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_tokens_and_the_audit_log_go_on_in_a_new_cluster() {
    let mut relay = Relay::start().await;
    let operator = relay.operator().await;
    let request = json!({ "name": "ci", "scopes": ["read"] });
    let token = operator.post("/v1/operator/tokens", &request).await.ok();
    let token = token["token"].as_str().unwrap().to_string();
    let label = "nightly";
    let output = relay.run([
        "backup", "create", "--output", "e.tar", "--label", label, "--json",
    ]);
    let said = json(&output);
    let head = operator.get("/v1/operator/audit").await.ok();
    relay.stop().await;
    let mut restored = empty_like(&relay);
    let file = relay.dir().join("e.tar");
    let lost_ms = now_ms() - 1;
    restore(&restored, &file, &["--lost-at", &iso(lost_ms)]);
    restored.boot().await;
    // The session of before, and the token.
    let mut at_restored = operator.clone();
    at_restored.relay_url = restored.url();
    at_restored.get("/v1/operator/me").await.ok();
    at_restored.token = token;
    at_restored.get("/v1/operator/agents").await.ok();
    let owner = restored.operator().await;
    let events = owner
        .get("/v1/operator/events?type=relay.restored")
        .await
        .ok();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let (event, what) = (&events[0], &events[0]["payload"]);
    assert_eq!(
        (&event["actor_kind"], &what["label"]),
        (&json!("system"), &json!(label))
    );
    assert_eq!(what["from_cluster_id"], said["cluster_id"]);
    assert_eq!(what["lost_ms"], lost_ms);
    assert_eq!(what["timestamp_floor_ms"], lost_ms + 300_000);
    let identity = fs::read_to_string(restored.data_dir().join("cluster.json")).unwrap();
    assert!(
        identity.contains(what["cluster_id"].as_str().unwrap()),
        "{identity}"
    );
    // The chain goes on from where the backup was taken.
    let exported = restored.run(["audit", "export", "--out", "audit.jsonl"]);
    assert!(exported.status.success());
    let verified = json(&restored.run(["audit", "verify", "audit.jsonl", "--json"]));
    assert_eq!(verified["intact"], true);
    assert!(verified["last_seq"].as_u64() > head["head_seq"].as_u64());
    // What the old directory holds cannot be started under the new id, nor the other way round.
    let old = relay.data_dir().join("cluster.json");
    fs::write(&old, &identity).unwrap();
    relay.spawn();
    assert!(!relay.wait_exit().await.success());
    assert!(relay.log().contains("belongs to"), "{}", relay.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_short_begins_anew() {
    let mut relay = Relay::start().await;
    let (file, _) = take(&relay, "ekho.tar");
    relay.kill();
    let mut restored = empty_like(&relay);
    for leaf in ["restore.tmp/state/000001", "state/000001", "log"] {
        fs::create_dir_all(restored.data_dir().join(leaf)).unwrap();
        fs::write(restored.data_dir().join(leaf).join("CURRENT"), "half").unwrap();
    }
    // Half a relay does not start, nor is it taken for a new one.
    let output = restored.run(["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.contains("missing beside"),
        "{said}"
    );
    restore(&restored, &file, &[]);
    assert!(!restored.data_dir().join("restore.tmp").exists());
    restored.boot().await;
    restored.operator().await;
}
