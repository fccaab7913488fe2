//! Analytics: throughput, failures, latency, who talks most and to whom

use serde_json::{Value, json};

use crate::checks::{assert_only_fields, assert_time};
use crate::support::{Agent, DEADLINE, Operator, Relay, direct, iso, now_ms, poll_until, shared};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A relay on which this happened: three messages acked, one given up, one denied, one from an
/// operator.
async fn busy() -> (Relay, Operator, [Agent; 3]) {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    operator
        .put("/v1/operator/settings", &json!({ "retry_backoff_ms": [] }))
        .await
        .ok();
    let agents = relay.agents(["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = &agents;
    for text in ["one", "two", "three"] {
        alice.send(&direct(&bob.id, text)).await;
    }
    let mut acked = 0;
    while acked < 3 {
        let received = bob.receive().await;
        let ids: Vec<&str> = received
            .iter()
            .map(|one| one["message_id"].as_str().unwrap())
            .collect();
        acked += bob.ack(&ids).await;
    }
    let lost = bob.send(&direct(&carol.id, "lost")).await;
    carol.receive().await;
    let nack = json!({ "nacks": [{ "message_id": lost, "reason": "cannot" }] });
    carol.post("/v1/nacks", &nack).await.ok();
    let rule = json!({
        "name": "no alerts", "scope_kind": "fleet",
        "rule": { "action": "deny", "conditions": { "message_type": "alert" } },
    });
    operator.post("/v1/operator/policies", &rule).await.ok();
    let mut alert = direct(&bob.id, "denied");
    alert["message_type"] = json!("alert");
    assert_eq!(carol.post("/v1/messages", &alert).await.status, 403);
    let order = json!({ "recipient_agent_id": carol.id, "text": "from above" });
    operator.post("/v1/operator/messages", &order).await.ok();
    (relay, operator, agents)
}

async fn get(operator: &Operator, target: &str) -> Value {
    operator
        .get(&format!("/v1/operator/analytics{target}"))
        .await
        .ok()
}

#[tokio::test]
async fn throughput_failures_and_latency_over_time() {
    let (_relay, operator, _) = busy().await;
    let found = poll_until(DEADLINE, "the counts", async || {
        let found = get(&operator, "?step=300").await;
        (found["total"]["accepted"] == 5 && found["total"]["acked"] == 3).then_some(found)
    })
    .await;
    assert_only_fields(&found, &["from", "to", "step_seconds", "points", "total"]);
    let total = &found["total"];
    assert_eq!(
        (&total["delivered"], &total["retried"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(
        total["failures"],
        json!({ "expired": 0, "timeout": 0, "given_back": 1, "policy": 1, "rate": 0 })
    );
    let sent = ["one", "two", "three", "lost"].map(|text| json!({ "text": text }).to_string());
    let above = json!({ "text": "from above" }).to_string();
    let bytes: usize = sent.iter().chain([&above]).map(String::len).sum();
    assert_eq!(total["accepted_bytes"], bytes);
    let latency = |name: &str| total["latency_ms"][name].as_u64().unwrap();
    assert!(latency("p50") <= latency("p90") && latency("p90") <= latency("p99"));
    let points = found["points"].as_array().unwrap();
    let steps = (assert_time(&found["to"]) - assert_time(&found["from"])) / 300_000;
    assert_eq!(points.len() as i64, steps, "quiet steps too");
    let sum: u64 = points
        .iter()
        .map(|point| point["accepted"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 5);
    // The same by the hour and by the day, as far back as counts reach.
    let from = iso(now_ms() - 399 * DAY_MS);
    let by_day = get(&operator, &format!("?step=86400&from={from}")).await;
    assert_eq!(
        (&by_day["total"], by_day["points"].as_array().unwrap().len()),
        (total, 400)
    );
    let by_hour = get(&operator, "?step=3600").await;
    assert_eq!(&by_hour["total"], total);
    let before = iso(now_ms() - 2 * HOUR_MS);
    let past = get(&operator, &format!("?from={from}&to={before}&step=86400")).await;
    // The last day's step is whole: it may hold today.
    assert!(past["points"].as_array().unwrap().len() >= 399);
}

#[tokio::test]
async fn who_talks_most_and_to_whom() {
    let (_relay, operator, [alice, bob, carol]) = busy().await;
    let found = poll_until(DEADLINE, "the counts", async || {
        let found = get(&operator, "/agents?by=sent").await;
        (found["agents"].as_array().unwrap().len() == 3).then_some(found)
    })
    .await;
    let agents = found["agents"].as_array().unwrap();
    assert_eq!(
        (&agents[0]["agent_id"], &agents[0]["sent"]),
        (&json!(alice.id), &json!(3))
    );
    assert_eq!(agents[0]["display_name"], "alice");
    let operators = agents
        .iter()
        .find(|agent| agent["agent_id"].is_null())
        .unwrap();
    assert_eq!(operators["sent"], 1);
    for (by, agent) in [("received", &bob), ("failed", &carol), ("denied", &carol)] {
        let found = get(&operator, &format!("/agents?by={by}&limit=1")).await;
        assert_eq!(found["agents"][0]["agent_id"], json!(agent.id), "{by}");
        assert_eq!(found["agents"].as_array().unwrap().len(), 1);
    }
    let quiet = get(&operator, "/agents?by=rate_limited").await;
    assert_eq!(quiet["agents"], json!([]));

    let pairs = get(&operator, "/pairs").await;
    assert_only_fields(&pairs, &["from", "to", "step_seconds", "pairs"]);
    let pair = &pairs["pairs"][0];
    assert_eq!(
        (
            &pair["sender_agent_id"],
            &pair["recipient_agent_id"],
            &pair["messages"]
        ),
        (&json!(alice.id), &json!(bob.id), &json!(3))
    );
    let points = pair["points"].as_array().unwrap();
    let sum: u64 = points
        .iter()
        .map(|point| point["messages"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 3);
    let to_carol = get(
        &operator,
        &format!("/pairs?recipient_agent_id={}", carol.id),
    )
    .await;
    let to_carol = to_carol["pairs"].as_array().unwrap();
    assert_eq!(to_carol.len(), 2);
    let failed: u64 = to_carol
        .iter()
        .map(|pair| pair["failed"].as_u64().unwrap())
        .sum();
    assert_eq!(failed, 1);
    let from_carol = get(&operator, &format!("/pairs?sender_agent_id={}", carol.id)).await;
    assert_eq!(from_carol["pairs"], json!([]));
    let unknown = get(&operator, "/pairs?sender_agent_id=agent_nobody").await;
    assert_eq!(unknown["pairs"], json!([]));
}

#[tokio::test]
async fn tables_come_as_csv_and_json_lines() {
    let (_relay, operator, [alice, bob, _]) = busy().await;
    poll_until(DEADLINE, "the counts", async || {
        (get(&operator, "").await["total"]["accepted"] == 5).then_some(())
    })
    .await;
    let export = async |target: &str| {
        let answer = operator
            .get(&format!("/v1/operator/analytics{target}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (
            answer.header("content-type").unwrap().to_string(),
            answer.text(),
        )
    };
    let (kind, text) = export("?step=3600&format=csv").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    let mut lines = text.split("\r\n");
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    for name in ["from", "accepted", "failures.policy", "latency_ms.p99"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let place = names.iter().position(|name| *name == "accepted").unwrap();
    let accepted = lines
        .filter(|line| !line.is_empty())
        .map(|line| line.split(',').nth(place).unwrap().parse::<u64>().unwrap());
    assert_eq!(accepted.sum::<u64>(), 5);
    let (kind, text) = export("/pairs?format=jsonl").await;
    assert_eq!(kind, "application/x-ndjson");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let from_alice = rows
        .iter()
        .filter(|row| row["sender_agent_id"] == alice.id.as_str());
    let sums = from_alice.map(|row| {
        assert_eq!(row["recipient_agent_id"], bob.id.as_str());
        row["messages"].as_u64().unwrap()
    });
    assert_eq!(sums.sum::<u64>(), 3);
    let (_, text) = export("/agents?format=csv").await;
    assert_eq!(text.lines().count(), 4);
}

#[tokio::test]
async fn without_a_licence_only_the_last_day_is_shown() {
    let operator = shared().await.operator().await;
    for target in ["", "/agents", "/pairs"] {
        let refused = operator
            .get(&format!("/v1/operator/analytics{target}"))
            .await;
        let body = refused.refused(
            403,
            "this needs a licence for analytics",
            "license_required",
        );
        assert_eq!(body["feature"], "analytics");
    }
    for target in ["activity", "topology"] {
        operator.get(&format!("/v1/operator/{target}")).await.ok();
    }
}

#[tokio::test]
async fn what_would_be_too_much_is_refused() {
    let relay = Relay::builder().pro().shared().await;
    let operator = relay.operator().await;
    let ago = |ms: i64| iso(now_ms() - ms);
    for (query, field) in [
        ("?from=yesterday".to_string(), "from"),
        (format!("?from={}", ago(401 * DAY_MS)), "from"),
        (format!("?from={}", ago(-DAY_MS)), "from"),
        (
            format!("?from={}&to={}", ago(HOUR_MS), ago(2 * HOUR_MS)),
            "from",
        ),
        ("?to=tomorrow".into(), "to"),
        ("?step=1".into(), "step"),
        ("?step=301".into(), "step"),
        ("?step=x".into(), "step"),
        (format!("?step=3600&from={}", ago(399 * DAY_MS)), "step"),
        (format!("?step=300&from={}", ago(3 * DAY_MS)), "step"),
        ("?format=xml".into(), "format"),
        ("/agents?by=beauty".into(), "by"),
        ("/agents?limit=0".into(), "limit"),
        ("/pairs?limit=101".into(), "limit"),
        (
            format!("/pairs?step=3600&from={}", ago(40 * DAY_MS)),
            "step",
        ),
    ] {
        let target = format!("/v1/operator/analytics{query}");
        operator.get(&target).await.invalid(field);
    }
}
