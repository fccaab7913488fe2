//! `ekho setup` by flags alone

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Relay, ekho, free_port};
use crate::{all, done, json, out};

fn setup(dir: &Path, flags: &[&str]) -> Command {
    let mut command = ekho(["setup", "--non-interactive"]);
    command
        .args(flags)
        .current_dir(dir)
        .env("EKHO_TAILSCALED_SOCKET", dir.join("no-tailscaled"))
        .env("EKHO_DISK_FREE_MIN_BYTES", "1048576");
    command
}

fn run(dir: &Path, flags: &[&str]) -> Output {
    setup(dir, flags).output().unwrap()
}

fn refused(dir: &Path, flags: &[&str]) -> String {
    let output = run(dir, flags);
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", all(&output));
    all(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_choose_what_answers_would() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = port.to_string();
    let flags = [
        "--network",
        "loopback",
        "--port",
        &text,
        "--fleet",
        "acme",
        "--check",
        "--enroll-token",
        "--smoke-test",
        "--json",
    ];
    let made = json(&done(run(dir.path(), &flags)));
    assert_eq!(made["smoke_test"], "passed");
    assert_eq!(made["relay_url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(made["fleet_name"], "acme");
    assert!(made["password"].as_str().unwrap().len() >= 20);
    let token = made["enrollment_token"].as_str().unwrap().to_string();
    assert!(token.starts_with("ent_"), "{made}");

    // Run again, it makes nothing, and may be asked to try the relay again.
    let again = json(&done(run(dir.path(), &["--smoke-test", "--json"])));
    assert_eq!(
        (&again["changed"], &again["smoke_test"]),
        (&false.into(), &"passed".into())
    );
    assert_eq!(again["password"], Value::Null);
    assert_eq!(again["fleet_id"], made["fleet_id"]);

    let mut relay = Relay::builder().dir(dir.path()).bare().set_up();
    relay.port = port;
    relay.boot().await;
    let fleet_id = made["fleet_id"].as_str().unwrap();
    let request = ekho_client::EnrollRequest::new(fleet_id, token, "first");
    ekho_client::EkhoAgentClient::enroll(relay.url(), &request)
        .await
        .unwrap();
    let agents = relay.operator().await.get("/v1/operator/agents").await.ok();
    let agents = agents["agents"].as_array().unwrap();
    let revoked = agents.iter().filter(|agent| agent["status"] == "revoked");
    assert_eq!((agents.len(), revoked.count()), (3, 2), "{agents:?}");
}

#[test]
fn what_is_chosen_is_kept_and_what_is_kept_is_not_overruled() {
    let dir = tempfile::tempdir().unwrap();
    let base = "http://relay.example:4000";
    done(run(dir.path(), &["--network", "lan", "--base-url", base]));
    let file = dir.path().join("data/ekho.toml");
    let kept = fs::read_to_string(&file).unwrap();
    let table: toml::Table = kept.parse().unwrap();
    assert_eq!(table["host"].as_str(), Some("0.0.0.0"), "{kept}");
    assert_eq!(table["base_url"].as_str(), Some(base), "{kept}");
    let config = ekho(["config", "--json"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let config = json(&config);
    let settings = config["settings"].as_array().unwrap();
    let host = settings
        .iter()
        .find(|one| one["variable"] == "EKHO_HOST")
        .unwrap();
    assert_eq!(host["value"], "0.0.0.0");
    assert!(
        host["source"].as_str().unwrap().ends_with("ekho.toml"),
        "{host}"
    );

    // The same again is no change, anything else is somebody's own to make.
    done(run(dir.path(), &["--network", "lan", "--base-url", base]));
    let said = refused(dir.path(), &["--port", "4711"]);
    assert!(
        said.contains("put port into") && said.contains("ekho.toml"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);
}

#[test]
fn somebodys_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ekho.toml");
    fs::write(&file, "port = 4711\n").unwrap();
    let said = refused(dir.path(), &["--port", "4712"]);
    assert!(
        said.contains("set port there") && said.contains("ekho.toml"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "port = 4711\n");
    assert!(!dir.path().join("data/cluster.json").exists());
    done(run(dir.path(), &["--port", "4711"]));
    assert!(!dir.path().join("data/ekho.toml").exists());
    let said = all(&done(
        setup(tempfile::tempdir().unwrap().path(), &["--port", "4711"])
            .env("EKHO_PORT", "4713")
            .output()
            .unwrap(),
    ));
    assert!(
        said.contains("EKHO_PORT is set in the environment"),
        "{said}"
    );
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, reason) in [
        (&["--mode", "first"][..], "EKHO_NODE_ADDRESS"),
        (
            &["--mode", "join", "--node-address", "127.0.0.1:4001"],
            "--join",
        ),
        (
            &[
                "--mode",
                "join",
                "--node-address",
                "127.0.0.1:4001",
                "--join",
                "127.0.0.1:4001",
            ],
            "ekho cluster token create",
        ),
        (&["--token", "ekho-join-x"], "--mode join"),
        (
            &[
                "--mode",
                "join",
                "--node-address",
                "127.0.0.1:4001",
                "--join",
                "127.0.0.1:4001",
                "--token",
                "ekho-join-x",
                "--fleet",
                "acme",
            ],
            "--fleet is not for --mode join",
        ),
        (
            &["--mode", "first", "--node-address", "here"],
            "--node-address",
        ),
        (&["--base-url", "relay"], "--base-url"),
        (&["--port", "0"], "--port"),
        (&["--network", "moon"], "--network"),
    ] {
        let said = refused(dir.path(), flags);
        assert!(said.contains(reason), "{flags:?}: {said}");
    }
    let output = run(dir.path(), &["--network", "tailnet"]);
    assert_eq!(output.status.code(), Some(1), "{}", all(&output));
    assert!(
        all(&output).contains("no tailscaled answers"),
        "{}",
        all(&output)
    );
    // No room, which only --check looks for.
    let mut full = setup(dir.path(), &["--check"]);
    let output = full
        .env("EKHO_DISK_FREE_MIN_BYTES", (1u64 << 50).to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(all(&output).contains("FAIL  disk room"), "{}", all(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_setup_that_was_cut_short_may_be_answered_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(
        data.join("ekho.toml"),
        "# Made by `ekho setup`.\nport = 4711\n",
    )
    .unwrap();
    let made = out(&done(run(dir.path(), &["--port", "4712"])));
    assert!(made.contains("http://127.0.0.1:4712"), "{made}");
    let kept = fs::read_to_string(data.join("ekho.toml")).unwrap();
    assert!(kept.contains("port = 4712"), "{kept}");
}
