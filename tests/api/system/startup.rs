//! What the relay refuses to start with, in a sentence that says what to do

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Relay, ekho};

/// Starts a relay that must not start, and returns what it said.
async fn refuses(mut relay: Relay) -> String {
    relay.spawn();
    let status = relay.wait_exit().await;
    assert!(
        !status.success() && status.code().is_some(),
        "{status}: {}",
        relay.log()
    );
    relay.log()
}

#[tokio::test]
async fn a_directory_without_setup() {
    let dir = tempfile::tempdir().unwrap();
    let output = ekho(["serve", "--port", "0", "--data-dir"])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("ekho setup"),
        "{said}"
    );
}

#[tokio::test]
async fn a_secret_that_everybody_knows() {
    let mut relay = Relay::builder().set_up();
    relay
        .env
        .push(("EKHO_OPERATOR_SESSION_SECRET".into(), "change-me".into()));
    let said = refuses(relay).await;
    assert!(
        said.contains("change-me") && said.contains("EKHO_OPERATOR_SESSION_SECRET"),
        "{said}"
    );
}

#[tokio::test]
async fn secrets_that_others_can_read() {
    let relay = Relay::builder().set_up();
    let path = relay.data_dir().join("secrets.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = refuses(relay).await;
    assert!(said.contains("chmod 600"), "{said}");
}

#[tokio::test]
async fn another_master_secret() {
    let mut relay = Relay::builder().set_up();
    relay.env.push((
        "EKHO_MASTER_SECRET".into(),
        "another-secret-of-some-length".into(),
    ));
    let said = refuses(relay).await;
    assert!(said.contains("EKHO_MASTER_SECRET"), "{said}");
}

#[tokio::test]
async fn half_of_tls_and_other_nonsense() {
    for (name, value, word) in [
        ("EKHO_TLS_CERT_PATH", "cert.pem", "EKHO_TLS_KEY_PATH"),
        ("EKHO_TLS_KEY_PATH", "key.pem", "EKHO_TLS_CERT_PATH"),
        (
            "EKHO_DELIVERY_TIMEOUT_SECONDS",
            "soon",
            "EKHO_DELIVERY_TIMEOUT_SECONDS",
        ),
        ("EKHO_MAX_CONNECTIONS", "0", "EKHO_MAX_CONNECTIONS"),
        ("EKHO_HOST", "not a host", "EKHO_HOST"),
        ("EKHO_LOG_FORMAT", "xml", "EKHO_LOG_FORMAT"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = ekho(["serve", "--data-dir"])
            .arg(dir.path())
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {said}");
        assert!(said.contains(word), "{name}={value}: {said}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let first = Relay::start().await;
    let mut second = Relay::builder().set_up();
    second.port = first.port;
    let said = refuses(second).await;
    assert!(
        said.contains("in use") && said.contains("EKHO_PORT"),
        "{said}"
    );
    first.get("/healthz").await.ok();
}

#[tokio::test]
async fn a_directory_that_is_in_use() {
    let first = Relay::start().await;
    let mut output = first.command(["serve", "--port", "0"]);
    let output = output.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("another") || said.contains("in use") || said.contains("lock"),
        "{said}"
    );
    first.get("/readyz").await.ok();
}

#[tokio::test]
async fn a_newer_format_and_another_cluster() {
    let relay = Relay::builder().set_up();
    let path = relay.data_dir().join("cluster.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut identity: serde_json::Value = serde_json::from_str(&text).unwrap();
    identity["format_version"] = 2.into();
    fs::write(&path, identity.to_string()).unwrap();
    let said = refuses(relay).await;
    assert!(said.contains("newer release"), "{said}");

    let relay = Relay::builder().set_up();
    let path = relay.data_dir().join("cluster.json");
    identity["format_version"] = 1.into();
    identity["cluster_id"] = "clu_of_somebody_else".into();
    fs::write(&path, identity.to_string()).unwrap();
    let said = refuses(relay).await;
    assert!(said.contains("cluster"), "{said}");
}
