//! GET /v1/inbox?wait= and types=

use std::time::{Duration, Instant};

use serde_json::json;

use crate::checks::texts;
use crate::support::{DEADLINE, Relay, direct, poll_until, shared};

/// Waits until so many polls are held open.
async fn waiting(relay: &Relay, count: f64) {
    poll_until(DEADLINE, "polls that wait", async || {
        (relay.metric("ekho_waiting_requests").await? >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_who_waits() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    recipient.inbox().await;
    let waits = tokio::spawn({
        let recipient = recipient.clone();
        async move { recipient.get("/v1/inbox?wait=60").await }
    });
    waiting(&relay, 1.0).await;
    let id = sender.send(&direct(&recipient.id, "wake up")).await;
    // Far less than the minute it was willing to wait.
    let answer = tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("woken")
        .unwrap();
    assert_eq!(
        texts(answer.ok()["messages"].as_array().unwrap(), "message_id"),
        [id.as_str()]
    );
}

#[tokio::test]
async fn one_of_two_polls_gets_the_message() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    recipient.inbox().await;
    let poll = || {
        let recipient = recipient.clone();
        tokio::spawn(async move { recipient.get("/v1/inbox?wait=2").await.ok() })
    };
    let (one, two) = (poll(), poll());
    waiting(&relay, 2.0).await;
    sender.send(&direct(&recipient.id, "for one")).await;
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let count = |answer: &serde_json::Value| answer["messages"].as_array().unwrap().len();
    assert_eq!(count(&one) + count(&two), 1);
}

#[tokio::test]
async fn an_empty_wait_ends_empty_and_not_early() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    agent.inbox().await;
    let began = Instant::now();
    let answer = agent.get("/v1/inbox?wait=1").await.ok();
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "a wait is not cut short"
    );
    assert_eq!(answer, json!({ "messages": [], "controls": [] }));
}

#[tokio::test]
async fn what_is_there_is_not_waited_for() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "there")).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), recipient.get("/v1/inbox?wait=60"));
    assert_eq!(
        answer.await.expect("at once").ok()["messages"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_control_wakes_once() {
    let relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    agent.inbox().await;
    let waits = tokio::spawn({
        let agent = agent.clone();
        async move { agent.get("/v1/inbox?wait=60").await }
    });
    waiting(&relay, 1.0).await;
    operator.order(&agent, "pause").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("woken")
        .unwrap();
    assert_eq!(
        texts(answer.ok()["controls"].as_array().unwrap(), "action"),
        ["pause"]
    );
    // The control is still shown, and does not end the next wait.
    let began = Instant::now();
    let answer = agent.get("/v1/inbox?wait=1").await.ok();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        texts(answer["controls"].as_array().unwrap(), "action"),
        ["pause"]
    );
}

#[tokio::test]
async fn a_revoked_agent_waits_no_longer() {
    let relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    agent.inbox().await;
    let waits = tokio::spawn({
        let agent = agent.clone();
        async move { agent.get("/v1/inbox?wait=60").await }
    });
    waiting(&relay, 1.0).await;
    relay.operator().await.order(&agent, "revoke").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("ended")
        .unwrap();
    answer.refused(401, "invalid agent credentials", "invalid_credentials");
}

#[tokio::test]
async fn types_take_some_and_leave_the_others_in_order() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut sent = Vec::new();
    for message_type in ["direct", "alert", "direct", "handoff", "alert", "direct"] {
        let mut message = direct(&recipient.id, "typed");
        message["message_type"] = json!(message_type);
        sent.push(sender.send(&message).await);
    }
    let take = async |query: &str| {
        let answer = recipient.get(&format!("/v1/inbox?{query}")).await.ok();
        texts(answer["messages"].as_array().unwrap(), "message_id").join(" ")
    };
    assert_eq!(take("types=alert&limit=1").await, sent[1]);
    assert_eq!(take("types=claim").await, "");
    assert_eq!(
        take("types=handoff,alert").await,
        [sent[3].as_str(), &sent[4]].join(" ")
    );
    assert_eq!(
        take("").await,
        [sent[0].as_str(), &sent[2], &sent[5]].join(" ")
    );
}

#[tokio::test]
async fn a_filtered_wait_is_woken_by_its_types_only() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    recipient.inbox().await;
    let waits = tokio::spawn({
        let recipient = recipient.clone();
        async move { recipient.get("/v1/inbox?wait=60&types=alert").await }
    });
    waiting(&relay, 1.0).await;
    sender.send(&direct(&recipient.id, "not this")).await;
    let mut alert = direct(&recipient.id, "this");
    alert["message_type"] = json!("alert");
    let id = sender.send(&alert).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("woken")
        .unwrap();
    assert_eq!(
        texts(answer.ok()["messages"].as_array().unwrap(), "message_id"),
        [id.as_str()]
    );
    assert_eq!(
        recipient.inbox().await.len(),
        1,
        "the other one waits its turn"
    );
}

#[tokio::test]
async fn an_abandoned_poll_takes_nothing() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    recipient.inbox().await;
    for _ in 0..5 {
        let waits = tokio::spawn({
            let recipient = recipient.clone();
            async move { recipient.get("/v1/inbox?wait=60").await }
        });
        waiting(&relay, 1.0).await;
        waits.abort();
        assert!(waits.await.is_err());
        poll_until(DEADLINE, "nobody waiting", async || {
            (relay.metric("ekho_waiting_requests").await? == 0.0).then_some(())
        })
        .await;
        let id = sender
            .send(&direct(&recipient.id, "for who is there"))
            .await;
        assert_eq!(sender.status(&id).await["deliveries"][0]["attempts"], 0);
        assert_eq!(texts(&recipient.inbox().await, "message_id"), [id.as_str()]);
    }
}
