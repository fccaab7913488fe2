//! POST /v1/actions/propose, GET /v1/actions/{id}, POST /v1/actions/result

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_only_fields, assert_time};
use crate::support::{Agent, now_iso, shared};

fn proposal(risk_level: &str) -> Value {
    json!({
        "conversation_id": "conv-1",
        "action_type": "deploy",
        "summary": "Deploy build 7",
        "risk_level": risk_level,
        "payload": { "build": 7 },
    })
}

async fn pending(agent: &Agent) -> String {
    let answer = agent
        .post("/v1/actions/propose", &proposal("high"))
        .await
        .ok();
    assert_eq!(answer["decision"], "pending_approval");
    assert_id(&answer["approval_id"], "apr_")
}

fn report(approval_id: &str, result: &str) -> Value {
    json!({ "approval_id": approval_id, "result": result, "completed_at": now_iso(), "output": { "ok": true } })
}

async fn status(agent: &Agent, approval_id: &str) -> String {
    let answer = agent.get(&format!("/v1/actions/{approval_id}")).await.ok();
    answer["status"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn risk_decides_who_decides() {
    let relay = shared().await;
    let [agent, paused] = relay.agents(["agent", "paused"]).await;
    relay.operator().await.order(&paused, "pause").await;
    for risk in ["low", "medium"] {
        let answer = agent
            .post("/v1/actions/propose", &proposal(risk))
            .await
            .ok();
        assert_eq!(answer, json!({ "decision": "allow" }));
    }
    for risk in ["high", "critical"] {
        let answer = agent
            .post("/v1/actions/propose", &proposal(risk))
            .await
            .ok();
        assert_only_fields(&answer, &["decision", "approval_id"]);
        assert_eq!(answer["decision"], "pending_approval");
    }
    for risk in ["low", "critical"] {
        let answer = paused
            .post("/v1/actions/propose", &proposal(risk))
            .await
            .ok();
        assert_eq!(answer, json!({ "decision": "deny" }));
    }
}

#[tokio::test]
async fn an_action_is_shown_to_the_agent_that_proposed_it() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let id = pending(&agent).await;
    let shown = agent.get(&format!("/v1/actions/{id}")).await.ok();
    assert_only_fields(
        &shown,
        &[
            "id",
            "status",
            "action_type",
            "risk_level",
            "summary",
            "requested_at",
            "resolved_at",
            "reason",
            "expires_at",
        ],
    );
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["status"], "pending");
    assert_eq!(shown["action_type"], "deploy");
    assert_eq!(shown["risk_level"], "high");
    assert_eq!(shown["summary"], "Deploy build 7");
    assert_time(&shown["requested_at"]);
    assert_eq!(shown["resolved_at"], Value::Null);
    other
        .get(&format!("/v1/actions/{id}"))
        .await
        .refused(404, "not found", "not_found");
    for unknown in ["apr_unknown", "apr_00000000000000000000000000000000", "x"] {
        agent
            .get(&format!("/v1/actions/{unknown}"))
            .await
            .refused(404, "not found", "not_found");
    }
}

#[tokio::test]
async fn results_are_taken_once_and_after_approval() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let operator = relay.operator().await;
    for result in ["executed", "cancelled", "failed"] {
        let id = pending(&agent).await;
        operator
            .post(&format!("/v1/operator/approvals/{id}/approve"), &json!({}))
            .await
            .ok();
        assert_eq!(status(&agent, &id).await, "approved");
        let answer = other.post("/v1/actions/result", &report(&id, result)).await;
        answer.refused(404, "not found", "not_found");
        let answer = agent
            .post("/v1/actions/result", &report(&id, result))
            .await
            .ok();
        assert_eq!(answer, json!({ "ok": true }));
        assert_eq!(status(&agent, &id).await, result);
        let answer = agent.post("/v1/actions/result", &report(&id, result)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (409, "conflict"),
            "{}",
            answer.text()
        );
    }
    // Not decided: it may be given up, not done.
    let id = pending(&agent).await;
    for result in ["executed", "failed"] {
        let answer = agent.post("/v1/actions/result", &report(&id, result)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (409, "conflict"),
            "{}",
            answer.text()
        );
    }
    agent
        .post("/v1/actions/result", &report(&id, "cancelled"))
        .await
        .ok();
    assert_eq!(status(&agent, &id).await, "cancelled");
    let answer = operator
        .post(&format!("/v1/operator/approvals/{id}/approve"), &json!({}))
        .await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    // Rejected: not done either.
    let id = pending(&agent).await;
    operator
        .post(
            &format!("/v1/operator/approvals/{id}/reject"),
            &json!({ "reason": "no" }),
        )
        .await
        .ok();
    assert_eq!(status(&agent, &id).await, "rejected");
    assert_eq!(
        agent
            .post("/v1/actions/result", &report(&id, "executed"))
            .await
            .status,
        409
    );
}

#[tokio::test]
async fn malformed_proposals_and_results_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for field in ["conversation_id", "action_type", "summary", "risk_level"] {
        for value in [json!(null), json!(""), json!(1)] {
            let mut bad = proposal("low");
            bad[field] = value;
            agent.post("/v1/actions/propose", &bad).await.invalid(field);
        }
    }
    let mut bad = proposal("low");
    bad["risk_level"] = json!("extreme");
    agent
        .post("/v1/actions/propose", &bad)
        .await
        .invalid("risk_level");
    bad = proposal("low");
    bad["payload"] = json!("text");
    agent
        .post("/v1/actions/propose", &bad)
        .await
        .invalid("payload");

    let good = report("apr_1", "executed");
    for (field, value) in [
        ("approval_id", json!(null)),
        ("result", json!(null)),
        ("result", json!("done")),
        ("completed_at", json!("yesterday")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        agent.post("/v1/actions/result", &bad).await.invalid(field);
    }
    agent
        .post("/v1/actions/result", &good)
        .await
        .refused(404, "not found", "not_found");
}
