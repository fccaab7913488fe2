//! Bodies that are JSON only just: refused or delivered, never a trap for whoever reads them

use serde_json::json;

use crate::support::{Agent, Answer, direct, shared, uuid};

/// Sends a body byte for byte.
async fn send_raw(sender: &Agent, to: &Agent, conversation: &str, body: &[u8]) -> Answer {
    let head = format!(
        r#"{{"recipient":{{"kind":"agent","id":"{}"}},"message_type":"direct","conversation_id":"{conversation}","#,
        to.id
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(br#""correlation_id":"r","body":"#);
    bytes.extend_from_slice(body);
    bytes.push(b'}');
    sender.call("POST", "/v1/messages", bytes).await
}

fn nested(depth: usize) -> Vec<u8> {
    format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()
}

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nesting that every library reads", nested(60)),
        ("nesting that some libraries read", nested(200)),
        ("nesting that no library reads", nested(100_000)),
        ("bytes that are not UTF-8", b"{\"t\":\"\xff\xfe\"}".to_vec()),
        ("half a surrogate pair", br#"{"t":"\ud800"}"#.to_vec()),
        ("a NUL", br#"{"t":"\u0000"}"#.to_vec()),
        ("a control character", b"{\"t\":\"\x01\"}".to_vec()),
        ("a number beyond measure", br#"{"n":1e999}"#.to_vec()),
        ("names twice", br#"{"a":1,"a":2}"#.to_vec()),
    ]
}

fn is_taken(name: &str, answer: &Answer) -> bool {
    match answer.status {
        200 => true,
        400 => {
            assert_eq!(answer.code(), "validation_failed", "{name}");
            false
        }
        _ => panic!("{name}: {} {}", answer.status, answer.text()),
    }
}

#[tokio::test]
async fn what_is_taken_is_handed_out() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let conversation = uuid();
    let mut taken = 0;
    for (name, body) in cases() {
        taken += usize::from(is_taken(
            name,
            &send_raw(&sender, &recipient, &conversation, &body).await,
        ));
    }
    let last = sender.send(&direct(&recipient.id, "after all that")).await;
    let answer = recipient.get("/v1/inbox?limit=100").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Read as text: a library may refuse to read some of it.
    let text = String::from_utf8(answer.bytes.to_vec()).expect("UTF-8");
    assert_eq!(text.matches("\"message_id\":").count(), taken + 1);
    assert!(text.contains(&last));
}

/// The floor shows the end of the conversation, whatever was said there.
#[tokio::test]
async fn what_is_taken_can_be_shown_with_the_floor() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for (name, body) in cases() {
        let conversation = uuid();
        if !is_taken(
            name,
            &send_raw(&sender, &recipient, &conversation, &body).await,
        ) {
            continue;
        }
        let request = recipient
            .request("POST", &format!("/v1/conversations/{conversation}/floor"))
            .json(&json!({}));
        let answer = request.try_send(support::DEADLINE).await;
        let answer = answer.unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

/// One odd message must not keep a client from the others: the relay refuses it, or the client
/// reads around it.
#[tokio::test]
async fn what_is_taken_blocks_no_client() {
    let relay = shared().await;
    for (name, body) in cases() {
        let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
        is_taken(name, &send_raw(&sender, &recipient, "odd", &body).await);
        let plain = sender.send(&direct(&recipient.id, "plain")).await;
        let inbox = recipient.client().get_inbox(&Default::default()).await;
        let inbox = inbox.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            inbox
                .messages
                .iter()
                .any(|message| message.message_id == plain),
            "{name}: {inbox:?}"
        );
    }
}
