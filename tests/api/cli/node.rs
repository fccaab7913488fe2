//! The command line beside a relay

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{all, done, out};
use crate::support::{Relay, ekho, shared};

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn setup_twice_changes_nothing_and_shows_the_password_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new/data");
    let setup = || {
        let flags = [
            "setup",
            "--fleet",
            "acme",
            "--email",
            "ops@acme.example",
            "--non-interactive",
            "--data-dir",
        ];
        ekho(flags)
            .arg(&data)
            .env("EKHO_PORT", "4711")
            .output()
            .unwrap()
    };
    let first = done(setup());
    let text = fs::read_to_string(data.join("credentials.json")).unwrap();
    let credentials: Value = serde_json::from_str(&text).unwrap();
    let password = credentials["password"].as_str().unwrap();
    assert_eq!(credentials["fleet_name"], "acme");
    assert_eq!(credentials["email"], "ops@acme.example");
    assert_eq!(credentials["relay_url"], "http://127.0.0.1:4711");
    assert!(
        credentials["fleet_id"]
            .as_str()
            .unwrap()
            .starts_with("flt_")
    );
    assert!(
        password.len() >= 20 && out(&first).contains(password),
        "{}",
        out(&first)
    );

    let files = ["credentials.json", "secrets.toml", "cluster.json"];
    let before = files.map(|name| fs::read(data.join(name)).unwrap());
    let second = done(setup());
    assert!(out(&second).contains("already"), "{}", out(&second));
    assert!(!all(&second).contains(password));
    assert_eq!(files.map(|name| fs::read(data.join(name)).unwrap()), before);

    assert_eq!(mode(&data), 0o700);
    assert_eq!(
        (
            mode(&data.join("credentials.json")),
            mode(&data.join("secrets.toml"))
        ),
        (0o600, 0o600)
    );
    // Without the owner's file it is still set up, and makes no second owner.
    fs::remove_file(data.join("credentials.json")).unwrap();
    let third = done(setup());
    assert!(
        out(&third).contains("already") && !data.join("credentials.json").exists(),
        "{}",
        all(&third)
    );
}

#[test]
fn setup_refuses_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let setup = |flags: &[&str], data: &Path| {
        let output = ekho(["setup"])
            .args(flags)
            .arg("--data-dir")
            .arg(data)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{flags:?}: {}", all(&output));
        all(&output)
    };
    assert!(setup(&["--non-interactive"], &file).contains("directory"));
    let data = dir.path().join("data");
    assert!(setup(&["--non-interactive", "--email", "nobody"], &data).contains("email"));
    assert!(setup(&["--non-interactive", "--fleet", ""], &data).contains("fleet"));
    // Nobody to ask.
    assert!(setup(&[], &data).contains("--non-interactive"));
}

#[tokio::test]
async fn the_data_directory_is_for_its_owner_only() {
    let relay = shared().await;
    let data = relay.data_dir();
    assert_eq!(mode(&data), 0o700);
    for name in ["credentials.json", "secrets.toml"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn doctor_beside_a_running_relay_and_on_a_bad_one() {
    let relay = shared().await;
    let report = done(relay.run(["doctor", "--json"]));
    let json: Value = serde_json::from_slice(&report.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", all(&report)));
    let findings = json
        .as_array()
        .or_else(|| json["findings"].as_array())
        .or_else(|| json["checks"].as_array());
    let findings = findings.unwrap_or_else(|| panic!("no findings: {json}"));
    let checks: Vec<&str> = findings
        .iter()
        .filter_map(|finding| finding["check"].as_str())
        .collect();
    for check in [
        "data directory",
        "disk room",
        "clock",
        "port",
        "file limit",
        "configuration",
        "secrets",
    ] {
        assert!(checks.contains(&check), "no {check} in {checks:?}");
    }
    assert!(
        findings.iter().all(|finding| finding["status"] != "FAIL"),
        "{json}"
    );
    assert!(out(&done(relay.run(["doctor"]))).contains("OK"));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for (name, value) in [
        ("EKHO_DATA_DIR", file.display().to_string()),
        ("EKHO_DISK_FREE_MIN_BYTES", (1u64 << 50).to_string()),
        ("EKHO_OPERATOR_SESSION_SECRET", "change-me".to_string()),
    ] {
        let output = relay
            .command(["doctor"])
            .env(name, &value)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{name}={value}: {}",
            all(&output)
        );
        assert!(
            out(&output).contains("FAIL"),
            "{name}={value}: {}",
            all(&output)
        );
    }
    let mut tls = relay.command(["doctor"]);
    tls.env("EKHO_TLS_CERT_PATH", &file)
        .env("EKHO_TLS_KEY_PATH", &file);
    assert_eq!(tls.output().unwrap().status.code(), Some(1));
}

#[tokio::test]
async fn config_shows_values_and_sources_and_no_secret() {
    let relay = shared().await;
    let secrets = ["session-secret-of-this-test", "master-secret-of-this-test"];
    let stored = fs::read_to_string(relay.data_dir().join("secrets.toml")).unwrap();
    let generated: Vec<&str> = stored.split('"').filter(|text| text.len() == 64).collect();
    assert_eq!(generated.len(), 2, "setup made two secrets");
    for arguments in [vec!["config"], vec!["config", "--json"]] {
        for with_secrets in [false, true] {
            let mut command = relay.command(&arguments);
            if with_secrets {
                command
                    .env("EKHO_OPERATOR_SESSION_SECRET", secrets[0])
                    .env("EKHO_MASTER_SECRET", secrets[1]);
            }
            let output = done(command.output().unwrap());
            let shown = all(&output);
            for secret in secrets.iter().chain(&generated) {
                assert!(!shown.contains(secret), "{arguments:?} shows a secret");
            }
            assert!(
                shown.contains("EKHO_PORT") && shown.contains(&relay.port.to_string()),
                "{shown}"
            );
            assert!(
                shown.contains("EKHO_OPERATOR_SESSION_SECRET") && shown.contains("****"),
                "{shown}"
            );
        }
    }
    let output = done(relay.run(["config", "--json"]));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |variable: &str| {
        let settings = json["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|entry| entry["variable"] == variable)
            .unwrap_or_else(|| panic!("{variable}"))
            .clone()
    };
    assert_eq!(
        (&of("EKHO_PORT")["source"], &of("EKHO_PORT")["scope"]),
        (&"environment".into(), &"node".into())
    );
    assert_eq!(of("EKHO_MAX_CONNECTIONS")["source"], "default");
    assert_eq!(of("EKHO_DELIVERY_TIMEOUT_SECONDS")["scope"], "setup");
    assert_eq!(of("EKHO_TIMESTAMP_SKEW_SECONDS")["value"], "300");
}

#[tokio::test]
async fn a_file_gives_settings_and_the_environment_wins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ekho.toml");
    fs::write(
        &file,
        "port = 5001\nmax_connections = 77\nunknown_key = 1\n",
    )
    .unwrap();
    let output = ekho(["config", "--json", "--config"])
        .arg(&file)
        .env("EKHO_PORT", "5002")
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&done(output).stdout).unwrap();
    let value = |variable: &str| {
        let settings = json["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|entry| entry["variable"] == variable)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(
        (value("EKHO_PORT"), value("EKHO_MAX_CONNECTIONS")),
        ("5002".into(), "77".into())
    );
    assert!(
        json["warnings"].to_string().contains("unknown_key"),
        "{}",
        json["warnings"]
    );
}

#[tokio::test]
async fn a_token_from_the_command_line_admits_one_agent() {
    let relay = shared().await;
    let plain = done(relay.run(["token", "create"]));
    let token = out(&plain).trim().to_string();
    assert!(
        token.starts_with("ent_") && !token.contains(char::is_whitespace),
        "{token:?}"
    );
    let json: Value =
        serde_json::from_slice(&done(relay.run(["token", "create", "--json"])).stdout).unwrap();
    assert_eq!(json["relay_url"], relay.url());
    for token in [token.as_str(), json["token"].as_str().unwrap()] {
        let request = ekho_client::EnrollRequest::new(relay.credentials().fleet_id, token, "cli");
        ekho_client::EkhoAgentClient::enroll(relay.url(), &request)
            .await
            .unwrap();
        let again = ekho_client::EkhoAgentClient::enroll(relay.url(), &request)
            .await
            .unwrap_err();
        assert_eq!(again.code(), Some("invalid_token"));
    }
    let nowhere = relay.run(["token", "create", "--url", "http://127.0.0.1:9"]);
    assert!(
        !nowhere.status.success() && all(&nowhere).contains("ekho serve"),
        "{}",
        all(&nowhere)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_exported_and_proved() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["audited"]).await;
    operator.order(&agent, "pause").await;
    operator.order(&agent, "resume").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let path = file.to_str().unwrap();
    let exported = done(relay.run(["audit", "export", "--out", path]));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let paused = lines
        .iter()
        .find(|line| {
            line["event_type"] == "agent.pause" && line["resource_id"] == agent.id.as_str()
        })
        .unwrap_or_else(|| panic!("no pause in {text}"));
    assert_eq!(paused["actor_kind"], "operator");
    assert!(
        paused["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_"))
    );
    assert_eq!(paused["payload"]["reason"], "test pause");
    let head = lines[lines.len() - 1]["head_hash"]
        .as_str()
        .unwrap()
        .to_string();
    assert!(all(&exported).contains(&head));

    let intact = done(
        ekho(["audit", "verify", path, "--head", &head])
            .output()
            .unwrap(),
    );
    assert!(out(&intact).starts_with("intact: "), "{}", out(&intact));
    // The same log later still begins with it.
    let seq = paused["seq"].as_u64().unwrap();
    let from = seq.to_string();
    let rest = dir.path().join("rest.jsonl");
    done(relay.run([
        "audit",
        "export",
        "--from",
        &from,
        "--out",
        rest.to_str().unwrap(),
    ]));
    done(
        ekho(["audit", "verify", rest.to_str().unwrap()])
            .output()
            .unwrap(),
    );

    let ours = text
        .lines()
        .find(|line| line.contains(&agent.id) && line.contains("test pause"));
    let ours = ours.unwrap();
    let altered = text.replace(ours, &ours.replace("test pause", "test peace"));
    fs::write(&file, altered).unwrap();
    let broken = ekho(["audit", "verify", path]).output().unwrap();
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        out(&broken).contains("payload is not what the record says"),
        "{}",
        all(&broken)
    );
    let broken = ekho(["audit", "verify", path, "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(
        (&json["intact"], &json["seq"]),
        (&Value::Bool(false), &Value::from(seq))
    );
    let answer = operator.get("/v1/operator/audit/export?from=0").await;
    answer.invalid("from");
}

#[test]
fn version_and_help() {
    let version = env!("CARGO_PKG_VERSION");
    for arguments in [vec!["version"], vec!["--version"]] {
        assert_eq!(
            out(&done(ekho(&arguments).output().unwrap())).trim(),
            format!("ekho {version}")
        );
    }
    let json: Value =
        serde_json::from_slice(&ekho(["version", "--json"]).output().unwrap().stdout).unwrap();
    assert_eq!(json["version"], version);
    let help = out(&done(ekho(["--help"]).output().unwrap()));
    for command in [
        "serve", "setup", "doctor", "config", "token", "audit", "bench", "version", "login",
        "agents",
    ] {
        assert!(help.contains(command), "{command}: {help}");
        done(ekho([command, "--help"]).output().unwrap());
    }
    assert_eq!(
        ekho(["no-such-command"]).output().unwrap().status.code(),
        Some(2)
    );
}

#[tokio::test]
async fn bench_measures_a_running_relay() {
    let relay = Relay::start().await;
    let output = done(relay.run([
        "bench",
        "--messages",
        "200",
        "--agents",
        "4",
        "-c",
        "4",
        "--json",
    ]));
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", all(&output)));
    assert!(report.is_object(), "{report}");
    let accepted = relay.metric("ekho_messages_accepted_total").await;
    assert!(
        accepted.is_some_and(|count| count >= 200.0),
        "{accepted:?}: {report}"
    );
}

#[tokio::test]
async fn the_script_in_docs_signs_by_hand() {
    let relay = Relay::start().await;
    // For its first half second a relay takes no reads; the script says then to sign again.
    let [agent] = relay.agents(["agent"]).await;
    agent.inbox().await;
    let script = support::root().join("docs/by-hand.sh");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&script);
        command
            .args(arguments)
            .env("EKHO_DATA_DIR", relay.data_dir())
            .env("EKHO_BASE_URL", relay.url());
        done(command.output().expect("the script can be started"))
    };
    let output = run(&[]);
    assert!(out(&output).contains("\"acked\""), "{}", all(&output));
    let token = out(&done(relay.run(["token", "create"])))
        .trim()
        .to_string();
    let output = run(&[&relay.credentials().fleet_id, &token]);
    assert!(out(&output).contains("\"acked\""), "{}", all(&output));
    assert_eq!(
        relay
            .metric("ekho_deliveries_total{status=\"acked\"}")
            .await,
        Some(2.0)
    );
}
