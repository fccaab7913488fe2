//! Whatever comes in, an answer of the binding goes out, and the relay goes on.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use super::{at, pair, quick};
use crate::support::{a2a_message, shared};

/// Requests of each kind.
const CASES: usize = 400;

/// Any JSON, of names and values that mean something here and of others.
fn anything() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("message"),
        Just("messageId"),
        Just("role"),
        Just("parts"),
        Just("text"),
        Just("raw"),
        Just("data"),
        Just("url"),
        Just("file"),
        Just("kind"),
        Just("taskId"),
        Just("contextId"),
        Just("id"),
        Just("tenant"),
        Just("configuration"),
        Just("historyLength"),
        Just("pageSize"),
        Just("pageToken"),
        Just("status"),
        Just("metadata"),
        Just("statusTimestampAfter"),
        Just("pushNotificationConfig"),
        Just("taskPushNotificationConfig"),
        Just("authentication"),
        Just("includeArtifacts"),
        Just("extensions"),
        Just("referenceTaskIds"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
        Just(json!("ROLE_USER")),
        Just(json!("TASK_STATE_WORKING")),
        Just(json!("user")),
        Just(json!("text")),
        Just(json!("2026-01-01T00:00:00Z")),
        Just(json!("task_00000000000000000000000000000000")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|fields| {
                let fields = fields.into_iter();
                let fields: Map<String, Value> = fields
                    .map(|(name, value)| (name.to_string(), value))
                    .collect();
                Value::Object(fields)
            }),
        ]
    })
}

/// Puts one value somewhere into another.
fn grafted(whole: &mut Value, mut place: usize, graft: &Value) {
    let mut at = whole;
    loop {
        let next = match at {
            Value::Object(fields) if !fields.is_empty() => {
                let nth = place % fields.len();
                fields.values_mut().nth(nth)
            }
            Value::Array(items) if !items.is_empty() => {
                let nth = place % items.len();
                items.get_mut(nth)
            }
            _ => None,
        };
        place /= 3;
        match next {
            Some(next) if place > 0 => at = next,
            Some(next) => {
                *next = graft.clone();
                return;
            }
            None => return,
        }
    }
}

#[tokio::test]
async fn every_request_is_answered_in_its_binding() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut runner = TestRunner::new(Config::default());
    let strategy = (anything(), any::<prop::sample::Index>(), any::<u16>());
    let target = at(&agent);
    for case in 0..CASES {
        let (graft, index, place) = strategy.new_tree(&mut runner).unwrap().current();
        let (version, methods): (_, &[&str]) = match case % 2 {
            0 => (
                "1.0",
                &[
                    "SendMessage",
                    "GetTask",
                    "ListTasks",
                    "CancelTask",
                    "CreateTaskPushNotificationConfig",
                    "GetTaskPushNotificationConfig",
                    "ListTaskPushNotificationConfigs",
                    "DeleteTaskPushNotificationConfig",
                    "GetExtendedAgentCard",
                    "SubscribeToTask",
                ],
            ),
            _ => (
                "0.3",
                &[
                    "message/send",
                    "tasks/get",
                    "tasks/list",
                    "tasks/cancel",
                    "tasks/pushNotificationConfig/set",
                    "tasks/pushNotificationConfig/get",
                    "tasks/resubscribe",
                ],
            ),
        };
        let method = index.get(methods);
        // Something good with something else in it, or something else as a whole.
        let mut params = match case % 3 {
            0 => graft.clone(),
            _ => quick("fuzz"),
        };
        grafted(&mut params, place as usize, &graft);
        if !params.is_object() {
            params = json!({});
        }
        params["configuration"] = json!({ "returnImmediately": true });
        let body = json!({ "jsonrpc": "2.0", "id": case, "method": method, "params": params });
        let answer = client
            .call_as(version, "POST", &target, body.to_string())
            .await;
        assert!(answer.status < 500, "{body}: {}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["jsonrpc"], "2.0", "{body}: {answer}");
        let has = |name: &str| answer.get(name).is_some();
        assert!(has("result") != has("error"), "{body}: {answer}");
        if has("error") {
            assert_ne!(answer["error"]["code"], -32603, "{body}: {answer}");
        }

        let (http, target) = match case % 4 {
            0 => ("POST", format!("{target}/v1/message:send")),
            1 => ("GET", format!("{target}/v1/tasks?pageSize={place}")),
            2 => ("POST", format!("{target}/v1/tasks/{place}:cancel")),
            _ => (
                "POST",
                format!("{target}/v1/tasks/{place}/pushNotificationConfigs"),
            ),
        };
        let answer = client
            .call_as("1.0", http, &target, params.to_string())
            .await;
        assert!(answer.status < 500, "{target} {params}: {}", answer.text());
        assert!(answer.json().is_object(), "{target} {params}");
    }
    // And it goes on.
    client.send(&agent, &a2a_message("still here")).await;
}

#[tokio::test]
async fn agents_answer_with_anything_and_are_told_what_is_wrong() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let task = client.send(&agent, &a2a_message("fuzz")).await;
    agent.take().await;
    let mut runner = TestRunner::new(Config::default());
    let strategy = (anything(), any::<u16>());
    for case in 0..CASES {
        let (graft, place) = strategy.new_tree(&mut runner).unwrap().current();
        let answer = match case % 2 {
            0 => {
                let message = json!({ "parts": [{ "text": "x" }], "metadata": {} });
                let mut status = json!({ "state": "working", "message": message });
                grafted(&mut status, place as usize, &graft);
                status["state"] = json!("working");
                agent.set_status(&task, &status).await
            }
            _ => {
                let artifact =
                    json!({ "artifactId": "a", "parts": [{ "text": "x" }], "name": "n" });
                let mut artifact = json!({ "artifact": artifact, "append": false });
                grafted(&mut artifact, place as usize, &graft);
                agent.add_artifact(&task, &artifact).await
            }
        };
        assert!(answer.status < 500, "{graft}: {}", answer.text());
    }
    // Whatever was accepted can be told.
    client.task(&task).await;
}
