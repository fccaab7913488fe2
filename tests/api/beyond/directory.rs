//! GET /v1/agents and GET /v1/conversations/{id}/messages

use serde_json::{Value, json};

use crate::checks::{assert_only_fields, assert_time, texts};
use crate::support::{Agent, Relay, direct, shared, uuid};

#[tokio::test]
async fn agents_see_who_else_is_in_their_fleet() {
    let relay = Relay::start().await;
    let [one, two, gone] = relay.agents(["one", "two", "gone"]).await;
    relay.operator().await.order(&gone, "revoke").await;
    relay.operator().await.order(&two, "pause").await;
    let list = one.get("/v1/agents").await.ok();
    let agents = list["agents"].as_array().unwrap();
    let fields = ["id", "display_name", "runtime", "capabilities", "status"];
    assert_only_fields(&agents[0], &fields);
    assert_eq!(texts(agents, "id"), [one.id.as_str(), &two.id]);
    assert_eq!(texts(agents, "status"), ["healthy", "paused"]);
    let found = one.get("/v1/agents?search=TW").await.ok();
    assert_eq!(
        texts(found["agents"].as_array().unwrap(), "id"),
        [two.id.as_str()]
    );
    let first = one.get("/v1/agents?limit=1").await.ok();
    let next = first["next_cursor"].as_str().unwrap();
    let second = one
        .get(&format!("/v1/agents?limit=1&cursor={next}"))
        .await
        .ok();
    assert_eq!(second["agents"][0]["id"], two.id.as_str());
    one.get("/v1/agents?cursor=x").await.invalid("cursor");
}

async fn said(agent: &Agent, conversation: &str) -> Vec<String> {
    let target = format!("/v1/conversations/{conversation}/messages");
    let page = agent.get(&target).await.ok();
    let messages = page["messages"].as_array().unwrap().iter();
    let text = |message: &Value| message["body"]["text"].as_str().unwrap().to_string();
    messages.map(text).collect()
}

#[tokio::test]
async fn an_agent_reads_what_it_said_and_was_told_and_nothing_else() {
    let relay = shared().await;
    let [one, two, nosy] = relay.agents(["one", "two", "nosy"]).await;
    let conversation = uuid();
    let send = async |from: &Agent, to: &Agent, text: &str, more: Value| {
        let mut message = direct(&to.id, text);
        message["conversation_id"] = json!(conversation);
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        from.send(&message).await
    };
    send(&one, &two, "first", json!({})).await;
    two.receive().await;
    send(&two, &one, "second", json!({})).await;
    // Neither what waits for its time nor what waits for an operator.
    send(&one, &two, "later", json!({ "delay_seconds": 3600 })).await;
    send(&one, &two, "perhaps", json!({ "requires_approval": true })).await;
    let target = format!("/v1/conversations/{conversation}/messages");
    assert_eq!(
        said(&one, &conversation).await,
        ["perhaps", "later", "first"]
    );
    assert_eq!(said(&two, &conversation).await, ["second", "first"]);
    one.receive().await;
    assert_eq!(said(&one, &conversation).await.len(), 4);
    // Who takes part by speaking in it has not read it thereby.
    nosy.get(&target)
        .await
        .refused(404, "not found", "not_found");
    send(&nosy, &one, "psst", json!({})).await;
    assert_eq!(said(&nosy, &conversation).await, ["psst"]);

    let page = two.get(&format!("{target}?limit=1")).await.ok();
    let message = &page["messages"][0];
    let fields = [
        "message_id",
        "sender_agent_id",
        "sender_kind",
        "recipient_kind",
        "recipient_id",
        "message_type",
        "correlation_id",
        "body",
        "created_at",
    ];
    assert_only_fields(message, &fields);
    assert_time(&message["created_at"]);
    assert_eq!(
        (&message["sender_agent_id"], &message["recipient_id"]),
        (&json!(two.id), &json!(one.id))
    );
    let next = page["next_cursor"].as_str().unwrap();
    let rest = two.get(&format!("{target}?cursor={next}")).await.ok();
    assert_eq!(rest["messages"][0]["body"]["text"], "first");
    assert_eq!(rest["next_cursor"], Value::Null);
}
