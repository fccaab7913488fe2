//! pause, resume, quarantine, revoke

use serde_json::{Value, json};

use crate::checks::{assert_time, texts};
use crate::support::{DEADLINE, Relay, direct, iso, now_ms, poll_until, shared};

#[tokio::test]
async fn an_answered_hold_holds_at_once() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let operator = relay.operator().await;
    let message = direct(&other.id, "x");
    let order = |order: &str| format!("/v1/operator/agents/{}/{order}", agent.id);
    for (action, error, code) in [
        ("pause", "agent is paused", "agent_paused"),
        ("quarantine", "agent is quarantined", "agent_quarantined"),
    ] {
        let reason = json!({ "reason": format!("because {action}") });
        assert_eq!(
            operator.post(&order(action), &reason).await.ok(),
            json!({ "ok": true })
        );
        agent
            .post("/v1/messages", &message)
            .await
            .refused(403, error, code);
        let batch = agent
            .post("/v1/messages/batch", &json!({ "messages": [message] }))
            .await
            .ok();
        assert_eq!(
            (
                &batch["results"][0]["status_code"],
                &batch["results"][0]["error"]
            ),
            (&json!(403), &json!(error))
        );
        let seen = operator.agent(&agent).await;
        assert_eq!(seen["status_reason"], format!("because {action}"));
        let inbox = agent.get("/v1/inbox").await.ok();
        let control = &inbox["controls"][0];
        assert_eq!(
            (&control["action"], &control["reason"]),
            (&json!(action), &reason["reason"]),
            "newest first"
        );
        assert!(
            control["control_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("ctl_"))
        );
    }
    operator
        .post(&order("resume"), &json!({ "reason": "done" }))
        .await
        .ok();
    agent.post("/v1/messages", &message).await.ok();
    let inbox = agent.get("/v1/inbox").await.ok();
    assert_eq!(
        texts(inbox["controls"].as_array().unwrap(), "action"),
        ["resume", "quarantine", "pause"]
    );
}

#[tokio::test]
async fn no_message_slips_past_a_hold() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let operator = relay.operator().await;
    for _ in 0..5 {
        let sends = (0..20).map(|number| {
            let (agent, to) = (agent.clone(), other.id.clone());
            tokio::spawn(async move {
                let began_ms = now_ms();
                (
                    began_ms,
                    agent
                        .post("/v1/messages", &direct(&to, &number.to_string()))
                        .await
                        .status,
                )
            })
        });
        let sends: Vec<_> = sends.collect();
        operator.order(&agent, "pause").await;
        let held_ms = now_ms();
        for send in sends {
            let (began_ms, status) = send.await.unwrap();
            assert!(
                status == 403 || (status == 200 && began_ms <= held_ms),
                "{status}"
            );
        }
        assert_eq!(
            agent
                .post("/v1/messages", &direct(&other.id, "after"))
                .await
                .status,
            403
        );
        operator.order(&agent, "resume").await;
    }
}

#[tokio::test]
async fn a_hold_with_an_end_lifts_by_itself() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let operator = relay.operator().await;
    let until_ms = now_ms() + 1500;
    let request = json!({ "reason": "for a moment", "expires_at": iso(until_ms) });
    operator
        .post(&format!("/v1/operator/agents/{}/pause", agent.id), &request)
        .await
        .ok();
    let inbox = agent.get("/v1/inbox").await.ok();
    assert_eq!(assert_time(&inbox["controls"][0]["expires_at"]), until_ms);
    let message = direct(&other.id, "x");
    let lifted_ms = poll_until(DEADLINE, "the end of the pause", async || {
        let answer = agent.post("/v1/messages", &message).await;
        assert!(matches!(answer.status, 200 | 403), "{}", answer.text());
        (answer.status == 200).then(now_ms)
    })
    .await;
    assert!(lifted_ms >= until_ms, "not before its end");
    let inbox = agent.get("/v1/inbox").await.ok();
    let controls = texts(inbox["controls"].as_array().unwrap(), "action");
    assert!(
        !controls.contains(&"pause"),
        "what is over is not shown: {controls:?}"
    );
}

#[tokio::test]
async fn a_held_agents_messages_can_go_to_another() {
    let relay = shared().await;
    let [sender, held, stand_in] = relay.agents(["sender", "held", "stand-in"]).await;
    let operator = relay.operator().await;
    sender.send(&direct(&held.id, "before")).await;
    let request = json!({ "reason": "redirect", "redirect_agent_id": stand_in.id });
    operator
        .post(&format!("/v1/operator/agents/{}/pause", held.id), &request)
        .await
        .ok();
    let id = sender.send(&direct(&held.id, "meanwhile")).await;
    assert_eq!(
        texts(&stand_in.receive().await, "message_id"),
        [id.as_str()]
    );
    assert_eq!(held.receive().await[0]["body"]["text"], "before");
    operator.order(&held, "resume").await;
    sender.send(&direct(&held.id, "after")).await;
    assert_eq!(held.receive().await[0]["body"]["text"], "after");
    for redirect in ["agent_unknown", held.id.as_str()] {
        let request = json!({ "reason": "redirect", "redirect_agent_id": redirect });
        let answer = operator
            .post(&format!("/v1/operator/agents/{}/pause", held.id), &request)
            .await;
        answer.refused(404, "unknown recipient", "unknown_recipient");
    }
}

#[tokio::test]
async fn revoked_is_for_good() {
    let mut relay = Relay::start().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let operator = relay.operator().await;
    operator.order(&agent, "revoke").await;
    for (method, target, body) in [
        ("POST", "/v1/messages", direct(&other.id, "x")),
        ("GET", "/v1/inbox", Value::Null),
        ("POST", "/v1/heartbeats", json!({ "status": "healthy" })),
    ] {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = agent.call(method, target, body).await;
        answer.refused(401, "invalid agent credentials", "invalid_credentials");
    }
    let answer = other.post("/v1/messages", &direct(&agent.id, "x")).await;
    answer.refused(404, "unknown recipient", "unknown_recipient");
    for order in ["pause", "resume", "quarantine", "revoke"] {
        let target = format!("/v1/operator/agents/{}/{order}", agent.id);
        operator
            .post(&target, &json!({ "reason": "x" }))
            .await
            .refused(404, "not found", "not_found");
    }
    assert_eq!(operator.agent(&agent).await["status"], "revoked");
    assert_eq!(
        relay.metric("ekho_agents_total{status=\"revoked\"}").await,
        Some(1.0)
    );
    relay.restart().await;
    let answer = agent.call("GET", "/v1/inbox", "").await;
    answer.refused(401, "invalid agent credentials", "invalid_credentials");
}

#[tokio::test]
async fn malformed_orders_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    for order in ["pause", "resume", "quarantine", "revoke"] {
        let target = format!("/v1/operator/agents/{}/{order}", agent.id);
        for (field, request) in [
            ("reason", json!({})),
            ("reason", json!({ "reason": "" })),
            ("reason", json!({ "reason": 1 })),
            ("expires_at", json!({ "reason": "x", "expires_at": "soon" })),
            (
                "expires_at",
                json!({ "reason": "x", "expires_at": iso(now_ms() - 1000) }),
            ),
            (
                "redirect_agent_id",
                json!({ "reason": "x", "redirect_agent_id": 1 }),
            ),
        ] {
            operator.post(&target, &request).await.invalid(field);
        }
        let unknown = format!("/v1/operator/agents/agent_x/{order}");
        operator
            .post(&unknown, &json!({ "reason": "x" }))
            .await
            .refused(404, "not found", "not_found");
    }
    assert_eq!(operator.agent(&agent).await["status"], "healthy");
}

#[tokio::test]
async fn holds_survive_a_kill() {
    let mut relay = Relay::start().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    relay.operator().await.order(&agent, "quarantine").await;
    relay.kill();
    relay.boot().await;
    let answer = agent.post("/v1/messages", &direct(&other.id, "x")).await;
    answer.refused(403, "agent is quarantined", "agent_quarantined");
}
