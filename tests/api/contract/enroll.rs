//! POST /v1/enroll

use serde_json::json;

use crate::checks::{assert_id, assert_only_fields};
use crate::support::{DEADLINE, Http, Relay, iso, now_ms, poll_until, shared};

#[tokio::test]
async fn answers_with_everything_an_agent_needs() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let http = Http::new();
    let url = format!("{}/v1/enroll", relay.url());
    let request = json!({
        "fleet_id": operator.fleet_id,
        "token": operator.enrollment_token().await,
        "display_name": "Full",
        "runtime": "langgraph",
        "hostname": "host.example.org",
        "capabilities": ["draft", "review"],
        "identity_public_key": "k".repeat(128),
    });
    let answer = http.post(&url, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.ok();
    assert_only_fields(
        &body,
        &[
            "agent_id",
            "secret",
            "relay_base_url",
            "heartbeat_interval_seconds",
            "poll_interval_seconds",
            "policy_profile",
            "operator_keys",
        ],
    );
    assert_id(&body["agent_id"], "agent_");
    assert!(
        body["secret"]
            .as_str()
            .is_some_and(|secret| secret.len() >= 32),
        "{body}"
    );
    assert_eq!(body["relay_base_url"], relay.url());
    assert_eq!(body["heartbeat_interval_seconds"], 30);
    assert_eq!(body["poll_interval_seconds"], 5);
    assert_eq!(body["policy_profile"], "default");
    assert_eq!(body["operator_keys"], json!([]));

    let agents = operator.get("/v1/operator/agents?search=Full").await.ok();
    let seen = agents["agents"]
        .as_array()
        .unwrap()
        .iter()
        .find(|agent| agent["id"] == body["agent_id"]);
    let seen = seen.expect("the agent in the operator's list");
    assert_eq!(seen["runtime"], "langgraph");
    assert_eq!(seen["hostname"], "host.example.org");
    assert_eq!(seen["capabilities"], json!(["draft", "review"]));
    assert_eq!(seen["status"], "healthy");
}

#[tokio::test]
async fn takes_any_short_slug_as_runtime() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let http = Http::new();
    for runtime in ["custom", "openclaw", "autogen", "my-runtime_2.1"] {
        let request = json!({
            "fleet_id": operator.fleet_id,
            "token": operator.enrollment_token().await,
            "display_name": "slug",
            "runtime": runtime,
        });
        let answer = http
            .post(&format!("{}/v1/enroll", relay.url()), &request)
            .await;
        assert_eq!(answer.status, 200, "{runtime}: {}", answer.text());
    }
}

#[tokio::test]
async fn refuses_what_is_malformed_and_keeps_the_token() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let http = Http::new();
    let url = format!("{}/v1/enroll", relay.url());
    let good = json!({
        "fleet_id": operator.fleet_id,
        "token": operator.enrollment_token().await,
        "display_name": "Malformed",
        "runtime": "custom",
    });
    for (field, value) in [
        ("fleet_id", json!(null)),
        ("token", json!(null)),
        ("display_name", json!(null)),
        ("display_name", json!("")),
        ("display_name", json!(7)),
        ("runtime", json!(null)),
        ("runtime", json!("not a slug")),
        ("hostname", json!(["a"])),
        ("capabilities", json!("draft")),
        ("capabilities", json!([1])),
        ("identity_public_key", json!("k".repeat(129))),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        http.post(&url, &bad).await.invalid(field);
    }
    for text in ["", "{", "[]", "\"text\"", "{\"a\":1}x", "null"] {
        let headers = [("content-type".to_string(), "application/json".to_string())];
        let answer = http
            .send("POST", &url, &headers, text.to_string().into())
            .await;
        assert_eq!(answer.status, 400, "{text:?}: {}", answer.text());
        assert_eq!(
            answer.code(),
            "validation_failed",
            "{text:?}: {}",
            answer.text()
        );
    }
    // None of that used the token up.
    http.post(&url, &good).await.ok();
    http.post(&url, &good)
        .await
        .refused(400, "invalid or expired token", "invalid_token");
}

#[tokio::test]
async fn refuses_wrong_tokens_and_fleets() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let http = Http::new();
    let url = format!("{}/v1/enroll", relay.url());
    let token = operator.enrollment_token().await;
    for (fleet_id, token) in [
        (operator.fleet_id.as_str(), "ent_unknown"),
        ("flt_unknown", token.as_str()),
        (operator.fleet_id.as_str(), operator.token.as_str()),
    ] {
        let request = json!({ "fleet_id": fleet_id, "token": token, "display_name": "x", "runtime": "custom" });
        http.post(&url, &request)
            .await
            .refused(400, "invalid or expired token", "invalid_token");
    }
}

#[tokio::test]
async fn a_token_expires() {
    let relay = Relay::builder()
        .env("EKHO_ENROLLMENT_TOKEN_SECONDS", 1)
        .start()
        .await;
    let operator = relay.operator().await;
    let token = operator.enrollment_token().await;
    let over_ms = now_ms() + 1100;
    poll_until(DEADLINE, &iso(over_ms), async || {
        (now_ms() > over_ms).then_some(())
    })
    .await;
    let request = json!({
        "fleet_id": operator.fleet_id,
        "token": token,
        "display_name": "late",
        "runtime": "custom",
    });
    let answer = Http::new()
        .post(&format!("{}/v1/enroll", relay.url()), &request)
        .await;
    answer.refused(400, "invalid or expired token", "invalid_token");
}

#[tokio::test]
async fn a_token_admits_one_of_many_at_once() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let request = json!({
        "fleet_id": operator.fleet_id,
        "token": operator.enrollment_token().await,
        "display_name": "one-of-many",
        "runtime": "custom",
    });
    let http = Http::new();
    let url = format!("{}/v1/enroll", relay.url());
    let claims = (0..20).map(|_| http.post(&url, &request));
    let answers = futures::future::join_all(claims).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(400, "invalid or expired token", "invalid_token");
    }
    let agents = operator
        .get("/v1/operator/agents?search=one-of-many")
        .await
        .ok();
    assert_eq!(agents["total"], 1);
}

#[tokio::test]
async fn a_fleet_has_room_for_so_many_agents() {
    let relay = Relay::builder().env("EKHO_MAX_AGENTS", 2).start().await;
    let operator = relay.operator().await;
    operator.enrol("one").await;
    operator.enrol("two").await;
    let request = json!({
        "fleet_id": operator.fleet_id,
        "token": operator.enrollment_token().await,
        "display_name": "three",
        "runtime": "custom",
    });
    let url = format!("{}/v1/enroll", relay.url());
    let answer = Http::new().post(&url, &request).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "limit_reached"),
        "{}",
        answer.text()
    );
    // The token is still good for when there is room.
    operator
        .put("/v1/operator/settings", &json!({ "max_agents": 3 }))
        .await
        .ok();
    Http::new().post(&url, &request).await.ok();
}
