//! Tokens that operators give, limit and take back; and what holds for agents holds for clients.

use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{
    A2aClient, DEADLINE, Operator, Relay, a2a_message, direct, iso, now_ms, poll_until, rpc, shared,
};

/// The status of an answer to a list of tasks.
async fn admitted(client: &A2aClient) -> u16 {
    let body = rpc("ListTasks", &json!({})).to_string();
    client.call_as("1.0", "POST", "/a2a", body).await.status
}

#[tokio::test]
async fn a_token_counts_until_it_ends_or_is_taken_back() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let client = operator.a2a_client("changing tokens").await;
    assert_eq!(admitted(&client).await, 200);
    let path = format!("/v1/operator/a2a/clients/{}", client.id);
    let made = operator.post(&format!("{path}/tokens"), &json!({})).await;
    let second = A2aClient {
        token: made.json()["token"].as_str().unwrap().into(),
        ..client.clone()
    };
    assert_eq!(admitted(&second).await, 200);
    let first = format!("{path}/tokens/{}", client.token_id);
    operator.call("DELETE", &first, None).await.ok();
    assert_eq!(admitted(&client).await, 401);
    assert_eq!(admitted(&second).await, 200);
    let again = operator.call("DELETE", &first, None).await;
    assert_eq!(again.status, 404);
    let short = json!({ "expires_at": iso(now_ms() + 1500) });
    let made = operator
        .post(&format!("{path}/tokens"), &short)
        .await
        .json();
    let third = A2aClient {
        token: made["token"].as_str().unwrap().into(),
        ..client.clone()
    };
    assert_eq!(admitted(&third).await, 200);
    poll_until(DEADLINE, "the token has ended", async || {
        (admitted(&third).await == 401).then_some(())
    })
    .await;
    let shown = operator.get(&path).await.ok();
    assert_eq!(shown["name"], "changing tokens");
    let tokens = shown["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 2, "{shown}");
    assert!(!shown.to_string().contains(&third.token));
    // Revoked for good, as any agent.
    let revoke = format!("/v1/operator/agents/{}/revoke", client.id);
    operator
        .post(&revoke, &json!({ "reason": "gone" }))
        .await
        .ok();
    assert_eq!(admitted(&second).await, 401);
    let kinds = operator
        .get(&format!(
            "/v1/operator/events?resource_id={}&limit=50",
            client.id
        ))
        .await
        .ok();
    let kinds = kinds.to_string();
    for kind in [
        "a2a_client.created",
        "a2a_token.created",
        "a2a_token.revoked",
        "agent.revoked",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds}");
    }
}

#[tokio::test]
async fn a_client_reaches_those_it_may_and_learns_of_nobody_else() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (near, far) = (operator.enrol("near").await, operator.enrol("far").await);
    let request = json!({ "name": "kept short", "agents": [near.id] });
    let client = operator.a2a_client_as(&request).await;
    client.send(&near, &a2a_message("hello")).await;
    let far_away = client
        .error(&at(&far), "SendMessage", &quick("hello"))
        .await;
    let nobody = client
        .error("/agents/agent_none/a2a", "SendMessage", &quick("hello"))
        .await;
    assert_eq!(far_away["message"], nobody["message"]);
    assert_eq!(far_away["code"], nobody["code"]);
    assert!(far.inbox().await.is_empty());
    let card = client
        .result("/a2a", "GetExtendedAgentCard", &json!({}))
        .await;
    let skills = card["skills"].as_array().unwrap();
    assert_eq!(skills.len(), 1, "{card}");
    assert_eq!(skills[0]["id"], near.id.as_str());
    // What it may is changed, and counts at once.
    let path = format!("/v1/operator/a2a/clients/{}", client.id);
    operator
        .put(&path, &json!({ "agents": [far.id] }))
        .await
        .ok();
    client.send(&far, &a2a_message("now")).await;
    let error = client.error(&at(&near), "SendMessage", &quick("x")).await;
    assert_eq!(error["code"], -32602, "{error}");
    let unknown = operator
        .put(&path, &json!({ "agents": ["agent_no"] }))
        .await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[tokio::test]
async fn a_client_has_a_rate_of_its_own() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("busy").await;
    let request = json!({ "name": "slow", "rate_max_messages": 2 });
    let client = operator.a2a_client_as(&request).await;
    for _ in 0..2 {
        client.send(&agent, &a2a_message("within")).await;
    }
    let body = rpc("SendMessage", &quick("beyond")).to_string();
    let answer = client.call_as("1.0", "POST", &at(&agent), body).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.json()["error"]["data"][0]["reason"], "RATE_LIMITED");
    // What was sent before is answered all the same.
    assert_eq!(admitted(&client).await, 200);
}

#[tokio::test]
async fn a_client_that_is_held_asks_for_nothing() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    // Paused: nothing more from it.
    let pause = format!("/v1/operator/agents/{}/pause", client.id);
    operator
        .post(&pause, &json!({ "reason": "wait" }))
        .await
        .ok();
    let body = rpc("SendMessage", &quick("paused")).to_string();
    let answer = client.call_as("1.0", "POST", &at(&agent), body).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json()["error"]["data"][0]["reason"], "AGENT_PAUSED");
    let resume = format!("/v1/operator/agents/{}/resume", client.id);
    operator
        .post(&resume, &json!({ "reason": "go" }))
        .await
        .ok();
}

/// A policy that denies what meets these conditions.
async fn deny(operator: &Operator, conditions: Value) {
    let policy = json!({
        "name": "no",
        "scope_kind": "fleet",
        "rule": { "action": "deny", "conditions": conditions },
        "enabled": true,
    });
    let made = operator.post("/v1/operator/policies", &policy).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn policies_are_asked_about_what_is_asked_and_answered() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("before")).await;
    agent.take().await;
    deny(&operator, json!({ "sender_agent_id": agent.id })).await;
    let status = json!({ "state": "working", "message": "secret" });
    let answer = agent.set_status(&task, &status).await;
    answer.refused(403, "blocked by policy", "policy_denied");
    let artifact = json!({ "artifact": { "parts": [{ "text": "secret" }] } });
    let answer = agent.add_artifact(&task, &artifact).await;
    answer.refused(403, "blocked by policy", "policy_denied");
    let seen = client.task(&task).await;
    assert!(!seen.to_string().contains("secret"), "{seen}");

    deny(&operator, json!({ "sender_agent_id": client.id })).await;
    let body = rpc("SendMessage", &quick("no")).to_string();
    let answer = client.call_as("1.0", "POST", &at(&agent), body).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json()["error"]["data"][0]["reason"], "POLICY_DENIED");
    assert!(agent.inbox().await.is_empty());
}

#[tokio::test]
async fn clients_have_no_inbox_and_are_not_addressed() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    let answer = agent.post("/v1/messages", &direct(&client.id, "hi")).await;
    answer.refused(404, "unknown recipient", "unknown_recipient");
    let enrol = json!({
        "fleet_id": operator.fleet_id,
        "token": operator.enrollment_token().await,
        "display_name": "x",
        "runtime": "a2a-client",
    });
    let url = format!("{}/v1/enroll", relay.url());
    let answer = agent.http.post(&url, &enrol).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let listed = operator
        .get("/v1/operator/a2a/clients?limit=100")
        .await
        .ok();
    let listed: Vec<&Value> = listed["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| &client["id"])
        .collect();
    assert!(listed.contains(&&json!(client.id)), "{listed:?}");
}
