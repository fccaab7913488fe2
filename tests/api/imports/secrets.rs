//! The one request that shows a secret: where it counts, and what it changes.

use serde_json::json;

use super::fixture::{FLEET, OPAQUE, REVIEWER, REVOKED, WRITER, secret};
use super::{import, ready, scene};
use crate::support::{
    Agent, Answer, DEADLINE, Http, Operator, Relay, now_iso, poll_until, signature, uuid,
};
use crate::system::tls::certificate;

const SECRET: &str = "x-ekho-agent-secret";
/// What a proxy adds that nobody said to trust.
const FROM_FAR: (&str, &str) = ("x-forwarded-for", "192.0.2.1");
const BODY: &str = r#"{"status":"healthy"}"#;

fn agent(relay: &Relay, id: &str, secret: &str) -> Agent {
    Agent {
        id: id.into(),
        secret: secret.into(),
        relay_url: relay.url(),
        http: Http::new(),
    }
}

async fn beats(agent: &Agent, headers: &[(&str, &str)]) -> Answer {
    agent
        .call_with("POST", "/v1/heartbeats", BODY, headers)
        .await
}

async fn proven(operator: &Operator) -> usize {
    let events = operator
        .get("/v1/operator/events?type=agent&limit=100")
        .await
        .ok();
    let events = events["events"].as_array().expect("events").clone();
    let is_proof = |event: &&serde_json::Value| event["event_type"] == "agent.secret_proven";
    events.iter().filter(is_proof).count()
}

#[tokio::test]
async fn a_secret_is_shown_once_and_only_where_nobody_else_reads_it() {
    let (mut relay, operator, original) = scene().await;
    import(&relay, &original, &[]);
    let right = secret(WRITER);
    let writer = agent(&relay, WRITER, &right);
    let wrong = agent(&relay, WRITER, "sk_another");

    let refused = beats(&writer, &[]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "secret_not_shown")
    );
    let refused = beats(&writer, &[(SECRET, &right), FROM_FAR]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "secret_in_the_open")
    );
    let said = ("x-forwarded-proto", "https");
    let refused = beats(&writer, &[(SECRET, &right), said]).await;
    assert_eq!(
        refused.code(),
        "secret_in_the_open",
        "nobody said to trust that proxy"
    );
    // The secret of somebody else, and the right one with a signature of another.
    let refused = beats(&wrong, &[(SECRET, "sk_another")]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_signature")
    );
    let refused = beats(&wrong, &[(SECRET, &right)]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_signature")
    );
    assert_eq!(
        beats(&writer, &[]).await.code(),
        "secret_not_shown",
        "nothing has changed"
    );
    assert_eq!(proven(&operator).await, 0);

    beats(&writer, &[(SECRET, &right)]).await.ok();
    beats(&writer, &[FROM_FAR]).await.ok();
    // From now on the header is not looked at.
    beats(&writer, &[(SECRET, "sk_another"), FROM_FAR])
        .await
        .ok();
    let refused = beats(&wrong, &[(SECRET, &right)]).await;
    assert_eq!(refused.code(), "invalid_signature");
    assert_eq!(proven(&operator).await, 1);
    relay.restart().await;
    beats(&writer, &[]).await.ok();

    let unknown = agent(&relay, REVOKED, &secret(REVOKED));
    let refused = beats(&unknown, &[(SECRET, &secret(REVOKED))]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_credentials")
    );
    let opaque = agent(&relay, OPAQUE, &secret(OPAQUE));
    let refused = beats(&opaque, &[(SECRET, &secret(OPAQUE))]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "invalid_signature")
    );
}

#[tokio::test]
async fn many_first_requests_at_once_are_one_proof() {
    let (relay, operator, original) = scene().await;
    import(&relay, &original, &[]);
    let right = secret(WRITER);
    let writer = agent(&relay, WRITER, &right);
    let headers = [(SECRET, right.as_str())];
    let answers = (0..8).map(|_| beats(&writer, &headers));
    for answer in futures::future::join_all(answers).await {
        answer.ok();
    }
    assert_eq!(proven(&operator).await, 1);
}

#[tokio::test]
async fn a_trusted_proxy_says_whether_it_had_tls() {
    let relay = Relay::builder()
        .env("EKHO_TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    ready(&relay.operator().await).await;
    import(&relay, &super::Original::at_work(), &[]);
    let right = secret(WRITER);
    let writer = agent(&relay, WRITER, &right);
    let plain = [
        (SECRET, right.as_str()),
        FROM_FAR,
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(beats(&writer, &plain).await.code(), "secret_in_the_open");
    let tls = [
        (SECRET, right.as_str()),
        FROM_FAR,
        ("x-forwarded-proto", "https"),
    ];
    beats(&writer, &tls).await.ok();
}

#[tokio::test]
async fn an_agent_gets_in_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let mut relay = Relay::builder()
        .env("EKHO_TLS_CERT_PATH", cert.display())
        .env("EKHO_TLS_KEY_PATH", key.display())
        .set_up();
    relay.spawn();
    let original = super::Original::at_work();
    let path = original.path().to_str().unwrap().to_string();
    let cert_path = cert.to_str().unwrap().to_string();
    // A relay that is starting, or whose feature level has not risen yet, takes no import.
    poll_until(DEADLINE, "an import over TLS", async || {
        let output = relay.run(["import", "sqlite", &path, "--ca-file", &cert_path]);
        output.status.success().then_some(())
    })
    .await;
    let pem = std::fs::read(&cert).unwrap();
    ekho::server::choose_crypto();
    let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
    let client = reqwest::Client::builder()
        .add_root_certificate(trusted)
        .build()
        .unwrap();
    let call = async |shown: Option<&str>| {
        let (timestamp, nonce) = (now_iso(), uuid());
        let target = "/v1/heartbeats";
        let signed = signature(
            &secret(REVIEWER),
            "POST",
            target,
            &timestamp,
            &nonce,
            BODY.as_bytes(),
        );
        let mut request = client
            .post(format!("https://127.0.0.1:{}{target}", relay.port))
            // It did not come from this machine: only TLS speaks for it.
            .header(FROM_FAR.0, FROM_FAR.1)
            .header("x-ekho-agent-id", REVIEWER)
            .header("x-ekho-timestamp", timestamp)
            .header("x-ekho-nonce", nonce)
            .header("x-ekho-signature", signed)
            .body(BODY);
        if let Some(secret) = shown {
            request = request.header(SECRET, secret);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        (
            status,
            body["code"].as_str().unwrap_or_default().to_string(),
        )
    };
    // Reads signed before the leader began are refused, which only shows once the signature is right.
    let led = async |shown: Option<&str>| {
        poll_until(DEADLINE, "a leader", async || {
            let answer = call(shown).await;
            (answer.0 != 503 && answer.1 != "timestamp_before_leadership").then_some(answer)
        })
        .await
    };
    assert_eq!(led(None).await, (401, "secret_not_shown".into()));
    assert_eq!(
        led(Some("sk_another")).await,
        (401, "invalid_signature".into())
    );
    let done = (200, String::new());
    assert_eq!(led(Some(&secret(REVIEWER))).await, done);
    assert_eq!(led(None).await, done);
}

#[tokio::test]
async fn an_operator_gives_an_agent_a_new_secret() {
    let (relay, operator, original) = scene().await;
    import(&relay, &original, &[]);
    let old = secret(WRITER);
    let output = relay.run(["agents", "new-secret", WRITER, "--yes", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let issued: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let new = issued["secret"].as_str().unwrap();
    assert_eq!(issued["agent_id"], WRITER);
    beats(&agent(&relay, WRITER, new), &[]).await.ok();
    let refused = beats(&agent(&relay, WRITER, &old), &[(SECRET, &old)]).await;
    assert_eq!(refused.code(), "invalid_signature", "the hash is forgotten");

    // One that was never imported likewise, and the first one ends at once.
    let own = operator.enrol("own").await;
    let path = format!("/v1/operator/agents/{}/secret", own.id);
    let issued = operator.post(&path, &json!({})).await.ok();
    assert_eq!(issued["credential"], 2);
    assert_eq!(beats(&own, &[]).await.code(), "invalid_signature");
    beats(
        &agent(&relay, &own.id, issued["secret"].as_str().unwrap()),
        &[],
    )
    .await
    .ok();
    let nobody = operator
        .post("/v1/operator/agents/agent_x/secret", &json!({}))
        .await;
    assert_eq!(nobody.status, 404);
    // Without a terminal and without consent nothing is done.
    let output = relay.run(["agents", "new-secret", &own.id]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_token_handed_out_before_admits_one_agent() {
    let (relay, operator, original) = scene().await;
    original.token("ent_other", 60, false);
    import(&relay, &original, &[]);
    let enroll = async |fleet: &str, token: &str| {
        let who = json!({
            "fleet_id": fleet, "token": token, "display_name": "late", "runtime": "custom"
        });
        let url = format!("{}/v1/enroll", relay.url());
        Http::new().post(&url, &who).await
    };
    // What the old file holds is not the token.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("ent_good"));
    for token in ["ent_used", "ent_over", &digest, &format!("sha256:{digest}")] {
        let refused = enroll(FLEET, token).await;
        assert_eq!(refused.status, 400, "{token}: {}", refused.text());
    }
    let admitted = enroll(FLEET, "ent_good").await.ok();
    let text = |name: &str| admitted[name].as_str().expect("a text").to_string();
    let late = agent(&relay, &text("agent_id"), &text("secret"));
    beats(&late, &[]).await.ok();
    assert_eq!(enroll(FLEET, "ent_good").await.status, 400);
    import(&relay, &original, &[]);
    assert_eq!(enroll(FLEET, "ent_good").await.status, 400);
    // The fleet has another id here, which whoever is told of it may say as well.
    enroll(&operator.fleet_id, "ent_other").await.ok();
}
