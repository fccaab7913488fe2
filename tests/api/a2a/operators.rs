//! Tasks as operators look at them.

use serde_json::{Value, json};

use super::pair;
use crate::support::{Operator, a2a_message, shared};

async fn tasks(operator: &Operator, query: &str) -> Vec<Value> {
    let target = format!("/v1/operator/a2a/tasks?limit=100&{query}");
    let list = operator.get(&target).await.ok();
    list["tasks"].as_array().unwrap().clone()
}

#[tokio::test]
async fn operators_see_every_task_with_what_happened_to_it() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    let first = client.send(&agent, &a2a_message("one")).await;
    agent.take().await;
    let second = client.send(&agent, &a2a_message("two")).await;
    let artifact = json!({ "artifact": { "artifactId": "a", "parts": [{ "text": "made" }] } });
    agent.add_artifact(&first, &artifact).await.ok();
    agent
        .set_status(&first, &json!({ "state": "completed" }))
        .await
        .ok();

    // The latest change first, whichever of its two parties it is looked for by.
    for party in [&client.id, &agent.id] {
        let listed = tasks(&operator, &format!("agent_id={party}")).await;
        let ids: Vec<&Value> = listed.iter().map(|task| &task["id"]).collect();
        assert_eq!(ids, [&first["id"], &second["id"]]);
    }
    let all = tasks(&operator, "").await;
    assert!(all.iter().any(|task| task["id"] == second["id"]));
    let narrowed = format!("agent_id={}&state=completed", agent.id);
    assert_eq!(tasks(&operator, &narrowed).await.len(), 1);
    let context = second["contextId"].as_str().unwrap();
    let narrowed = tasks(&operator, &format!("context_id={context}")).await;
    assert_eq!(narrowed.len(), 1);
    assert_eq!(narrowed[0]["id"], second["id"]);

    let id = first["id"].as_str().unwrap();
    let whole = operator.get(&format!("/v1/operator/a2a/tasks/{id}")).await;
    let whole = whole.ok();
    assert_eq!(whole["client_id"], client.id.as_str());
    assert_eq!(whole["agent_id"], agent.id.as_str());
    assert_eq!(
        (&whole["state"], &whole["artifact_count"]),
        (&json!("completed"), &json!(1))
    );
    assert_eq!(whole["task"]["artifacts"][0]["parts"][0]["text"], "made");
    assert_eq!(whole["task"]["history"][0]["parts"][0]["text"], "one");
    let updates = whole["updates"].as_array().unwrap();
    assert_eq!(whole["update_count"], updates.len());
    let last = &updates.last().unwrap()["update"]["statusUpdate"];
    assert_eq!(last["status"]["state"], "TASK_STATE_COMPLETED");
    let behind = format!("/v1/operator/a2a/tasks/{id}?after={}", updates.len() - 1);
    let behind = operator.get(&behind).await.ok();
    assert_eq!(
        behind["updates"].as_array().unwrap(),
        &updates[updates.len() - 1..]
    );
}

#[tokio::test]
async fn pages_of_tasks_go_on_where_the_last_one_ended() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let task = client
            .send(&agent, &a2a_message(&format!("{number}")))
            .await;
        made.push(task["id"].as_str().unwrap().to_string());
    }
    made.sort();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let target = format!(
            "/v1/operator/a2a/tasks?limit=2&agent_id={}{cursor}",
            agent.id
        );
        let page = operator.get(&target).await.ok();
        let tasks = page["tasks"].as_array().unwrap();
        listed.extend(
            tasks
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_string()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.sort();
    assert_eq!(listed, made);
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_said() {
    let relay = shared().await;
    let operator = relay.operator().await;
    for (query, field) in [("state=gone", "state"), ("cursor=1.x", "cursor")] {
        let answer = operator
            .get(&format!("/v1/operator/a2a/tasks?{query}"))
            .await;
        answer.invalid(field);
    }
    for target in ["tasks/task_0", "tasks?agent_id=agent_0"] {
        let answer = operator.get(&format!("/v1/operator/a2a/{target}")).await;
        assert_eq!(answer.status, 404, "{target}");
    }
}
