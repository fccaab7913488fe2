//! 1.0 and 0.3 at one address (3.6).

use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{A2aClient, Agent, Events, rpc, shared, uuid};

async fn old(client: &A2aClient, target: &str, method: &str, params: &Value) -> Value {
    let body = rpc(method, params).to_string();
    let answer = client.call_as("", "POST", target, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn old_message(text: &str) -> Value {
    json!({ "message": {
        "kind": "message",
        "messageId": uuid(),
        "role": "user",
        "parts": [{ "kind": "text", "text": text }],
    } })
}

#[tokio::test]
async fn the_version_decides_which_methods_there_are() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    for (version, method, code) in [
        ("1.0", "GetTask", -32602),
        ("1.0", "tasks/get", -32601),
        ("0.3", "tasks/get", -32602),
        ("", "tasks/get", -32602),
        ("", "GetTask", -32601),
        ("0.5", "GetTask", -32009),
        ("1.0.1", "GetTask", -32009),
        ("2", "GetTask", -32009),
    ] {
        let body = rpc(method, &json!({})).to_string();
        let answer = client.call_as(version, "POST", "/a2a", body).await.json();
        assert_eq!(
            answer["error"]["code"], code,
            "{version} {method}: {answer}"
        );
    }
    // As a parameter of the query as well.
    let body = rpc("ListTasks", &json!({})).to_string();
    let target = "/a2a?A2A-Version=1.0";
    let answer = client.call_as("", "POST", target, body).await.json();
    assert!(answer["result"].is_object(), "{answer}");
    for (version, status) in [("1.0", 200), ("", 400), ("0.3", 400), ("9.9", 400)] {
        let target = format!("{}/v1/tasks", at(&agent));
        let answer = client.call_as(version, "GET", &target, "").await;
        assert_eq!(answer.status, status, "{version}: {}", answer.text());
        if status == 400 {
            let details = &answer.json()["error"]["details"][0];
            assert_eq!(details["reason"], "VERSION_NOT_SUPPORTED");
        }
    }
}

#[tokio::test]
async fn a_task_of_one_version_is_the_same_in_the_other() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let sent = old(&client, &at(&agent), "message/send", &old_message("hello")).await;
    let task = &sent["result"];
    assert_eq!(task["kind"], "task", "{sent}");
    assert_eq!(task["status"]["state"], "submitted");
    assert_eq!(
        task["history"][0]["parts"],
        json!([{ "kind": "text", "text": "hello" }])
    );
    agent.take().await;
    let artifact = json!({ "artifact": { "artifactId": "f", "parts": [
        { "raw": "AQI=", "mediaType": "image/png", "filename": "a.png" },
        { "data": { "a": 1 } },
    ] } });
    agent.add_artifact(task, &artifact).await.ok();
    let ask = json!({ "state": "input-required", "message": "more?" });
    agent.set_status(task, &ask).await.ok();
    let seen = old(&client, "/a2a", "tasks/get", &json!({ "id": task["id"] })).await;
    let seen = &seen["result"];
    assert_eq!(seen["status"]["state"], "input-required");
    assert_eq!(seen["status"]["message"]["role"], "agent");
    assert_eq!(seen["status"]["message"]["kind"], "message");
    let file = json!({ "bytes": "AQI=", "mimeType": "image/png", "name": "a.png" });
    assert_eq!(
        seen["artifacts"][0]["parts"],
        json!([{ "kind": "file", "file": file }, { "kind": "data", "data": { "a": 1 } }])
    );
    let new = client.task(task).await;
    assert_eq!(new["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(new["artifacts"][0]["parts"], artifact["artifact"]["parts"]);
    let listed = old(
        &client,
        "/a2a",
        "tasks/list",
        &json!({ "status": "input-required" }),
    )
    .await;
    assert_eq!(listed["result"]["tasks"][0]["id"], task["id"]);
    let cancelled = old(
        &client,
        "/a2a",
        "tasks/cancel",
        &json!({ "id": task["id"] }),
    )
    .await;
    assert_eq!(cancelled["result"]["status"]["state"], "canceled");
    let again = old(
        &client,
        "/a2a",
        "tasks/cancel",
        &json!({ "id": task["id"] }),
    )
    .await;
    assert_eq!(again["error"]["code"], -32002);
}

#[tokio::test]
async fn parts_of_0_3_are_those_of_1_0() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut params = old_message("x");
    params["message"]["parts"] = json!([
        { "kind": "text", "text": "t", "metadata": { "k": 1 } },
        { "kind": "file", "file": { "bytes": "AQI=", "mimeType": "a/b", "name": "n" } },
        { "kind": "file", "file": { "uri": "https://example.com/x" } },
        { "kind": "data", "data": { "d": true } },
    ]);
    let sent = old(&client, &at(&agent), "message/send", &params).await;
    let task = &sent["result"];
    assert_eq!(task["history"][0]["parts"], params["message"]["parts"]);
    let new = client.task(task).await;
    assert_eq!(
        new["history"][0]["parts"],
        json!([
            { "text": "t", "metadata": { "k": 1 } },
            { "raw": "AQI=", "filename": "n", "mediaType": "a/b" },
            { "url": "https://example.com/x" },
            { "data": { "d": true } },
        ])
    );
    for part in [
        json!({ "kind": "text" }),
        json!({ "kind": "file", "file": {} }),
        json!({ "kind": "file", "file": { "bytes": "%" } }),
        json!({ "kind": "video" }),
        json!("text"),
    ] {
        let mut params = old_message("x");
        params["message"]["parts"] = json!([part]);
        let answer = old(&client, &at(&agent), "message/send", &params).await;
        assert_eq!(answer["error"]["code"], -32602, "{part}: {answer}");
    }
}

/// As the original's clients do: signed, and without a version.
async fn signed(agent: &Agent, target: &str, method: &str, params: &Value) -> Value {
    let body = rpc(method, params).to_string();
    agent.call("POST", target, body).await.ok()
}

#[tokio::test]
async fn clients_of_the_original_find_what_they_know() {
    let relay = shared().await;
    let [asker, agent, stranger] = relay.agents(["asker", "agent", "stranger"]).await;
    for place in ["path", "params", "metadata"] {
        let mut params = old_message(place);
        let target = match place {
            "path" => at(&agent),
            "params" => {
                params["recipientAgentId"] = json!(agent.id);
                "/a2a".into()
            }
            _ => {
                params["message"]["metadata"] = json!({ "recipientAgentId": agent.id });
                "/a2a".into()
            }
        };
        let sent = signed(&asker, &target, "message/send", &params).await;
        assert_eq!(sent["result"]["status"]["state"], "submitted", "{sent}");
        let received = agent.take().await;
        assert_eq!(received["body"]["parts"][0]["text"], place);
        assert_eq!(received["correlation_id"], sent["result"]["id"]);
        let id = json!({ "id": sent["result"]["id"] });
        let seen = signed(&asker, "/a2a", "tasks/get", &id).await;
        assert_eq!(seen["result"]["status"]["state"], "working");
        let none = signed(&stranger, "/a2a", "tasks/get", &id).await;
        assert_eq!(none["error"]["code"], -32001);
    }
}

#[tokio::test]
async fn a_stream_of_0_3_ends_where_the_agent_has_said_its_part() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let url = format!("{}{}", relay.url(), at(&agent));
    let headers = [
        (
            "authorization".to_string(),
            format!("Bearer {}", client.token),
        ),
        ("content-type".to_string(), "application/json".to_string()),
    ];
    let body = rpc("message/stream", &old_message("stream")).to_string();
    let answer = client.http.open("POST", &url, &headers, body.into()).await;
    let mut events = Events::of(answer.unwrap());
    let mut next = async || {
        events
            .next()
            .await
            .map(|event| event.json()["result"].clone())
    };
    let task = next().await.unwrap();
    assert_eq!(task["kind"], "task");
    agent.take().await;
    let update = next().await.unwrap();
    assert_eq!(update["kind"], "status-update");
    assert_eq!(update["final"], false);
    let artifact = json!({ "artifact": { "artifactId": "a", "parts": [{ "text": "x" }] } });
    agent.add_artifact(&task, &artifact).await.ok();
    let update = next().await.unwrap();
    assert_eq!(update["kind"], "artifact-update");
    assert_eq!(
        update["artifact"]["parts"],
        json!([{ "kind": "text", "text": "x" }])
    );
    let ask = json!({ "state": "input-required" });
    agent.set_status(&task, &ask).await.ok();
    let update = next().await.unwrap();
    assert_eq!(update["status"]["state"], "input-required");
    assert_eq!(update["final"], true);
    assert!(next().await.is_none());
    let body = rpc("tasks/resubscribe", &json!({ "id": task["id"] })).to_string();
    let answer = client.http.open("POST", &url, &headers, body.into()).await;
    let mut events = Events::of(answer.unwrap());
    let first = events.next().await.unwrap().json();
    assert_eq!(first["result"]["id"], task["id"]);
}

#[tokio::test]
async fn what_one_version_waits_for_the_other_does_as_well() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut params = old_message("wait");
    params["configuration"] = json!({ "blocking": true, "historyLength": 0 });
    let target = at(&agent);
    let asking = old(&client, &target, "message/send", &params);
    let answering = async {
        let received = agent.take().await;
        let task = json!({ "id": received["correlation_id"] });
        agent
            .set_status(&task, &json!({ "state": "completed" }))
            .await
            .ok();
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer["result"]["status"]["state"], "completed");
    assert!(answer["result"].get("history").is_none());
    let quick = client
        .result(&target, "SendMessage", &quick("at once"))
        .await;
    assert_eq!(quick["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
}
