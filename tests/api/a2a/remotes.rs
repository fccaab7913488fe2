//! Agents of the fleet ask agents elsewhere through the relay: another relay, here.

use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{
    A2aClient, Agent, DEADLINE, Operator, Relay, a2a_message, direct, poll_until, rpc, shared,
};

/// Two relays: an agent of the one asks, an agent of the other answers.
struct Apart {
    here: Relay,
    operator: Operator,
    asker: Agent,
    /// The agent elsewhere as it is known here.
    remote: Agent,
    there: Relay,
    agent: Agent,
    client: A2aClient,
}

async fn apart() -> Apart {
    let builder = Relay::builder().env("EKHO_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8");
    let here = builder.start().await;
    let there = Relay::start().await;
    let (client, agent) = pair(&there).await;
    let operator = here.operator().await;
    let asker = operator.enrol("asker").await;
    let registered = operator
        .post("/v1/operator/a2a/remotes", &remote(&there, &agent, &client))
        .await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    let id = registered.json()["agent_id"].as_str().unwrap().to_string();
    let remote = Agent {
        id,
        ..asker.clone()
    };
    Apart {
        here,
        operator,
        asker,
        remote,
        there,
        agent,
        client,
    }
}

fn remote(there: &Relay, agent: &Agent, client: &A2aClient) -> Value {
    let url = there.url();
    json!({
        "name": "elsewhere",
        "card_url": format!("{url}/agents/{}/.well-known/agent-card.json", agent.id),
        "scheme": "Bearer",
        "credentials": client.token,
    })
}

impl Apart {
    async fn ask(&self, method: &str, params: &Value) -> Value {
        let body = rpc(method, params).to_string();
        let headers = [("a2a-version", "1.0")];
        let target = at(&self.remote);
        let answer = self.asker.call_with("POST", &target, body, &headers).await;
        answer.ok()["result"].clone()
    }

    async fn state(&self, task: &Value, state: &str) -> Value {
        poll_until(DEADLINE, state, async || {
            let seen = self.ask("GetTask", &json!({ "id": task["id"] })).await;
            (seen["status"]["state"] == state).then_some(seen)
        })
        .await
    }
}

#[tokio::test]
async fn an_agent_elsewhere_is_asked_and_its_answer_comes_into_the_inbox() {
    let apart = apart().await;
    let sent = apart.ask("SendMessage", &quick("across")).await;
    let task = sent["task"].clone();
    let received = apart.agent.take().await;
    assert_eq!(received["body"]["parts"][0]["text"], "across");
    assert_eq!(received["sender_agent_id"], apart.client.id.as_str());
    let theirs = json!({ "id": received["correlation_id"] });
    assert_ne!(theirs["id"], task["id"]);
    apart.state(&task, "TASK_STATE_WORKING").await;
    let artifact = json!({ "artifact": { "artifactId": "a", "parts": [{ "text": "made" }] } });
    apart.agent.add_artifact(&theirs, &artifact).await.ok();
    let done = json!({ "state": "completed", "message": "there you are" });
    apart.agent.set_status(&theirs, &done).await.ok();
    let seen = apart.state(&task, "TASK_STATE_COMPLETED").await;
    assert_eq!(seen["artifacts"][0]["parts"][0]["text"], "made");
    let said = &seen["status"]["message"];
    assert_eq!(said["parts"][0]["text"], "there you are");
    assert_eq!(said["taskId"], task["id"]);

    let inbox = apart.asker.inbox().await;
    let last = inbox.last().unwrap();
    assert_eq!(last["message_type"], "a2a.update");
    assert_eq!(last["sender_agent_id"], apart.remote.id.as_str());
    assert_eq!(last["correlation_id"], task["id"]);
    assert_eq!(last["body"]["state"], "completed");
    assert_eq!(last["body"]["message"]["parts"][0]["text"], "there you are");
    let artifacts = inbox
        .iter()
        .filter(|one| one["body"]["artifact"].is_object());
    assert_eq!(artifacts.count(), 1, "{inbox:?}");
}

#[tokio::test]
async fn who_asks_answers_back_and_calls_off() {
    let apart = apart().await;
    let task = apart.ask("SendMessage", &quick("which?")).await["task"].clone();
    let received = apart.agent.take().await;
    let theirs = json!({ "id": received["correlation_id"] });
    let ask = json!({ "state": "input-required", "message": "this or that?" });
    apart.agent.set_status(&theirs, &ask).await.ok();
    apart.state(&task, "TASK_STATE_INPUT_REQUIRED").await;
    let mut params = quick("that");
    params["message"]["taskId"] = task["id"].clone();
    apart.ask("SendMessage", &params).await;
    let received = apart.agent.take().await;
    assert_eq!(received["correlation_id"], theirs["id"]);
    assert_eq!(received["body"]["parts"][0]["text"], "that");
    apart.ask("CancelTask", &json!({ "id": task["id"] })).await;
    poll_until(DEADLINE, "the other side hears of it", async || {
        let seen = apart.client.task(&theirs).await;
        (seen["status"]["state"] == "TASK_STATE_CANCELED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_under_way_goes_on_after_a_restart() {
    let mut apart = apart().await;
    let task = apart.ask("SendMessage", &quick("keep on")).await["task"].clone();
    let received = apart.agent.take().await;
    let theirs = json!({ "id": received["correlation_id"] });
    apart.state(&task, "TASK_STATE_WORKING").await;
    apart.here.kill();
    let artifact = json!({ "artifact": { "artifactId": "a", "parts": [{ "text": "meanwhile" }] } });
    apart.agent.add_artifact(&theirs, &artifact).await.ok();
    let done = json!({ "state": "completed" });
    apart.agent.set_status(&theirs, &done).await.ok();
    apart.here.boot().await;
    let seen = apart.state(&task, "TASK_STATE_COMPLETED").await;
    assert_eq!(seen["artifacts"][0]["parts"][0]["text"], "meanwhile");
    assert_eq!(seen["artifacts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_elsewhere_is_an_agent_of_the_fleet() {
    let apart = apart().await;
    // Anything but A2A does not reach it.
    let plain = direct(&apart.remote.id, "hello");
    let answer = apart.asker.post("/v1/messages", &plain).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let shown = apart.operator.agent(&apart.remote).await;
    assert_eq!(shown["runtime"], "a2a-remote");
    let listed = apart.operator.get("/v1/operator/a2a/remotes").await.ok();
    assert_eq!(listed["remotes"][0]["id"], apart.remote.id.as_str());
    assert_eq!(listed["remotes"][0]["has_credentials"], true);
    assert!(!listed.to_string().contains(&apart.client.token));
    // A client with a token asks it as it asks any other.
    let client = apart.operator.a2a_client("outside").await;
    let task = client.send(&apart.remote, &a2a_message("by token")).await;
    let received = apart.agent.take().await;
    let theirs = json!({ "id": received["correlation_id"] });
    let done = json!({ "state": "completed" });
    apart.agent.set_status(&theirs, &done).await.ok();
    poll_until(DEADLINE, "the task is done", async || {
        let seen = client.task(&task).await;
        (seen["status"]["state"] == "TASK_STATE_COMPLETED").then_some(())
    })
    .await;
    // Revoked, it is called no more.
    apart.operator.order(&apart.remote, "revoke").await;
    let body = rpc("SendMessage", &quick("gone")).to_string();
    let headers = [("a2a-version", "1.0")];
    let answer = apart
        .asker
        .call_with("POST", &at(&apart.remote), body, &headers)
        .await;
    assert_eq!(answer.json()["error"]["code"], -32602, "{}", answer.text());
    assert!(apart.agent.inbox().await.is_empty());
    drop(apart.there);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_is_tried_again() {
    let mut apart = apart().await;
    apart.there.kill();
    let task = apart.ask("SendMessage", &quick("later")).await["task"].clone();
    let events = format!(
        "/v1/operator/events?type=message.retry_requeued&agent_id={}",
        apart.remote.id
    );
    poll_until(DEADLINE, "it was given back", async || {
        let events = apart.operator.get(&events).await.ok();
        let events = events["events"].as_array().unwrap().clone();
        (!events.is_empty()).then_some(())
    })
    .await;
    let seen = apart.ask("GetTask", &json!({ "id": task["id"] })).await;
    assert_eq!(seen["status"]["state"], "TASK_STATE_SUBMITTED");
}

#[tokio::test]
async fn only_addresses_outside_are_registered() {
    let relay = shared().await;
    let operator = relay.operator().await;
    for (card_url, field) in [
        ("http://127.0.0.1:4000/card.json", "card_url"),
        ("https://10.0.0.1/card.json", "card_url"),
        ("https://user:word@example.com/card.json", "card_url"),
        ("nonsense", "card_url"),
    ] {
        let request = json!({ "name": "x", "card_url": card_url });
        let answer = operator.post("/v1/operator/a2a/remotes", &request).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.json()["error"]["fieldErrors"][field].is_array());
    }
    let request = json!({
        "name": "x", "card_url": "https://example.com/card.json", "credentials": "secret",
    });
    let answer = operator.post("/v1/operator/a2a/remotes", &request).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
}
