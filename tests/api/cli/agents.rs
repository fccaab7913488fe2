//! `ekho agents` and `ekho overview`

use serde_json::json;

use super::{Shell, first_column};
use crate::support::{Relay, direct, shared};

#[tokio::test]
async fn agents_are_listed_by_as_many_answers_as_it_takes() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let mut ids = Vec::new();
    for number in 0..125 {
        ids.push(operator.enrol(&format!("agent {number:03}")).await.id);
    }
    let shell = Shell::new(&relay, &operator);
    let table = shell.says(&["agents", "list", "--limit", "110"]);
    assert!(table.starts_with("ID "), "{table}");
    assert_eq!(first_column(&table), ids[..110], "two answers, in order");
    assert_eq!(first_column(&shell.says(&["agents", "list", "--all"])), ids);
    let page = shell.json(&["agents", "list"]);
    assert_eq!(page["agents"].as_array().unwrap().len(), 20);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = shell.json(&["agents", "list", "--limit", "1", "--cursor", cursor]);
    assert_eq!(next["agents"][0]["id"], ids[20].as_str());
    let whole = shell.json(&["agents", "list", "--all"]);
    assert_eq!(whole["agents"].as_array().unwrap().len(), 125);
    assert_eq!(whole["next_cursor"], json!(null));

    let found = [
        "agents",
        "list",
        "--search",
        "agent 012",
        "--sort",
        "display_name",
        "--desc",
    ];
    assert_eq!(first_column(&shell.says(&found)), [ids[12].as_str()]);
    shell.fails(&["agents", "list", "--cursor", "x"], 1);
    let said = shell.fails(&["agents", "list", "--from", "yesterday"], 1);
    assert!(
        said.contains("dateFrom") && said.contains("400 validation_failed"),
        "{said}"
    );
    let overview = shell.says(&["overview"]);
    assert!(
        overview.contains("messages that wait") && overview.contains(&ids[124]),
        "{overview}"
    );
    assert_eq!(shell.json(&["overview"])["queuedMessages"], 0);
}

#[tokio::test]
async fn an_agent_is_held_and_let_go() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent, other] = relay.agents(["cli held", "cli other"]).await;
    let shell = Shell::new(&relay, &operator);
    let (id, to) = (agent.id.as_str(), other.id.as_str());
    let status = async || {
        operator.agent(&agent).await["status"]
            .as_str()
            .unwrap()
            .to_string()
    };

    let pause = [
        "agents",
        "pause",
        id,
        "--reason",
        "deploy",
        "--for",
        "2h",
        "--redirect-to",
        to,
    ];
    assert_eq!(shell.says(&pause).trim(), format!("paused {id}"));
    assert_eq!(status().await, "paused");
    let shown = shell.says(&["agents", "show", id]);
    for text in [
        id,
        "cli held",
        "paused",
        "deploy",
        "Controls, the newest first:",
        "agent.pause",
    ] {
        assert!(shown.contains(text), "no {text}: {shown}");
    }
    let control = &shell.json(&["agents", "show", id])["controls"][0];
    assert!(control["expires_at"].is_string(), "{control}");
    let resume = shell.json(&["agents", "resume", id, "--reason", "done"]);
    assert_eq!(resume, json!({ "ok": true }));
    assert_eq!(status().await, "healthy");
    let quarantine = [
        "agents",
        "quarantine",
        id,
        "--reason",
        "odd",
        "--expires-at",
        "2100-01-01T00:00:00Z",
    ];
    assert_eq!(shell.says(&quarantine).trim(), format!("quarantined {id}"));
    assert_eq!(status().await, "quarantined");

    other.send(&direct(id, "one")).await;
    other.send(&direct(id, "two")).await;
    let waiting = shell.json(&["agents", "inbox", id]);
    assert_eq!(waiting["total"], 2, "{waiting}");
    assert_eq!(first_column(&shell.says(&["agents", "inbox", id])).len(), 2);
    let [third] = relay.agents(["cli third"]).await;
    let redirect = [
        "agents", "redirect", id, "--to", &third.id, "--reason", "held",
    ];
    assert_eq!(
        shell.says(&redirect).trim(),
        format!("sent on to {}: 2", third.id)
    );
    assert_eq!(shell.json(&["agents", "inbox", id])["total"], 0);
    assert_eq!(shell.json(&["agents", "inbox", &third.id])["total"], 2);
    assert_eq!(
        shell.json(&["agents", "rate-limits", id])["violations"],
        json!([])
    );
    assert!(shell.says(&["agents", "rate-limits", id]).starts_with("ID"));

    let revoke = ["agents", "revoke", id, "--reason", "retired", "--yes"];
    assert_eq!(shell.says(&revoke).trim(), format!("revoked {id}"));
    let said = shell.fails(&revoke, 1);
    let expected = format!(
        "ekho: POST /v1/operator/agents/{id}/revoke was refused: not found (404 not_found, request req_"
    );
    assert!(said.starts_with(&expected), "{said}");
    for args in [
        &["agents", "show", "agent_1"][..],
        &["agents", "inbox", "agent_1"],
        &["agents", "rate-limits", "agent_1"],
        &["agents", "pause", "a/b?c", "--reason", "x"],
        &["agents", "redirect", "agent_1", "--to", to, "--reason", "x"],
    ] {
        assert!(shell.fails(args, 1).contains("404 not_found"), "{args:?}");
    }
    let past = [
        "agents",
        "pause",
        to,
        "--reason",
        "x",
        "--expires-at",
        "2000-01-01T00:00:00Z",
    ];
    assert!(
        shell
            .fails(&past, 1)
            .contains("expires_at: must be in the future")
    );
    assert!(
        shell
            .fails(&["agents", "pause", to, "--reason", "x", "--for", "0s"], 2)
            .contains("--for")
    );
    let bad = shell.run(&["agents", "list", "--status", "odd"]);
    assert_eq!(bad.status.code(), Some(2));
}
