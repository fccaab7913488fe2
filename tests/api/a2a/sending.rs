//! Messages become tasks, once; their agents get them as messages.

use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{DEADLINE, a2a_message, poll_until, rpc, shared};

#[tokio::test]
async fn a_message_becomes_a_task_and_reaches_the_agent() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let message = a2a_message("what is the weather");
    let task = client.send(&agent, &message).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED");
    assert!(task["id"].as_str().unwrap().starts_with("task_"), "{task}");
    assert!(task["contextId"].as_str().unwrap().starts_with("ctx_"));
    assert_eq!(task["history"][0]["messageId"], message["messageId"]);
    assert_eq!(task["history"][0]["taskId"], task["id"]);

    let received = agent.take().await;
    assert_eq!(received["message_type"], "a2a.message");
    assert_eq!(received["conversation_id"], task["contextId"]);
    assert_eq!(received["correlation_id"], task["id"]);
    assert_eq!(received["sender_agent_id"], client.id.as_str());
    let metadata = json!({ "a2a_task_id": task["id"], "a2a_context_id": task["contextId"] });
    assert_eq!(received["metadata"], metadata);
    let body = &received["body"];
    assert_eq!(body["a2a"], true);
    assert_eq!(body["messageId"], message["messageId"]);
    assert_eq!(body["role"], "user");
    assert_eq!(
        body["parts"],
        json!([{ "kind": "text", "text": "what is the weather" }])
    );
    assert_eq!(body["taskId"], task["id"]);
    assert_eq!(body["contextId"], task["contextId"]);
    assert_eq!(body["message"]["parts"], message["parts"]);
    assert_eq!(body["message"]["role"], "ROLE_USER");

    // The ack said that the agent has it.
    let task = client.task(&task).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_WORKING");
}

#[tokio::test]
async fn the_same_message_again_gets_the_same_task() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let message = a2a_message("once");
    let first = client.send(&agent, &message).await;
    let again = client.send(&agent, &message).await;
    assert_eq!(first["id"], again["id"]);
    assert_eq!(agent.receive().await.len(), 1);
    // Another message under its id is none.
    let mut other = message.clone();
    other["parts"] = json!([{ "text": "twice" }]);
    let params = json!({ "message": other });
    let error = client.error(&at(&agent), "SendMessage", &params).await;
    assert_eq!(error["code"], -32602, "{error}");
    assert_eq!(
        error["data"][0]["fieldViolations"][0]["field"],
        "message.messageId"
    );
}

#[tokio::test]
async fn a_blocking_request_waits_for_the_end() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let answering = async {
        let received = agent.take().await;
        let task = json!({ "id": received["correlation_id"] });
        let artifact = json!({ "artifact": { "name": "report", "parts": [{ "text": "sunny" }] } });
        assert_eq!(agent.add_artifact(&task, &artifact).await.status, 200);
        let status = json!({ "state": "completed", "message": "done" });
        agent.set_status(&task, &status).await.ok();
    };
    let target = at(&agent);
    let params = json!({ "message": a2a_message("report") });
    let asking = client.result(&target, "SendMessage", &params);
    let (answer, ()) = tokio::join!(asking, answering);
    let task = &answer["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "done");
    assert_eq!(task["status"]["message"]["role"], "ROLE_AGENT");
    assert_eq!(task["artifacts"][0]["name"], "report");
    assert_eq!(task["artifacts"][0]["parts"], json!([{ "text": "sunny" }]));
}

#[tokio::test]
async fn a_blocking_request_ends_where_the_agent_asks_back() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let target = at(&agent);
    let answering = async {
        let received = agent.take().await;
        let task = json!({ "id": received["correlation_id"] });
        let status = json!({ "state": "input-required", "message": "from where?" });
        agent.set_status(&task, &status).await.ok();
    };
    let params = json!({ "message": a2a_message("book a flight") });
    let asking = client.result(&target, "SendMessage", &params);
    let (answer, ()) = tokio::join!(asking, answering);
    let task = answer["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED");

    // The answer goes to the same task; its context need not be said again.
    let mut message = a2a_message("from Bern");
    message["taskId"] = task["id"].clone();
    let answering = async {
        let received = agent.take().await;
        assert_eq!(received["correlation_id"], task["id"]);
        assert_eq!(received["conversation_id"], task["contextId"]);
        let status = json!({ "state": "completed" });
        agent.set_status(&task, &status).await.ok();
    };
    let params = json!({ "message": message });
    let asking = client.result(&target, "SendMessage", &params);
    let (answer, ()) = tokio::join!(asking, answering);
    let done = &answer["task"];
    assert_eq!(done["id"], task["id"]);
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED");
    let said: Vec<&str> = done["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["parts"][0]["text"].as_str())
        .collect();
    assert_eq!(said, ["book a flight", "from where?", "from Bern"]);
}

#[tokio::test]
async fn a_context_holds_several_tasks_and_is_not_mixed_up() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let first = client.send(&agent, &a2a_message("one")).await;
    let mut message = a2a_message("two");
    message["contextId"] = first["contextId"].clone();
    let second = client.send(&agent, &message).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["contextId"], second["contextId"]);
    let mut message = a2a_message("three");
    message["taskId"] = first["id"].clone();
    message["contextId"] = json!("another");
    let params = json!({ "message": message });
    let error = client.error(&at(&agent), "SendMessage", &params).await;
    assert_eq!(error["code"], -32602);
    assert_eq!(
        error["data"][0]["fieldViolations"][0]["field"],
        "message.contextId"
    );
}

#[tokio::test]
async fn the_agent_is_named_by_address_tenant_or_metadata() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut by_tenant = quick("by tenant");
    by_tenant["tenant"] = json!(agent.id);
    let mut by_fleet = quick("by fleet and agent");
    by_fleet["tenant"] = json!(format!("{}/{}", relay.operator().await.fleet_id, agent.id));
    let mut by_metadata = quick("by metadata");
    by_metadata["message"]["metadata"] = json!({ "recipientAgentId": agent.id });
    for params in [by_tenant, by_fleet, by_metadata] {
        client.result("/a2a", "SendMessage", &params).await;
    }
    let received = agent.receive().await;
    assert_eq!(received.len(), 3);
    let nobody = client
        .error("/a2a", "SendMessage", &quick("to nobody"))
        .await;
    assert_eq!(nobody["code"], -32602, "{nobody}");
    let mut other = quick("the address says another one");
    other["tenant"] = json!("agent_other");
    let error = client.error(&at(&agent), "SendMessage", &other).await;
    assert_eq!(error["code"], -32602, "{error}");
    let error = client
        .error("/agents/agent_none/a2a", "SendMessage", &quick("nobody"))
        .await;
    assert_eq!(error["code"], -32602, "{error}");
}

#[tokio::test]
async fn a_message_that_nobody_takes_fails_its_task() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let operator = relay.operator().await;
    let task = client.send(&agent, &a2a_message("given back")).await;
    let received = agent.receive().await;
    // As often as it is tried.
    for _ in 0..6 {
        let nack = json!({ "nacks": [{
            "message_id": received[0]["message_id"],
            "delay_seconds": 0,
            "reason": "no",
        }] });
        agent.post("/v1/nacks", &nack).await.ok();
        agent.inbox().await;
    }
    let failed = client.task(&task).await;
    assert_eq!(failed["status"]["state"], "TASK_STATE_FAILED", "{failed}");
    let why = &failed["status"]["message"];
    assert_eq!(why["role"], "ROLE_AGENT");
    assert!(
        why["parts"][0]["text"]
            .as_str()
            .unwrap()
            .contains("max_retries"),
        "{why}"
    );
    let events = operator
        .get(&format!(
            "/v1/operator/events?resource_id={}",
            task["id"].as_str().unwrap()
        ))
        .await
        .ok();
    let kinds: Vec<&Value> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event_type"])
        .collect();
    assert_eq!(kinds, ["a2a_task.status"], "{events}");
}

#[tokio::test]
async fn an_agent_that_signs_is_a_client_as_well() {
    let relay = shared().await;
    let [asker, agent] = relay.agents(["asker", "agent"]).await;
    let body = rpc("SendMessage", &quick("from one agent to another"));
    let answer = asker
        .call_with(
            "POST",
            &at(&agent),
            body.to_string(),
            &[("a2a-version", "1.0")],
        )
        .await;
    let task = answer.ok()["result"]["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED");
    agent.take().await;
    agent
        .set_status(&task, &json!({ "state": "completed" }))
        .await
        .ok();
    let seen = poll_until(DEADLINE, "the task is done", async || {
        let id = task["id"].as_str().unwrap();
        let seen = asker.get(&format!("/v1/tasks/{id}")).await.ok();
        (seen["status"]["state"] == "TASK_STATE_COMPLETED").then_some(seen)
    })
    .await;
    assert_eq!(seen["id"], task["id"]);
}
