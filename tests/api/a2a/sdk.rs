//! An agent that is written with the Rust client, and a client of the protocol that asks it.

use ekho_client::{AckItem, AgentCard, Artifact, InboxQuery, TaskState};
use serde_json::{Value, json};

use super::pair;
use crate::support::{a2a_message, shared};

#[tokio::test]
async fn an_agent_works_a_task_from_its_inbox_to_its_end() {
    let relay = shared().await;
    let (asks, agent) = pair(&relay).await;
    let client = agent.client();
    let card = AgentCard {
        description: Some("Writes reports.".into()),
        ..AgentCard::default()
    };
    client.put_card(&card).await.unwrap();
    let target = format!("/agents/{}/.well-known/agent-card.json", agent.id);
    let card = relay.get(&target).await.json();
    assert_eq!(card["description"], "Writes reports.");

    let asked = asks.send(&agent, &a2a_message("a report")).await;
    let inbox = client.get_inbox(&InboxQuery::default()).await.unwrap();
    let message = &inbox.messages[0];
    let task = client.task_of(message).unwrap();
    assert_eq!(json!(task.id()), asked["id"]);
    let acks = vec![AckItem::now(message.message_id.as_str())];
    client.ack_messages(acks).await.unwrap();
    task.working().await.unwrap();
    let asks_for = task.require_input("of which year?").await.unwrap();
    assert_eq!(asks_for.state, TaskState::InputRequired);
    let mut answer = a2a_message("of this one");
    answer["taskId"] = asked["id"].clone();
    asks.send(&agent, &answer).await;
    let inbox = client.get_inbox(&InboxQuery::default()).await.unwrap();
    let said = &inbox.messages[0].body["message"]["parts"][0]["text"];
    assert_eq!(said, "of this one");
    let page = |text: &str| Artifact::text("report", text);
    task.begin(&page("one")).await.unwrap();
    task.append(&page("two"), true).await.unwrap();
    task.complete("there it is").await.unwrap();
    // The answer to the first try may have been lost: done is done.
    task.complete("there it is").await.unwrap();
    let late = task.fail("late").await.unwrap_err();
    assert_eq!(late.status_code(), Some(409));

    let seen = asks.task(&asked).await;
    assert_eq!(seen["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(seen["status"]["message"]["parts"][0]["text"], "there it is");
    let parts = seen["artifacts"][0]["parts"].clone();
    assert_eq!(parts, json!([{ "text": "one" }, { "text": "two" }]));
    let own: Value = task.get().await.unwrap();
    assert_eq!(own["artifacts"], seen["artifacts"]);

    let refused = asks.send(&agent, &a2a_message("something else")).await;
    client
        .task(refused["id"].as_str().unwrap())
        .reject("I only write reports")
        .await
        .unwrap();
    let seen = asks.task(&refused).await;
    assert_eq!(seen["status"]["state"], "TASK_STATE_REJECTED");
}
