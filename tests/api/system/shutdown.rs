//! SIGTERM: what was accepted is finished, who waits is let go, nothing new begins

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::raw::Raw;
use crate::support::{DEADLINE, Relay, direct, poll_until};

async fn waiting(relay: &Relay, count: f64) {
    poll_until(DEADLINE, "polls that wait", async || {
        (relay.metric("ekho_waiting_requests").await? >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn long_polls_end_and_the_relay_with_them() {
    let mut relay = Relay::start().await;
    let [one, two, three] = relay.agents(["one", "two", "three"]).await;
    one.inbox().await;
    let polls = [one, two, three]
        .map(|agent| tokio::spawn(async move { agent.get("/v1/inbox?wait=60").await }));
    waiting(&relay, 3.0).await;
    // Far less than the minute they were willing to wait.
    tokio::time::timeout(Duration::from_secs(30), relay.stop())
        .await
        .expect("the end in time");
    for poll in futures::future::join_all(polls).await {
        assert_eq!(
            poll.unwrap().ok(),
            json!({ "messages": [], "controls": [] })
        );
    }
    relay.boot().await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_finished() {
    let mut relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let request = sender
        .request("POST", "/v1/messages")
        .json(&direct(&recipient.id, "half sent"));
    let mut raw = Raw::open(&relay).await;
    let mut head = String::from("POST /v1/messages HTTP/1.1\r\nhost: relay\r\n");
    for (name, value) in request.all_headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    let (first, rest) = request.body.split_at(request.body.len() / 2);
    assert!(raw.write(head).await && raw.write(first).await);
    // The relay has the head once it counts the connection's request; then it is told to stop.
    let mut other = Raw::open(&relay).await;
    other
        .write("GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n")
        .await;
    assert!(other.answer().await.is_some());
    relay.signal(Signal::TERM);
    poll_until(DEADLINE, "no new connections", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", relay.port))
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(raw.write(rest).await, "the connection is still open");
    let (status, body) = raw.answer().await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let ended = relay.wait_exit().await;
    assert!(ended.success(), "{ended}");
    relay.boot().await;
    assert_eq!(
        recipient.receive().await[0]["message_id"],
        answer["message_id"]
    );
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_hold_the_relay() {
    let mut relay = Relay::builder()
        .env("EKHO_SHUTDOWN_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let mut raw = Raw::open(&relay).await;
    raw.write("POST /v1/messages HTTP/1.1\r\nhost: relay\r\ncontent-length: 100\r\n\r\nhalf")
        .await;
    let mut other = Raw::open(&relay).await;
    other
        .write("GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n")
        .await;
    assert!(other.answer().await.is_some());
    relay.stop().await;
    raw.closed().await;
}

#[tokio::test]
async fn an_interrupt_is_a_stop_too() {
    let mut relay = Relay::start().await;
    relay.signal(Signal::INT);
    let ended = relay.wait_exit().await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn nothing_answered_is_lost_by_a_stop_under_load() {
    let mut relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let sends = (0..8).map(|lane| {
        let (sender, to) = (sender.clone(), recipient.id.clone());
        tokio::spawn(async move {
            let mut accepted = Vec::new();
            for number in 0.. {
                let message = direct(&to, &format!("{lane}.{number}"));
                let request = sender.request("POST", "/v1/messages").json(&message);
                match request.try_send(DEADLINE).await {
                    Ok(answer) if answer.status == 200 => {
                        accepted.push(answer.ok()["message_id"].as_str().unwrap().to_string());
                    }
                    Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                    // No longer listening.
                    Err(_) => break,
                }
            }
            accepted
        })
    });
    let sends: Vec<_> = sends.collect();
    poll_until(DEADLINE, "some messages", async || {
        (relay.metric("ekho_messages_accepted_total").await? > 50.0).then_some(())
    })
    .await;
    relay.stop().await;
    let mut accepted = std::collections::BTreeSet::new();
    for send in sends {
        accepted.extend(send.await.unwrap());
    }
    relay.boot().await;
    let mut received = std::collections::BTreeSet::new();
    loop {
        let messages = recipient.inbox().await;
        if messages.is_empty() {
            break;
        }
        received.extend(
            messages
                .iter()
                .map(|message| message["message_id"].as_str().unwrap().to_string()),
        );
    }
    let lost: Vec<&String> = accepted.difference(&received).collect();
    assert!(lost.is_empty(), "{} of {} lost", lost.len(), accepted.len());
}
