//! GET /v1/inbox/stream

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE, Http, Relay, direct, poll_until, shared};

/// An event of a stream.
#[derive(Debug, Default)]
struct Event {
    id: Option<String>,
    name: String,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An open stream, read as the standard says.
struct Events {
    body: Incoming,
    rest: String,
}

impl Events {
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
        let kind = opened.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_string();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Events {
            body: opened.into_body(),
            rest: String::new(),
        }
    }

    /// The next event; none where the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let event = read(block);
                self.rest = rest.to_string();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame())
                .await
                .expect("an event in time");
            let bytes = frame?.ok()?.into_data().ok()?;
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn message(&mut self) -> (String, Value) {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name, "message", "{event:?}");
        (event.id.clone().expect("a message has an id"), event.json())
    }

    /// That nothing comes for a while that is longer than a commit takes.
    async fn is_quiet(&mut self) {
        let next = tokio::time::timeout(Duration::from_millis(700), self.next()).await;
        assert!(next.is_err(), "{next:?}");
    }
}

fn read(block: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in block.lines().filter(|line| !line.starts_with(':')) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => event.id = Some(value.to_string()),
            "event" => event.name = value.to_string(),
            "data" => event.data.push_str(value),
            _ => {}
        }
    }
    (!event.data.is_empty()).then_some(event)
}

#[tokio::test]
async fn messages_and_controls_come_as_they_are_committed() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let first = sender.send(&direct(&recipient.id, "before")).await;
    let mut events = Events::open(&recipient, None, "").await;
    let (_, message) = events.message().await;
    assert_eq!(message["message_id"], first.as_str());
    assert_eq!(message["body"], json!({ "text": "before" }));
    let second = sender.send(&direct(&recipient.id, "while open")).await;
    assert_eq!(events.message().await.1["message_id"], second.as_str());
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
    let mut events = Events::open(&recipient, None, "").await;
    let mut ids = Vec::new();
    for id in &sent {
        let (event_id, message) = events.message().await;
        assert_eq!(message["message_id"], id.as_str());
        ids.push(event_id);
    }
    drop(events);
    // The second was dealt with, the third and fourth may never have arrived.
    assert_eq!(recipient.ack(&[&sent[3]]).await, 1);
    let mut events = Events::open(&recipient, Some(&ids[1]), "").await;
    let (event_id, message) = events.message().await;
    assert_eq!(
        (&event_id, message["message_id"].as_str()),
        (&ids[2], Some(sent[2].as_str())),
        "at once"
    );
    events.is_quiet().await;
    let next = sender.send(&direct(&recipient.id, "next")).await;
    assert_eq!(events.message().await.1["message_id"], next.as_str());
}

#[tokio::test]
async fn a_stream_without_a_place_repeats_nothing() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "handed out")).await;
    let mut events = Events::open(&recipient, None, "").await;
    events.message().await;
    drop(events);
    let mut events = Events::open(&recipient, None, "").await;
    events.is_quiet().await;
}

#[tokio::test]
async fn a_stream_takes_the_types_it_names() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut events = Events::open(&recipient, None, "?types=alert,claim").await;
    sender.send(&direct(&recipient.id, "no")).await;
    let mut claim = direct(&recipient.id, "yes");
    claim["message_type"] = json!("claim");
    let id = sender.send(&claim).await;
    assert_eq!(events.message().await.1["message_id"], id.as_str());
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
    let mut events = Events::open(&agent, None, "").await;
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
