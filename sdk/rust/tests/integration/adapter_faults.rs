//! The adapter when handlers fail and when the relay does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::adapter::{Recorder, adapter, started};
use crate::relay::{Fault, Relay};
use crate::{client, eventually, fast_retry, in_time};

fn nack_reason(relay: &Relay, message_id: &str) -> Option<String> {
    let book = relay.book();
    let nack = book
        .nacked
        .iter()
        .find(|nack| nack["message_id"] == message_id)?;
    nack["reason"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_failed_handler_is_nacked_with_its_reason() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.deliver("msg_fail", "conv-1", json!({"do": "fail"}));
    relay.deliver("msg_panic", "conv-1", json!({"do": "panic"}));
    relay.deliver("msg_fine", "conv-1", json!({}));
    eventually("the ack of the last", || relay.book().acked == ["msg_fine"]).await;
    assert_eq!(
        nack_reason(&relay, "msg_fail").as_deref(),
        Some("no such file")
    );
    assert_eq!(
        nack_reason(&relay, "msg_panic").as_deref(),
        Some("the handler panicked")
    );
    assert_eq!(started(&adapter).len(), 3);

    relay.deliver("msg_fail", "conv-1", json!({}));
    eventually("the second attempt", || relay.book().acked.len() == 2).await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let relay = Relay::start().await;
    let _adapter = adapter(&relay)
        .handler_timeout(Duration::from_millis(20))
        .start();
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    eventually("the nack", || nack_reason(&relay, "msg_a").is_some()).await;
    assert_eq!(
        nack_reason(&relay, "msg_a").as_deref(),
        Some("the handler took too long")
    );
}

#[tokio::test]
async fn a_message_delivered_again_while_in_work_is_handled_once() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    eventually("the handler", || started(&adapter) == ["msg_a"]).await;
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    relay.deliver("msg_b", "conv-2", json!({}));
    eventually("the copy is taken", || relay.book().acked == ["msg_b"]).await;
    adapter.hooks().gate.add_permits(2);
    eventually("the ack", || relay.book().acked == ["msg_b", "msg_a"]).await;
    assert_eq!(started(&adapter), ["msg_a", "msg_b"]);
}

#[tokio::test]
async fn a_lost_ack_is_made_up_for_without_a_second_run() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.fail("/v1/acks", [Fault::Refuse(500, json!({"error": "broken"}))]);
    relay.deliver("msg_a", "conv-1", json!({}));
    eventually("the lost ack", || {
        relay.seen("/v1/acks").len() == 1 && adapter.status().messages_in_work == 0
    })
    .await;
    relay.deliver("msg_a", "conv-1", json!({}));
    eventually("the late ack", || relay.book().acked == ["msg_a"]).await;
    assert_eq!(started(&adapter), ["msg_a"]);
}

#[tokio::test]
async fn the_adapter_outlasts_an_absent_relay() {
    let relay = Relay::start().await;
    let client = client(&relay).retry(fast_retry(2)).build().unwrap();
    relay.fail("/v1/inbox", vec![Fault::RefuseUntil(503, 0); 4]);
    relay.fail("/v1/heartbeats", vec![Fault::RefuseUntil(503, 0); 4]);
    let adapter = ekho_client::EkhoAgentAdapter::builder(client, Recorder::default()).start();
    eventually("a failure is reported", || {
        adapter.status().consecutive_failures > 0
    })
    .await;
    assert!(adapter.status().last_error.is_some());
    relay.deliver("msg_a", "conv-1", json!({}));
    eventually("the ack", || relay.book().acked == ["msg_a"]).await;
    assert_eq!(adapter.status().last_error, None);
}

#[tokio::test]
async fn a_relay_without_leases_is_asked_once() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.fail(
        "/v1/leases",
        vec![Fault::Refuse(404, json!({"error": "not found"})); 9],
    );
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    eventually("the question", || relay.seen("/v1/leases").len() == 1).await;
    let beats = relay.seen("/v1/heartbeats").len();
    eventually("more heartbeats", || {
        relay.seen("/v1/heartbeats").len() > beats + 3
    })
    .await;
    assert_eq!(relay.seen("/v1/leases").len(), 1);
    adapter.hooks().gate.add_permits(1);
    eventually("the ack", || relay.book().acked == ["msg_a"]).await;
}

#[tokio::test]
async fn a_dropped_adapter_ends_its_work() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    let handle = adapter.handle();
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    eventually("the handler", || started(&adapter) == ["msg_a"]).await;
    drop(adapter);
    let running = || handle.hooks().running.load(Ordering::SeqCst);
    eventually("the handler is gone", || running() == 0).await;
    let action = ekho_client::ProposeAction {
        conversation_id: "conv-1".to_owned(),
        action_type: "deploy".to_owned(),
        summary: "deploy it".to_owned(),
        risk_level: ekho_client::RiskLevel::High,
        payload: json!({}),
    };
    let outcome = in_time("the wait ends", handle.propose_action(&action)).await;
    assert!(
        matches!(outcome, Err(ekho_client::EkhoError::Stopped)),
        "{outcome:?}"
    );
    assert!(relay.book().acked.is_empty());
}
