//! GET and PUT /v1/operator/settings

use serde_json::{Value, json};

use crate::support::{Relay, direct};

#[tokio::test]
async fn settings_are_shown_and_changed_one_by_one() {
    let mut relay = Relay::start().await;
    let operator = relay.operator().await;
    let before = operator.get("/v1/operator/settings").await.ok();
    assert_eq!(before["timestamp_skew_ms"], 300_000);
    assert_eq!(before["delivery_timeout_ms"], 120_000);
    assert_eq!(
        before["retry_backoff_ms"],
        json!([60_000, 300_000, 900_000, 3_600_000, 7_200_000])
    );
    assert_eq!(
        before["rate_max_messages"], 1_000_000,
        "the variable at setup"
    );
    assert_eq!(
        (
            &before["violation_threshold"],
            &before["heartbeat_threshold"]
        ),
        (&json!(5), &json!(3))
    );
    let changed = operator
        .put(
            "/v1/operator/settings",
            &json!({ "delivery_timeout_ms": 5000 }),
        )
        .await
        .ok();
    let mut expected = before.clone();
    expected["delivery_timeout_ms"] = json!(5000);
    assert_eq!(changed, expected);
    assert_eq!(operator.get("/v1/operator/settings").await.ok(), expected);
    // Variables count at setup only: the state decides afterwards.
    relay
        .env
        .push(("EKHO_DELIVERY_TIMEOUT_SECONDS".into(), "77".into()));
    relay.restart().await;
    assert_eq!(operator.get("/v1/operator/settings").await.ok(), expected);
}

#[tokio::test]
async fn a_change_counts_at_once() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "free")).await;
    operator
        .put(
            "/v1/operator/settings",
            &json!({ "rate_max_messages": 1, "rate_window_ms": 86_400_000u64 }),
        )
        .await
        .ok();
    // A window of another length begins anew.
    sender.send(&direct(&recipient.id, "the one")).await;
    let answer = sender
        .post("/v1/messages", &direct(&recipient.id, "too many"))
        .await;
    answer.refused(429, "rate limit exceeded", "rate_limited");
    operator
        .put("/v1/operator/settings", &json!({ "rate_max_messages": 2 }))
        .await
        .ok();
    sender.send(&direct(&recipient.id, "one more")).await;
}

#[tokio::test]
async fn bad_settings_are_refused_and_change_nothing() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let before = operator.get("/v1/operator/settings").await.ok();
    for (field, value) in [
        ("timestamp_skew_ms", json!(0)),
        ("delivery_timeout_ms", json!(0)),
        ("rate_window_ms", json!(0)),
        ("rate_max_messages", json!(0)),
        ("violation_threshold", json!(0)),
        ("heartbeat_threshold", json!(0)),
        ("session_ms", json!(1)),
        ("max_agents", json!(0)),
        ("max_fan_out", json!(1_000_000_000)),
        ("message_retention_ms", json!(u64::MAX)),
        ("retry_backoff_ms", json!(vec![1000; 1000])),
        ("no_such_setting", json!(1)),
    ] {
        let mut request = json!({ "poll_interval_ms": 9000 });
        request[field] = value;
        operator
            .put("/v1/operator/settings", &request)
            .await
            .invalid(field);
    }
    for request in [
        json!({ "delivery_timeout_ms": "5000" }),
        json!({ "delivery_timeout_ms": -5 }),
        json!({ "delivery_timeout_ms": 1.5 }),
        json!({ "retry_backoff_ms": 5 }),
        json!([1]),
        json!("x"),
        Value::Null,
    ] {
        let answer = operator.put("/v1/operator/settings", &request).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "validation_failed"),
            "{request}: {}",
            answer.text()
        );
    }
    assert_eq!(operator.get("/v1/operator/settings").await.ok(), before);
}

/// What setup takes from a variable, a later change must not complain about.
#[tokio::test]
async fn setup_and_changes_have_the_same_limits() {
    for (variable, value) in [
        ("EKHO_MAX_AGENTS", 10_000_000u64),
        ("EKHO_MAX_FAN_OUT", 1_000_000),
        ("EKHO_RATE_LIMIT_VIOLATION_THRESHOLD", 1_000_000),
        ("EKHO_MESSAGE_RETENTION_SECONDS", 10 * 365 * 86_400),
        ("EKHO_RATE_LIMIT_MAX_MESSAGES", 1_000_000_000),
    ] {
        let relay = Relay::builder().env(variable, value).start().await;
        let operator = relay.operator().await;
        let answer = operator
            .put(
                "/v1/operator/settings",
                &json!({ "poll_interval_ms": 9000 }),
            )
            .await;
        assert_eq!(
            answer.status,
            200,
            "{variable}={value} was accepted at setup: {}",
            answer.text()
        );
    }
}

/// An answered change stays, whatever others change at the same time.
#[tokio::test]
async fn changes_at_once_do_not_undo_each_other() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    for round in 1..=10u64 {
        let changes = [
            json!({ "poll_interval_ms": 1000 + round }),
            json!({ "heartbeat_interval_ms": 2000 + round }),
            json!({ "delivery_timeout_ms": 3000 + round }),
            json!({ "rate_max_messages": 4000 + round }),
        ];
        let puts = changes
            .iter()
            .map(|change| operator.put("/v1/operator/settings", change));
        for answer in futures::future::join_all(puts).await {
            answer.ok();
        }
        let now = operator.get("/v1/operator/settings").await.ok();
        for change in &changes {
            for (name, value) in change.as_object().unwrap() {
                assert_eq!(
                    &now[name], value,
                    "{name} was answered 200 and is not there, round {round}"
                );
            }
        }
    }
}
