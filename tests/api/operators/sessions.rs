//! Login, logout, and what a bearer token is good for

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_id, assert_time};
use crate::support::{DEADLINE, Http, Operator, Relay, poll_until, shared};

fn login(relay: &Relay) -> Value {
    let known = relay.credentials();
    json!({ "fleet_name": known.fleet_name, "email": known.email, "password": known.password })
}

#[tokio::test]
async fn the_owner_signs_in() {
    let relay = shared().await;
    let http = Http::new();
    let url = format!("{}/v1/operator/login", relay.url());
    let answer = http.post(&url, &login(&relay)).await.ok();
    assert_fields(&answer, &["token", "fleet_id"]);
    assert_eq!(
        assert_id(&answer["fleet_id"], "flt_"),
        relay.credentials().fleet_id
    );
    assert!(
        answer["token"]
            .as_str()
            .is_some_and(|token| token.len() >= 32)
    );
    assert_time(&answer["expires_at"]);
    // Addresses of mail are the same in capitals.
    let mut shouted = login(&relay);
    shouted["email"] = json!("OWNER@Example.ORG");
    http.post(&url, &shouted).await.ok();
}

#[tokio::test]
async fn whatever_is_wrong_is_told_alike() {
    let relay = shared().await;
    let http = Http::new();
    let url = format!("{}/v1/operator/login", relay.url());
    let mut bodies = Vec::new();
    for (field, value) in [
        ("password", "wrong-password"),
        ("email", "nobody@example.org"),
        ("fleet_name", "nowhere"),
        ("password", "OWNER-PASSWORD-of-another-case"),
    ] {
        let mut wrong = login(&relay);
        wrong[field] = json!(value);
        let mut body = http.post(&url, &wrong).await.refused(
            401,
            "invalid credentials",
            "invalid_credentials",
        );
        body["request_id"].take();
        bodies.push(body);
    }
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:?}"
    );
    for (field, value) in [
        ("password", json!("1234567")),
        ("password", json!(null)),
        ("email", json!("")),
        ("email", json!(1)),
        ("fleet_name", json!(null)),
        ("password", json!("p".repeat(1025))),
    ] {
        let mut bad = login(&relay);
        bad[field] = value;
        http.post(&url, &bad).await.invalid(field);
    }
}

#[tokio::test]
async fn a_logout_ends_the_session_at_once_and_only_it() {
    let relay = shared().await;
    let (one, two) = (relay.operator().await, relay.operator().await);
    assert_ne!(one.token, two.token);
    assert_eq!(
        one.post("/v1/operator/logout", &json!({})).await.ok(),
        json!({ "ok": true })
    );
    for target in ["/v1/operator/agents", "/v1/operator/settings"] {
        let answer = one.get(target).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "not_signed_in"),
            "{}",
            answer.text()
        );
        two.get(target).await.ok();
    }
    assert_eq!(
        one.post("/v1/operator/enrollment-tokens", &json!({}))
            .await
            .status,
        401
    );
    assert_eq!(
        one.post("/v1/operator/logout", &json!({})).await.status,
        401
    );
}

#[tokio::test]
async fn sessions_survive_a_restart_and_logouts_too() {
    let mut relay = Relay::start().await;
    let (kept, ended) = (relay.operator().await, relay.operator().await);
    ended.post("/v1/operator/logout", &json!({})).await.ok();
    relay.kill();
    relay.boot().await;
    kept.get("/v1/operator/agents").await.ok();
    assert_eq!(ended.get("/v1/operator/agents").await.status, 401);
}

#[tokio::test]
async fn a_session_expires() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    operator
        .put("/v1/operator/settings", &json!({ "session_ms": 1000 }))
        .await
        .ok();
    let short = relay.operator().await;
    poll_until(DEADLINE, "the session's end", async || {
        let answer = short.get("/v1/operator/agents").await;
        (answer.status == 401).then_some(())
    })
    .await;
    operator.get("/v1/operator/agents").await.ok();
}

#[tokio::test]
async fn only_a_session_is_a_session() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["agent"]).await;
    let enrollment_token = operator.enrollment_token().await;
    for token in [
        "",
        "x",
        enrollment_token.as_str(),
        agent.secret.as_str(),
        agent.id.as_str(),
        &operator.token[..operator.token.len() - 1],
        &operator.token.to_uppercase(),
        &"t".repeat(5000),
    ] {
        let imposter = Operator {
            token: token.to_string(),
            ..operator.clone()
        };
        let answer = imposter.get("/v1/operator/agents").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "not_signed_in"),
            "{token:?}"
        );
    }
    let url = format!("{}/v1/operator/agents", relay.url());
    for value in [
        operator.token.clone(),
        format!("Basic {}", operator.token),
        "Bearer".into(),
    ] {
        let headers = [("authorization".to_string(), value)];
        let answer = operator.http.send("GET", &url, &headers, "".into()).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    // The name of the scheme is the same in capitals.
    let headers = [(
        "authorization".to_string(),
        format!("BEARER {}", operator.token),
    )];
    operator
        .http
        .send("GET", &url, &headers, "".into())
        .await
        .ok();
    // Nor is a token in the query.
    let url = format!(
        "{url}?token={}&authorization=Bearer%20{}",
        operator.token, operator.token
    );
    assert_eq!(operator.http.get(&url).await.status, 401);
}
