//! A2A tasks of the original: open ones go on, those that are over can be read.

use serde_json::{Value, json};

use super::fixture::{REVIEWER, WRITER, message_id};
use super::rows::{agent, shows_its_secret};
use super::{counts, import, scene, table_of};
use crate::support::{Agent, rpc};

fn task_id(number: u32) -> String {
    format!("task_{number:032x}")
}

/// As the original's clients ask.
async fn ask(agent: &Agent, method: &str, params: &Value) -> Value {
    let body = rpc(method, params).to_string();
    agent.call("POST", "/a2a", body).await.ok()
}

async fn seen(agent: &Agent, id: &str) -> Value {
    let answer = ask(agent, "tasks/get", &json!({ "id": id })).await;
    assert!(answer["error"].is_null(), "{id}: {answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn an_open_task_goes_on_where_it_stood() {
    let (relay, _, original) = scene().await;
    let open = task_id(1);
    original.task(&open, "submitted", 21, 60);
    original.asked(21, &open, "queued", 60, 3600);
    // Its message ran out on the way here.
    let late = task_id(2);
    original.task(&late, "submitted", 22, 3700);
    original.asked(22, &late, "queued", 3700, 3600);
    // The other relay did not write down by which message.
    let loose = task_id(3);
    original.task(&loose, "submitted", 23, 50);
    original.asked(23, &loose, "queued", 50, 3600);
    original
        .db
        .execute(
            "UPDATE a2a_tasks SET message_id = NULL WHERE id = ?1",
            [&loose],
        )
        .unwrap();
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "a2a_tasks"), (3, 0, 1), "{report}");
    let columns = &table_of(&report, "a2a_tasks")["ignored_columns"];
    assert_eq!(*columns, json!(["webhook"]));

    let (reviewer, writer) = (agent(&relay, REVIEWER), agent(&relay, WRITER));
    shows_its_secret(&reviewer).await;
    shows_its_secret(&writer).await;
    assert_eq!(seen(&writer, &late).await["status"]["state"], "failed");
    let before = seen(&writer, &open).await;
    assert_eq!(before["status"]["state"], "submitted");
    assert_eq!(before["contextId"], "ctx_1");
    assert_eq!(before["history"][0]["parts"][0]["text"], "do 21");
    assert_eq!(before["history"][0]["taskId"], open);

    let inbox = reviewer.get("/v1/inbox?limit=100").await.ok();
    let inbox = inbox["messages"].as_array().expect("messages").clone();
    for (number, task) in [(21, &open), (23, &loose)] {
        let id = message_id(number);
        let found = inbox.iter().find(|one| one["message_id"] == id);
        let found = found.expect("the message of a task");
        assert_eq!(found["correlation_id"], *task);
        assert_eq!(found["metadata"]["a2a_task_id"], *task);
        assert_eq!(reviewer.ack(&[&id]).await, 1);
        assert_eq!(seen(&writer, task).await["status"]["state"], "working");
    }
    let done = json!({ "state": "completed", "message": "here it is" });
    reviewer
        .set_status(&json!({ "id": open }), &done)
        .await
        .ok();
    let after = seen(&writer, &open).await;
    assert_eq!(after["status"]["state"], "completed");
    assert_eq!(after["status"]["message"]["parts"][0]["text"], "here it is");
    // A further import changes nothing of it.
    let again = import(&relay, &original, &[]);
    assert_eq!(counts(&again, "a2a_tasks"), (0, 3, 1));
    assert_eq!(seen(&writer, &open).await, after);
}

#[tokio::test]
async fn a_task_that_is_over_is_read_as_it_was() {
    let (relay, _, original) = scene().await;
    // As others write their ids.
    let id = "550e8400-e29b-41d4-a716-446655440000";
    original.task(id, "completed", 31, 600);
    original.task(&task_id(4), "canceled", 32, 86_400 * 400);
    original.task(&task_id(5), "dreaming", 33, 60);
    original.task(&task_id(6), "working", 34, 60);
    original.task("seven", "working", 35, 60);
    let said = json!({
        "kind": "message", "role": "agent", "messageId": "a-1",
        "parts": [{ "kind": "text", "text": "done" }],
    });
    let history = json!([
        { "kind": "message", "role": "user", "messageId": "u-1",
          "parts": [{ "kind": "data", "data": { "n": 1 } }] },
        said,
    ]);
    let artifacts = json!([{ "artifactId": "art", "name": "result",
                             "parts": [{ "kind": "text", "text": "42" }] }]);
    let set = "UPDATE a2a_tasks SET history_json = ?2, artifacts_json = ?3, status_message = ?4, \
               metadata_json = '{\"k\": 1}' WHERE id = ?1";
    let texts = [history.to_string(), artifacts.to_string(), said.to_string()];
    let [history, artifacts, said] = &texts;
    original
        .db
        .execute(set, [id, history, artifacts, said])
        .unwrap();
    let odd = r#"[{ "role": "user", "messageId": "u", "parts": [{ "kind": "smell" }] }]"#;
    let set = "UPDATE a2a_tasks SET history_json = ?2 WHERE id = ?1";
    original.db.execute(set, [&task_id(6), odd]).unwrap();
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "a2a_tasks"), (1, 0, 5), "{report}");
    let left_out = table_of(&report, "a2a_tasks")["left_out"].to_string();
    for why in [
        "it has been over for longer than tasks are kept here",
        "state: ",
        "kind: text, file or data",
        "id: task_ and 32 hexadecimal digits",
    ] {
        assert!(left_out.contains(why), "{why}: {left_out}");
    }

    let writer = agent(&relay, WRITER);
    shows_its_secret(&writer).await;
    let task = seen(&writer, id).await;
    assert_eq!(task["id"], "task_550e8400e29b41d4a716446655440000");
    assert_eq!(
        seen(&writer, "task_550e8400e29b41d4a716446655440000").await,
        task
    );
    assert_eq!(task["status"]["state"], "completed");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "done");
    assert_eq!(task["history"][0]["parts"][0]["data"]["n"], 1);
    assert_eq!(task["history"][1]["role"], "agent");
    assert_eq!(task["artifacts"][0]["artifactId"], "art");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "42");
    assert_eq!(task["metadata"], json!({ "k": 1 }));
    let other = agent(&relay, super::fixture::PAUSED);
    shows_its_secret(&other).await;
    let none = ask(&other, "tasks/get", &json!({ "id": id })).await;
    assert_eq!(none["error"]["code"], -32001, "it is between two");
}
