//! `ekho audit events` and `tail`; export and verify are with `node`

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Shell, first_column, out};
use crate::support::{DEADLINE, poll_until, shared};

#[tokio::test]
async fn events_are_found_by_what_they_are_about() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["cli audited"]).await;
    operator.order(&agent, "pause").await;
    operator.order(&agent, "resume").await;
    let shell = Shell::new(&relay, &operator);
    let list = [
        "audit", "events", "--about", &agent.id, "--type", "agent", "--all",
    ];
    let table = shell.says(&list);
    assert_eq!(first_column(&table).len(), 3, "{table}");
    assert!(table.contains("agent.pause"), "{table}");
    let paused = shell.json(&[
        "audit",
        "events",
        "--about",
        &agent.id,
        "--type",
        "agent.pause",
    ]);
    let event = &paused["events"][0];
    assert_eq!(event["payload"]["reason"], "test pause");
    let by = event["actor_id"].as_str().unwrap();
    let list = [
        "audit",
        "events",
        "--by",
        by,
        "--about",
        &agent.id,
        "--type",
        "agent.resume",
    ];
    assert_eq!(first_column(&shell.says(&list)).len(), 1);
    assert!(
        shell
            .fails(&["audit", "events", "--to", "x"], 1)
            .contains("dateTo")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_as_they_come() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["cli followed"]).await;
    let shell = Shell::new(&relay, &operator);
    operator.order(&agent, "pause").await;
    let before = shell.json(&[
        "audit",
        "events",
        "--about",
        &agent.id,
        "--type",
        "agent.pause",
    ]);
    let after = before["events"][0]["id"].as_str().unwrap();

    let args = [
        "audit",
        "tail",
        "--type",
        "agent.resume,agent.quarantine",
        "--after",
        after,
        "--count",
        "2",
        "--json",
    ];
    let mut command = relay.command(args);
    command
        .env("EKHO_TOKEN", &operator.token)
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Other tests hold agents of the same relay at the same time; the second of ours is the last
    // that is waited for.
    operator.order(&agent, "resume").await;
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(
        first["event_type"].as_str().unwrap().starts_with("agent."),
        "{first}"
    );
    operator.order(&agent, "quarantine").await;
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_ne!(first["id"], second["id"]);
    assert!(lines.next().is_none(), "ends after two");
    let status = poll_until(DEADLINE, "its end", async || child.try_wait().unwrap()).await;
    assert!(status.success());

    let one = ["audit", "tail", "--after", after, "--count", "1"];
    let line = out(&shell.run(&one));
    assert!(
        line.starts_with("evt_") && line.trim().lines().count() == 1,
        "{line}"
    );
    assert!(
        shell
            .fails(&["audit", "tail", "--after", "x", "--count", "1"], 1)
            .contains("Last-Event-ID")
    );
}
