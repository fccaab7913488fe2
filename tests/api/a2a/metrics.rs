//! What metrics say of tasks, and of those who follow and wait for them.

use serde_json::json;

use super::{at, pair, quick};
use crate::support::{DEADLINE, Relay, a2a_message, poll_until};

async fn becomes(relay: &Relay, series: &str, expected: f64) {
    poll_until(DEADLINE, &format!("{series} {expected}"), async || {
        (relay.metric(series).await == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tasks_are_counted_by_state_and_those_who_wait_while_they_do() {
    let relay = Relay::start().await;
    let (client, agent) = pair(&relay).await;
    let series = |state: &str| format!("ekho_a2a_tasks_total{{state=\"{state}\"}}");
    for state in [
        "submitted",
        "working",
        "input-required",
        "auth-required",
        "completed",
        "failed",
        "canceled",
        "rejected",
    ] {
        assert_eq!(relay.metric(&series(state)).await, Some(0.0), "{state}");
    }
    let task = client.send(&agent, &a2a_message("one")).await;
    client
        .result(&at(&agent), "SendMessage", &quick("two"))
        .await;
    assert_eq!(relay.metric(&series("submitted")).await, Some(2.0));
    for state in ["input-required", "auth-required", "working"] {
        let status = json!({ "state": state });
        agent.set_status(&task, &status).await.ok();
        assert_eq!(relay.metric(&series(state)).await, Some(1.0), "{state}");
    }
    assert_eq!(relay.metric(&series("submitted")).await, Some(1.0));

    let params = json!({ "id": task["id"] });
    let streams = "ekho_a2a_streams";
    let first = client.stream("/a2a", "SubscribeToTask", &params).await;
    let second = client.stream("/a2a", "SubscribeToTask", &params).await;
    becomes(&relay, streams, 2.0).await;
    drop(first);
    becomes(&relay, streams, 1.0).await;

    let blocking = {
        let (client, target) = (client.clone(), at(&agent));
        let mut message = a2a_message("and now?");
        message["taskId"] = task["id"].clone();
        let params = json!({ "message": message });
        tokio::spawn(async move { client.result(&target, "SendMessage", &params).await })
    };
    becomes(&relay, "ekho_a2a_blocking_waits", 1.0).await;
    let done = json!({ "state": "completed" });
    agent.set_status(&task, &done).await.ok();
    blocking.await.unwrap();
    assert_eq!(relay.metric("ekho_a2a_blocking_waits").await, Some(0.0));
    assert_eq!(relay.metric(&series("completed")).await, Some(1.0));
    assert_eq!(relay.metric(&series("working")).await, Some(0.0));
    // It ends with the task, whether anybody reads it or not.
    becomes(&relay, streams, 0.0).await;
    drop(second);
}
