//! A relay that begins with nobody at hand, as in a container: it sets itself up, says whether it is
//! ready, and shows how its owner signs in.

use std::fs;

use serde_json::{Value, json};

use super::node::mode;
use super::{all, done, out, refused};
use crate::support::{DEADLINE, Relay, poll_until};

#[tokio::test]
async fn serve_sets_up_what_nobody_has() {
    let mut relay = Relay::builder().bare().set_up();
    relay.serve_args = vec!["--setup".into()];
    relay.boot().await;
    let shown: Value =
        serde_json::from_slice(&done(relay.run(["credentials", "--json"])).stdout).unwrap();
    let password = shown["password"].as_str().unwrap();
    assert_eq!(password, relay.credentials().password);
    assert!(!relay.log().contains(password), "the log has the password");
    let text = out(&done(relay.run(["credentials"])));
    assert!(
        text.contains(password) && text.contains("owner@localhost"),
        "{text}"
    );
    relay.operator().await;
    assert_eq!(mode(&relay.data_dir().join("secrets.toml")), 0o600);

    // Started again, it makes no second owner, be the file there or not.
    let secrets = fs::read(relay.data_dir().join("secrets.toml")).unwrap();
    relay.restart().await;
    assert_eq!(relay.credentials().password, password);
    assert!(out(&done(relay.run(["credentials", "--forget"]))).contains(password));
    assert!(!relay.data_dir().join("credentials.json").exists());
    let gone = refused(&relay.run(["credentials"]), 1);
    assert!(gone.contains("credentials.json"), "{gone}");
    relay.restart().await;
    assert!(!relay.data_dir().join("credentials.json").exists());
    assert_eq!(
        fs::read(relay.data_dir().join("secrets.toml")).unwrap(),
        secrets
    );
    assert_eq!(relay.metric("ekho_fleets_total").await, Some(1.0));
}

#[tokio::test]
async fn health_says_what_the_relay_here_says() {
    let mut relay = Relay::start().await;
    let json = |flags: &[&str], code: i32, relay: &Relay| -> Value {
        let args = ["health", "--json"].iter().chain(flags);
        let output = relay.run(args);
        assert_eq!(output.status.code(), Some(code), "{}", all(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(out(&done(relay.run(["health"]))), "ready\n");
    assert_eq!(out(&done(relay.run(["health", "--alive"]))), "alive\n");
    assert_eq!(json(&[], 0, &relay), json!({ "ready": true }));

    // Whatever the address it listens on is called from outside.
    let mut everywhere = relay.command(["health"]);
    everywhere
        .env("EKHO_HOST", "0.0.0.0")
        .env("EKHO_BASE_URL", "https://relay.example.org");
    assert_eq!(out(&done(everywhere.output().unwrap())), "ready\n");

    relay.stop().await;
    let said = refused(&relay.run(["health"]), 1);
    assert!(said.contains("no_answer"), "{said}");
    assert_eq!(
        json(&["--alive"], 1, &relay),
        json!({ "alive": false, "reason": "no_answer" })
    );

    // Alive, and without room on its disk not ready.
    relay
        .env
        .push(("EKHO_DISK_FREE_MIN_BYTES".into(), (1u64 << 50).to_string()));
    relay.spawn();
    poll_until(DEADLINE, "an answer", async || {
        let output = relay.run(["health", "--alive"]);
        output.status.success().then_some(())
    })
    .await;
    // Without room it cannot begin to lead either: which of the two is said first is not ours.
    let said = json(&[], 1, &relay);
    assert_eq!(said["ready"], false);
    assert!(
        ["disk_full", "no_leader"].contains(&said["reason"].as_str().unwrap()),
        "{said}"
    );
    let mut unknown = relay.command(["health"]);
    unknown.env("EKHO_PORT", "0");
    refused(&unknown.output().unwrap(), 2);
}
