//! What the client does when the relay refuses, breaks off or is not there.

use std::collections::HashSet;

use ekho_client::{
    ActionReport, ActionResult, EkhoAgentClient, EkhoError, Heartbeat, InboxQuery, MessageType,
    ProposeAction, Recipient, RiskLevel, SendMessage,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::relay::{AGENT, Fault, Relay, SECRET, Seen};
use crate::{client, fast_retry};

fn message() -> SendMessage {
    SendMessage::new(
        Recipient::agent("agent_2"),
        MessageType::Direct,
        "conv-1",
        json!({"n": 1}),
    )
}

fn proposal() -> ProposeAction {
    ProposeAction {
        conversation_id: "conv-1".to_owned(),
        action_type: "deploy".to_owned(),
        summary: "deploy it".to_owned(),
        risk_level: RiskLevel::Low,
        payload: json!({}),
    }
}

/// One of each that a later try can get past.
fn transient_faults() -> Vec<Fault> {
    let before_leadership = json!({
        "error": "timestamp outside allowed skew", "code": "timestamp_before_leadership",
    });
    vec![
        Fault::RefuseUntil(503, 0),
        Fault::DropRequest,
        Fault::RefuseUntil(429, 0),
        Fault::DropAnswer,
        Fault::Refuse(401, before_leadership),
        Fault::Refuse(502, json!("bad gateway")),
        Fault::Refuse(504, json!("gateway timeout")),
    ]
}

fn distinct(seen: &[Seen], header: &str) -> usize {
    let values: HashSet<&str> = seen.iter().map(|seen| seen.header(header)).collect();
    assert!(!values.contains(""), "{header} was missing");
    values.len()
}

#[tokio::test]
async fn a_retried_send_is_one_message_with_many_nonces() {
    let relay = Relay::start().await;
    relay.fail("/v1/messages", transient_faults());
    let client = client(&relay).build().unwrap();
    let sent = client.send_message(&message()).await.unwrap();
    assert_eq!(sent.message_id, "msg_1");

    let tries = relay.seen("/v1/messages");
    assert_eq!(tries.len(), transient_faults().len() + 1);
    assert_eq!(distinct(&tries, "idempotency-key"), 1);
    assert_eq!(distinct(&tries, "x-ekho-nonce"), tries.len());
    assert_eq!(distinct(&tries, "x-ekho-signature"), tries.len());
    let book = relay.book();
    assert_eq!(
        book.stored.len(),
        1,
        "the try whose answer was lost counted"
    );
    assert!(book.refused_signatures.is_empty());
}

#[tokio::test]
async fn a_retried_batch_keeps_the_key_of_each_message() {
    let relay = Relay::start().await;
    relay.fail("/v1/messages/batch", transient_faults());
    let client = client(&relay).build().unwrap();
    let mut own_key = message();
    own_key.idempotency_key = Some("my-key".to_owned());
    client.send_batch(&[message(), own_key]).await.unwrap();
    let tries = relay.seen("/v1/messages/batch");
    assert_eq!(distinct(&tries, "x-ekho-nonce"), tries.len());
    let bodies: HashSet<String> = tries.iter().map(|seen| seen.body.to_string()).collect();
    assert_eq!(bodies.len(), 1, "keys included");
    let first = &tries[0].body["messages"];
    assert_eq!(first[1]["idempotency_key"], "my-key");
    assert_ne!(first[0]["idempotency_key"], first[1]["idempotency_key"]);
    assert_eq!(relay.book().stored.len(), 2);
}

#[tokio::test]
async fn keys_are_the_callers_or_fresh_for_each_call() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let mut own_key = message();
    own_key.idempotency_key = Some("my-key".to_owned());
    for sent in [&own_key, &own_key, &message(), &message()] {
        client.send_message(sent).await.unwrap();
    }
    let seen = relay.seen("/v1/messages");
    assert_eq!(seen[0].header("idempotency-key"), "my-key");
    assert_eq!(distinct(&seen, "idempotency-key"), 3);
    assert_eq!(relay.book().stored.len(), 3);

    own_key.idempotency_key = Some("line\nbreak".to_owned());
    let refused = client.send_message(&own_key).await;
    assert!(matches!(refused, Err(EkhoError::InvalidArgument(_))));
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    relay.fail("/v1/actions/propose", [Fault::DropAnswer]);
    let lost = client.propose_action(&proposal()).await;
    assert!(matches!(lost, Err(EkhoError::Transport { .. })), "{lost:?}");
    assert_eq!(relay.seen("/v1/actions/propose").len(), 1);

    relay.fail(
        "/v1/actions/propose",
        [Fault::RefuseUntil(503, 0), Fault::RefuseUntil(429, 0)],
    );
    client.propose_action(&proposal()).await.unwrap();
    assert_eq!(relay.seen("/v1/actions/propose").len(), 4);
}

#[tokio::test]
async fn a_lost_answer_to_a_cancel_or_a_report_is_made_up_for() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    relay.fail("/v1/messages/msg_1", [Fault::DropAnswer]);
    let cancelled = client.cancel_message("msg_1").await.unwrap();
    assert_eq!(cancelled.status.as_deref(), Some("cancelled"));
    let refused = client.cancel_message("msg_handed_out").await.unwrap_err();
    assert_eq!(refused.status_code(), Some(409));

    relay.book().approval_status = "approved".to_owned();
    relay.fail("/v1/actions/result", [Fault::DropAnswer]);
    let executed = ActionReport::now("apr_1", ActionResult::Executed);
    assert!(client.action_result(&executed).await.unwrap().ok);
    let failed = ActionReport::now("apr_1", ActionResult::Failed);
    let refused = client.action_result(&failed).await.unwrap_err();
    assert_eq!(refused.status_code(), Some(409));
}

#[tokio::test]
async fn a_refusal_for_good_is_returned_at_once() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let blocked = json!({
        "error": "blocked by policy", "policy": "no-alerts", "code": "policy_denied",
        "request_id": "req_7",
    });
    relay.fail("/v1/messages", [Fault::Refuse(403, blocked.clone())]);
    let error = client.send_message(&message()).await.unwrap_err();
    let refusal = error.request().unwrap();
    assert_eq!(
        (refusal.path.as_str(), refusal.status_code),
        ("/v1/messages", 403)
    );
    assert_eq!(refusal.body, blocked);
    assert_eq!(refusal.code.as_deref(), Some("policy_denied"));
    assert_eq!(refusal.request_id.as_deref(), Some("req_7"));
    assert_eq!(relay.seen("/v1/messages").len(), 1);

    relay.fail(
        "/v1/messages",
        [Fault::Refuse(409, json!({"error": "other body"}))],
    );
    let error = client.send_message(&message()).await.unwrap_err();
    assert_eq!(
        error.request().unwrap().request_id.as_deref(),
        Some("req_from_header")
    );
    assert_eq!(relay.seen("/v1/messages").len(), 2);
}

#[tokio::test]
async fn retries_come_to_an_end() {
    let relay = Relay::start().await;
    let client = client(&relay).retry(fast_retry(3)).build().unwrap();
    relay.fail("/v1/messages", vec![Fault::RefuseUntil(503, 0); 9]);
    let error = client.send_message(&message()).await.unwrap_err();
    assert_eq!(error.status_code(), Some(503));
    assert_eq!(relay.seen("/v1/messages").len(), 3);

    // Longer than the policy is willing to wait: the caller decides.
    relay.fail("/v1/acks", [Fault::RefuseUntil(429, 3600)]);
    let error = client.ack_messages(Vec::new()).await.unwrap_err();
    assert_eq!(error.request().unwrap().retry_after_seconds, Some(3600));
    assert_eq!(relay.seen("/v1/acks").len(), 1);
}

#[tokio::test]
async fn the_next_relay_takes_over() {
    let refusing = Relay::start().await;
    refusing.fail("/v1/messages", vec![Fault::RefuseUntil(503, 0); 9]);
    let good = Relay::start().await;
    let client = EkhoAgentClient::builder(AGENT, SECRET)
        .relays([
            unused_address().await,
            refusing.url().to_owned(),
            good.url().to_owned(),
        ])
        .retry(fast_retry(1))
        .build()
        .unwrap();
    for number in 1..=3 {
        let sent = client.send_message(&message()).await.unwrap();
        assert_eq!(sent.message_id, format!("msg_{number}"));
    }
    assert_eq!(
        refusing.seen("/v1/messages").len(),
        1,
        "the client stays with what works"
    );
    assert_eq!(good.seen("/v1/messages").len(), 3);
}

#[tokio::test]
async fn no_relay_at_all_is_a_transport_error() {
    for scheme in ["http", "https"] {
        let address = unused_address().await.replace("http", scheme);
        let client = EkhoAgentClient::builder(AGENT, SECRET)
            .relay(address)
            .retry(fast_retry(2))
            .build()
            .unwrap();
        let error = client.heartbeat(&Heartbeat::default()).await.unwrap_err();
        assert!(
            matches!(error, EkhoError::Transport { .. }),
            "{scheme}: {error:?}"
        );
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn answers_are_limited_in_size() {
    let relay = Relay::start().await;
    relay.deliver("msg_a", "conv-1", json!({"text": "x".repeat(5000)}));
    let client = client(&relay).max_answer_bytes(4000).build().unwrap();
    let error = client.get_inbox(&InboxQuery::default()).await.unwrap_err();
    assert!(
        matches!(
            error,
            EkhoError::AnswerTooLarge {
                limit_bytes: 4000,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_answer_against_the_contract_is_named() {
    let relay = Relay::start().await;
    relay.fail("/v1/messages", [Fault::Refuse(200, json!({"id": 7}))]);
    let error = client(&relay)
        .build()
        .unwrap()
        .send_message(&message())
        .await
        .unwrap_err();
    assert!(matches!(error, EkhoError::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("/v1/messages"));
}

/// An address where nothing listens: bound once, and free again.
async fn unused_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
