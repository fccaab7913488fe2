//! A2A tasks: from the message in the inbox to the end of the task.

use ekho_client::{AgentCard, AgentSkill, Artifact, EkhoError, InboxQuery, TaskMessage, TaskState};
use serde_json::json;

use crate::client;
use crate::relay::{Fault, Relay};

#[tokio::test]
async fn a_message_of_the_inbox_gives_the_task_and_what_it_says() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    relay.deliver_type("msg_a", "ctx_1", "a2a.message", json!({ "a2a": true }));
    relay.book().inbox[0]["metadata"] = json!({ "a2a_task_id": "task_1" });
    relay.deliver("msg_b", "conv-1", json!({}));
    let inbox = client.get_inbox(&InboxQuery::default()).await.unwrap();
    assert!(client.task_of(&inbox.messages[1]).is_none());
    let task = client.task_of(&inbox.messages[0]).unwrap();
    assert_eq!(task.id(), "task_1");

    assert_eq!(task.working().await.unwrap().state, TaskState::Working);
    let asked = task.require_input("which one?").await.unwrap();
    assert_eq!(asked.state, TaskState::InputRequired);
    task.set(TaskState::AuthRequired, TaskMessage::none())
        .await
        .unwrap();
    let mut report = Artifact::text("report", "one");
    task.begin(&report).await.unwrap();
    report = Artifact::text("report", "two");
    task.append(&report, true).await.unwrap();
    report.name = Some("Report".into());
    task.artifact(&report).await.unwrap();
    let said = json!({ "parts": [{ "text": "done" }] });
    let done = task.complete(said.clone()).await.unwrap();
    assert_eq!(done.state, TaskState::Completed);
    assert_eq!(task.get().await.unwrap()["status"]["state"], "completed");

    let bodies = |path: &str| -> Vec<_> {
        let seen = relay.seen(path).into_iter();
        seen.map(|seen| seen.body).collect()
    };
    assert_eq!(
        bodies("/v1/tasks/task_1/status"),
        [
            json!({ "state": "working" }),
            json!({ "state": "input-required", "message": "which one?" }),
            json!({ "state": "auth-required" }),
            json!({ "state": "completed", "message": said }),
        ]
    );
    let artifact = |text: &str| json!({ "artifactId": "report", "parts": [{ "text": text }] });
    let mut named = artifact("two");
    named["name"] = "Report".into();
    assert_eq!(
        bodies("/v1/tasks/task_1/artifacts"),
        [
            json!({ "artifact": artifact("one"), "append": false, "last_chunk": false }),
            json!({ "artifact": artifact("two"), "append": true, "last_chunk": true }),
            json!({ "artifact": named, "append": false, "last_chunk": true }),
        ]
    );
    assert!(relay.book().refused_signatures.is_empty());
}

#[tokio::test]
async fn a_task_that_is_over_stays_so() {
    let relay = Relay::start().await;
    let task = client(&relay).build().unwrap().task("task_1");
    // The answer is lost; the next try finds the task as it was to be.
    relay.fail("/v1/tasks/task_1/status", [Fault::DropAnswer]);
    let done = task.complete("done").await.unwrap();
    assert_eq!(
        (done.task_id.as_str(), done.state),
        ("task_1", TaskState::Completed)
    );
    assert_eq!(relay.seen("/v1/tasks/task_1/status").len(), 2);
    let late = task.fail("late").await.unwrap_err();
    assert_eq!(late.status_code(), Some(409));
    let late = task.reject("late").await.unwrap_err();
    assert_eq!(late.status_code(), Some(409));
    let late = task
        .artifact(&Artifact::text("a", "late"))
        .await
        .unwrap_err();
    assert_eq!(late.status_code(), Some(409));
}

#[tokio::test]
async fn parts_are_never_appended_twice() {
    let relay = Relay::start().await;
    let task = client(&relay).build().unwrap().task("task_1");
    let path = "/v1/tasks/task_1/artifacts";
    relay.fail(path, [Fault::DropAnswer]);
    let part = Artifact::text("report", "more");
    let lost = task.append(&part, false).await.unwrap_err();
    assert!(matches!(lost, EkhoError::Transport { .. }), "{lost}");
    assert_eq!(relay.seen(path).len(), 1);
    // What takes its place is the same however often it does.
    relay.fail(path, [Fault::DropAnswer]);
    task.artifact(&part).await.unwrap();
    assert_eq!(relay.seen(path).len(), 3);
}

#[tokio::test]
async fn a_card_says_what_it_is_told_to() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let card = AgentCard {
        description: Some("Reviews drafts.".into()),
        default_input_modes: Some(vec!["text/plain".into()]),
        skills: vec![AgentSkill {
            id: "review".into(),
            name: "Review".into(),
            description: "Reads a draft.".into(),
            tags: vec!["text".into()],
            examples: vec![],
        }],
        ..AgentCard::default()
    };
    assert!(client.put_card(&card).await.unwrap().ok);
    let seen = &relay.seen("/v1/agent-card")[0];
    assert_eq!(seen.method, "PUT");
    assert_eq!(
        seen.body,
        json!({
            "description": "Reviews drafts.",
            "defaultInputModes": ["text/plain"],
            "skills": [{
                "id": "review", "name": "Review", "description": "Reads a draft.",
                "tags": ["text"],
            }],
        })
    );
}
