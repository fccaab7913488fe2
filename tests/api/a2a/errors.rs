//! What is wrong is said in the words of each binding (5.4).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{at, pair, quick};
use crate::support::{A2aClient, a2a_message, rpc, shared};

async fn raw(client: &A2aClient, body: &str) -> Value {
    let answer = client
        .call_as("1.0", "POST", "/a2a", body.to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn requests_that_are_none_are_refused_as_json_rpc_says() {
    let relay = shared().await;
    let (client, _) = pair(&relay).await;
    for (body, code, id) in [
        ("{", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"ListTasks"}]"#,
            -32600,
            Value::Null,
        ),
        ("5", -32600, Value::Null),
        (
            r#"{"jsonrpc":"2.0","method":"ListTasks"}"#,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"1.0","id":"a","method":"ListTasks"}"#,
            -32600,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
            -32600,
            Value::Null,
        ),
        (r#"{"jsonrpc":"2.0","id":3,"method":5}"#, -32600, json!(3)),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"ListTasks","params":[]}"#,
            -32602,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"Nothing"}"#,
            -32601,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"message/send"}"#,
            -32601,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"GetTask"}"#,
            -32602,
            Value::Null,
        ),
    ] {
        let answer = raw(&client, body).await;
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        assert_eq!(answer["id"], id, "{body}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
        let data = answer["error"]["data"].as_array().unwrap();
        assert!(data.iter().all(|detail| detail["@type"].is_string()));
    }
    // Ids come back as they are; fields that nobody knows are passed over.
    for id in [json!("text"), json!(12), json!(1.5), json!("")] {
        let body = json!({
            "jsonrpc": "2.0", "id": id, "method": "ListTasks", "params": { "new": 1 }, "x": 2,
        });
        let answer = raw(&client, &body.to_string()).await;
        assert_eq!(answer["id"], id);
        assert!(answer["result"].is_object(), "{answer}");
    }
}

#[tokio::test]
async fn malformed_messages_name_the_field() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut params = quick("x");
        change(&mut params);
        params
    };
    let many: Vec<Value> = (0..101).map(|_| json!({ "text": "x" })).collect();
    for (params, field) in [
        (
            with(&|it| it["message"]["parts"] = json!([])),
            "message.parts",
        ),
        (
            with(&|it| it["message"]["parts"] = json!(many)),
            "message.parts",
        ),
        (
            with(&|it| it["message"]["messageId"] = json!("")),
            "message.messageId",
        ),
        (
            with(&|it| it["message"]["messageId"] = json!("x".repeat(300))),
            "message.messageId",
        ),
        (
            with(&|it| it["message"]["contextId"] = json!("x".repeat(300))),
            "message.contextId",
        ),
        (
            with(&|it| it["message"]["role"] = json!("ROLE_AGENT")),
            "message.role",
        ),
        (
            with(&|it| it["configuration"]["historyLength"] = json!(-1)),
            "historyLength",
        ),
    ] {
        let error = client.error(&at(&agent), "SendMessage", &params).await;
        assert_eq!(error["code"], -32602, "{field}: {error}");
        let details = &error["data"][0];
        assert_eq!(
            details["@type"],
            "type.googleapis.com/google.rpc.BadRequest"
        );
        assert_eq!(details["fieldViolations"][0]["field"], field, "{error}");
    }
    for params in [
        json!({}),
        with(&|it| it["message"]["parts"] = json!([{ "raw": "not base64!" }])),
        with(&|it| it["message"]["parts"] = json!([{}])),
        with(&|it| it["message"]["role"] = json!("nobody")),
        with(&|it| it["message"] = json!("text")),
    ] {
        let error = client.error(&at(&agent), "SendMessage", &params).await;
        assert_eq!(error["code"], -32602, "{params}: {error}");
    }
    assert!(agent.inbox().await.is_empty());
}

#[tokio::test]
async fn the_same_errors_over_http() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("x")).await;
    let id = task["id"].as_str().unwrap();
    let cancel = format!("/a2a/v1/tasks/{id}:cancel");
    let answer = client.call_as("1.0", "POST", &cancel, Bytes::new()).await;
    assert_eq!(answer.ok()["status"]["state"], "TASK_STATE_CANCELED");
    let none = "/a2a/v1/tasks/task_00000000000000000000000000000000";
    let subscribe = format!("/a2a/v1/tasks/{id}:subscribe");
    let send = format!("/agents/{}/a2a/v1/message:send", agent.id);
    for (method, target, body, status, rpc_status, reason) in [
        ("GET", none, "", 404, "NOT_FOUND", "TASK_NOT_FOUND"),
        (
            "POST",
            &cancel,
            "",
            400,
            "FAILED_PRECONDITION",
            "TASK_NOT_CANCELABLE",
        ),
        (
            "GET",
            &subscribe,
            "",
            400,
            "FAILED_PRECONDITION",
            "UNSUPPORTED_OPERATION",
        ),
        (
            "POST",
            &send,
            "{",
            400,
            "INVALID_ARGUMENT",
            "INVALID_PARAMS",
        ),
        (
            "GET",
            "/a2a/v1/tasks?pageSize=x",
            "",
            400,
            "INVALID_ARGUMENT",
            "INVALID_PARAMS",
        ),
    ] {
        let answer = client
            .call_as("1.0", method, target, body.to_string())
            .await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/a2a+json");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], status);
        assert_eq!(error["status"], rpc_status, "{error}");
        let details = error["details"].as_array().unwrap();
        let info = details
            .iter()
            .find(|one| one["@type"] == "type.googleapis.com/google.rpc.ErrorInfo")
            .unwrap();
        assert_eq!(info["reason"], reason, "{error}");
        assert_eq!(info["domain"], "a2a-protocol.org");
    }
}

#[tokio::test]
async fn nobody_asks_without_saying_who() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let nobody = A2aClient {
        token: "a2a_nonsense".into(),
        ..client
    };
    let body = rpc("ListTasks", &json!({})).to_string();
    let answer = nobody.call_as("1.0", "POST", "/a2a", body).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(answer.json()["error"]["code"], -32000);
    let target = format!("/agents/{}/a2a/v1/tasks", agent.id);
    let answer = nobody.call_as("1.0", "GET", &target, Bytes::new()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["status"], "UNAUTHENTICATED");
    assert!(answer.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let params = quick(&"x".repeat(3 << 20));
    let body = rpc("SendMessage", &params).to_string();
    let answer = client.call_as("1.0", "POST", &at(&agent), body).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], -32000);
}
