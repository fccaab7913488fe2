//! Whoever follows a task sees the same, in the order in which it was accepted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{at, pair};
use crate::support::{Events, a2a_message, shared};

/// Everything that a stream tells, to its end.
async fn all(mut events: Events) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.json();
        assert_eq!(event["id"], 7, "{event}");
        told.push(event["result"].clone());
    }
    told
}

#[tokio::test]
async fn a_stream_begins_with_the_task_and_ends_with_its_end() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let params = json!({ "message": a2a_message("a long one") });
    let events = client
        .stream(&at(&agent), "SendStreamingMessage", &params)
        .await;
    let answering = async {
        let received = agent.take().await;
        let task = json!({ "id": received["correlation_id"] });
        for (text, append) in [("a", false), ("b", true)] {
            let artifact = json!({
                "artifact": { "artifactId": "doc", "parts": [{ "text": text }] },
                "append": append,
                "last_chunk": append,
            });
            agent.add_artifact(&task, &artifact).await.ok();
        }
        let status = json!({ "state": "completed", "message": "there it is" });
        agent.set_status(&task, &status).await.ok();
    };
    let (told, ()) = tokio::join!(all(events), answering);
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(told[0]["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
    assert_eq!(
        told[1]["statusUpdate"]["status"]["state"],
        "TASK_STATE_WORKING"
    );
    let chunk = &told[2]["artifactUpdate"];
    assert_eq!(chunk["artifact"]["parts"][0]["text"], "a");
    assert_eq!(
        (&chunk["append"], &chunk["lastChunk"]),
        (&json!(false), &json!(false))
    );
    let chunk = &told[3]["artifactUpdate"];
    assert_eq!(chunk["artifact"]["parts"][0]["text"], "b");
    assert_eq!(
        (&chunk["append"], &chunk["lastChunk"]),
        (&json!(true), &json!(true))
    );
    let end = &told[4]["statusUpdate"];
    assert_eq!(end["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(end["status"]["message"]["parts"][0]["text"], "there it is");
    for update in &told[1..] {
        let update = update.as_object().unwrap().values().next().unwrap();
        assert_eq!(update["taskId"], told[0]["task"]["id"]);
        assert_eq!(update["contextId"], told[0]["task"]["contextId"]);
    }
}

#[tokio::test]
async fn all_who_follow_see_the_same_and_those_who_come_back_miss_nothing() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("watch")).await;
    let params = json!({ "id": task["id"] });
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(client.stream("/a2a", "SubscribeToTask", &params).await);
    }
    let mut broken = client.stream("/a2a", "SubscribeToTask", &params).await;
    assert!(broken.next().await.unwrap().json()["result"]["task"].is_object());
    drop(broken);
    agent.take().await;
    for number in 0..20 {
        let status = json!({ "state": "working", "message": format!("step {number}") });
        agent.set_status(&task, &status).await.ok();
    }
    let late = client.stream("/a2a", "SubscribeToTask", &params).await;
    agent
        .set_status(&task, &json!({ "state": "completed" }))
        .await
        .ok();
    let mut told = Vec::new();
    for stream in streams {
        told.push(all(stream).await);
    }
    assert_eq!(told[0].len(), 23);
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    let late = all(late).await;
    let shown = &late[0]["task"];
    assert_eq!(shown["status"]["message"]["parts"][0]["text"], "step 19");
    // What it missed is in the task.
    assert_eq!(shown["history"].as_array().unwrap().len(), 20);
    assert_eq!(late.last(), told[0].last());
}

#[tokio::test]
async fn a_stream_goes_on_where_the_agent_asks_back() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("ask me")).await;
    let params = json!({ "id": task["id"] });
    let mut events = client.stream("/a2a", "SubscribeToTask", &params).await;
    events.next().await.unwrap();
    agent.take().await;
    let mut state = async || {
        let event = events.next().await.unwrap().json();
        let update = &event["result"]["statusUpdate"];
        update["status"]["state"].as_str().unwrap().to_string()
    };
    assert_eq!(state().await, "TASK_STATE_WORKING");
    let ask = json!({ "state": "input-required", "message": "which?" });
    agent.set_status(&task, &ask).await.ok();
    assert_eq!(state().await, "TASK_STATE_INPUT_REQUIRED");
    let mut message = a2a_message("that one");
    message["taskId"] = task["id"].clone();
    client.send(&agent, &message).await;
    assert_eq!(state().await, "TASK_STATE_SUBMITTED");
    agent.take().await;
    assert_eq!(state().await, "TASK_STATE_WORKING");
    let done = json!({ "state": "completed" });
    agent.set_status(&task, &done).await.ok();
    assert_eq!(state().await, "TASK_STATE_COMPLETED");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_stream_over_http_is_the_same_without_its_envelope() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("plain")).await;
    let id = task["id"].as_str().unwrap();
    for method in ["GET", "POST"] {
        let url = format!("{}/a2a/v1/tasks/{id}:subscribe", relay.url());
        let headers = [
            (
                "authorization".to_string(),
                format!("Bearer {}", client.token),
            ),
            ("a2a-version".to_string(), "1.0".to_string()),
        ];
        let answer = client
            .http
            .open(method, &url, &headers, Default::default())
            .await;
        let mut events = Events::of(answer.unwrap());
        let first = events.next().await.unwrap().json();
        assert_eq!(first["task"]["id"], task["id"]);
    }
}

#[tokio::test]
async fn an_idle_stream_says_that_it_is_there() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("later")).await;
    let params = json!({ "id": task["id"] });
    let mut events = client.stream("/a2a", "SubscribeToTask", &params).await;
    events.next().await.unwrap();
    // So long the official client for Python waits by itself.
    events.is_heard_within(Duration::from_secs(5)).await;
}
