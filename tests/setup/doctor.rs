//! `ekho doctor` on a machine of a tailnet

use serde_json::json as value;

use crate::support::{Http, Relay, ekho};
use crate::tailscaled::Tailscaled;
use crate::{assert_found, findings, json};

const NAME: &str = "relay.tail1a2b.ts.net";
const ADDRESS: &str = "100.64.0.7";

/// What doctor says of the tailnet, with these settings.
fn look(dir: &std::path::Path, env: &[(&str, &str)]) -> Vec<String> {
    let mut command = ekho(["doctor", "--json"]);
    command
        .current_dir(dir)
        .env("EKHO_TAILSCALED_SOCKET", dir.join("tailscaled.sock"));
    for (name, value) in env {
        command.env(name, value);
    }
    findings(&json(&command.output().unwrap()), "tailnet")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_tailscaled_needs_none_unless_a_setting_does() {
    let dir = tempfile::tempdir().unwrap();
    assert_found(&look(dir.path(), &[]), "OK", "no tailscaled here");
    for (name, value) in [
        ("EKHO_HOST", "tailscale"),
        ("EKHO_OPERATOR_REQUIRE_TAILNET", "1"),
        ("EKHO_OPERATOR_TAILNET_LOGIN", "1"),
    ] {
        let found = look(
            dir.path(),
            &[(name, value), ("EKHO_TRUSTED_PROXIES", "127.0.0.1")],
        );
        assert_found(
            &found,
            "FAIL",
            &format!("{name} relies on it: no tailscaled answers"),
        );
        assert_found(&found, "FAIL", "install Tailscale");
    }
    let listens = [
        ("EKHO_NODE_ADDRESS", "a:4001"),
        ("EKHO_NODE_LISTEN", "tailscale:4001"),
    ];
    assert_found(
        &look(dir.path(), &listens),
        "FAIL",
        "EKHO_NODE_LISTEN relies on it",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_proposed_and_what_contradicts_them_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let tailscaled = Tailscaled::running(dir.path(), ADDRESS.parse().unwrap(), Some(NAME));
    let found = look(dir.path(), &[]);
    assert_found(
        &found,
        "OK",
        &format!("this machine is {NAME} ({ADDRESS}, fd7a:"),
    );
    for part in [
        "EKHO_HOST=tailscale",
        "EKHO_BASE_URL=http://relay.tail1a2b.ts.net:4000",
        "EKHO_NODE_ADDRESS=relay.tail1a2b.ts.net:4001",
        "tailscale serve --bg 4000",
    ] {
        assert_found(&found, "OK", part);
    }
    // Used already, nothing is proposed.
    let found = look(dir.path(), &[("EKHO_HOST", "tailscale")]);
    assert!(
        !found.iter().any(|one| one.contains("to be reached there")),
        "{found:?}"
    );

    let wide = [("EKHO_NODE_ADDRESS", "relay.tail1a2b.ts.net:4001")];
    assert_found(
        &look(dir.path(), &wide),
        "WARN",
        "set EKHO_NODE_LISTEN=tailscale:4001",
    );
    let other = [("EKHO_NODE_ADDRESS", "other.tail1a2b.ts.net:4001")];
    assert_found(
        &look(dir.path(), &other),
        "FAIL",
        "another machine of the tailnet",
    );

    tailscaled.says(|status| status["Health"] = value!(["no DERP home"]));
    assert_found(
        &look(dir.path(), &[]),
        "WARN",
        "tailscaled says: no DERP home",
    );
    tailscaled.says(|status| status["CurrentTailnet"]["MagicDNSEnabled"] = false.into());
    let found = look(dir.path(), &[]);
    assert_found(&found, "WARN", "MagicDNS is off");
    assert_found(&found, "OK", "EKHO_NODE_ADDRESS=100.64.0.7:4001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_connected_is_told_how_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let tailscaled = Tailscaled::running(dir.path(), ADDRESS.parse().unwrap(), Some(NAME));
    for (state, url, mend) in [
        (
            "NeedsLogin",
            "https://login.example/a/1",
            "https://login.example/a/1",
        ),
        ("NeedsLogin", "", "sudo tailscale up"),
        ("NeedsMachineAuth", "", "approve this machine"),
        ("Stopped", "", "sudo tailscale up"),
        ("Starting", "", "wait until"),
    ] {
        tailscaled.is(state, url);
        assert_found(&look(dir.path(), &[]), "WARN", mend);
        assert_found(
            &look(dir.path(), &[("EKHO_HOST", "tailscale")]),
            "FAIL",
            mend,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_by_tailscale_serve_need_it_to_pass_them_on() {
    let dir = tempfile::tempdir().unwrap();
    let tailscaled = Tailscaled::running(dir.path(), ADDRESS.parse().unwrap(), Some(NAME));
    let mut relay = Relay::builder()
        .env("EKHO_TAILSCALED_SOCKET", tailscaled.socket.display())
        .env("EKHO_TRUSTED_PROXIES", "127.0.0.1")
        .env("EKHO_OPERATOR_REQUIRE_TAILNET", "1")
        .env("EKHO_OPERATOR_TAILNET_LOGIN", "1")
        .start()
        .await;
    let look = || findings(&json(&relay.run(["doctor", "--json"])), "tailnet");
    assert_found(
        &look(),
        "FAIL",
        &format!("tailscale serve --bg {}", relay.port),
    );
    tailscaled.serves(NAME, relay.port + 1);
    assert_found(&look(), "FAIL", "passes nothing on");
    tailscaled.serves(NAME, relay.port);
    assert_found(
        &look(),
        "OK",
        &format!("passes https://{NAME}:443 on to this relay"),
    );

    // What serve passes on signs the person in; what does not come by it does not reach operators.
    let http = Http::new();
    let ask = async |headers: &[(&str, &str)]| {
        let headers: Vec<(String, String)> = headers
            .iter()
            .chain(&[("content-type", "application/json"), ("x-ekho-csrf", "1")])
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let url = format!("{}/v1/operator/login/tailnet", relay.url());
        http.send("POST", &url, &headers, bytes::Bytes::from_static(b"{}"))
            .await
    };
    ask(&[]).await.refused(
        403,
        "this takes a request from the tailnet, by somebody who is let in",
        "tailnet_required",
    );
    let signed_in = ask(&[("Tailscale-User-Login", "owner@example.org")])
        .await
        .ok();
    assert!(signed_in["token"].is_string(), "{signed_in}");
    relay.stop().await;
}
