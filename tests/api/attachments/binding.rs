//! Messages that bind attachments, and what operators do with them.

use serde_json::{Value, json};

use crate::support::{Agent, Answer, DEADLINE, Operator, Relay, direct, poll_until, upload_body};

fn binding(to: &Agent, made: &Value) -> Value {
    let mut message = direct(&to.id, "see the file");
    message["attachment_ids"] = json!([made["id"]]);
    message
}

async fn upload_as_operator(operator: &Operator, bytes: &[u8]) -> Value {
    let body = upload_body("from an operator", "text/plain", bytes);
    let answer = poll_until(DEADLINE, "an upload", async || {
        let answer = operator.post("/v1/operator/attachments", &body).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn recipients_see_what_a_message_binds_and_nobody_else() {
    let relay = Relay::start().await;
    let [writer, reader, other] = relay.agents(["writer", "reader", "other"]).await;
    let made = writer.upload("a.txt", "text/plain", b"hello").await;
    let not_found = |answer: Answer| answer.refused(404, "not found", "not_found");
    not_found(reader.download(&made).await);
    let refused = reader.post("/v1/messages", &binding(&other, &made)).await;
    refused.refused(404, "unknown attachment", "unknown_attachment");
    let message = writer.send(&binding(&reader, &made)).await;
    let received = reader.receive().await;
    let shown = &received[0]["attachments"];
    for field in ["id", "filename", "mime", "size_bytes", "sha256"] {
        assert_eq!(shown[0][field], made[field], "{field}");
    }
    assert_eq!(reader.download(&made).await.bytes.as_ref(), b"hello");
    not_found(other.download(&made).await);
    let status = writer.status(&message).await;
    assert_eq!(status["attachments"][0]["id"], made["id"]);
    // What binds nothing says nothing of it.
    writer.send(&direct(&other.id, "plain")).await;
    assert!(other.receive().await[0].get("attachments").is_none());
    let mut unknown = binding(&other, &made);
    unknown["attachment_ids"] = json!(["att_nonsense"]);
    let batch = json!({ "messages": [binding(&other, &made), unknown] });
    let results = writer.post("/v1/messages/batch", &batch).await.ok()["results"].clone();
    assert_eq!(results[0]["status_code"], 200);
    assert_eq!(results[1]["code"], "unknown_attachment");
    assert_eq!(other.download(&made).await.status, 200);
}

#[tokio::test]
async fn a_room_sees_what_is_sent_there() {
    let relay = Relay::builder().shared().await;
    let [writer, reader, other] = relay.agents(["writer", "reader", "other"]).await;
    let made = writer.upload("a.txt", "text/plain", b"to the room").await;
    let room = json!({ "name": "room", "member_agent_ids": [reader.id] });
    let room = writer.post("/v1/rooms", &room).await.ok()["id"].clone();
    let message = json!({
        "recipient": { "kind": "group", "id": room }, "message_type": "direct", "body": {},
        "conversation_id": room, "correlation_id": "c", "attachment_ids": [made["id"]],
    });
    writer.send(&message).await;
    assert_eq!(reader.download(&made).await.status, 200);
    assert_eq!(other.download(&made).await.status, 404);
}

#[tokio::test]
async fn operators_upload_bind_and_see_all_of_the_fleet() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("agent").await;
    let own = upload_as_operator(&operator, b"from above").await;
    let theirs = agent.upload("theirs", "text/plain", b"from below").await;
    let id = |made: &Value| made["id"].as_str().unwrap().to_string();
    for (made, bytes) in [(&own, b"from above".as_slice()), (&theirs, b"from below")] {
        let target = format!("/v1/operator/attachments/{}", id(made));
        let found = operator.get(&target).await;
        assert_eq!((found.status, found.bytes.as_ref()), (200, bytes));
        let policy = found.header("content-security-policy");
        assert_eq!(policy, Some("sandbox; default-src 'none'"));
    }
    let message = json!({
        "recipient_agent_id": agent.id, "text": "read this", "attachment_ids": [id(&own)],
    });
    assert_eq!(agent.download(&own).await.status, 404);
    let sent = operator.post("/v1/operator/messages", &message).await.ok();
    assert_eq!(agent.receive().await[0]["attachments"][0]["id"], own["id"]);
    assert_eq!(agent.download(&own).await.status, 200);
    let target = format!(
        "/v1/operator/messages/{}",
        sent["message_id"].as_str().unwrap()
    );
    let shown = operator.get(&target).await.ok();
    assert_eq!(shown["attachments"][0]["id"], own["id"]);
    let conversation = sent["conversation_id"].as_str().unwrap();
    let target = format!("/v1/operator/conversations/{conversation}");
    let item = operator.get(&target).await.ok()["items"][0].clone();
    assert_eq!(item["attachments"], shown["attachments"]);
    let listed = operator.get("/v1/operator/attachments?limit=1").await.ok();
    assert_eq!(listed["attachments"][0]["id"], theirs["id"]);
    assert_eq!(listed["attachments"][0]["uploaded_by"], agent.id.as_str());
    let cursor = listed["next_cursor"].as_str().unwrap();
    let target = format!("/v1/operator/attachments?limit=1&cursor={cursor}");
    let listed = operator.get(&target).await.ok()["attachments"].clone();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["message_count"]),
        (&own["id"], &json!(1))
    );
    assert_eq!(listed[0]["expires_at"], Value::Null);
    let viewer = json!({ "name": "viewer", "scopes": ["read"] });
    let token = operator.post("/v1/operator/tokens", &viewer).await.ok();
    let viewer = Operator {
        token: token["token"].as_str().unwrap().into(),
        ..operator.clone()
    };
    let body = upload_body("a", "text/plain", b"x");
    let refused = viewer.post("/v1/operator/attachments", &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "forbidden")
    );
}

#[tokio::test]
async fn what_nothing_binds_goes_with_its_file_and_what_is_bound_stays() {
    let relay = Relay::builder()
        .env("EKHO_ATTACHMENT_UNBOUND_SECONDS", 2)
        .env("EKHO_ATTACHMENT_HOLD_SECONDS", 1)
        .env("EKHO_MESSAGE_RETENTION_SECONDS", 4)
        .start()
        .await;
    let [writer, reader] = relay.agents(["writer", "reader"]).await;
    super::seeded(&relay.operator().await).await;
    let bound = writer.upload("bound", "text/plain", b"bound").await;
    writer.send(&binding(&reader, &bound)).await;
    let loose = writer.upload("loose", "text/plain", b"loose").await;
    assert_eq!(relay.attachment_files(), 2);
    poll_until(DEADLINE, "the end of what nothing binds", async || {
        (writer.download(&loose).await.status == 404).then_some(())
    })
    .await;
    poll_until(DEADLINE, "the end of its file", async || {
        (!relay.attachment_path(&loose).exists()).then_some(())
    })
    .await;
    assert_eq!(reader.download(&bound).await.status, 200);
    assert_eq!(relay.metric("ekho_attachments_total").await, Some(1.0));
    assert_eq!(relay.metric("ekho_attachment_bytes").await, Some(5.0));
    // Its message is acked, and removed when its time is over.
    let id = reader.receive().await[0]["message_id"]
        .as_str()
        .unwrap()
        .to_string();
    reader.ack(&[&id]).await;
    poll_until(DEADLINE, "the end of the message", async || {
        (relay.attachment_files() == 0).then_some(())
    })
    .await;
    assert_eq!(writer.download(&bound).await.status, 404);
    assert_eq!(relay.metric("ekho_attachments_total").await, Some(0.0));
}
