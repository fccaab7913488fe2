//! Tasks in pages, the latest status first.

use serde_json::{Value, json};

use super::{at, pair};
use crate::support::{a2a_message, shared};

#[tokio::test]
async fn pages_hold_every_task_once_the_latest_first() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut made = Vec::new();
    for number in 0..7 {
        let task = client
            .send(&agent, &a2a_message(&format!("{number}")))
            .await;
        made.push(task["id"].clone());
    }
    // The third one moves last.
    let params = json!({ "id": made[2] });
    client.result("/a2a", "CancelTask", &params).await;
    let third = made.remove(2);
    made.push(third);
    let mut listed: Vec<Value> = Vec::new();
    let mut token = String::new();
    loop {
        let params = json!({ "pageSize": 3, "pageToken": token });
        let page = client.result("/a2a", "ListTasks", &params).await;
        assert_eq!(page["totalSize"], 7);
        assert_eq!(page["pageSize"], 3);
        for task in page["tasks"].as_array().unwrap() {
            assert!(task.get("artifacts").is_none(), "{task}");
            assert!(task.get("history").is_none(), "{task}");
            listed.push(task["id"].clone());
        }
        token = page["nextPageToken"].as_str().unwrap().to_string();
        if token.is_empty() {
            break;
        }
    }
    made.reverse();
    let place = |id: &Value| made.iter().position(|made| made == id);
    assert_eq!(listed.len(), 7);
    assert_eq!(listed[0], made[0]);
    // Those of one millisecond are in the order of their ids; all others as they were made.
    let mut sorted = listed.clone();
    sorted.sort_by_key(place);
    assert_eq!(sorted, made);
}

#[tokio::test]
async fn lists_are_narrowed_by_context_state_time_and_agent() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let other = relay.operator().await.enrol("other").await;
    let first = client.send(&agent, &a2a_message("one")).await;
    agent.take().await;
    let artifact = json!({ "artifact": { "parts": [{ "text": "made" }] } });
    agent.add_artifact(&first, &artifact).await.ok();
    agent
        .set_status(&first, &json!({ "state": "completed" }))
        .await
        .ok();
    let second = client.send(&other, &a2a_message("two")).await;
    let ids = async |target: &str, params: Value| -> Vec<Value> {
        let page = client.result(target, "ListTasks", &params).await;
        assert_eq!(page["nextPageToken"], "");
        let tasks = page["tasks"].as_array().unwrap();
        assert_eq!(page["totalSize"], tasks.len());
        tasks.iter().map(|task| task["id"].clone()).collect()
    };
    let of = |task: &Value| vec![task["id"].clone()];
    let context = json!({ "contextId": first["contextId"] });
    assert_eq!(ids("/a2a", context).await, of(&first));
    let done = json!({ "status": "TASK_STATE_COMPLETED" });
    assert_eq!(ids("/a2a", done).await, of(&first));
    assert_eq!(ids(&at(&other), json!({})).await, of(&second));
    assert_eq!(ids("/a2a", json!({ "tenant": agent.id })).await, of(&first));
    let after = client.task(&first).await["status"]["timestamp"].clone();
    let newer = ids("/a2a", json!({ "statusTimestampAfter": after })).await;
    assert!(!newer.contains(&first["id"]), "{newer:?}");
    let later = json!({ "statusTimestampAfter": "2099-01-01T00:00:00Z" });
    assert!(ids("/a2a", later).await.is_empty());

    let params = json!({ "includeArtifacts": true, "historyLength": 1 });
    let page = client.result("/a2a", "ListTasks", &params).await;
    let find = |task: &Value| {
        let tasks = page["tasks"].as_array().unwrap().iter();
        let mut found = tasks.filter(|one| one["id"] == task["id"]);
        found.next().unwrap().clone()
    };
    assert_eq!(find(&first)["artifacts"][0]["parts"][0]["text"], "made");
    assert_eq!(find(&second)["artifacts"], json!([]));
    assert_eq!(find(&second)["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_listed_is_said() {
    let relay = shared().await;
    let (client, _) = pair(&relay).await;
    for (params, field) in [
        (json!({ "pageSize": 0 }), "pageSize"),
        (json!({ "pageSize": 101 }), "pageSize"),
        (json!({ "pageToken": "nonsense" }), "pageToken"),
        (json!({ "historyLength": -1 }), "historyLength"),
    ] {
        let error = client.error("/a2a", "ListTasks", &params).await;
        assert_eq!(error["code"], -32602, "{error}");
        let violation = &error["data"][0]["fieldViolations"][0];
        assert_eq!(violation["field"], field, "{error}");
    }
    let error = client
        .error("/a2a", "ListTasks", &json!({ "status": "DONE" }))
        .await;
    assert_eq!(error["code"], -32602, "{error}");
}

#[tokio::test]
async fn as_much_history_as_is_asked_for() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("first")).await;
    for text in ["second", "third"] {
        let mut message = a2a_message(text);
        message["taskId"] = task["id"].clone();
        client.send(&agent, &message).await;
    }
    for (length, texts) in [
        (json!(0), None),
        (json!(1), Some(vec!["third"])),
        (json!(2), Some(vec!["second", "third"])),
        (Value::Null, Some(vec!["first", "second", "third"])),
    ] {
        let params = json!({ "id": task["id"], "historyLength": length });
        let seen = client.result("/a2a", "GetTask", &params).await;
        let said = seen["history"].as_array().map(|history| {
            let texts = history.iter();
            texts
                .map(|message| message["parts"][0]["text"].as_str().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(said, texts, "{length}");
    }
}
