//! The live inbox: events are read, and a broken stream goes on where it broke.

use ekho_client::{EkhoError, MessageType, StreamEvent, StreamQuery};
use futures::{StreamExt, pin_mut};
use serde_json::json;

use crate::relay::{Fault, Relay};
use crate::{client, in_time};

fn message_event(id: u32) -> String {
    let data = json!({
        "message_id": format!("msg_{id}"), "conversation_id": "c", "correlation_id": "r",
        "sender_agent_id": "agent_2", "message_type": "direct", "body": {},
    });
    format!("id: {id}\nevent: message\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event() {
    let relay = Relay::start().await;
    let control =
        "id: 3\nevent: control\ndata: {\"control_id\":\"ctl_1\",\"action\":\"pause\"}\n\n";
    {
        let mut book = relay.book();
        let half = "id: 3\nevent: control\ndata: {\"contr";
        book.streams
            .push_back(format!("{}{}{half}", message_event(1), message_event(2)).into());
        book.streams
            .push_back(format!(": keep-alive\n\nevent: news\ndata: x\n\n{control}").into());
    }
    relay.fail(
        "/v1/inbox/stream",
        [Fault::RefuseUntil(503, 0), Fault::DropRequest],
    );

    let query = StreamQuery {
        types: vec![MessageType::Direct],
        last_event_id: None,
    };
    let stream = client(&relay).build().unwrap().inbox_stream(query);
    pin_mut!(stream);
    for expected in ["msg_1", "msg_2"] {
        match in_time("a message", stream.next()).await {
            Some(Ok(StreamEvent::Message { message, .. })) => {
                assert_eq!(message.message_id, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    match in_time("a control", stream.next()).await {
        Some(Ok(StreamEvent::Control { event_id, control })) => {
            assert_eq!(
                (event_id.as_deref(), control.control_id.as_str()),
                (Some("3"), "ctl_1")
            );
        }
        other => panic!("{other:?}"),
    }
    // The small relay has no more streams and says 403, which ends it.
    let last = in_time("the refusal", stream.next()).await.unwrap();
    assert_eq!(last.unwrap_err().status_code(), Some(403));
    assert!(in_time("the end", stream.next()).await.is_none());

    let openings = relay.seen("/v1/inbox/stream");
    let last_ids: Vec<&str> = openings
        .iter()
        .map(|seen| seen.header("last-event-id"))
        .collect();
    assert_eq!(last_ids, ["", "", "", "2", "3"]);
    assert_eq!(openings[0].query, "types=direct");
    assert!(relay.book().refused_signatures.is_empty());
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_reported_and_passed_over() {
    let relay = Relay::start().await;
    let bytes = format!("event: message\ndata: {{}}\n\n{}", message_event(5));
    relay.book().streams.push_back(bytes.into());
    let query = StreamQuery {
        types: Vec::new(),
        last_event_id: Some("4".to_owned()),
    };
    let stream = client(&relay).build().unwrap().inbox_stream(query);
    pin_mut!(stream);
    let first = in_time("an error", stream.next()).await;
    assert!(
        matches!(first, Some(Err(EkhoError::Decode { .. }))),
        "{first:?}"
    );
    let second = in_time("a message", stream.next()).await;
    assert!(
        matches!(second, Some(Ok(StreamEvent::Message { .. }))),
        "{second:?}"
    );
    assert_eq!(
        relay.seen("/v1/inbox/stream")[0].header("last-event-id"),
        "4"
    );
}
