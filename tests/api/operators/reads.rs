//! What operators read: overview, events, approvals

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{Operator, Relay, direct};

async fn list(operator: &Operator, what: &str, query: &str) -> Value {
    operator
        .get(&format!("/v1/operator/{what}?{query}"))
        .await
        .ok()
}

fn all<'a>(page: &'a Value, name: &str) -> &'a Vec<Value> {
    page[name]
        .as_array()
        .unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[tokio::test]
async fn the_overview_counts_what_there_is() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let empty = operator.get("/v1/operator/overview").await.ok();
    assert_eq!(empty["agents"], json!([]));
    let names: Vec<String> = (0..12).map(|number| format!("agent {number:02}")).collect();
    let mut agents = Vec::new();
    for name in &names {
        agents.push(operator.enrol(name).await);
    }
    for _ in 0..3 {
        agents[0].send(&direct(&agents[1].id, "hello")).await;
    }
    operator.order(&agents[2], "quarantine").await;
    let proposal = json!({
        "conversation_id": "c", "action_type": "deploy", "summary": "s",
        "risk_level": "high", "payload": {},
    });
    agents[3].post("/v1/actions/propose", &proposal).await.ok();
    let overview = operator.get("/v1/operator/overview").await.ok();
    for (field, count) in [
        ("pendingApprovals", 1),
        ("queuedMessages", 3),
        ("deadLetterCount", 0),
        ("quarantinedAgentCount", 1),
        ("rateLimitViolationsLast24h", 0),
    ] {
        assert_eq!(overview[field], count, "{field}");
    }
    let shown: Vec<&str> = all(&overview, "agents")
        .iter()
        .filter_map(|one| one["display_name"].as_str())
        .collect();
    let newest: Vec<&str> = names.iter().rev().take(10).map(String::as_str).collect();
    assert_eq!(shown, newest);
    assert_eq!(all(&overview, "recentEvents").len(), 20);
    assert_eq!(
        overview["recentEvents"][0]["event_type"],
        "approval.requested"
    );
}

#[tokio::test]
async fn events_are_found_by_type_actor_and_thing() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(one.send(&direct(&two.id, "hello")).await);
    }
    operator.order(&two, "pause").await;
    let events = list(&operator, "events", "type=message&limit=100").await;
    assert_eq!(all(&events, "events").len(), 5);
    let newest = &events["events"][0];
    assert_id(&newest["id"], "evt_");
    assert_time(&newest["created_at"]);
    assert_eq!(
        (&newest["event_type"], &newest["actor_id"]),
        (&json!("message.queued"), &json!(one.id))
    );
    assert_eq!(
        (&newest["resource_kind"], &newest["resource_id"]),
        (&json!("message"), &json!(sent[4]))
    );
    assert!(newest["conversation_id"].is_string());
    let paused = list(&operator, "events", "type=agent.pause").await;
    assert_eq!(all(&paused, "events").len(), 1);
    assert_eq!(paused["events"][0]["payload"]["reason"], "test pause");
    let about = list(&operator, "events", &format!("resource_id={}", sent[2])).await;
    assert_eq!(all(&about, "events").len(), 1);
    let by = list(
        &operator,
        "events",
        &format!("actor_id={}&limit=2&page=2", one.id),
    )
    .await;
    let ids: Vec<&Value> = all(&by, "events")
        .iter()
        .map(|event| &event["resource_id"])
        .collect();
    assert_eq!(ids, [&json!(sent[2]), &json!(sent[1])]);
    // By cursor, while new ones come.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(
            &operator,
            "events",
            &format!("type=message&limit=2{cursor}"),
        )
        .await;
        seen.extend(
            all(&page, "events")
                .iter()
                .map(|event| event["resource_id"].clone()),
        );
        one.send(&direct(&two.id, "more")).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected: Vec<Value> = sent.iter().map(|id| json!(id)).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    let later = list(&operator, "events", "dateFrom=2099-01-01T00:00:00Z").await;
    assert_eq!(all(&later, "events").len(), 0);
    for (query, field) in [
        ("dateFrom=x", "dateFrom"),
        ("limit=0", "limit"),
        ("cursor=evt_1", "cursor"),
    ] {
        operator
            .get(&format!("/v1/operator/events?{query}"))
            .await
            .invalid(field);
    }
}

#[tokio::test]
async fn approvals_are_found_and_looked_at() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["agent"]).await;
    let mut ids = Vec::new();
    for (number, risk) in ["high", "critical", "high"].iter().enumerate() {
        let proposal = json!({
            "conversation_id": "c", "action_type": "deploy", "summary": format!("Release {number}"),
            "risk_level": risk, "payload": { "n": number },
        });
        let answer = agent.post("/v1/actions/propose", &proposal).await.ok();
        ids.push(assert_id(&answer["approval_id"], "apr_").to_string());
    }
    let target = format!("/v1/operator/approvals/{}", ids[0]);
    operator
        .post(&format!("{target}/approve"), &json!({}))
        .await
        .ok();
    let found = async |query: &str| -> Vec<String> {
        let page = list(&operator, "approvals", query).await;
        all(&page, "approvals")
            .iter()
            .map(|one| one["id"].as_str().expect("an id").to_string())
            .collect()
    };
    assert_eq!(
        found("").await,
        [ids[2].clone(), ids[1].clone(), ids[0].clone()]
    );
    assert_eq!(
        found("status=pending").await,
        [ids[2].clone(), ids[1].clone()]
    );
    assert_eq!(found("risk=critical").await, [ids[1].clone()]);
    assert_eq!(found("search=release%200").await, [ids[0].clone()]);
    assert_eq!(found("limit=1&page=2").await, [ids[1].clone()]);
    let first = list(&operator, "approvals", "limit=1").await;
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    assert_eq!(
        found(&format!("cursor={cursor}")).await,
        [ids[1].clone(), ids[0].clone()]
    );
    let shown = operator.get(&target).await.ok()["approval"].clone();
    for (field, value) in [
        ("agent_id", json!(agent.id)),
        ("status", json!("approved")),
        ("risk_level", json!("high")),
        ("payload", json!({ "n": 0 })),
        ("message_id", json!(null)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_time(&shown["requested_at"]);
    assert_time(&shown["resolved_at"]);
    assert_id(&shown["resolved_by"], "opr_");
    for (query, field) in [
        ("status=maybe", "status"),
        ("risk=some", "risk"),
        ("cursor=x", "cursor"),
    ] {
        operator
            .get(&format!("/v1/operator/approvals?{query}"))
            .await
            .invalid(field);
    }
    assert_eq!(
        operator.get("/v1/operator/approvals/apr_x").await.status,
        404
    );
}
