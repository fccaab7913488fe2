//! `ekho hooks`

use serde_json::json;

use super::{Shell, all, first_column, out};
use crate::support::{HookServer, Relay, direct};

/// On several threads: the hook answers while a command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_added_tried_changed_and_removed() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let hook = HookServer::start().await;
    let add = [
        "hooks",
        "add",
        "--name",
        "scanner",
        "--hook-url",
        &hook.url,
        "--event",
        "before_message,overview",
        "--timeout-ms",
        "5000",
    ];
    let added = shell.run(&add);
    assert!(added.status.success(), "{}", all(&added));
    // The secret alone on standard output, so that it can be put where it is needed.
    let secret = out(&added).trim().to_string();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert!(all(&added).contains("added hook_"), "{}", all(&added));
    let table = shell.says(&["hooks", "list"]);
    let id = first_column(&table)[0].to_string();
    assert!(
        table.contains("scanner") && table.contains(&hook.url),
        "{table}"
    );
    assert!(!table.contains(&secret), "{table}");

    let tried = shell.says(&["hooks", "test", &id]);
    assert!(tried.starts_with("it answered 200 after "), "{tried}");
    assert!(hook.heard()[0].is_signed_with(&secret));

    let edit = [
        "hooks",
        "edit",
        &id,
        "--on-failure",
        "open",
        "--priority",
        "7",
    ];
    assert_eq!(shell.says(&edit).trim(), format!("changed {id}"));
    let shown = shell.json(&["hooks", "show", &id])["hook"].clone();
    assert_eq!(
        (&shown["on_failure"], &shown["priority"], &shown["events"]),
        (
            &json!("open"),
            &json!(7),
            &json!(["before_message", "overview"])
        )
    );
    let said = shell.says(&["hooks", "disable", &id]);
    assert_eq!(said.trim(), format!("switched {id} off"));
    assert_eq!(
        shell.json(&["hooks", "show", &id])["hook"]["enabled"],
        false
    );
    shell.says(&["hooks", "enable", &id]);

    let rotated = shell.json(&["hooks", "rotate", &id, "--overlap-seconds", "0"]);
    let second = rotated["secret"].as_str().unwrap();
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    writer.send(&direct(&reviewer.id, "hello")).await;
    let heard = hook.heard()[1].clone();
    assert!(heard.is_signed_with(second) && !heard.is_signed_with(&secret));
    let status = shell.says(&["hooks", "status", &id]);
    assert!(
        status.contains("breakers") && status.contains("closed"),
        "{status}"
    );
    assert_eq!(shell.json(&["hooks", "status", &id])["calls"], 1);

    let sentence = shell.fails(&["hooks", "remove", &id], 2);
    assert!(sentence.contains("pass --yes"), "{sentence}");
    let removed = shell.says(&["hooks", "remove", &id, "--yes"]);
    assert_eq!(removed.trim(), format!("removed {id}"));
    let sentence = shell.fails(&["hooks", "show", &id], 1);
    assert!(sentence.contains("not_found"), "{sentence}");
    let wrong = [
        "hooks",
        "add",
        "--name",
        "Two Words",
        "--hook-url",
        "ftp://h/",
        "--event",
        "overview",
    ];
    let sentence = shell.fails(&wrong, 1);
    assert!(
        sentence.contains("name: ") && sentence.contains("url: "),
        "{sentence}"
    );
}
