//! Hooks that are told what happened: in order, again after a failure, on after a restart

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{Agent, DEADLINE, HookServer, Operator, Relay, Reply, direct, poll_until};

fn told() -> Value {
    json!({ "events": ["after_message"] })
}

async fn send_all(writer: &Agent, reviewer: &Agent, texts: &[String]) {
    for text in texts {
        writer.send(&direct(&reviewer.id, text)).await;
    }
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to)
        .map(|number| format!("message {number}"))
        .collect()
}

/// Waits until a hook was told this, and returns all it was told since then, tries of the same as
/// one.
async fn told_since(hook: &HookServer, before: usize, last: &str) -> Vec<String> {
    poll_until(DEADLINE, "everything told", async || {
        let mut told = hook.texts().split_off(before);
        told.dedup();
        told.iter().any(|text| text == last).then_some(told)
    })
    .await
}

async fn status(operator: &Operator, id: &str) -> Value {
    let target = format!("/v1/operator/hooks/{id}/status");
    operator.get(&target).await.ok()
}

#[tokio::test]
async fn messages_are_told_in_order_and_again_after_a_failure() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    writer.send(&direct(&reviewer.id, "before the hook")).await;
    let hook = HookServer::start().await;
    let (id, secret) = hook.register(&operator, "listener", told()).await;
    hook.answer_in_turn([Reply::Status(200), Reply::Status(500), Reply::Status(500)]);
    let texts = numbered(0, 20);
    send_all(&writer, &reviewer, &texts).await;
    let heard = hook.heard_at_least(22).await;
    let mut expected = texts.clone();
    // The second one was refused twice.
    expected.splice(1..1, [texts[1].clone(), texts[1].clone()]);
    assert_eq!(hook.texts(), expected);
    let ids: Vec<&str> = heard.iter().map(|one| one.header("webhook-id")).collect();
    assert!(ids[1] == ids[2] && ids[2] == ids[3], "{ids:?}");
    assert!(ids[0] != ids[1] && ids[3] != ids[4], "{ids:?}");
    let first = &heard[0];
    assert!(first.is_signed_with(&secret));
    assert_eq!(first.kind(), "after_message");
    assert_id(&first.message()["id"], "msg_");
    assert_eq!(first.message()["sender_id"], json!(writer.id));
    assert_time(&first.message()["created_at"]);
    poll_until(DEADLINE, "the position written down", async || {
        (status(&operator, &id).await["behind"] == 0).then_some(())
    })
    .await;
    let series = r#"ekho_hook_calls_total{event="after_message",hook="listener",outcome="ok"}"#;
    assert_eq!(relay.metric(series).await, Some(20.0));
    // Operators' messages are messages too.
    let note = json!({ "recipient_agent_id": reviewer.id, "text": "a note" });
    operator.post("/v1/operator/messages", &note).await.ok();
    let heard = hook.heard_at_least(23).await;
    let sender = heard[22].message()["sender_kind"].clone();
    assert_eq!(sender, "operator");
}

#[tokio::test]
async fn a_new_start_goes_on_where_the_old_one_was() {
    let mut relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let hook = HookServer::start().await;
    let (id, _) = hook.register(&operator, "listener", told()).await;
    send_all(&writer, &reviewer, &numbered(0, 5)).await;
    hook.heard_at_least(5).await;
    hook.answer(|_| Reply::Status(503));
    send_all(&writer, &reviewer, &numbered(5, 10)).await;
    hook.heard_at_least(6).await;
    relay.restart().await;
    let before = hook.count();
    hook.answer(|_| Reply::Status(204));
    // What was told before the stop is not told again; the rest is, in order.
    let told = told_since(&hook, before, "message 9").await;
    assert_eq!(told, numbered(5, 10));

    // A crash repeats a second at most, and leaves nothing out.
    poll_until(DEADLINE, "the position written down", async || {
        (status(&operator, &id).await["behind"] == 0).then_some(())
    })
    .await;
    let silent = Arc::new(AtomicBool::new(true));
    let is_silent = Arc::clone(&silent);
    hook.answer(move |_| match is_silent.load(Ordering::SeqCst) {
        true => Reply::Never,
        false => Reply::Status(200),
    });
    send_all(&writer, &reviewer, &numbered(10, 13)).await;
    relay.kill();
    silent.store(false, Ordering::SeqCst);
    let before = hook.count();
    relay.boot().await;
    let told = told_since(&hook, before, "message 12").await;
    assert_eq!(told, numbered(10, 13));
}

#[tokio::test]
async fn what_is_not_heard_in_all_its_time_is_given_up_and_recorded() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let hook = HookServer::answering(|heard| match heard.text() == "poison" {
        true => Reply::Status(500),
        false => Reply::Status(200),
    })
    .await;
    let more = json!({ "events": ["after_message"], "retry_seconds": 1 });
    let (id, _) = hook.register(&operator, "listener", more).await;
    let texts = ["poison".to_string(), "healthy".to_string()];
    send_all(&writer, &reviewer, &texts).await;
    poll_until(DEADLINE, "the next one told", async || {
        hook.texts().contains(&texts[1]).then_some(())
    })
    .await;
    let events = operator
        .get("/v1/operator/events?type=hook.delivery_failed")
        .await
        .ok()["events"]
        .clone();
    assert_eq!(events.as_array().unwrap().len(), 1);
    let gave_up = &events[0];
    assert_eq!(
        (
            &gave_up["resource_kind"],
            &gave_up["resource_id"],
            &gave_up["actor_kind"]
        ),
        (&json!("hook"), &json!(id), &json!("system"))
    );
    let payload = &gave_up["payload"];
    assert_eq!(
        (&payload["event"], &payload["last_error"]),
        (&json!("after_message"), &json!("answered with status 500"))
    );
    assert_id(&payload["event_id"], "evt_");
    let tries = hook.texts().iter().filter(|text| *text == "poison").count();
    assert_eq!(payload["attempts"], json!(tries));
    let series = r#"ekho_hook_given_up_total{hook="listener"}"#;
    assert_eq!(relay.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn one_that_does_not_answer_keeps_nobody_waiting() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let silent = HookServer::answering(|_| Reply::Never).await;
    let (silent_id, _) = silent.register(&operator, "silent", told()).await;
    let quick = HookServer::start().await;
    let (id, _) = quick.register(&operator, "quick", told()).await;
    let texts = numbered(0, 10);
    send_all(&writer, &reviewer, &texts).await;
    quick.heard_at_least(10).await;
    assert_eq!(quick.texts(), texts);
    // It is still at the first one, for the others did not wait for it.
    assert!(silent.texts().iter().all(|text| *text == texts[0]));
    // Switched off, it is told nothing of what happened meanwhile.
    let target = format!("/v1/operator/hooks/{id}");
    let off = json!({ "enabled": false });
    operator.put(&target, &off).await.ok();
    send_all(&writer, &reviewer, &["meanwhile".into()]).await;
    let on = json!({ "enabled": true });
    operator.put(&target, &on).await.ok();
    send_all(&writer, &reviewer, &["afterwards".into()]).await;
    quick.heard_at_least(11).await;
    assert_eq!(quick.texts()[10..], ["afterwards".to_string()]);
    // Its queue is shown: what it was not told yet.
    let behind = status(&operator, &silent_id).await["behind"].clone();
    assert!(behind.as_u64().unwrap() >= 12, "{behind}");
    // A removed one is not told any more.
    operator.call("DELETE", &target, None).await.ok();
    send_all(&writer, &reviewer, &["to nobody".into()]).await;
    silent.answer(|_| Reply::Status(200));
    poll_until(DEADLINE, "the slow one at its end", async || {
        silent
            .texts()
            .contains(&"to nobody".to_string())
            .then_some(())
    })
    .await;
    assert_eq!(quick.count(), 11);
}
