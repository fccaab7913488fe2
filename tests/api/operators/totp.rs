//! The second factor at sign-in: codes of an authenticator, recovery codes

use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::checks::{assert_fields, assert_id, assert_time};
use crate::support::{Answer, DEADLINE, Http, Operator, Relay, now_ms, poll_until, shared, uuid};

pub const PASSWORD: &str = "correct-horse-battery";

/// An operator with an authenticator.
pub struct Person {
    operator: Operator,
    id: String,
    pub email: String,
    authenticator: Totp,
    /// The time that codes are counted from.
    began_s: i64,
    pub recovery_codes: Vec<String>,
}

/// Waits until the step of time has some seconds left, so that what a test calls the step before is
/// still accepted when it comes; the time.
async fn young_step() -> i64 {
    poll_until(DEADLINE, "a young step", async || {
        let now_s = now_ms() / 1000;
        (now_s % 30 < 20).then_some(now_s)
    })
    .await
}

/// What an authenticator does with the secret it is shown.
fn authenticator(begun: &Value) -> Totp {
    let secret = begun["secret"].as_str().expect("a secret");
    let url = begun["otpauth_url"].as_str().expect("a URL");
    let scanned = Totp::from_url(url).expect("a URL that authenticators read");
    let typed = Secret::try_from_base32(secret).expect("base 32");
    assert_eq!(scanned.secret(), &typed);
    assert_eq!(scanned.issuer(), Some("Ekho test"));
    let typed = Builder::new().with_secret(typed).build();
    typed.expect("a secret of enough bits")
}

impl Person {
    /// An operator without a second factor, and the beginning of one.
    async fn begun(relay: &Relay) -> Person {
        let owner = relay.operator().await;
        let email = format!("{}@example.org", uuid());
        let body = json!({ "email": email, "password": PASSWORD, "role": "viewer" });
        let made = owner.post("/v1/operator/operators", &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let id = assert_id(&made.json()["operator_id"], "opr_").to_string();
        let signed_in = sign_in(relay, &email, json!({})).await.ok();
        let operator = Operator {
            token: signed_in["token"].as_str().expect("a token").into(),
            ..owner
        };
        let begun = operator
            .post("/v1/operator/totp", &json!({ "password": PASSWORD }))
            .await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        let begun = begun.json();
        assert_fields(&begun, &["secret", "otpauth_url"]);
        Person {
            operator,
            id,
            email,
            authenticator: authenticator(&begun),
            began_s: young_step().await,
            recovery_codes: Vec::new(),
        }
    }

    /// An operator whose second factor is asked for. The code of the step before this one is used.
    pub async fn enabled(relay: &Relay) -> Person {
        let mut person = Person::begun(relay).await;
        let confirmed = person.confirm(&person.code(-1)).await.ok();
        let codes = confirmed["recovery_codes"].as_array().expect("codes");
        assert_eq!(codes.len(), 10);
        person.recovery_codes = codes
            .iter()
            .map(|code| code.as_str().expect("a code").to_string())
            .collect();
        person
    }

    /// The authenticator's code for a step from when the test began.
    pub fn code(&self, steps: i64) -> String {
        let at_s = u64::try_from(self.began_s + 30 * steps).expect("a time after 1970");
        self.authenticator.generate(at_s).to_string()
    }

    /// The authenticator's code for the step of now, or for so many steps ahead.
    pub fn code_now(&self, ahead: i64) -> String {
        let at_s = u64::try_from(now_ms() / 1000 + 30 * ahead).expect("a time after 1970");
        self.authenticator.generate(at_s).to_string()
    }

    async fn confirm(&self, code: &str) -> Answer {
        let body = json!({ "totp_code": code });
        self.operator.post("/v1/operator/totp/confirm", &body).await
    }

    pub async fn sign_in(&self, relay: &Relay, more: Value) -> Answer {
        sign_in(relay, &self.email, more).await
    }
}

async fn sign_in(relay: &Relay, email: &str, more: Value) -> Answer {
    let url = format!("{}/v1/operator/login", relay.url());
    let fleet_name = relay.credentials().fleet_name;
    let mut body = json!({ "fleet_name": fleet_name, "email": email, "password": PASSWORD });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    Http::new().post(&url, &body).await
}

fn assert_wrong(answer: &Answer) {
    answer.refused(401, "invalid credentials", "invalid_credentials");
}

fn assert_needed(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "totp_required"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn it_counts_once_a_code_came_back() {
    let relay = shared().await;
    let person = Person::begun(&relay).await;
    let stands = person.operator.get("/v1/operator/totp").await.ok();
    let none = json!({ "enabled": false, "enabled_at": null, "recovery_codes_left": 0 });
    assert_eq!(stands, none);
    person.sign_in(&relay, json!({})).await.ok();
    // A code of another day's step, none at all, or one of the wrong kind.
    for wrong in [
        person.code(-5000),
        "".into(),
        "12345".into(),
        "1234567".into(),
    ] {
        person.confirm(&wrong).await.invalid("totp_code");
    }
    person.sign_in(&relay, json!({})).await.ok();

    let confirmed = person.confirm(&person.code(-1)).await.ok();
    assert_fields(&confirmed, &["ok", "recovery_codes"]);
    let stands = person.operator.get("/v1/operator/totp").await.ok();
    assert_eq!(
        (&stands["enabled"], &stands["recovery_codes_left"]),
        (&json!(true), &json!(10))
    );
    assert_time(&stands["enabled_at"]);
    assert_needed(&person.sign_in(&relay, json!({})).await);
    let again = person.confirm(&person.code(0)).await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));
    let again = person
        .operator
        .post("/v1/operator/totp", &json!({ "password": PASSWORD }))
        .await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));
    // The sessions that were there stay.
    person.operator.get("/v1/operator/me").await.ok();
}

#[tokio::test]
async fn a_code_lets_in_once() {
    let relay = shared().await;
    let person = Person::enabled(&relay).await;
    let used = json!({ "totp_code": person.code(-1) });
    assert_wrong(&person.sign_in(&relay, used).await);
    // Of two who come with the same code at once, one gets in.
    let code = json!({ "totp_code": person.code(0) });
    let (one, two) = tokio::join!(
        person.sign_in(&relay, code.clone()),
        person.sign_in(&relay, code.clone())
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
    assert_wrong(&person.sign_in(&relay, code).await);
    person
        .sign_in(&relay, json!({ "totp_code": person.code(1) }))
        .await
        .ok();
}

#[tokio::test]
async fn a_used_code_stays_used_after_a_restart() {
    let mut relay = Relay::start().await;
    let person = Person::enabled(&relay).await;
    let code = json!({ "totp_code": person.code(0) });
    person.sign_in(&relay, code.clone()).await.ok();
    relay.kill();
    relay.boot().await;
    assert_wrong(&person.sign_in(&relay, code).await);
    assert_needed(&person.sign_in(&relay, json!({})).await);
    person
        .sign_in(&relay, json!({ "totp_code": person.code(1) }))
        .await
        .ok();
}

#[tokio::test]
async fn recovery_codes_stand_in_once_each() {
    let relay = shared().await;
    let person = Person::enabled(&relay).await;
    let with = |code: &str| json!({ "recovery_code": code });
    let [first, second, ..] = person.recovery_codes.as_slice() else {
        panic!("{:?}", person.recovery_codes)
    };
    person.sign_in(&relay, with(first)).await.ok();
    assert_wrong(&person.sign_in(&relay, with(first)).await);
    assert_wrong(
        &person
            .sign_in(&relay, with("00000-00000-00000-00000"))
            .await,
    );
    let typed = second.to_uppercase().replace('-', " ");
    person.sign_in(&relay, with(&typed)).await.ok();
    let stands = person.operator.get("/v1/operator/totp").await.ok();
    assert_eq!(stands["recovery_codes_left"], 8);
    let both = json!({ "recovery_code": first, "totp_code": person.code(0) });
    person.sign_in(&relay, both).await.invalid("recovery_code");
    for (field, value) in [
        ("totp_code", json!("1234567")),
        ("totp_code", json!(123456)),
        ("recovery_code", json!("")),
        ("recovery_code", json!("x".repeat(65))),
    ] {
        let mut body = json!({});
        body[field] = value;
        person.sign_in(&relay, body).await.invalid(field);
    }
}

#[tokio::test]
async fn wrong_codes_lock_the_account() {
    let relay = Relay::start().await;
    let person = Person::enabled(&relay).await;
    // The right password alone is no failure.
    for _ in 0..11 {
        assert_needed(&person.sign_in(&relay, json!({})).await);
    }
    for _ in 0..10 {
        let wrong = json!({ "totp_code": person.code(-5000) });
        assert_wrong(&person.sign_in(&relay, wrong).await);
    }
    let right = json!({ "totp_code": person.code(0) });
    let locked = person.sign_in(&relay, right).await;
    assert_eq!(
        (locked.status, locked.code().as_str()),
        (429, "locked_out"),
        "{}",
        locked.text()
    );
}

#[tokio::test]
async fn it_is_disabled_with_password_and_code() {
    let relay = shared().await;
    let person = Person::enabled(&relay).await;
    let disable = async |body: Value| {
        person
            .operator
            .post("/v1/operator/totp/disable", &body)
            .await
    };
    assert_needed(&disable(json!({ "password": PASSWORD })).await);
    let wrong = json!({ "password": "another-password", "totp_code": person.code(0) });
    assert_wrong(&disable(wrong).await);
    let used = json!({ "password": PASSWORD, "totp_code": person.code(-1) });
    assert_wrong(&disable(used).await);
    disable(json!({ "totp_code": person.code(0) }))
        .await
        .invalid("password");
    assert_needed(&person.sign_in(&relay, json!({})).await);
    disable(json!({ "password": PASSWORD, "totp_code": person.code(0) }))
        .await
        .ok();
    person.sign_in(&relay, json!({})).await.ok();
    let again = disable(json!({ "password": PASSWORD })).await;
    assert_eq!((again.status, again.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn an_owner_resets_it_and_nobody_else() {
    let relay = shared().await;
    let person = Person::enabled(&relay).await;
    let other = Person::begun(&relay).await;
    let target = format!("/v1/operator/operators/{}/totp", person.id);
    let answer = other.operator.call("DELETE", &target, None).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    assert_needed(&person.sign_in(&relay, json!({})).await);
    let owner = relay.operator().await;
    owner.call("DELETE", &target, None).await.ok();
    person.sign_in(&relay, json!({})).await.ok();
    let again = owner.call("DELETE", &target, None).await;
    assert_eq!((again.status, again.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn setting_it_up_takes_the_password_and_a_login() {
    let relay = shared().await;
    let person = Person::begun(&relay).await;
    let wrong = json!({ "password": "another-password" });
    assert_wrong(&person.operator.post("/v1/operator/totp", &wrong).await);
    person
        .operator
        .post("/v1/operator/totp", &json!({}))
        .await
        .invalid("password");
    let body = json!({ "name": "ci", "scopes": ["read"] });
    let made = person.operator.post("/v1/operator/tokens", &body).await;
    let program = Operator {
        token: made.json()["token"].as_str().expect("a token").into(),
        ..person.operator.clone()
    };
    let begun = json!({ "password": PASSWORD });
    for (target, body) in [
        ("/v1/operator/totp", &begun),
        ("/v1/operator/totp/disable", &begun),
        (
            "/v1/operator/totp/confirm",
            &json!({ "totp_code": person.code(0) }),
        ),
    ] {
        let answer = program.post(target, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "login_only"),
            "{target}: {}",
            answer.text()
        );
    }
    // Nothing of it is kept in the clear.
    let secret = person.authenticator.secret().to_base32();
    let log = relay.log();
    assert!(!log.contains(&secret), "the secret is in the log");
}
