//! `ekho operators`, `ekho tokens` and `ekho settings`

use serde_json::{Value, json};

use super::{Shell, all, done, first_column, out, refused};
use crate::support::Relay;

#[tokio::test]
async fn operators_come_change_and_go() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let add = [
        "operators",
        "add",
        "Ada@acme.example",
        "--role",
        "operator",
        "--password-stdin",
    ];
    let added = out(&done(shell.run_with(&add, "a first password\n")));
    let id = added.trim().rsplit(' ').next().unwrap().to_string();
    assert!(id.starts_with("opr_"), "{added}");
    let again = shell.run_with(&add, "a first password\n");
    assert!(
        refused(&again, 1).contains("409 conflict"),
        "{}",
        all(&again)
    );
    let short = shell.run_with(
        &[
            "operators",
            "add",
            "b@acme.example",
            "--role",
            "viewer",
            "--password-stdin",
        ],
        "short\n",
    );
    assert!(refused(&short, 1).contains("password: at least 8 characters"));

    let table = shell.says(&["operators", "list"]);
    assert!(
        table.contains("ada@acme.example") && first_column(&table).contains(&id.as_str()),
        "{table}"
    );
    assert_eq!(
        shell
            .says(&["operators", "role", "ada@acme.example", "viewer"])
            .trim(),
        "ada@acme.example is viewer now"
    );
    let list = shell.json(&["operators", "list"]);
    let ada = list["operators"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == id.as_str())
        .unwrap();
    assert_eq!(ada["role"], "viewer");

    // Somebody else's password, and one's own.
    let new = shell.run_with(
        &["operators", "password", &id, "--password-stdin"],
        "a second password\n",
    );
    done(new);
    let owner = relay.credentials();
    let own = format!("{}\nthe owner's new one\n", owner.password);
    let changed = shell.run_with(&["operators", "password", "--password-stdin"], &own);
    assert!(out(&done(changed)).contains("changed your password"));
    let wrong = shell.run_with(&["operators", "password", "--password-stdin"], &own);
    assert!(refused(&wrong, 1).contains("401 invalid_credentials"));
    let stale = relay.run(["overview"]);
    assert!(
        refused(&stale, 1).contains("401 invalid_credentials"),
        "{}",
        all(&stale)
    );

    let login = json!({ "fleet_name": "test", "email": "ada@acme.example", "password": "a second password" });
    let ada = operator
        .http
        .post(&format!("{}/v1/operator/login", relay.url()), &login)
        .await
        .ok();
    assert!(ada["token"].is_string());
    let sessions = shell.json(&["operators", "sessions", "ada@acme.example"]);
    let session = sessions["sessions"][0]["id"].as_str().unwrap();
    assert!(shell.says(&["operators", "sessions"]).contains("ses_"));
    let end = ["operators", "end-session", session, "--operator", &id];
    assert_eq!(shell.says(&end).trim(), format!("ended {session}"));
    assert_eq!(
        shell.json(&["operators", "sessions", &id])["sessions"],
        json!([])
    );
    assert_eq!(
        shell.json(&["operators", "end-session", "--others"])["ok"],
        true
    );
    assert_eq!(shell.json(&["operators", "me"])["role"], "owner");
    assert!(
        shell
            .says(&["operators", "me"])
            .contains("owner@example.org")
    );

    let said = shell.fails(&["operators", "role", "owner@example.org", "viewer"], 1);
    assert!(said.contains("the last one"), "{said}");
    shell.says(&["operators", "remove", "ada@acme.example", "--yes"]);
    let gone = shell.fails(&["operators", "sessions", "ada@acme.example"], 1);
    assert_eq!(gone, "ekho: there is no operator ada@acme.example\n");
    assert!(
        shell
            .fails(&["operators", "remove", &id, "--yes"], 1)
            .contains("404 not_found")
    );
}

#[tokio::test]
async fn tokens_are_made_listed_and_ended() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    assert!(shell.says(&["tokens", "create"]).starts_with("ent_"));
    let made = shell.json(&["tokens", "create"]);
    assert_eq!(
        (&made["relay_url"], &made["expires_in_seconds"]),
        (&json!(relay.url()), &json!(3600))
    );
    let owned = relay.run(["token", "create", "--json"]);
    let owned: Value = serde_json::from_slice(&done(owned).stdout).unwrap();
    assert_eq!(owned["fleet_id"], operator.fleet_id.as_str());

    let create = [
        "tokens",
        "create-api",
        "--name",
        "ci",
        "--scope",
        "read,agents",
        "--for",
        "24h",
    ];
    let token = shell.says(&create).trim().to_string();
    let table = shell.says(&["tokens", "list"]);
    let ids = first_column(&table);
    assert!(
        ids.len() == 1 && ids[0].starts_with("tok_") && table.contains("read, agents"),
        "{table}"
    );
    assert_eq!(shell.json(&["tokens", "list"])["sessions"][0]["name"], "ci");
    let with_token = Shell {
        relay: &relay,
        token,
    };
    assert_eq!(
        with_token.json(&["operators", "me"])["scopes"],
        json!(["read", "agents"])
    );
    assert!(
        with_token
            .fails(&["settings", "set", "rate_max_messages=1"], 1)
            .contains("403 forbidden")
    );
    assert!(with_token.fails(&create, 1).contains("403 login_only"));
    shell.says(&["tokens", "revoke", ids[0], "--yes"]);
    assert!(
        with_token
            .fails(&["overview"], 1)
            .contains("401 not_signed_in")
    );
    assert!(
        shell
            .fails(&["tokens", "revoke", ids[0], "--yes"], 1)
            .contains("404 not_found")
    );
    let odd = [
        "tokens",
        "create-api",
        "--name",
        "x",
        "--scope",
        "everything",
    ];
    assert!(shell.fails(&odd, 1).contains("there is no scope"));
}

#[tokio::test]
async fn settings_are_shown_and_set() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    assert!(
        shell
            .says(&["settings", "show"])
            .contains("delivery_timeout_ms")
    );
    let set = [
        "settings",
        "set",
        "delivery_timeout_ms=300000",
        r#"approval_risks=["medium", "high"]"#,
    ];
    assert_eq!(
        shell.says(&set).trim(),
        "changed approval_risks, delivery_timeout_ms"
    );
    let now = shell.json(&["settings", "show"]);
    assert_eq!(
        (&now["delivery_timeout_ms"], &now["approval_risks"]),
        (&json!(300_000), &json!(["medium", "high"]))
    );
    assert!(
        shell
            .fails(&["settings", "set", "colour=red"], 1)
            .contains("colour: no such setting")
    );
    let said = shell.fails(&["settings", "set", "delivery_timeout_ms=0"], 1);
    assert!(said.contains("delivery_timeout_ms"), "{said}");
    assert_eq!(
        shell
            .run(&["settings", "set", "delivery_timeout_ms"])
            .status
            .code(),
        Some(2)
    );
}
