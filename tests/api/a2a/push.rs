//! Clients are told of their tasks where they want to be: in order, again where it fails, and only
//! where requests may go.

use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{HookServer, Relay, Reply, a2a_message, rpc, shared};

/// A relay that may reach receivers on this machine.
pub async fn open_relay() -> Relay {
    let builder = Relay::builder().env("EKHO_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8");
    builder.start().await
}

/// States and texts of what a receiver was told, in order.
fn told(receiver: &HookServer) -> Vec<String> {
    let heard = receiver.heard();
    let tell = |event: &Value| {
        let status = &event["statusUpdate"]["status"];
        match status["state"].as_str() {
            Some(state) => {
                let said = status["message"]["parts"][0]["text"].as_str();
                format!("{state} {}", said.unwrap_or_default())
            }
            None => event["artifactUpdate"]["artifact"]["parts"][0]["text"]
                .as_str()
                .unwrap()
                .to_string(),
        }
    };
    heard.iter().map(|heard| tell(&heard.json)).collect()
}

#[tokio::test]
async fn a_receiver_is_told_everything_in_order_with_what_it_wants_to_be_shown() {
    let relay = open_relay().await;
    let (client, agent) = pair(&relay).await;
    let receiver = HookServer::start().await;
    let mut params = quick("tell me");
    params["configuration"]["taskPushNotificationConfig"] = json!({
        "url": receiver.url,
        "token": "secret-token",
        "authentication": { "scheme": "Bearer", "credentials": "secret-credentials" },
    });
    let sent = client.result(&at(&agent), "SendMessage", &params).await;
    let task = &sent["task"];
    agent.take().await;
    for number in 0..5 {
        let status = json!({ "state": "working", "message": format!("{number}") });
        agent.set_status(task, &status).await.ok();
    }
    let artifact = json!({ "artifact": { "parts": [{ "text": "made" }] } });
    agent.add_artifact(task, &artifact).await.ok();
    let done = json!({ "state": "completed", "message": "done" });
    agent.set_status(task, &done).await.ok();
    let heard = receiver.heard_at_least(8).await;
    for one in &heard {
        assert_eq!(one.header("content-type"), "application/a2a+json");
        assert_eq!(one.header("authorization"), "Bearer secret-credentials");
        assert_eq!(one.header("x-a2a-notification-token"), "secret-token");
        let event = one.json.as_object().unwrap();
        assert_eq!(event.len(), 1);
        let update = event.values().next().unwrap();
        assert_eq!(update["taskId"], task["id"]);
    }
    let mut expected = vec!["TASK_STATE_WORKING ".to_string()];
    expected.extend((0..5).map(|number| format!("TASK_STATE_WORKING {number}")));
    expected.push("made".into());
    expected.push("TASK_STATE_COMPLETED done".into());
    assert_eq!(told(&receiver), expected);
    // Nothing of it is written down in the open.
    assert!(!relay.log().contains("secret-"), "{}", relay.log());
}

#[tokio::test]
async fn a_receiver_that_fails_is_told_again_and_misses_nothing() {
    let relay = open_relay().await;
    let (client, agent) = pair(&relay).await;
    let receiver = HookServer::start().await;
    receiver.answer_in_turn([Reply::Status(500), Reply::Redirect(receiver.url.clone())]);
    let task = client.send(&agent, &a2a_message("again")).await;
    let config = json!({ "taskId": task["id"], "url": receiver.url });
    client
        .result("/a2a", "CreateTaskPushNotificationConfig", &config)
        .await;
    agent.take().await;
    let done = json!({ "state": "completed" });
    agent.set_status(&task, &done).await.ok();
    receiver.heard_at_least(4).await;
    assert_eq!(
        told(&receiver),
        [
            "TASK_STATE_WORKING ",
            "TASK_STATE_WORKING ",
            "TASK_STATE_WORKING ",
            "TASK_STATE_COMPLETED ",
        ]
    );
    let metrics = client
        .http
        .get(&format!("{}/metrics", relay.url()))
        .await
        .text();
    assert!(
        metrics.contains("ekho_a2a_push_attempts_total{result=\"failed\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_was_not_told_is_told_after_a_restart() {
    let mut relay = open_relay().await;
    let (client, agent) = pair(&relay).await;
    let receiver = HookServer::answering(|_| Reply::Status(503)).await;
    let task = client.send(&agent, &a2a_message("later")).await;
    let config = json!({ "taskId": task["id"], "url": receiver.url });
    client
        .result("/a2a", "CreateTaskPushNotificationConfig", &config)
        .await;
    agent.take().await;
    receiver.heard_at_least(1).await;
    relay.kill();
    let before = receiver.count();
    receiver.answer(|_| Reply::Status(204));
    relay.spawn();
    let heard = receiver.heard_at_least(before + 1).await;
    let last = &heard[before].json["statusUpdate"]["status"]["state"];
    assert_eq!(last, "TASK_STATE_WORKING");
}

#[tokio::test]
async fn configurations_are_made_looked_at_and_removed() {
    let relay = open_relay().await;
    let (client, agent) = pair(&relay).await;
    let (stranger, _) = pair(&relay).await;
    let receiver = HookServer::start().await;
    let task = client.send(&agent, &a2a_message("x")).await;
    let id = task["id"].as_str().unwrap();
    let config = json!({
        "taskId": id, "id": "mine", "url": receiver.url, "token": "t",
        "authentication": { "scheme": "Basic", "credentials": "dTpw" },
    });
    let make = "CreateTaskPushNotificationConfig";
    let made = client.result("/a2a", make, &config).await;
    assert_eq!(made, config);
    let other = json!({ "taskId": id, "url": receiver.url });
    let other = client.result("/a2a", make, &other).await;
    let other_id = other["id"].as_str().unwrap();
    let get = |config_id: &str| json!({ "taskId": id, "id": config_id });
    let got = client
        .result("/a2a", "GetTaskPushNotificationConfig", &get("mine"))
        .await;
    assert_eq!(got, config);
    let of_task = json!({ "taskId": id });
    let list = "ListTaskPushNotificationConfigs";
    let all = client.result("/a2a", list, &of_task).await;
    assert_eq!(all["configs"].as_array().unwrap().len(), 2);

    // The same over HTTP.
    let path = format!("/a2a/v1/tasks/{id}/pushNotificationConfigs");
    let over_http = client.call_as("1.0", "GET", &path, "").await.ok();
    assert_eq!(over_http["configs"], all["configs"]);
    let one = format!("{path}/mine");
    assert_eq!(client.call_as("1.0", "GET", &one, "").await.ok(), config);
    let body = json!({ "url": receiver.url, "id": "http" }).to_string();
    let made = client.call_as("1.0", "POST", &path, body).await.ok();
    assert_eq!(made["taskId"], id);

    // And as 0.3 says it.
    let old = async |method: &str, params: Value| {
        let body = rpc(&format!("tasks/pushNotificationConfig/{method}"), &params).to_string();
        client.call_as("", "POST", "/a2a", body).await.json()["result"].clone()
    };
    let config = json!({ "id": "old", "url": receiver.url, "token": "t" });
    let params = json!({ "taskId": id, "pushNotificationConfig": config });
    assert_eq!(old("set", params.clone()).await, params);
    let named = json!({ "id": id, "pushNotificationConfigId": "old" });
    assert_eq!(old("get", named.clone()).await, params);
    assert_eq!(
        old("list", json!({ "id": id }))
            .await
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(old("delete", named).await, Value::Null);

    // Nobody else learns of them, not even the agent.
    for method in [
        list,
        "GetTaskPushNotificationConfig",
        "DeleteTaskPushNotificationConfig",
    ] {
        let error = stranger.error("/a2a", method, &get("mine")).await;
        assert_eq!(error["code"], -32001, "{method}: {error}");
    }
    let body = rpc(list, &of_task).to_string();
    let headers = [("a2a-version", "1.0")];
    let answer = agent.call_with("POST", "/a2a", body, &headers).await;
    assert_eq!(answer.json()["error"]["code"], -32001, "{}", answer.text());

    for _ in 0..2 {
        client
            .result("/a2a", "DeleteTaskPushNotificationConfig", &get("mine"))
            .await;
    }
    let error = client
        .error("/a2a", "GetTaskPushNotificationConfig", &get("mine"))
        .await;
    assert_eq!(error["code"], -32001);
    let removed = format!("{path}/{other_id}");
    client.call_as("1.0", "DELETE", &removed, "").await.ok();
    let all = client.result("/a2a", list, &of_task).await;
    assert_eq!(all["configs"].as_array().unwrap().len(), 1);
    for number in 0..9 {
        let config = json!({ "taskId": id, "id": format!("{number}"), "url": receiver.url });
        client.result("/a2a", make, &config).await;
    }
    let config = json!({ "taskId": id, "id": "one too many", "url": receiver.url });
    let error = client.error("/a2a", make, &config).await;
    assert_eq!(error["data"][0]["reason"], "LIMIT_REACHED", "{error}");
}

#[tokio::test]
async fn requests_go_nowhere_within_that_is_not_allowed() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let receiver = HookServer::start().await;
    let task = client.send(&agent, &a2a_message("x")).await;
    for url in [
        receiver.url.as_str(),
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "ftp://example.com/",
        "nonsense",
        "",
    ] {
        let config = json!({ "taskId": task["id"], "url": url });
        let error = client
            .error("/a2a", "CreateTaskPushNotificationConfig", &config)
            .await;
        assert_eq!(error["code"], -32602, "{url}: {error}");
        assert_eq!(error["data"][0]["fieldViolations"][0]["field"], "url");
    }
    // A name that stands for the inside is found out when it is connected to.
    let config = json!({ "taskId": task["id"], "url": "https://localhost:1/" });
    client
        .result("/a2a", "CreateTaskPushNotificationConfig", &config)
        .await;
    for (field, value) in [
        ("token", json!("two\nlines")),
        (
            "authentication",
            json!({ "scheme": "Bearer", "credentials": "a\r\nb: c" }),
        ),
        ("id", json!("x".repeat(65))),
    ] {
        let mut config = json!({ "taskId": task["id"], "url": "https://example.com/" });
        config[field] = value;
        let error = client
            .error("/a2a", "CreateTaskPushNotificationConfig", &config)
            .await;
        assert_eq!(error["code"], -32602, "{field}: {error}");
    }
    assert_eq!(receiver.count(), 0);
}
