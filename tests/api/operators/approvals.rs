//! POST /v1/operator/approvals/{id}/approve and /reject

use serde_json::{Value, json};

use crate::checks::{assert_time, texts};
use crate::support::{Agent, DEADLINE, Relay, direct, poll_until, shared};

async fn pending_action(agent: &Agent) -> String {
    let proposal = json!({
        "conversation_id": "conv-1",
        "action_type": "deploy",
        "summary": "Deploy",
        "risk_level": "critical",
        "payload": {},
    });
    let answer = agent.post("/v1/actions/propose", &proposal).await.ok();
    answer["approval_id"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn an_action_is_decided_once() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    for (decision, status) in [("approve", "approved"), ("reject", "rejected")] {
        let id = pending_action(&agent).await;
        let target = format!("/v1/operator/approvals/{id}/{decision}");
        assert_eq!(
            operator
                .post(&target, &json!({ "reason": "seen" }))
                .await
                .ok(),
            json!({ "ok": true, "status": status })
        );
        let shown = agent.get(&format!("/v1/actions/{id}")).await.ok();
        assert_eq!(shown["status"], status);
        assert_time(&shown["resolved_at"]);
        for again in ["approve", "reject"] {
            let answer = operator
                .post(&format!("/v1/operator/approvals/{id}/{again}"), &json!({}))
                .await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (409, "conflict"),
                "{}",
                answer.text()
            );
        }
    }
    for unknown in ["apr_1", "apr_00000000000000000000000000000000"] {
        let answer = operator
            .post(
                &format!("/v1/operator/approvals/{unknown}/approve"),
                &json!({}),
            )
            .await;
        answer.refused(404, "not found", "not_found");
    }
    let id = pending_action(&agent).await;
    let target = format!("/v1/operator/approvals/{id}/approve");
    operator
        .post(&target, &json!({ "reason": 1 }))
        .await
        .invalid("reason");
    // A body is not needed.
    operator.call("POST", &target, None).await.ok();
}

#[tokio::test]
async fn of_many_decisions_at_once_one_counts() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    let id = pending_action(&agent).await;
    let decide = |number: usize| {
        let decision = if number.is_multiple_of(2) {
            "approve"
        } else {
            "reject"
        };
        let target = format!("/v1/operator/approvals/{id}/{decision}");
        let operator = operator.clone();
        async move { (decision, operator.post(&target, &json!({})).await.status) }
    };
    let decided = futures::future::join_all((0..20).map(decide)).await;
    let counted: Vec<&str> = decided
        .iter()
        .filter(|(_, status)| *status == 200)
        .map(|(decision, _)| *decision)
        .collect();
    assert_eq!(counted.len(), 1, "{decided:?}");
    let expected = if counted[0] == "approve" {
        "approved"
    } else {
        "rejected"
    };
    assert_eq!(
        agent.get(&format!("/v1/actions/{id}")).await.ok()["status"],
        expected
    );
}

/// The approval of a message that waits: the agent that sent it may look it up.
async fn held_message(sender: &Agent, recipient: &Agent, ttl_seconds: u64) -> (String, Value) {
    let mut message = direct(&recipient.id, "careful");
    message["requires_approval"] = json!(true);
    message["ttl_seconds"] = json!(ttl_seconds);
    let answer = sender.post("/v1/messages", &message).await.ok();
    (answer["message_id"].as_str().unwrap().to_string(), answer)
}

#[tokio::test]
async fn a_message_that_needs_approval_waits_for_it() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let operator = relay.operator().await;
    let (approved, answer) = held_message(&sender, &recipient, 900).await;
    let (rejected, _) = held_message(&sender, &recipient, 900).await;
    assert!(recipient.inbox().await.is_empty());
    let status = sender.status(&approved).await;
    assert_eq!(status["status"], "pending_approval");
    // The sender is told which approval to wait for; without that nobody could decide.
    let approval = |status: &Value| {
        let id = status["approval_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no approval_id: {status} {answer}"));
        id.to_string()
    };
    let approve = format!("/v1/operator/approvals/{}/approve", approval(&status));
    let reject = format!(
        "/v1/operator/approvals/{}/reject",
        approval(&sender.status(&rejected).await)
    );
    operator.post(&approve, &json!({})).await.ok();
    operator
        .post(&reject, &json!({ "reason": "no" }))
        .await
        .ok();
    assert_eq!(
        texts(&recipient.receive().await, "message_id"),
        [approved.as_str()]
    );
    assert_eq!(sender.status(&rejected).await["status"], "rejected");
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(operator.post(&approve, &json!({})).await.status, 409);
}

#[tokio::test]
async fn a_message_nobody_decides_about_expires_or_is_taken_back() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let (expires, _) = held_message(&sender, &recipient, 1).await;
    let (taken_back, _) = held_message(&sender, &recipient, 900).await;
    sender
        .call("DELETE", &format!("/v1/messages/{taken_back}"), "")
        .await
        .ok();
    assert_eq!(sender.status(&taken_back).await["status"], "cancelled");
    let ended = poll_until(DEADLINE, "expiry", async || {
        let status = sender.status(&expires).await;
        (status["deliveries"][0]["status"] == "expired").then_some(status)
    })
    .await;
    assert_eq!(ended["status"], "expired", "the message says so too");
    assert!(recipient.inbox().await.is_empty());
}
