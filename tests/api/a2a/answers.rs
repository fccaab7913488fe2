//! What agents say of tasks, and what of it they may.

use serde_json::{Value, json};

use super::{at, pair};
use crate::support::{a2a_message, shared};

#[tokio::test]
async fn an_artifact_grows_by_what_is_appended_and_is_replaced_otherwise() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("write")).await;
    agent.take().await;
    let chunk = |text: &str, append: bool| {
        json!({
            "artifact": { "artifactId": "book", "name": "Book", "parts": [{ "text": text }] },
            "append": append,
        })
    };
    // Nothing is there yet to append to.
    let early = agent.add_artifact(&task, &chunk("x", true)).await;
    assert_eq!(early.status, 409, "{}", early.text());
    for (text, append) in [("one", false), ("two", true), ("three", true)] {
        agent.add_artifact(&task, &chunk(text, append)).await.ok();
    }
    let texts = |task: &Value| -> Vec<String> {
        let parts = task["artifacts"][0]["parts"].as_array().unwrap().iter();
        parts
            .map(|part| part["text"].as_str().unwrap().to_string())
            .collect()
    };
    let seen = client.task(&task).await;
    assert_eq!(texts(&seen), ["one", "two", "three"]);
    agent.add_artifact(&task, &chunk("anew", false)).await.ok();
    agent.add_artifact(&task, &chunk("and on", true)).await.ok();
    let seen = client.task(&task).await;
    assert_eq!(texts(&seen), ["anew", "and on"]);
    assert_eq!(seen["artifacts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn parts_of_every_kind_come_back_as_they_were() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let parts = json!([
        { "text": "Grüße\n", "mediaType": "text/markdown" },
        { "raw": "AAECAw==", "filename": "four.bin", "mediaType": "application/octet-stream" },
        { "url": "https://example.com/a.png", "filename": "a.png" },
        { "data": { "deep": [1, 2.5, null, true, { "x": "y" }] }, "metadata": { "k": "v" } },
        { "data": [1, 2, 3] },
    ]);
    let mut message = a2a_message("");
    message["parts"] = parts.clone();
    message["metadata"] = json!({ "https://example.com/ext": { "a": 1 } });
    message["extensions"] = json!(["https://example.com/ext"]);
    message["referenceTaskIds"] = json!(["task_other"]);
    let task = client.send(&agent, &message).await;
    let seen = &client.task(&task).await["history"][0];
    for field in ["parts", "metadata", "extensions", "referenceTaskIds"] {
        assert_eq!(seen[field], message[field], "{field}");
    }
    let received = agent.take().await;
    assert_eq!(received["body"]["message"]["parts"], parts);
    // As the original's agents read them.
    let old = &received["body"]["parts"];
    assert_eq!(old[1]["file"]["bytes"], "AAECAw==");
    assert_eq!(old[1]["file"]["name"], "four.bin");
    assert_eq!(old[2]["file"]["uri"], "https://example.com/a.png");
    assert_eq!(old[3]["kind"], "data");
    let artifact = json!({ "artifact": { "artifactId": "all", "parts": parts } });
    agent.add_artifact(&task, &artifact).await.ok();
    let seen = client.task(&task).await;
    assert_eq!(seen["artifacts"][0]["parts"], parts);
}

#[tokio::test]
async fn what_is_over_stays_so_and_says_so() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    for state in ["completed", "failed", "rejected", "canceled"] {
        let task = client.send(&agent, &a2a_message(state)).await;
        agent.take().await;
        let set = agent.set_status(&task, &json!({ "state": state })).await;
        assert_eq!(set.ok()["state"], state);
        let seen = client.task(&task).await;
        for next in ["working", "completed", "input-required"] {
            let late = agent.set_status(&task, &json!({ "state": next })).await;
            assert_eq!(late.status, 409, "{}", late.text());
            assert_eq!(late.json()["state"], state);
        }
        let artifact = json!({ "artifact": { "parts": [{ "text": "late" }] } });
        let late = agent.add_artifact(&task, &artifact).await;
        assert_eq!(late.status, 409, "{}", late.text());
        assert_eq!(client.task(&task).await, seen);

        let mut message = a2a_message("go on");
        message["taskId"] = task["id"].clone();
        let params = json!({ "message": message });
        let error = client.error(&at(&agent), "SendMessage", &params).await;
        assert_eq!(error["code"], -32004, "{error}");
        let params = json!({ "id": task["id"] });
        let error = client.error("/a2a", "CancelTask", &params).await;
        assert_eq!(error["code"], -32002, "{error}");
        let error = client.error("/a2a", "SubscribeToTask", &params).await;
        assert_eq!(error["code"], -32004, "{error}");
    }
    let operator = relay.operator().await;
    let events = operator
        .get(&format!(
            "/v1/operator/events?type=a2a_task.update_refused&agent_id={}",
            agent.id
        ))
        .await
        .ok();
    assert!(!events["events"].as_array().unwrap().is_empty(), "{events}");
}

#[tokio::test]
async fn a_client_calls_its_task_off() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    // Before the agent has it: it never gets it.
    let task = client.send(&agent, &a2a_message("never mind")).await;
    let params = json!({ "id": task["id"] });
    let cancelled = client.result("/a2a", "CancelTask", &params).await;
    assert_eq!(cancelled["status"]["state"], "TASK_STATE_CANCELED");
    assert!(agent.inbox().await.is_empty());
    // While it works: it is told.
    let task = client.send(&agent, &a2a_message("begin")).await;
    agent.take().await;
    let params = json!({ "id": task["id"] });
    client.result("/a2a", "CancelTask", &params).await;
    let inbox = agent.get("/v1/inbox").await.ok();
    let control = &inbox["controls"][0];
    assert_eq!(control["action"], "a2a.task_canceled", "{inbox}");
    assert_eq!(control["reason"], task["id"]);
    let late = agent
        .set_status(&task, &json!({ "state": "completed" }))
        .await;
    assert_eq!(late.status, 409, "{}", late.text());
}

#[tokio::test]
async fn a_task_exists_for_its_two_parties_only() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let (stranger, other) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("between us")).await;
    let params = json!({ "id": task["id"] });
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        let error = stranger.error("/a2a", method, &params).await;
        assert_eq!(error["code"], -32001, "{method}: {error}");
        assert_eq!(error["data"][0]["reason"], "TASK_NOT_FOUND");
        let unknown = json!({ "id": "task_00000000000000000000000000000000" });
        let none = stranger.error("/a2a", method, &unknown).await;
        assert_eq!(none["message"], error["message"], "{method}");
    }
    let mut message = a2a_message("let me in");
    message["taskId"] = task["id"].clone();
    let error = stranger
        .error(&at(&agent), "SendMessage", &json!({ "message": message }))
        .await;
    assert_eq!(error["code"], -32001, "{error}");
    let id = task["id"].as_str().unwrap();
    let answer = other.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(answer.status, 404);
    let answer = other
        .set_status(&task, &json!({ "state": "completed" }))
        .await;
    assert_eq!(answer.status, 404);
    let list = stranger.result("/a2a", "ListTasks", &json!({})).await;
    assert_eq!(list["tasks"], json!([]));
    // At another agent's address the task is not there either.
    let error = client.error(&at(&other), "GetTask", &params).await;
    assert_eq!(error["code"], -32001);
    client.result(&at(&agent), "GetTask", &params).await;
}

#[tokio::test]
async fn malformed_answers_are_refused_with_what_is_wrong() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("x")).await;
    agent.take().await;
    for (body, field) in [
        (json!({}), "state"),
        (json!({ "state": "submitted" }), "state"),
        (json!({ "state": "working", "message": 5 }), "message"),
        (
            json!({ "state": "working", "message": { "parts": [] } }),
            "message.parts",
        ),
        (
            json!({ "state": "working", "message": { "parts": [{ "what": 1 }] } }),
            "message",
        ),
    ] {
        let answer = agent.set_status(&task, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let named = answer.json()["error"]["fieldErrors"].clone();
        assert!(named[field].is_array(), "{body}: {named}");
    }
    for (body, field) in [
        (json!({}), "artifact"),
        (json!({ "artifact": { "parts": [] } }), "artifact.parts"),
        (
            json!({ "artifact": { "parts": [{ "raw": "%" }] } }),
            "artifact",
        ),
        (
            json!({ "artifact": { "artifactId": "", "parts": [{ "text": "x" }] } }),
            "artifact.artifactId",
        ),
    ] {
        let answer = agent.add_artifact(&task, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let named = answer.json()["error"]["fieldErrors"].clone();
        assert!(named[field].is_array(), "{body}: {named}");
    }
    assert_eq!(
        client.task(&task).await["status"]["state"],
        "TASK_STATE_WORKING"
    );
}
