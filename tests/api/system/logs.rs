//! The log: one JSON object a line, with request ids and without secrets

use serde_json::{Value, json};

use crate::support::{DEADLINE, Relay, direct, poll_until, uuid};

#[tokio::test]
async fn lines_are_json_and_name_the_request() {
    let mut relay = Relay::builder().env("EKHO_LOG", "debug").start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let request_id = uuid();
    let message = direct(&recipient.id, "a body that nobody logs").to_string();
    let headers = [("x-request-id", request_id.as_str())];
    sender
        .call_with("POST", "/v1/messages", message, &headers)
        .await
        .ok();
    let operator = relay.operator().await;
    sender.post("/v1/credentials/rotate", &json!({})).await.ok();
    poll_until(DEADLINE, "the line of the request", async || {
        relay.log().contains(&request_id).then_some(())
    })
    .await;
    relay.stop().await;

    let log = relay.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
    }
    let answered = lines
        .iter()
        .find(|line| line["span"]["id"] == request_id.as_str());
    let answered = answered.expect("a line with the request's id in its span");
    assert_eq!(answered["status"], 200, "{answered}");
    assert_eq!(answered["span"]["method"], "POST");
    for secret in [
        sender.secret.as_str(),
        recipient.secret.as_str(),
        operator.token.as_str(),
        relay.credentials().password.as_str(),
        "a body that nobody logs",
    ] {
        assert!(!log.contains(secret), "a secret in the log");
    }
}

#[tokio::test]
async fn an_error_can_be_found_in_the_log() {
    let relay = Relay::builder().env("EKHO_LOG", "debug").start().await;
    let answer = relay.get("/no/such/page").await;
    let id = answer.json()["request_id"].as_str().unwrap().to_string();
    poll_until(DEADLINE, "the line of the error", async || {
        relay.log().contains(&id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn lines_for_people_are_not_json() {
    let mut relay = Relay::builder()
        .env("EKHO_LOG_FORMAT", "pretty")
        .start()
        .await;
    relay.stop().await;
    let log = relay.log();
    assert!(
        log.contains("listening") && log.contains("stopped"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "no colours in a file");
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_err())
    );
}
