//! Licences: what they say, who installs them, and how they end.

use serde_json::{Value, json};

use crate::checks::assert_only_fields;
use crate::support::{DEADLINE, Operator, Relay, Vendor, now_ms, poll_until, pro_claims, shared};

/// How long a licence holds after its end.
const SKEW_SECONDS: i64 = 300;

async fn license(operator: &Operator) -> Value {
    operator.get("/v1/operator/license").await.ok()
}

fn codes(license: &Value) -> Vec<&str> {
    let problems = license["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn without_a_licence_it_is_the_free_tier() {
    let operator = shared().await.operator().await;
    assert_eq!(
        license(&operator).await,
        json!({
            "tier": "oss", "org": null, "max_fleets": 1, "features": [], "issued_at": null,
            "expires_at": null, "source": null, "used": { "fleets": 1 }, "problems": [],
        })
    );
    let overview = operator.get("/v1/operator/overview").await.ok();
    assert_eq!(
        overview["license"],
        json!({ "tier": "oss", "problems": [] })
    );
}

#[tokio::test]
async fn a_configured_licence_counts_from_the_start() {
    let relay = Relay::builder().pro().shared().await;
    let operator = relay.operator().await;
    let license = license(&operator).await;
    assert_only_fields(
        &license,
        &[
            "tier",
            "org",
            "max_fleets",
            "features",
            "issued_at",
            "expires_at",
            "source",
            "used",
            "problems",
        ],
    );
    assert_eq!(license["tier"], "pro");
    assert_eq!(license["org"], "Test Inc.");
    assert_eq!(license["max_fleets"], 10);
    assert_eq!(license["source"], "configured");
    assert_eq!(
        license["features"],
        json!(["advanced_policies", "many_fleets", "analytics"])
    );
    assert_eq!(codes(&license), [""; 0]);
    assert_eq!(relay.get("/").await.ok()["tier"], "pro");
    let version = env!("CARGO_PKG_VERSION");
    let info = |tier, org| {
        format!("ekho_relay_info{{org=\"{org}\",tier=\"{tier}\",version=\"{version}\"}}")
    };
    assert_eq!(relay.metric(&info("pro", "Test Inc.")).await, Some(1.0));
    assert_eq!(relay.metric(&info("oss", "")).await, None);
}

#[tokio::test]
async fn a_bad_licence_is_a_warning_and_the_free_tier() {
    let mut expired = pro_claims();
    expired["issued_at"] = json!(now_ms() / 1000 - 7200);
    expired["expires_at"] = json!(now_ms() / 1000 - 3600);
    let mut early = pro_claims();
    early["issued_at"] = json!(now_ms() / 1000 + 3600);
    let sign = |claims: &Value| Vendor::get().sign(claims);
    // Signed by the tests' vendor where the relay goes by the built-in key.
    let foreign = Relay::builder().env("EKHO_LICENSE_KEY", sign(&pro_claims()));
    let missing = Relay::builder()
        .vendor()
        .env("EKHO_LICENSE_PATH", "not-there.jwt");
    for (builder, code) in [
        (foreign, "signature"),
        (missing, "file"),
        (Relay::builder().licensed("no licence"), "form"),
        (Relay::builder().licensed(&sign(&expired)), "expired"),
        (Relay::builder().licensed(&sign(&early)), "not_yet"),
    ] {
        let relay = builder.start().await;
        let operator = relay.operator().await;
        let license = license(&operator).await;
        assert_eq!(
            (license["tier"].as_str(), codes(&license)),
            (Some("oss"), vec![code])
        );
        let log = poll_until(DEADLINE, "a warning in the log", async || {
            Some(relay.log()).filter(|log| log.contains("no licence in force"))
        })
        .await;
        assert!(
            log.contains("the configured licence does not count"),
            "{log}"
        );
        assert!(!log.contains(&sign(&pro_claims())), "a licence is a secret");
    }
}

#[tokio::test]
async fn when_a_licence_ends_the_relay_says_so_and_goes_on() {
    // A slow machine may need longer to start a relay than the first licence lasts.
    let mut lasting_seconds = 4;
    let (relay, operator) = loop {
        let mut claims = pro_claims();
        claims["issued_at"] = json!(now_ms() / 1000 - 7200);
        claims["expires_at"] = json!(now_ms() / 1000 - SKEW_SECONDS + lasting_seconds);
        let relay = Relay::builder()
            .licensed(&Vendor::get().sign(&claims))
            .start()
            .await;
        let operator = relay.operator().await;
        let first = license(&operator).await;
        if first["tier"] == "pro" {
            assert_eq!(codes(&first), ["ends_soon"]);
            break (relay, operator);
        }
        lasting_seconds *= 4;
        assert!(lasting_seconds < 100, "it was never in force: {first}");
    };
    let ended = poll_until(DEADLINE, "the licence's end", async || {
        Some(license(&operator).await).filter(|license| license["tier"] == "oss")
    })
    .await;
    assert_eq!(codes(&ended), ["expired"]);
    let overview = operator.get("/v1/operator/overview").await.ok();
    assert_eq!(overview["license"]["tier"], "oss");
    assert_eq!(codes(&overview["license"]), ["expired"]);
    let event = poll_until(DEADLINE, "the event", async || {
        let events = operator
            .get("/v1/operator/events?type=license.expired")
            .await
            .ok();
        events["events"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(event["payload"]["tier"], "oss");
    poll_until(DEADLINE, "a line in the log", async || {
        relay.log().contains("no licence in force").then_some(())
    })
    .await;
    assert_eq!(relay.get("/readyz").await.status, 200);
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender
        .send(&support::direct(&recipient.id, "as before"))
        .await;
    assert_eq!(recipient.receive().await.len(), 1);
}

#[tokio::test]
async fn an_owner_installs_and_removes_a_licence_while_the_relay_runs() {
    let mut relay = Relay::builder().vendor().start().await;
    let operator = relay.operator().await;
    let key = Vendor::get().sign(&pro_claims());
    // One character of the signature is another.
    let (signed, signature) = key.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{first}{}", &signature[1..]);
    let body = json!({ "key": forged });
    let refused = operator.put("/v1/operator/license", &body).await;
    assert_eq!(refused.status, 400);
    let text = refused.json()["error"]["fieldErrors"]["key"][0].clone();
    assert!(text.as_str().unwrap().contains("signature"), "{text}");
    assert_eq!(license(&operator).await["tier"], "oss");

    let installed = operator
        .put("/v1/operator/license", &json!({ "key": key }))
        .await
        .ok();
    assert_eq!(
        (&installed["tier"], &installed["source"]),
        (&json!("pro"), &json!("installed"))
    );
    relay.restart().await;
    let operator = relay.operator().await;
    assert_eq!(license(&operator).await["source"], "installed");

    let removed = operator
        .call("DELETE", "/v1/operator/license", None)
        .await
        .ok();
    assert_eq!(
        (&removed["tier"], &removed["source"]),
        (&json!("oss"), &Value::Null)
    );
    let again = operator.call("DELETE", "/v1/operator/license", None).await;
    assert_eq!(
        (again.status, again.json()["code"].as_str()),
        (404, Some("not_found"))
    );

    let events = operator
        .get("/v1/operator/events?type=license.changed")
        .await
        .ok();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["payload"]["before"]["installed"], Value::Null);
    assert_eq!(
        events[1]["payload"]["after"]["installed"]["org"],
        "Test Inc."
    );
    assert_eq!(events[0]["payload"]["after"]["installed"], Value::Null);
    assert_eq!(events[0]["actor_kind"], "operator");
}

#[tokio::test]
async fn who_may_not_change_settings_may_not_install_a_licence() {
    let relay = Relay::builder().vendor().shared().await;
    let owner = relay.operator().await;
    let made = owner
        .post(
            "/v1/operator/tokens",
            &json!({ "name": "reader", "scopes": ["read", "policies"] }),
        )
        .await
        .ok();
    let reader = Operator {
        token: made["token"].as_str().unwrap().into(),
        ..owner.clone()
    };
    assert_eq!(license(&reader).await["tier"], "oss");
    let good = Vendor::get().sign(&pro_claims());
    for key in ["x", &good] {
        let refused = reader
            .put("/v1/operator/license", &json!({ "key": key }))
            .await;
        let scope = refused.json()["scope"].clone();
        assert_eq!((refused.status, scope), (403, json!("settings")), "{key}");
    }
}

#[tokio::test]
async fn licences_are_issued_and_checked_by_command() {
    let relay = Relay::builder().vendor().set_up();
    let private = relay.dir().join("vendor.pem");
    std::fs::write(&private, &Vendor::get().private_key).unwrap();
    let issued = relay.run([
        "license",
        "issue",
        "--private-key",
        "vendor.pem",
        "--org",
        "Acme",
        "--max-fleets",
        "3",
        "--features",
        "analytics",
        "--days",
        "30",
        "--output",
        "acme.jwt",
    ]);
    assert!(
        issued.status.success(),
        "{}",
        String::from_utf8_lossy(&issued.stderr)
    );
    let shown = relay.run(["license", "verify", "acme.jwt", "--json"]);
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (
            &shown["org"],
            &shown["max_fleets"],
            &shown["features"],
            &shown["holds"]
        ),
        (
            &json!("Acme"),
            &json!(3),
            &json!(["analytics"]),
            &json!(true)
        )
    );

    let mut expired = pro_claims();
    expired["issued_at"] = json!(1_700_000_000);
    expired["expires_at"] = json!(1_710_000_000);
    std::fs::write(relay.dir().join("old.jwt"), Vendor::get().sign(&expired)).unwrap();
    let shown = relay.run(["license", "show", "old.jwt"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.status.success() && text.contains("no: it ended at 2024-03-09"),
        "{text}"
    );
    assert_eq!(
        relay.run(["license", "verify", "old.jwt"]).status.code(),
        Some(1)
    );
    std::fs::write(relay.dir().join("forged.jwt"), "a.b.c").unwrap();
    assert_eq!(
        relay.run(["license", "show", "forged.jwt"]).status.code(),
        Some(1)
    );
}
