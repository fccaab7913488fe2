//! Server-sent events, read as the standard says.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use serde_json::Value;

use super::DEADLINE;

/// An event of a stream.
#[derive(Debug, Default)]
pub struct Event {
    /// `id`
    pub id: Option<String>,
    /// `event`
    pub name: String,
    /// `data`
    pub data: String,
}

impl Event {
    /// The data as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An open stream.
pub struct Events {
    body: Incoming,
    rest: String,
}

impl Events {
    /// The events of an answer.
    pub fn of(answer: Response<Incoming>) -> Events {
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_string();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Events {
            body: answer.into_body(),
            rest: String::new(),
        }
    }

    /// The next event; none where the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
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

    /// That something comes in time, be it a comment.
    pub async fn is_heard_within(&mut self, limit: Duration) {
        let heard = tokio::time::timeout(limit, self.body.frame()).await;
        assert!(matches!(heard, Ok(Some(Ok(_)))), "{heard:?}");
    }

    /// That nothing comes for a while that is longer than a commit takes.
    pub async fn is_quiet(&mut self) {
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
