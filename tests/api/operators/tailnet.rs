//! Behind proxies: the client's address, and the person whom a tailnet names

use serde_json::{Value, json};

use crate::support::{Answer, Http, Operator, Relay, RelayBuilder, shared, uuid};

const LOGIN: &str = "tailscale-user-login";
const PASSWORD: &str = "correct-horse-battery";

/// A relay behind a proxy on this machine, which these tests are.
fn behind_proxy() -> RelayBuilder {
    Relay::builder().env("EKHO_TRUSTED_PROXIES", "127.0.0.1, ::1, 10.0.0.0/8")
}

fn by_tailnet() -> RelayBuilder {
    behind_proxy().env("EKHO_OPERATOR_TAILNET_LOGIN", "1")
}

async fn send(
    relay: &Relay,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let mut all = vec![("content-type".to_string(), "application/json".to_string())];
    let given = headers.iter();
    all.extend(given.map(|(name, value)| (name.to_string(), value.to_string())));
    let url = format!("{}{target}", relay.url());
    let body = match body {
        Value::Null => bytes::Bytes::new(),
        body => bytes::Bytes::from(body.to_string()),
    };
    Http::new().send(method, &url, &all, body).await
}

/// A try to sign in with a password, from an address as a proxy tells it.
async fn try_from(relay: &Relay, forwarded: &str, email: &str, password: &str) -> Answer {
    let fleet_name = relay.credentials().fleet_name;
    let body = json!({ "fleet_name": fleet_name, "email": email, "password": password });
    let headers = [("x-forwarded-for", forwarded)];
    send(relay, "POST", "/v1/operator/login", &headers, &body).await
}

/// Signs the owner in, from an address as a proxy tells it.
async fn owner_from(relay: &Relay, forwarded: &str) -> Operator {
    let known = relay.credentials();
    let answer = try_from(relay, forwarded, &known.email, &known.password).await;
    let token = answer.ok()["token"].as_str().expect("a token").to_string();
    Operator {
        token,
        fleet_id: known.fleet_id,
        relay_url: relay.url(),
        http: Http::new(),
    }
}

async fn address(operator: &Operator) -> Value {
    let me = operator.get("/v1/operator/me").await.ok();
    me["session"]["address"].clone()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let relay = behind_proxy().shared().await;
    for (forwarded, client) in [
        ("198.51.100.9", "198.51.100.9"),
        ("203.0.113.1, 198.51.100.9", "198.51.100.9"),
        ("203.0.113.1, 198.51.100.9, 10.0.0.7", "198.51.100.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("nonsense", "127.0.0.1"),
    ] {
        let operator = owner_from(&relay, forwarded).await;
        assert_eq!(address(&operator).await, client, "{forwarded}");
    }
    // Nobody else does.
    let relay = shared().await;
    let operator = owner_from(&relay, "198.51.100.9").await;
    assert_eq!(address(&operator).await, "127.0.0.1");
}

#[tokio::test]
async fn a_lock_holds_for_the_client_and_not_for_all_behind_the_proxy() {
    let relay = behind_proxy().start().await;
    let owner = owner_from(&relay, "198.51.100.1").await;
    let few = json!({ "login_failures_per_address": 2 });
    owner.put("/v1/operator/settings", &few).await.ok();
    for _ in 0..2 {
        // What the client adds itself does not make it another one.
        let forwarded = format!("{}, 198.51.100.2", uuid());
        let answer = try_from(&relay, &forwarded, "nobody@example.org", PASSWORD).await;
        answer.refused(401, "invalid credentials", "invalid_credentials");
    }
    let known = relay.credentials();
    let answer = try_from(&relay, "198.51.100.2", &known.email, &known.password).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "locked_out"),
        "{}",
        answer.text()
    );
    owner_from(&relay, "198.51.100.3").await;
}

#[tokio::test]
async fn the_tailnet_signs_an_operator_in() {
    let relay = by_tailnet().shared().await;
    let owner = relay.operator().await;
    let email = format!("{}@example.org", uuid());
    let new = json!({ "email": email, "password": PASSWORD, "role": "operator" });
    owner.post("/v1/operator/operators", &new).await.ok();
    let login = "/v1/operator/login/tailnet";
    let csrf = ("x-ekho-csrf", "1");
    let shouted = email.to_uppercase();
    let headers = [
        (LOGIN, shouted.as_str()),
        csrf,
        ("x-forwarded-for", "100.64.0.7"),
    ];

    let answer = send(&relay, "POST", login, &headers, &Value::Null)
        .await
        .ok();
    let person = Operator {
        token: answer["token"].as_str().expect("a token").into(),
        ..owner.clone()
    };
    let me = person.get("/v1/operator/me").await.ok();
    assert_eq!(
        (&me["email"], &me["role"]),
        (&json!(email), &json!("operator"))
    );
    assert_eq!(
        (&me["session"]["method"], &me["session"]["address"]),
        (&json!("tailnet"), &json!("100.64.0.7"))
    );
    let fleet_name = relay.credentials().fleet_name;
    let body = json!({ "cookie": true, "fleet_name": fleet_name });
    let answer = send(&relay, "POST", login, &headers, &body).await;
    assert!(answer.ok().get("token").is_none());
    let cookie = answer.headers["set-cookie"].to_str().expect("a cookie");
    assert!(cookie.starts_with("ekho_session="), "{cookie}");

    // Not without the header that other sites cannot send, not as nobody, not as a stranger, not
    // where two names come, and not to another fleet.
    let out = async |headers: &[(&str, &str)], body: &Value, status: u16, code: &str| {
        let answer = send(&relay, "POST", login, headers, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{headers:?}: {}",
            answer.text()
        );
    };
    out(&[(LOGIN, &email)], &json!({}), 403, "csrf").await;
    out(&[csrf], &json!({}), 403, "tailnet_required").await;
    out(
        &[csrf, (LOGIN, "eve@example.org")],
        &json!({}),
        403,
        "no_operator",
    )
    .await;
    let two = [csrf, (LOGIN, email.as_str()), (LOGIN, email.as_str())];
    out(&two, &json!({}), 403, "tailnet_required").await;
    let elsewhere = json!({ "fleet_name": "nowhere" });
    out(&headers, &elsewhere, 403, "no_operator").await;
    let answer = send(&relay, "POST", login, &headers, &json!({ "cookie": 1 })).await;
    answer.invalid("cookie");

    let methods = send(
        &relay,
        "GET",
        "/v1/operator/sign-in-methods",
        &headers[..1],
        &Value::Null,
    );
    let expected = json!({
        "password": true, "oidc": false, "tailnet": true, "tailnet_login": email,
    });
    assert_eq!(methods.await.ok(), expected);
}

#[tokio::test]
async fn nobody_names_themselves() {
    // Trusted is another machine than the one that these tests run on.
    let relay = Relay::builder()
        .env("EKHO_TRUSTED_PROXIES", "192.0.2.1")
        .env("EKHO_OPERATOR_TAILNET_LOGIN", "true")
        .shared()
        .await;
    let email = relay.credentials().email;
    let headers = [(LOGIN, email.as_str()), ("x-ekho-csrf", "1")];
    let target = "/v1/operator/login/tailnet";
    let answer = send(&relay, "POST", target, &headers, &Value::Null).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "tailnet_required")
    );
    let target = "/v1/operator/sign-in-methods";
    let methods = send(&relay, "GET", target, &headers, &Value::Null).await;
    assert_eq!(methods.ok()["tailnet_login"], Value::Null);
    // Nor where nobody said that the tailnet signs in.
    let relay = behind_proxy().shared().await;
    let target = "/v1/operator/login/tailnet";
    let answer = send(&relay, "POST", target, &headers, &Value::Null).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn the_operator_api_can_be_for_the_tailnet_only() {
    let relay = behind_proxy()
        .env("EKHO_OPERATOR_REQUIRE_TAILNET", "1")
        .env("EKHO_OPERATOR_TAILNET_USER", "ada@example.org, Bob@github")
        .start()
        .await;
    let known = relay.credentials();
    let body = json!({
        "fleet_name": known.fleet_name, "email": known.email, "password": known.password,
    });
    let login = "/v1/operator/login";
    let out = async |method: &str, target: &str, headers: &[(&str, &str)], body: &Value| {
        let answer = send(&relay, method, target, headers, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "tailnet_required"),
            "{target} {headers:?}: {}",
            answer.text()
        );
    };
    out("POST", login, &[], &body).await;
    out("POST", login, &[(LOGIN, "eve@example.org")], &body).await;
    out("GET", "/v1/operator/sign-in-methods", &[], &Value::Null).await;
    out("GET", "/v1/operator/agents", &[], &Value::Null).await;
    for user in ["ada@example.org", "bob@github"] {
        let answer = send(&relay, "POST", login, &[(LOGIN, user)], &body).await;
        let token = answer.ok()["token"].as_str().expect("a token").to_string();
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), (LOGIN, user)];
        let answer = send(&relay, "GET", "/v1/operator/me", &headers, &Value::Null).await;
        assert_eq!(answer.ok()["email"], known.email);
        // A session is nothing without the tailnet.
        out("GET", "/v1/operator/me", &headers[..1], &Value::Null).await;
    }
    // Agents and what watches over the relay come as before.
    for target in ["/healthz", "/readyz", "/metrics"] {
        relay.get(target).await;
    }
    let answer = send(&relay, "GET", "/v1/inbox", &[], &Value::Null).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "missing_auth_headers")
    );
}
