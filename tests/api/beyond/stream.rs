//! GET /v1/inbox/stream

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE, Events, Http, Relay, direct, poll_until, shared};

/// The stream of an agent's inbox.
async fn open(agent: &Agent, last_event_id: Option<&str>, query: &str) -> Events {
    let opened = poll_until(DEADLINE, "a stream", async || {
        let mut request = agent.request("GET", &format!("/v1/inbox/stream{query}"));
        request = request.header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let url = format!("{}{}", agent.relay_url, request.target);
        let answer = Http::new()
            .open("GET", &url, &request.all_headers(), Bytes::new())
            .await
            .unwrap();
        // Only a leader that has just begun refuses.
        (answer.status() == 200).then_some(answer)
    })
    .await;
    Events::of(opened)
}

async fn next_message(events: &mut Events) -> (String, Value) {
    let event = events.next().await.expect("an event");
    assert_eq!(event.name, "message", "{event:?}");
    (event.id.clone().expect("a message has an id"), event.json())
}

#[tokio::test]
async fn messages_and_controls_come_as_they_are_committed() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let first = sender.send(&direct(&recipient.id, "before")).await;
    let mut events = open(&recipient, None, "").await;
    let (_, message) = next_message(&mut events).await;
    assert_eq!(message["message_id"], first.as_str());
    assert_eq!(message["body"], json!({ "text": "before" }));
    let second = sender.send(&direct(&recipient.id, "while open")).await;
    assert_eq!(
        next_message(&mut events).await.1["message_id"],
        second.as_str()
    );
    relay.operator().await.order(&recipient, "pause").await;
    let control = events.next().await.unwrap();
    assert_eq!(control.name, "control");
    assert_eq!(
        (&control.json()["action"], &control.json()["reason"]),
        (&json!("pause"), &json!("test pause"))
    );
    assert!(
        control.json()["control_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("ctl_"))
    );
    // What was streamed is in the recipient's hands, and is acked like anything else.
    assert!(recipient.inbox().await.is_empty());
    assert_eq!(recipient.ack(&[&first, &second]).await, 2);
}

#[tokio::test]
async fn a_new_stream_continues_where_the_broken_one_ended() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(
            sender
                .send(&direct(&recipient.id, &number.to_string()))
                .await,
        );
    }
    let mut events = open(&recipient, None, "").await;
    let mut ids = Vec::new();
    for id in &sent {
        let (event_id, message) = next_message(&mut events).await;
        assert_eq!(message["message_id"], id.as_str());
        ids.push(event_id);
    }
    drop(events);
    // The second was dealt with, the third and fourth may never have arrived.
    assert_eq!(recipient.ack(&[&sent[3]]).await, 1);
    let mut events = open(&recipient, Some(&ids[1]), "").await;
    let (event_id, message) = next_message(&mut events).await;
    assert_eq!(
        (&event_id, message["message_id"].as_str()),
        (&ids[2], Some(sent[2].as_str())),
        "at once"
    );
    events.is_quiet().await;
    let next = sender.send(&direct(&recipient.id, "next")).await;
    assert_eq!(
        next_message(&mut events).await.1["message_id"],
        next.as_str()
    );
}

#[tokio::test]
async fn a_stream_without_a_place_repeats_nothing() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "handed out")).await;
    let mut events = open(&recipient, None, "").await;
    next_message(&mut events).await;
    drop(events);
    let mut events = open(&recipient, None, "").await;
    events.is_quiet().await;
}

#[tokio::test]
async fn a_stream_takes_the_types_it_names() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut events = open(&recipient, None, "?types=alert,claim").await;
    sender.send(&direct(&recipient.id, "no")).await;
    let mut claim = direct(&recipient.id, "yes");
    claim["message_type"] = json!("claim");
    let id = sender.send(&claim).await;
    assert_eq!(next_message(&mut events).await.1["message_id"], id.as_str());
    assert_eq!(recipient.inbox().await.len(), 1);
}

#[tokio::test]
async fn bad_streams_are_refused() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let answer = agent
        .call_with(
            "GET",
            "/v1/inbox/stream",
            "",
            &[("last-event-id", "yesterday")],
        )
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "validation_failed"),
        "{}",
        answer.text()
    );
    let replayed = agent.request("GET", "/v1/inbox/stream");
    let url = format!("{}/v1/inbox/stream", relay.url());
    let first = Http::new()
        .open("GET", &url, &replayed.all_headers(), Bytes::new())
        .await
        .unwrap();
    assert_eq!(first.status(), 200);
    replayed
        .send()
        .await
        .refused(401, "replayed nonce", "replayed_nonce");
}

#[tokio::test]
async fn a_stream_ends_with_its_credentials() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let mut events = open(&agent, None, "").await;
    relay.operator().await.order(&agent, "revoke").await;
    let last = events.next().await.expect("a last word");
    assert_eq!(last.name, "error", "{last:?}");
    assert_eq!(last.json()["code"], "invalid_credentials");
    assert!(events.next().await.is_none(), "and then the end");
}

#[tokio::test]
async fn the_sdk_follows_a_stream_over_a_restart() {
    let mut relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let client = recipient.client();
    let mut stream = Box::pin(client.inbox_stream(Default::default()));
    let mut next = async || {
        loop {
            match stream.next().await.expect("a stream without end") {
                Ok(ekho_client::StreamEvent::Message { message, .. }) => return message.message_id,
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
    };
    let first = sender.send(&direct(&recipient.id, "first")).await;
    assert_eq!(next().await, first);
    assert_eq!(recipient.ack(&[&first]).await, 1);
    relay.restart().await;
    let second = sender.send(&direct(&recipient.id, "second")).await;
    assert_eq!(next().await, second);
}
