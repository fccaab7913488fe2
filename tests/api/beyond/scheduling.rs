//! `deliver_at`, `delay_seconds`, and taking back

use serde_json::{Value, json};

use crate::checks::assert_time;
use crate::support::{Relay, direct, iso, message_to, now_ms, shared};

fn with(mut message: Value, field: &str, value: Value) -> Value {
    message[field] = value;
    message
}

#[tokio::test]
async fn a_message_waits_for_its_time() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let delayed = with(direct(&recipient.id, "delayed"), "delay_seconds", json!(1));
    let sent = sender.post("/v1/messages", &delayed).await.ok();
    let due_ms = assert_time(&sent["deliver_at"]);
    assert_eq!(due_ms, assert_time(&sent["queued_at"]) + 1000);
    let at = with(
        direct(&recipient.id, "at"),
        "deliver_at",
        json!(iso(now_ms() + 2000)),
    );
    sender.post("/v1/messages", &at).await.ok();
    sender.send(&direct(&recipient.id, "at once")).await;

    let mut arrived = Vec::new();
    while arrived.len() < 3 {
        for message in recipient.receive().await {
            assert!(
                message["body"]["text"] != "delayed" || now_ms() >= due_ms,
                "{message}"
            );
            arrived.push(message["body"]["text"].as_str().unwrap().to_string());
        }
    }
    assert_eq!(arrived, ["at once", "delayed", "at"]);
}

#[tokio::test]
async fn the_time_to_live_begins_when_it_may_be_handed_out() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut message = with(direct(&recipient.id, "later"), "delay_seconds", json!(3600));
    message["ttl_seconds"] = json!(60);
    let id = sender.send(&message).await;
    let status = sender.status(&id).await;
    let (queued, due, deadline) = (
        assert_time(&status["queued_at"]),
        assert_time(&status["deliver_at"]),
        assert_time(&status["deadline_at"]),
    );
    assert_eq!((due - queued, deadline - due), (3_600_000, 60_000));
    assert!(recipient.inbox().await.is_empty());
}

#[tokio::test]
async fn times_in_the_past_are_now() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for past in [iso(0), iso(now_ms() - 1000)] {
        sender
            .send(&with(
                direct(&recipient.id, "past"),
                "deliver_at",
                json!(past),
            ))
            .await;
        assert_eq!(recipient.receive().await.len(), 1);
    }
    sender
        .send(&with(
            direct(&recipient.id, "zero"),
            "delay_seconds",
            json!(0),
        ))
        .await;
    assert_eq!(recipient.receive().await.len(), 1);
}

#[tokio::test]
async fn bad_times_are_refused() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let message = direct(&recipient.id, "x");
    let days = |days: i64| iso(now_ms() + days * 86_400_000);
    for (field, value) in [
        ("deliver_at", json!("tomorrow")),
        ("deliver_at", json!(17)),
        ("deliver_at", json!("2026-11-23T10:00:00")),
        ("deliver_at", json!(days(31))),
        ("delay_seconds", json!(-1)),
        ("delay_seconds", json!(1.5)),
        ("delay_seconds", json!("60")),
        ("delay_seconds", json!(31 * 86_400)),
    ] {
        sender
            .post("/v1/messages", &with(message.clone(), field, value))
            .await
            .invalid(field);
    }
    let both = with(
        with(message, "delay_seconds", json!(1)),
        "deliver_at",
        json!(days(1)),
    );
    sender
        .post("/v1/messages", &both)
        .await
        .invalid("deliver_at");
}

#[tokio::test]
async fn a_message_not_handed_out_can_be_taken_back() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let scheduled = sender
        .send(&with(
            direct(&recipient.id, "scheduled"),
            "delay_seconds",
            json!(60),
        ))
        .await;
    let queued = sender.send(&direct(&recipient.id, "queued")).await;
    let out = sender.send(&direct(&recipient.id, "out")).await;
    for id in [&scheduled, &queued] {
        let target = format!("/v1/messages/{id}");
        recipient
            .call("DELETE", &target, "")
            .await
            .refused(404, "not found", "not_found");
        let answer = sender.call("DELETE", &target, "").await.ok();
        assert_eq!(
            (&answer["message_id"], &answer["status"]),
            (&json!(id), &json!("cancelled"))
        );
        let again = sender.call("DELETE", &target, "").await;
        assert_eq!(
            (again.status, again.code().as_str()),
            (409, "conflict"),
            "{}",
            again.text()
        );
        let status = sender.status(id).await;
        assert_eq!(status["status"], "cancelled");
        assert_eq!(status["deliveries"][0]["status"], "cancelled");
    }
    let received = recipient.receive().await;
    assert_eq!(received.len(), 1, "{received:?}");
    let late = sender
        .call("DELETE", &format!("/v1/messages/{out}"), "")
        .await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (409, "conflict"),
        "{}",
        late.text()
    );
    assert_eq!(recipient.ack(&[&out]).await, 1);
    for unknown in ["msg_1", "msg_00000000000000000000000000000000", "x"] {
        let answer = sender
            .call("DELETE", &format!("/v1/messages/{unknown}"), "")
            .await;
        answer.refused(404, "not found", "not_found");
    }
}

#[tokio::test]
async fn a_broadcast_is_taken_back_from_those_who_do_not_have_it() {
    let relay = Relay::start().await;
    let [sender, quick, slow] = relay.agents(["sender", "quick", "slow"]).await;
    let id = sender
        .send(&message_to(json!({ "kind": "broadcast" }), "oops"))
        .await;
    assert_eq!(quick.receive().await.len(), 1);
    let answer = sender
        .call("DELETE", &format!("/v1/messages/{id}"), "")
        .await
        .ok();
    assert_eq!(answer["cancelled_deliveries"], 1);
    assert!(slow.inbox().await.is_empty());
    assert_eq!(quick.ack(&[&id]).await, 1);
    for (status, count) in [
        ("cancelled", 1.0),
        ("acked", 1.0),
        ("queued", 0.0),
        ("delivered", 0.0),
    ] {
        let series = format!("ekho_deliveries_total{{status=\"{status}\"}}");
        assert_eq!(relay.metric(&series).await, Some(count), "{status}");
    }
}
