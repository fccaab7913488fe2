//! The live inbox (GET /v1/inbox/stream): opens it, reads its events, and opens it anew after the
//! last event seen whenever it breaks.

use futures::Stream;
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::calls::types_parameter;
use super::{EkhoAgentClient, percent_encoded};
use crate::call::Call;
use crate::error::EkhoError;
use crate::retry::Backoff;
use crate::sse::{SseEvent, SseParser};
use crate::types::{InboxControl, InboxMessage, StreamQuery};

/// One event holds one message; the relay's own limit on bodies is far below this.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;
const PATH: &str = "/v1/inbox/stream";

/// Something came in.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "messages are what comes, controls are rare: a box would cost the common case"
)]
pub enum StreamEvent {
    /// A message, which has to be acked like one from the inbox.
    Message {
        /// Position of the event; a stream can be continued after it.
        event_id: Option<String>,
        /// The message.
        message: InboxMessage,
    },
    /// An operator's control.
    Control {
        /// Position of the event; a stream can be continued after it.
        event_id: Option<String>,
        /// The control.
        control: InboxControl,
    },
}

impl EkhoAgentClient {
    /// Messages and controls as they come, without end.
    ///
    /// A broken connection is opened anew after the last event seen. Failures are reported as
    /// items: after a transient one ([`EkhoError::is_transient`]) or an event that could not be
    /// read the stream goes on, after any other it ends. An event may come twice.
    pub fn inbox_stream(
        &self,
        query: StreamQuery,
    ) -> impl Stream<Item = Result<StreamEvent, EkhoError>> + Send + 'static {
        let client = self.clone();
        async_stream::stream! {
            let transport = &client.inner.transport;
            let policy = transport.retry_policy();
            let mut backoff = Backoff::new(policy.base_delay, policy.max_delay);
            let mut last_event_id = query.last_event_id;
            let target = match types_parameter(&query.types) {
                Some(types) => format!("{PATH}?{types}"),
                None => PATH.to_owned(),
            };
            loop {
                let mut call = Call::new(Method::GET, target.clone()).signed_by(&client.inner.signer);
                call.headers.push(("accept", "text/event-stream".to_owned()));
                if let Some(id) = &last_event_id {
                    call.headers.push(("last-event-id", header_safe(id)));
                }
                let broken = match transport.open(&call).await {
                    Err(error) => Some(error),
                    Ok(mut response) => {
                        let mut parser = SseParser::new(MAX_EVENT_BYTES);
                        loop {
                            let idle = transport.stream_idle_timeout();
                            let chunk = match tokio::time::timeout(idle, response.chunk()).await {
                                Ok(Ok(Some(chunk))) => chunk,
                                // The relay ended the stream, as it does before it stops.
                                Ok(Ok(None)) => break None,
                                Ok(Err(source)) => break Some(EkhoError::Transport {
                                    path: PATH.to_owned(),
                                    source: source.without_url(),
                                }),
                                Err(_) => break Some(EkhoError::Timeout {
                                    path: PATH.to_owned(),
                                    waited: idle,
                                }),
                            };
                            let Ok(events) = parser.push(&chunk) else {
                                break Some(EkhoError::AnswerTooLarge {
                                    path: PATH.to_owned(),
                                    limit_bytes: MAX_EVENT_BYTES,
                                });
                            };
                            for event in events {
                                backoff.reset();
                                if event.id.is_some() {
                                    last_event_id.clone_from(&event.id);
                                }
                                if let Some(mut item) = read_event(event) {
                                    if let Ok(StreamEvent::Message { message, .. }) = &mut item {
                                        client.check(message).await;
                                    }
                                    yield item;
                                }
                            }
                        }
                    }
                };
                if let Some(error) = broken {
                    let goes_on = error.is_transient();
                    yield Err(error);
                    if !goes_on {
                        return;
                    }
                }
                tokio::time::sleep(backoff.next_delay(None)).await;
            }
        }
    }
}

/// None for kinds of event that this version does not know.
fn read_event(event: SseEvent) -> Option<Result<StreamEvent, EkhoError>> {
    let event_id = event.id;
    match event.name.as_str() {
        "message" => {
            Some(from_json(&event.data).map(|message| StreamEvent::Message { event_id, message }))
        }
        "control" => {
            Some(from_json(&event.data).map(|control| StreamEvent::Control { event_id, control }))
        }
        _ => None,
    }
}

fn from_json<T: DeserializeOwned>(data: &str) -> Result<T, EkhoError> {
    serde_json::from_str(data).map_err(|source| EkhoError::Decode {
        path: PATH.to_owned(),
        source,
    })
}

/// Sequence numbers pass as they are; anything a header cannot carry is escaped.
fn header_safe(id: &str) -> String {
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        id.to_owned()
    } else {
        percent_encoded(id)
    }
}
