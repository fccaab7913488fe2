//! POST /v1/credentials/rotate

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_time};
use crate::support::{Agent, DEADLINE, Relay, direct, iso, now_ms, poll_until, shared};

fn with_secret(agent: &Agent, answer: &Value) -> Agent {
    let secret = answer["secret"].as_str().expect("a secret").to_string();
    Agent {
        secret,
        ..agent.clone()
    }
}

async fn works(agent: &Agent) -> bool {
    let answer = agent
        .post("/v1/heartbeats", &json!({ "status": "idle" }))
        .await;
    match answer.status {
        200 => true,
        401 => {
            answer.refused(401, "invalid signature", "invalid_signature");
            false
        }
        _ => panic!("{}", answer.text()),
    }
}

#[tokio::test]
async fn the_old_secret_works_for_the_overlap() {
    let relay = shared().await;
    let [old, other] = relay.agents(["old", "other"]).await;
    let before_ms = now_ms();
    let answer = old
        .post("/v1/credentials/rotate", &json!({ "overlap_seconds": 2 }))
        .await
        .ok();
    assert_fields(
        &answer,
        &["secret", "credential_id", "previous_valid_until"],
    );
    let until_ms = assert_time(&answer["previous_valid_until"]);
    assert!(
        (before_ms + 2000..=now_ms() + 2000).contains(&until_ms),
        "{answer}"
    );
    let new = with_secret(&old, &answer);
    assert_ne!(new.secret, old.secret);
    assert!(works(&new).await);
    let ended_ms = poll_until(DEADLINE, &iso(until_ms), async || {
        let began_ms = now_ms();
        let still = works(&old).await;
        assert!(still || now_ms() >= until_ms, "ended early");
        (!still).then_some(began_ms)
    })
    .await;
    assert!(ended_ms <= until_ms + 60_000);
    assert!(works(&new).await);
    new.send(&direct(&other.id, "with the new secret")).await;
    assert_eq!(other.receive().await[0]["sender_agent_id"], old.id);
}

#[tokio::test]
async fn no_overlap_ends_the_old_secret_at_once() {
    let relay = shared().await;
    let [old] = relay.agents(["old"]).await;
    let answer = old
        .post("/v1/credentials/rotate", &json!({ "overlap_seconds": 0 }))
        .await
        .ok();
    assert!(!works(&old).await);
    assert!(works(&with_secret(&old, &answer)).await);
}

#[tokio::test]
async fn never_more_than_two_secrets() {
    let relay = shared().await;
    let [first] = relay.agents(["first"]).await;
    let second = with_secret(
        &first,
        &first.post("/v1/credentials/rotate", &json!({})).await.ok(),
    );
    assert!(works(&first).await && works(&second).await);
    let third = with_secret(
        &first,
        &second.post("/v1/credentials/rotate", &json!({})).await.ok(),
    );
    assert!(!works(&first).await, "the oldest ends");
    assert!(works(&second).await && works(&third).await);
    // The old one may rotate as well, while it works: its holder may have missed the answer.
    let fourth = with_secret(
        &first,
        &second.post("/v1/credentials/rotate", &json!({})).await.ok(),
    );
    assert!(works(&fourth).await && works(&third).await && !works(&second).await);
}

#[tokio::test]
async fn rotation_survives_a_restart_and_needs_a_sound_request() {
    let mut relay = Relay::start().await;
    let [old] = relay.agents(["old"]).await;
    for value in [json!(-1), json!(1.5), json!("60"), json!(604_801)] {
        let request = json!({ "overlap_seconds": value });
        old.post("/v1/credentials/rotate", &request)
            .await
            .invalid("overlap_seconds");
    }
    let answer = old
        .post("/v1/credentials/rotate", &json!({ "overlap_seconds": 0 }))
        .await
        .ok();
    relay.kill();
    relay.boot().await;
    assert!(works(&with_secret(&old, &answer)).await && !works(&old).await);
}

#[tokio::test]
async fn the_sdk_goes_on_with_the_new_secret() {
    let relay = shared().await;
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let client = agent.client();
    client.rotate_credentials(Some(0)).await.unwrap();
    let message = ekho_client::SendMessage::new(
        ekho_client::Recipient::agent(&other.id),
        ekho_client::MessageType::Direct,
        "conversation",
        json!({ "text": "rotated" }),
    );
    client.send_message(&message).await.unwrap();
    assert_eq!(other.receive().await.len(), 1);
}
