//! Sign-in by a real OpenID provider, the browser's part done over HTTP

mod browser;
mod provider;

use serde_json::{Value, json};

use crate::support::{Answer, DEADLINE, Http, Relay, RelayBuilder, poll_until, shared};
use browser::{Browser, another, with_parameter};
use provider::{SECRET, new_login, provider};

const PASSWORD: &str = "correct-horse-battery";

/// A relay that knows the provider as the client of this name.
fn relay(client_id: &str) -> RelayBuilder {
    Relay::builder()
        .env("EKHO_OIDC_ISSUER", &provider().issuer)
        .env("EKHO_OIDC_CLIENT_ID", client_id)
        .env("EKHO_OIDC_CLIENT_SECRET", SECRET)
}

/// One that adds whom the provider vouches for.
fn welcoming() -> RelayBuilder {
    relay("ekho").env("EKHO_OIDC_DEFAULT_ROLE", "viewer")
}

/// Somebody whose email the provider has verified.
async fn person() -> String {
    let login = new_login();
    let claims = json!({ "email": login, "email_verified": true });
    provider().knows(&login, &json!({ "claims": claims })).await;
    login
}

/// Somebody about whom the provider's token says something else than it would.
async fn forged(forge: Value) -> String {
    let login = new_login();
    let claims = json!({ "email": login, "email_verified": true });
    let account = json!({ "claims": claims, "forge": forge });
    provider().knows(&login, &account).await;
    login
}

fn assert_in(answer: &Answer, goes_to: &str) {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.headers.get("location").map(|it| it.as_bytes());
    assert_eq!(location, Some(goes_to.as_bytes()));
}

fn assert_out(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{}",
        answer.text()
    );
    let cookies = answer.headers.get_all("set-cookie");
    assert!(
        cookies
            .iter()
            .all(|it| !it.as_bytes().starts_with(b"ekho_session=")),
        "no session begins"
    );
}

#[tokio::test]
async fn an_operator_signs_in() {
    let relay = relay("ekho").shared().await;
    let login = person().await;
    let owner = relay.operator().await;
    let new = json!({ "email": login.to_uppercase(), "password": PASSWORD, "role": "operator" });
    owner.post("/v1/operator/operators", &new).await.ok();

    let mut browser = Browser::default();
    let query = "?return_to=/ui/agents%3Fstatus%3Dpaused";
    let answer = browser.sign_in(&relay.url(), query, &login).await;
    assert_in(&answer, "/ui/agents?status=paused");
    let cookies: Vec<&str> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .filter_map(|it| it.to_str().ok())
        .collect();
    let session = cookies.iter().find(|it| it.starts_with("ekho_session="));
    let session = session.expect("a session");
    assert!(
        session.contains("HttpOnly") && session.contains("SameSite=Strict"),
        "{session}"
    );
    let me = browser.me(&relay.url()).await.ok();
    assert_eq!(
        (&me["email"], &me["role"], &me["session"]["method"]),
        (&json!(login), &json!("operator"), &json!("oidc"))
    );
    assert_eq!(me["session"]["user_agent"], "test browser");
    // Known at the provider already; by default one goes to the console.
    let again = browser.sign_in(&relay.url(), "", &login).await;
    assert_in(&again, "/ui/");
}

#[tokio::test]
async fn the_browsers_part_is_kept_from_scripts_and_other_sites() {
    let relay = relay("ekho").shared().await;
    let mut browser = Browser::default();
    let start = format!("{}/v1/operator/oidc/login", relay.url());
    let answer = browser.visit(&start.parse().expect("a URL"), None).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.headers["set-cookie"].to_str().expect("a cookie");
    for attribute in [
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=600",
        "Path=/v1/operator/oidc",
    ] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    let location = answer.headers["location"].to_str().expect("a location");
    let goes_to: reqwest::Url = location.parse().expect("a URL");
    let query: std::collections::HashMap<_, _> = goes_to.query_pairs().into_owned().collect();
    let expected = [
        ("response_type", "code"),
        ("client_id", "ekho"),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in expected {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    // What must come back is in the cookie, and nobody reads it there.
    for secret in ["state", "nonce", "code_challenge"] {
        assert!(query[secret].len() >= 43, "{secret}");
        assert!(!cookie.contains(&query[secret]), "{secret}");
    }
}

#[tokio::test]
async fn whoever_is_no_operator_stays_out_unless_they_are_welcome() {
    let closed = relay("ekho").shared().await;
    let login = person().await;
    let answer = Browser::default().sign_in(&closed.url(), "", &login).await;
    assert_out(&answer, 403, "no_operator");

    let open = welcoming().shared().await;
    let mut browser = Browser::default();
    assert_in(&browser.sign_in(&open.url(), "", &login).await, "/ui/");
    let me = browser.me(&open.url()).await.ok();
    assert_eq!(
        (&me["email"], &me["role"]),
        (&json!(login), &json!("viewer"))
    );
    // The same one the next time; and without a password, none opens the account.
    let mut other = Browser::default();
    assert_in(&other.sign_in(&open.url(), "", &login).await, "/ui/");
    let again = other.me(&open.url()).await.ok();
    assert_eq!(again["operator_id"], me["operator_id"]);
    let url = format!("{}/v1/operator/login", open.url());
    let fleet_name = open.credentials().fleet_name;
    let body = json!({ "fleet_name": fleet_name, "email": login, "password": PASSWORD });
    let answer = Http::new().post(&url, &body).await;
    answer.refused(401, "invalid credentials", "invalid_credentials");
    let owner = open.operator().await;
    let events = owner
        .get("/v1/operator/events?type=operator.created&limit=100")
        .await
        .ok();
    let created = events["events"].as_array().expect("events").iter();
    let created = created.filter(|event| event["resource_id"] == me["operator_id"]);
    let payloads: Vec<&Value> = created.map(|event| &event["payload"]).collect();
    assert_eq!(payloads.len(), 1);
    assert_eq!(payloads[0]["by"], "oidc");
    assert_eq!(payloads[0]["subject"], json!(login));
}

#[tokio::test]
async fn groups_decide_the_role_at_each_sign_in() {
    let relay = relay("ekho")
        .env("EKHO_OIDC_SCOPES", "openid email groups")
        .env("EKHO_OIDC_ROLES", "owner=admins, operator=ops")
        .shared()
        .await;
    let login = new_login();
    let in_groups = async |groups: Value| {
        let claims = json!({ "email": login, "email_verified": true, "groups": groups });
        provider().knows(&login, &json!({ "claims": claims })).await;
        let mut browser = Browser::default();
        let answer = browser.sign_in(&relay.url(), "", &login).await;
        (browser, answer)
    };
    let (_, answer) = in_groups(json!(["others"])).await;
    assert_out(&answer, 401, "oidc_refused");
    for (groups, role) in [
        (json!(["others", "ops"]), "operator"),
        (json!(["ops", "admins"]), "owner"),
        (json!("ops"), "operator"),
    ] {
        let (mut browser, answer) = in_groups(groups.clone()).await;
        assert_in(&answer, "/ui/");
        let me = browser.me(&relay.url()).await.ok();
        assert_eq!(me["role"], role, "{groups}");
    }
    // Out of all groups is out, though they are an operator.
    let (_, answer) = in_groups(json!([])).await;
    assert_out(&answer, 401, "oidc_refused");
}

#[tokio::test]
async fn an_email_counts_when_it_is_verified() {
    let relay = welcoming().shared().await;
    let login = new_login();
    for claims in [
        json!({ "email": login, "email_verified": false }),
        json!({ "email": login }),
        json!({ "email_verified": true }),
        json!({ "email": "", "email_verified": true }),
    ] {
        let account = json!({ "claims": claims });
        provider().knows(&login, &account).await;
        let answer = Browser::default().sign_in(&relay.url(), "", &login).await;
        assert_out(&answer, 401, "oidc_refused");
    }
}

#[tokio::test]
async fn a_callback_belongs_to_the_browser_that_began() {
    let relay = welcoming().shared().await;
    let url = relay.url();
    let login = person().await;
    let mut browser = Browser::default();
    let back = browser.back_from_provider(&url, "", &login).await;

    // Without the cookie, with another browser's, or with one that was changed.
    assert_out(
        &Browser::default().visit(&back, None).await,
        400,
        "oidc_flow",
    );
    let (mut other, other_back) = another(&url).await;
    assert_out(&other.visit(&back, None).await, 400, "oidc_flow");
    let kept = browser.cookie(&url, "ekho_oidc").expect("a cookie");
    let mut changed = Browser::default();
    let mut bytes = kept.clone().into_bytes();
    bytes[40] = if bytes[40] == b'A' { b'B' } else { b'A' };
    let text = String::from_utf8(bytes).expect("a text");
    changed.set_cookie(&url, "ekho_oidc", &text);
    assert_out(&changed.visit(&back, None).await, 400, "oidc_flow");
    // With another state, or none.
    for state in [Some("x"), Some(""), None] {
        let wrong = with_parameter(&back, "state", state);
        let answer = browser.clone().visit(&wrong, None).await;
        assert_out(&answer, 400, "oidc_flow");
    }
    // A code that was made for another sign-in, and its verifier.
    let pairs: Vec<_> = other_back.query_pairs().into_owned().collect();
    let code = pairs.iter().find(|(name, _)| name == "code");
    let wrong = with_parameter(&back, "code", code.map(|(_, code)| code.as_str()));
    let answer = browser.clone().visit(&wrong, None).await;
    assert_out(&answer, 401, "oidc_refused");
    // No code, one that is none, and a refusal of the provider's.
    let answer = browser
        .clone()
        .visit(&with_parameter(&back, "code", None), None)
        .await;
    answer.invalid("code");
    let none = with_parameter(&back, "code", Some("guessed"));
    assert_out(
        &browser.clone().visit(&none, None).await,
        401,
        "oidc_refused",
    );
    let denied = with_parameter(&back, "error", Some("access_denied\r\n<b>"));
    let answer = browser.clone().visit(&denied, None).await;
    assert_out(&answer, 401, "oidc_refused");
    assert_eq!(answer.json()["error"], "the provider says access_deniedb");
    // Another provider's answer (RFC 9207).
    let mixed_up = with_parameter(&back, "iss", Some("https://evil.example"));
    let answer = browser.clone().visit(&mixed_up, None).await;
    assert_out(&answer, 401, "oidc_refused");

    // None of that used it up. What came back counts once.
    let mut copy = browser.clone();
    assert_in(&browser.visit(&back, None).await, "/ui/");
    assert_eq!(browser.cookie(&url, "ekho_oidc"), None);
    assert_out(&browser.visit(&back, None).await, 400, "oidc_flow");
    assert_out(&copy.visit(&back, None).await, 401, "oidc_refused");
}

#[tokio::test]
async fn a_token_must_be_the_providers_for_us_for_this_sign_in() {
    let relay = welcoming().shared().await;
    let now_s = support::now_ms() / 1000;
    for (what, forge) in [
        ("another nonce", json!({ "claims": { "nonce": "another" } })),
        ("no nonce", json!({ "claims": { "nonce": null } })),
        (
            "for another client",
            json!({ "claims": { "aud": "another" } }),
        ),
        ("for nobody", json!({ "claims": { "aud": null } })),
        (
            "for two, got by the other",
            json!({ "claims": { "aud": ["ekho", "another"], "azp": "another" } }),
        ),
        (
            "for two, got by nobody",
            json!({ "claims": { "aud": ["ekho", "another"], "azp": null } }),
        ),
        (
            "of another issuer",
            json!({ "claims": { "iss": "https://evil.example" } }),
        ),
        ("of no issuer", json!({ "claims": { "iss": null } })),
        ("expired", json!({ "claims": { "exp": now_s - 120 } })),
        ("without end", json!({ "claims": { "exp": null } })),
        ("not yet", json!({ "claims": { "nbf": now_s + 600 } })),
        ("about nobody", json!({ "claims": { "sub": null } })),
        (
            "about another than the userinfo",
            json!({ "claims": { "sub": "somebody else" } }),
        ),
        ("not signed", json!({ "algorithm": "none" })),
        (
            "signed with the client's secret",
            json!({ "algorithm": "HS256" }),
        ),
        ("signed by somebody", json!({ "key": "unpublished" })),
        (
            "signed by somebody with a curve",
            json!({ "key": "unpublished", "algorithm": "ES256" }),
        ),
    ] {
        let login = forged(forge).await;
        let answer = Browser::default().sign_in(&relay.url(), "", &login).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "oidc_refused"),
            "{what}: {}",
            answer.text()
        );
    }
    for (what, forge) in [
        ("as it is", json!({})),
        ("with a curve", json!({ "algorithm": "ES256" })),
        (
            "a clock that is off a little",
            json!({ "claims": { "exp": now_s - 10 } }),
        ),
        (
            "for two, got by us",
            json!({ "claims": { "aud": ["another", "ekho"], "azp": "ekho" } }),
        ),
    ] {
        let login = forged(forge).await;
        let answer = Browser::default().sign_in(&relay.url(), "", &login).await;
        assert_eq!(answer.status, 303, "{what}: {}", answer.text());
    }
}

#[tokio::test]
async fn new_keys_of_the_provider_are_found() {
    let relay = welcoming().shared().await;
    let before = person().await;
    let answer = Browser::default().sign_in(&relay.url(), "", &before).await;
    assert_in(&answer, "/ui/");
    let login = forged(json!({ "key": "fresh" })).await;
    // Not at once: keys are not asked for at each token that names one.
    poll_until(DEADLINE, "a sign-in with the new key", async || {
        let answer = Browser::default().sign_in(&relay.url(), "", &login).await;
        if answer.status != 303 {
            assert_out(&answer, 401, "oidc_refused");
        }
        // Each time it is signed with a newer one.
        (answer.status == 303).then_some(())
    })
    .await;
}

#[tokio::test]
async fn other_clients_and_algorithms_work_as_well() {
    let login = person().await;
    let es256 = relay("ekho es256").env("EKHO_OIDC_DEFAULT_ROLE", "viewer");
    let public = Relay::builder()
        .env("EKHO_OIDC_ISSUER", &provider().issuer)
        .env("EKHO_OIDC_CLIENT_ID", "ekho-public")
        .env("EKHO_OIDC_DEFAULT_ROLE", "operator");
    for (builder, role) in [(es256, "viewer"), (public, "operator")] {
        let relay = builder.start().await;
        let mut browser = Browser::default();
        assert_in(&browser.sign_in(&relay.url(), "", &login).await, "/ui/");
        assert_eq!(browser.me(&relay.url()).await.ok()["role"], role);
    }
}

#[tokio::test]
async fn a_sign_in_outlives_the_process_that_began_it() {
    let mut relay = welcoming().start().await;
    let login = person().await;
    let mut browser = Browser::default();
    let back = browser.back_from_provider(&relay.url(), "", &login).await;
    relay.kill();
    relay.boot().await;
    assert_in(&browser.visit(&back, None).await, "/ui/");
    browser.me(&relay.url()).await.ok();
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let relay = relay("ekho").shared().await;
    let http = Http::new();
    for elsewhere in [
        "//evil.example",
        "https://evil.example/",
        "/%5Cevil.example",
        "ui",
        "",
        "/%0d%0aset-cookie:a=b",
    ] {
        let url = format!(
            "{}/v1/operator/oidc/login?return_to={elsewhere}",
            relay.url()
        );
        let answer = http.get(&url).await;
        answer.invalid("return_to");
        assert!(answer.headers.get("location").is_none());
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_fault_of_the_relay() {
    // Nobody listens there.
    let relay = Relay::builder()
        .env("EKHO_OIDC_ISSUER", "http://127.0.0.1:9")
        .env("EKHO_OIDC_CLIENT_ID", "ekho")
        .start()
        .await;
    let answer = relay.get("/v1/operator/oidc/login").await;
    assert_out(&answer, 503, "oidc_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    relay.operator().await;
    // Somebody else answers in its name.
    let relay = Relay::builder()
        .env("EKHO_OIDC_ISSUER", format!("{}/", provider().issuer))
        .env("EKHO_OIDC_CLIENT_ID", "ekho")
        .start()
        .await;
    let answer = relay.get("/v1/operator/oidc/login").await;
    assert_out(&answer, 503, "oidc_unavailable");
    assert!(
        relay.log().contains("that of another issuer"),
        "{}",
        relay.log()
    );
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_sign_in() {
    let relay = shared().await;
    for target in [
        "/v1/operator/oidc/login",
        "/v1/operator/oidc/callback?state=s&code=c",
    ] {
        assert_out(&relay.get(target).await, 404, "not_found");
    }
    let methods = relay.get("/v1/operator/sign-in-methods").await.ok();
    assert_eq!(methods["oidc"], false);
    let with = relay_with_provider().await;
    let methods = with.get("/v1/operator/sign-in-methods").await.ok();
    assert_eq!(
        (&methods["password"], &methods["oidc"]),
        (&json!(true), &json!(true))
    );
}

async fn relay_with_provider() -> support::Shared {
    relay("ekho").shared().await
}
