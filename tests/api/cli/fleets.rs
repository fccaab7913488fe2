//! `ekho fleets`, `ekho analytics`, and `ekho license` on a running relay

use serde_json::json;

use super::{Shell, all, done, first_column, out, refused};
use crate::support::{Relay, Vendor, direct, pro_claims};

#[tokio::test]
async fn fleets_are_made_renamed_archived_and_restored() {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let create = [
        "fleets",
        "create",
        "branch",
        "--owner",
        "boss@x.example",
        "--password-stdin",
    ];
    let made = out(&done(shell.run_with(&create, "a first password\n")));
    let id = made.trim().rsplit(' ').next().unwrap().to_string();
    assert!(id.starts_with("flt_"), "{made}");
    let again = shell.run_with(&create, "a first password\n");
    assert!(
        refused(&again, 1).contains("409 conflict"),
        "{}",
        all(&again)
    );

    let table = shell.says(&["fleets", "list"]);
    assert!(
        table.contains("branch") && first_column(&table).contains(&id.as_str()),
        "{table}"
    );
    let renamed = shell.says(&["fleets", "rename", "branch", "office"]);
    assert_eq!(renamed.trim(), "branch is office now");
    assert_eq!(
        shell.json(&["fleets", "show", &id])["fleet"]["name"],
        "office"
    );
    assert_eq!(
        shell.json(&["fleets", "show", "office"])["fleet"]["id"],
        id.as_str()
    );
    let gone = shell.fails(&["fleets", "show", "branch"], 1);
    assert!(gone.contains("there is no fleet branch"), "{gone}");

    let unsure = shell.fails(&["fleets", "archive", "office"], 2);
    assert!(unsure.contains("--yes"), "{unsure}");
    shell.says(&["fleets", "archive", "office", "--yes"]);
    let shown = shell.json(&["fleets", "show", "office"]);
    assert!(shown["fleet"]["archived_at"].is_string(), "{shown}");
    let restored = shell.says(&["fleets", "restore", "office"]);
    assert_eq!(restored.trim(), "office is in use again");
}

#[tokio::test]
async fn analytics_are_shown_and_exported() {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let [alice, bob] = relay.agents(["alice", "bob"]).await;
    alice.send(&direct(&bob.id, "hello")).await;
    let counts = shell.json(&["analytics", "throughput", "--step", "3600"]);
    assert_eq!(counts["total"]["accepted"], 1);
    let table = shell.says(&["analytics", "agents", "--last", "2h"]);
    assert!(
        table.contains("alice") && first_column(&table).contains(&alice.id.as_str()),
        "{table}"
    );
    let table = shell.says(&["analytics", "pairs", "--sender", &alice.id]);
    assert!(table.contains(&bob.id), "{table}");
    let csv = shell.says(&["analytics", "pairs", "--csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(
        csv.starts_with("failed,from,messages,recipient_agent_id,sender_agent_id"),
        "{csv}"
    );
    let none = shell.says(&["analytics", "pairs", "--recipient", &alice.id, "--csv"]);
    assert_eq!(none.trim(), "nothing happened in this time");
    let wrong = shell.fails(&["analytics", "throughput", "--step", "7"], 1);
    assert!(wrong.contains("step"), "{wrong}");
    shell.fails(&["analytics", "agents", "--last", "0s"], 2);
}

#[tokio::test]
async fn a_licence_is_installed_shown_and_removed() {
    let relay = Relay::builder().vendor().start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let refused = shell.run_with(
        &[
            "fleets",
            "create",
            "branch",
            "--owner",
            "boss@x.example",
            "--password-stdin",
        ],
        "a first password\n",
    );
    assert!(
        all(&refused).contains("license_required"),
        "{}",
        all(&refused)
    );
    std::fs::write(
        relay.dir().join("good.jwt"),
        Vendor::get().sign(&pro_claims()),
    )
    .unwrap();
    std::fs::write(relay.dir().join("bad.jwt"), "no licence").unwrap();
    let bad = shell.fails(&["license", "install", "bad.jwt"], 1);
    assert!(bad.contains("not a licence"), "{bad}");
    let installed = shell.says(&["license", "install", "good.jwt"]);
    assert!(
        installed.contains("Test Inc.") && installed.contains("pro"),
        "{installed}"
    );
    assert_eq!(shell.json(&["license", "status"])["source"], "installed");
    let removed = shell.json(&["license", "remove", "--yes"]);
    assert_eq!(removed["tier"], json!("oss"));
}
