//! Operators, their roles, sessions and API tokens; throttled sign-in

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{Http, Operator, Relay, shared, uuid};

const PASSWORD: &str = "correct-horse-battery";

async fn sign_in(relay: &Relay, email: &str, password: &str) -> support::Answer {
    let url = format!("{}/v1/operator/login", relay.url());
    let fleet_name = relay.credentials().fleet_name;
    let body = json!({ "fleet_name": fleet_name, "email": email, "password": password });
    Http::new().post(&url, &body).await
}

/// Adds an operator and signs them in; their id with it.
async fn add(relay: &Relay, role: &str) -> (Operator, String, String) {
    let owner = relay.operator().await;
    let email = format!("{}@example.org", uuid());
    let body = json!({ "email": email, "password": PASSWORD, "role": role });
    let made = owner.post("/v1/operator/operators", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = assert_id(&made.json()["operator_id"], "opr_").to_string();
    let token = sign_in(relay, &email, PASSWORD).await.ok()["token"].clone();
    let operator = Operator {
        token: token.as_str().expect("a token").into(),
        ..owner
    };
    (operator, id, email)
}

async fn forbidden(operator: &Operator, method: &str, target: &str, body: &Value, scope: &str) {
    let answer = operator.call(method, target, Some(body)).await;
    let said = (answer.status, answer.code(), answer.json()["scope"].clone());
    assert_eq!(
        said,
        (403, "forbidden".into(), json!(scope)),
        "{method} {target}"
    );
}

#[tokio::test]
async fn roles_are_kept_to() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let (viewer, ..) = add(&relay, "viewer").await;
    let (operator, ..) = add(&relay, "operator").await;
    let pause = format!("/v1/operator/agents/{}/pause", agent.id);
    let reason = json!({ "reason": "r" });
    forbidden(&viewer, "POST", &pause, &reason, "agents").await;
    forbidden(
        &viewer,
        "POST",
        "/v1/operator/enrollment-tokens",
        &json!({}),
        "agents",
    )
    .await;
    operator.post(&pause, &reason).await.ok();
    for who in [&viewer, &operator] {
        who.get("/v1/operator/agents").await.ok();
        who.get("/v1/operator/operators").await.ok();
        let settings = json!({ "max_fan_out": 5 });
        forbidden(who, "PUT", "/v1/operator/settings", &settings, "settings").await;
        let new = json!({ "email": "x@example.org", "password": PASSWORD, "role": "owner" });
        forbidden(who, "POST", "/v1/operator/operators", &new, "operators").await;
    }
    let me = viewer.get("/v1/operator/me").await.ok();
    assert_eq!(me["role"], "viewer");
    assert_eq!(me["scopes"], json!(["read"]));
    assert_eq!(me["session"]["current"], true);
}

#[tokio::test]
async fn operators_are_added_changed_and_removed() {
    let relay = shared().await;
    let owner = relay.operator().await;
    let (person, id, email) = add(&relay, "viewer").await;
    let target = format!("/v1/operator/operators/{id}");
    let listed = owner.get("/v1/operator/operators").await.ok();
    let found = listed["operators"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["id"] == id.as_str()))
        .cloned();
    let found = found.expect("the new operator");
    assert_eq!(
        (&found["email"], &found["role"]),
        (&json!(email), &json!("viewer"))
    );
    assert_time(&found["created_at"]);
    assert!(found.get("password_hash").is_none());

    let again = json!({ "email": email.to_uppercase(), "password": PASSWORD, "role": "viewer" });
    let answer = owner.post("/v1/operator/operators", &again).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"));
    for (field, value) in [
        ("email", json!("")),
        ("password", json!("short")),
        ("role", json!("king")),
        ("role", json!(null)),
    ] {
        let mut bad = json!({ "email": "n@example.org", "password": PASSWORD, "role": "viewer" });
        bad[field] = value;
        owner
            .post("/v1/operator/operators", &bad)
            .await
            .invalid(field);
    }

    owner
        .put(&target, &json!({ "role": "operator" }))
        .await
        .ok();
    assert_eq!(person.get("/v1/operator/me").await.ok()["role"], "operator");
    owner
        .put(&target, &json!({ "password": "another-password" }))
        .await
        .ok();
    assert_eq!(
        person.get("/v1/operator/me").await.status,
        401,
        "logins end with the password"
    );
    sign_in(&relay, &email, PASSWORD).await.refused(
        401,
        "invalid credentials",
        "invalid_credentials",
    );
    sign_in(&relay, &email, "another-password").await.ok();

    owner.call("DELETE", &target, None).await.ok();
    sign_in(&relay, &email, "another-password").await.refused(
        401,
        "invalid credentials",
        "invalid_credentials",
    );
    assert_eq!(owner.call("DELETE", &target, None).await.status, 404);
    let me = owner.get("/v1/operator/me").await.ok();
    assert_id(&me["fleet_id"], "flt_");
    assert!(me["fleet_name"].is_string(), "{me}");
    assert_eq!(me["first_fleet"], true);
    let own = format!(
        "/v1/operator/operators/{}",
        me["operator_id"].as_str().expect("an id")
    );
    assert_eq!(
        owner.call("DELETE", &own, None).await.status,
        409,
        "the last owner"
    );
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let relay = shared().await;
    let (first, id, email) = add(&relay, "viewer").await;
    let token = sign_in(&relay, &email, PASSWORD).await.ok()["token"].clone();
    let second = Operator {
        token: token.as_str().expect("a token").into(),
        ..first.clone()
    };
    let listed = first.get("/v1/operator/sessions").await.ok();
    let sessions = listed["sessions"].as_array().expect("sessions").clone();
    assert_eq!(sessions.len(), 2, "{listed}");
    let other = sessions
        .iter()
        .find(|one| one["current"] == false)
        .expect("the other");
    assert_eq!(
        (&other["kind"], &other["address"]),
        (&json!("login"), &json!("127.0.0.1"))
    );
    let other = format!("/v1/operator/sessions/{}", assert_id(&other["id"], "ses_"));
    first.call("DELETE", &other, None).await.ok();
    assert_eq!(second.get("/v1/operator/me").await.status, 401);
    assert_eq!(first.call("DELETE", &other, None).await.status, 404);

    sign_in(&relay, &email, PASSWORD).await.ok();
    let ended = first
        .call("DELETE", "/v1/operator/sessions", None)
        .await
        .ok();
    assert_eq!(ended, json!({ "ok": true, "ended": 1 }));

    // Who manages operators sees and ends them too.
    let owner = relay.operator().await;
    let target = format!("/v1/operator/operators/{id}/sessions");
    assert_eq!(first.get(&target).await.status, 403);
    let listed = owner.get(&target).await.ok();
    let session = listed["sessions"][0]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    owner
        .call("DELETE", &format!("{target}/{session}"), None)
        .await
        .ok();
    assert_eq!(first.get("/v1/operator/me").await.status, 401);
}

#[tokio::test]
async fn a_password_is_changed_by_whom_it_belongs_to() {
    let relay = shared().await;
    let (person, _, email) = add(&relay, "viewer").await;
    let body =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let target = "/v1/operator/password";
    person
        .post(target, &body("wrong-password", "a-new-password"))
        .await
        .refused(401, "invalid credentials", "invalid_credentials");
    person
        .post(target, &body(PASSWORD, "short"))
        .await
        .invalid("new_password");
    person
        .post(target, &body(PASSWORD, "a-new-password"))
        .await
        .ok();
    person.get("/v1/operator/me").await.ok();
    sign_in(&relay, &email, "a-new-password").await.ok();
    sign_in(&relay, &email, PASSWORD).await.refused(
        401,
        "invalid credentials",
        "invalid_credentials",
    );
}

#[tokio::test]
async fn an_api_token_does_what_it_was_made_for() {
    let relay = shared().await;
    let (person, ..) = add(&relay, "operator").await;
    for (field, value) in [
        ("scopes", json!(["everything"])),
        ("scopes", json!([])),
        ("name", json!("")),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
    ] {
        let mut bad = json!({ "name": "ci", "scopes": ["agents"] });
        bad[field] = value;
        person
            .post("/v1/operator/tokens", &bad)
            .await
            .invalid(field);
    }
    let made = person
        .post(
            "/v1/operator/tokens",
            &json!({ "name": "ci", "scopes": ["agents"] }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let id = assert_id(&made["id"], "tok_").to_string();
    let program = Operator {
        token: made["token"].as_str().expect("a token").into(),
        ..person.clone()
    };
    program.enrollment_token().await;
    let read = program.get("/v1/operator/agents").await;
    assert_eq!(
        (read.status, read.code().as_str()),
        (403, "forbidden"),
        "it was not made for reading"
    );
    for (method, target, body) in [
        (
            "POST",
            "/v1/operator/tokens",
            json!({ "name": "n", "scopes": ["agents"] }),
        ),
        ("POST", "/v1/operator/logout", json!({})),
        ("DELETE", "/v1/operator/sessions", json!({})),
    ] {
        let answer = program.call(method, target, Some(&body)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "login_only"),
            "{method} {target}"
        );
    }
    person
        .call("DELETE", &format!("/v1/operator/sessions/{id}"), None)
        .await
        .ok();
    let answer = program
        .post("/v1/operator/enrollment-tokens", &json!({}))
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn guessing_a_password_comes_to_an_end() {
    let relay = Relay::start().await;
    let (_, _, email) = add(&relay, "viewer").await;
    let owner = relay.operator().await;
    let settings = json!({ "login_failures_per_account": 3 });
    owner.put("/v1/operator/settings", &settings).await.ok();
    for _ in 0..3 {
        sign_in(&relay, &email, "wrong-password").await.refused(
            401,
            "invalid credentials",
            "invalid_credentials",
        );
    }
    // Locked for the right password too, for others not, and across a restart.
    let locked = sign_in(&relay, &email, PASSWORD).await;
    assert_eq!((locked.status, locked.code().as_str()), (429, "locked_out"));
    let seconds = locked.json()["retry_after_seconds"]
        .as_u64()
        .expect("seconds");
    assert!((800..=900).contains(&seconds), "{seconds}");
    assert_eq!(
        locked.header("retry-after"),
        Some(seconds.to_string().as_str())
    );
    let mut relay = relay;
    relay.operator().await;
    relay.kill();
    relay.boot().await;
    assert_eq!(sign_in(&relay, &email, PASSWORD).await.status, 429);
    // Many at once are no way around it: no more are looked at than count, but for those that were
    // being looked at already.
    let (_, _, email) = add(&relay, "viewer").await;
    let tries = (0..12).map(|_| sign_in(&relay, &email, "wrong-password"));
    let answers = futures::future::join_all(tries).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((3..=4).contains(&looked_at), "{looked_at}");
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 401 | 429))
    );
}

#[tokio::test]
async fn a_browser_keeps_its_session_in_a_cookie() {
    let relay = shared().await;
    let (owner, _, email) = add(&relay, "operator").await;
    let url = |path: &str| format!("{}/v1/operator/{path}", relay.url());
    let body = json!({
        "fleet_name": relay.credentials().fleet_name,
        "email": email,
        "password": PASSWORD,
        "cookie": true,
    });
    let answer = owner.http.post(&url("login"), &body).await;
    assert_eq!(answer.ok().get("token"), None, "scripts do not see it");
    let set = answer.header("set-cookie").expect("a cookie").to_string();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "not over plain http: {set}");
    let cookie = set.split(';').next().expect("a pair").to_string();
    let with = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let mut headers = vec![("cookie".to_string(), format!("theme=dark; {cookie}"))];
        headers.extend(more.iter().map(|(n, v)| (n.to_string(), v.to_string())));
        headers
    };
    let send = async |method: &str, path: &str, headers: Vec<(String, String)>| {
        owner
            .http
            .send(method, &url(path), &headers, "".into())
            .await
    };
    send("GET", "me", with(&[])).await.ok();
    for method in ["POST", "DELETE"] {
        let path = if method == "POST" {
            "logout"
        } else {
            "sessions"
        };
        let forged = send(method, path, with(&[])).await;
        assert_eq!(
            (forged.status, forged.code().as_str()),
            (403, "csrf"),
            "{method}"
        );
    }
    // A bad token in the header is not made good by the cookie.
    let bad = with(&[("authorization", "Bearer x"), ("x-ekho-csrf", "1")]);
    assert_eq!(send("GET", "me", bad).await.status, 401);
    let out = send("POST", "logout", with(&[("x-ekho-csrf", "1")])).await;
    out.ok();
    assert!(
        out.header("set-cookie")
            .is_some_and(|set| set.contains("Max-Age=0"))
    );
    assert_eq!(send("GET", "me", with(&[])).await.status, 401);
}
