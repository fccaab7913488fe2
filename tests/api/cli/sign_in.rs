//! As whom commands act: a login that is kept, a token, the owner's credentials

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::{Shell, all, done, out, refused};
use crate::operators::totp::{PASSWORD, Person};
use crate::support::{Relay, shared};

/// `ekho login` with a session file of its own.
fn login(relay: &Relay, file: &str, email: &str, password: &str) -> Output {
    login_with(relay, file, email, password, &[])
}

/// The same with more arguments.
fn login_with(relay: &Relay, file: &str, email: &str, password: &str, more: &[&str]) -> Output {
    use std::io::Write;
    let args = [
        "login",
        "--fleet",
        "test",
        "--email",
        email,
        "--password-stdin",
    ];
    let mut command = relay.command(args);
    command.args(more);
    command.env("EKHO_SESSION_FILE", relay.dir().join(file));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn a_login_takes_a_code_where_there_is_a_second_factor() {
    let relay = shared().await;
    let person = Person::enabled(&relay).await;
    let file = "second-factor/session.json";
    let with = |more: &[&str]| login_with(&relay, file, &person.email, PASSWORD, more);
    let said = refused(&with(&[]), 1);
    assert!(
        said.contains("401 totp_required") && said.contains("ekho login"),
        "{said}"
    );
    let said = refused(&with(&["--totp-code", &person.code(-1)]), 1);
    assert!(said.contains("401 invalid_credentials"), "{said}");
    done(with(&["--totp-code", &person.code(0)]));
    done(with(&["--recovery-code", &person.recovery_codes[0]]));
    let both = with(&["--totp-code", "1", "--recovery-code", "2"]);
    assert_eq!(both.status.code(), Some(2), "{}", all(&both));
}

#[tokio::test]
async fn a_login_is_kept_for_its_owner_and_ended_by_logout() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let password = "a viewer's password";
    let viewer = json!({ "email": "viewer@cli.example", "password": password, "role": "viewer" });
    operator.post("/v1/operator/operators", &viewer).await.ok();
    let file = "kept/session.json";
    let run = |args: &[&str]| {
        let mut command = relay.command(args);
        command.env("EKHO_SESSION_FILE", relay.dir().join(file));
        command.output().unwrap()
    };

    let wrong = login(&relay, file, "viewer@cli.example", "a wrong password");
    let said = refused(&wrong, 1);
    assert!(said.contains("401 invalid_credentials"), "{said}");
    assert!(!relay.dir().join(file).exists());

    let signed_in = done(login(&relay, file, "viewer@cli.example", password));
    assert!(
        out(&signed_in).contains("as viewer@cli.example until 20"),
        "{}",
        out(&signed_in)
    );
    let path = relay.dir().join(file);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let kept = fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(password), "the password is kept");

    // The session wins over the owner's credentials in the data directory, and not over flags.
    let me = |args: &[&str]| -> Value { serde_json::from_slice(&done(run(args)).stdout).unwrap() };
    assert_eq!(
        me(&["operators", "me", "--json"])["email"],
        "viewer@cli.example"
    );
    let credentials = relay.data_dir().join("credentials.json");
    let owner = [
        "operators",
        "me",
        "--json",
        "--credentials",
        credentials.to_str().unwrap(),
    ];
    assert_eq!(me(&owner)["email"], "owner@example.org");
    let owner = ["operators", "me", "--json", "--data-dir", "data"];
    assert_eq!(me(&owner)["email"], "owner@example.org");
    let forbidden = refused(&run(&["token", "create"]), 1);
    assert!(forbidden.contains("403 forbidden"), "{forbidden}");

    // A command does not end the session, logout does.
    let session: Value = serde_json::from_str(&kept).unwrap();
    let logout = done(run(&["logout"]));
    assert_eq!(out(&logout).trim(), "signed out");
    assert!(!path.exists());
    assert_eq!(out(&done(run(&["logout"]))).trim(), "nobody was signed in");
    fs::write(&path, &kept).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let ended = refused(&run(&["overview"]), 1);
    assert!(
        ended.contains("401 not_signed_in") && ended.contains("ekho login"),
        "{ended}"
    );

    // What others could read, and what is over, is not used.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&run(&["overview"]), 1).contains("others can read it"));
    let mut over = session.clone();
    over["expires_at"] = "2020-01-01T00:00:00.000Z".into();
    fs::write(&path, over.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let said = refused(&run(&["overview"]), 1);
    assert!(
        said.contains("is over") && said.contains("ekho login"),
        "{said}"
    );
    done(run(&["logout"]));
}

#[tokio::test]
async fn a_token_comes_by_file_or_environment() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let made = shell.json(&[
        "tokens",
        "create-api",
        "--name",
        "shell",
        "--scope",
        "read,agents",
    ]);
    let file = relay.dir().join("cli-token");
    fs::write(&file, format!("{}\n", made["token"].as_str().unwrap())).unwrap();
    let path = file.to_str().unwrap();
    let me = relay.run(["operators", "me", "--json", "--token-file", path]);
    let me: Value = serde_json::from_slice(&done(me).stdout).unwrap();
    assert_eq!(me["scopes"], json!(["read", "agents"]));
    // The session of the token is not ended by a command.
    done(relay.run(["agents", "list", "--token-file", path]));

    fs::write(&file, "two words").unwrap();
    let said = refused(&relay.run(["overview", "--token-file", path]), 1);
    assert!(said.contains("an API token and nothing else"), "{said}");
    let said = refused(&relay.run(["overview", "--token-file", "/nowhere"]), 1);
    assert!(said.contains("/nowhere"), "{said}");
    let mut command = relay.command(["overview"]);
    let bad = command.env("EKHO_TOKEN", "no-such-token").output().unwrap();
    assert!(
        refused(&bad, 1).contains("401 not_signed_in"),
        "{}",
        all(&bad)
    );
    let ended = shell.says(&["tokens", "revoke", made["id"].as_str().unwrap(), "--yes"]);
    assert!(ended.starts_with("ended tok_"), "{ended}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_error_of_the_command_line() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    for args in [
        &["agents", "revoke", "agent_1", "--reason", "x"][..],
        &["policies", "delete", "pol_1"],
        &["dead-letters", "purge", "--all"],
        &["operators", "remove", "opr_1"],
        &["tokens", "revoke", "tok_1"],
    ] {
        let said = shell.fails(args, 2);
        assert!(said.contains("--yes"), "{args:?}: {said}");
    }
    assert!(
        shell
            .fails(&["login", "--fleet", "test"], 2)
            .contains("--email")
    );
    let said = shell.fails(&["login", "--fleet", "test", "--email", "a@b"], 2);
    assert!(said.contains("--password-stdin"), "{said}");
    let nowhere = ["agents", "list", "--url", "http://127.0.0.1:9"];
    assert!(shell.fails(&nowhere, 1).contains("ekho serve"));
    assert!(
        shell
            .fails(&["agents", "list", "--url", "relay"], 1)
            .contains("relay is not the address")
    );
}

#[tokio::test]
async fn a_token_is_used_where_the_login_is() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let owner = relay.credentials();
    let file = "beside-a-token.json";
    done(login(&relay, file, &owner.email, &owner.password));
    let dir = tempfile::tempdir().unwrap();
    let mut command = support::ekho(["operators", "me", "--json"]);
    command.current_dir(dir.path());
    command.env("EKHO_SESSION_FILE", relay.dir().join(file));
    command.env("EKHO_TOKEN", &operator.token);
    let me: Value = serde_json::from_slice(&done(command.output().unwrap()).stdout).unwrap();
    assert_eq!(me["email"], owner.email.as_str());
}
