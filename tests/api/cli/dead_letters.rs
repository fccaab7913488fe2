//! `ekho dead-letters`, and the export behind it

use std::fs;

use serde_json::{Value, json};

use super::{Shell, all, done, first_column};
use crate::support::{Agent, Relay, direct};

/// Lets messages die at once: no retry.
async fn kill(sender: &Agent, to: &Agent, count: usize) {
    for number in 0..count {
        let id = sender
            .send(&direct(&to.id, &format!("number {number}")))
            .await;
        let inbox = to.receive().await;
        assert_eq!(inbox[0]["message_id"], id.as_str());
        let nack = json!({ "nacks": [{ "message_id": id, "reason": "cannot" }] });
        to.post("/v1/nacks", &nack).await.ok();
    }
}

#[tokio::test]
async fn dead_letters_are_looked_at_kept_redriven_and_purged() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let settings = json!({ "retry_backoff_ms": [] });
    operator.put("/v1/operator/settings", &settings).await.ok();
    let [sender, one, other] = relay.agents(["sender", "one", "other"]).await;
    kill(&sender, &one, 45).await;
    kill(&sender, &other, 3).await;
    let shell = Shell::new(&relay, &operator);
    let of_one = ["dead-letters", "list", "--recipient", &one.id, "--all"];
    let table = shell.says(&of_one);
    let ids = first_column(&table);
    assert_eq!(ids.len(), 45);
    assert!(table.contains("cannot"), "{table}");
    let shown = shell.json(&["dead-letters", "show", ids[0]]);
    assert_eq!(shown["dead_letter"]["body"], json!({ "text": "number 44" }));
    assert!(
        shell
            .says(&["dead-letters", "show", ids[0]])
            .contains("number 44")
    );

    // The export: all that match, with their bodies, newest first, and an end.
    let file = relay.dir().join("letters.jsonl");
    let path = file.to_str().unwrap();
    let export = [
        "dead-letters",
        "export",
        "--recipient",
        &one.id,
        "--out",
        path,
    ];
    let exported = done(shell.run(&export));
    assert!(
        all(&exported).contains("dead letters: 45"),
        "{}",
        all(&exported)
    );
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["ekho_dead_letters"], &lines[0]["total"]),
        (&json!(1), &json!(48))
    );
    assert_eq!(lines[46], json!({ "end": true, "dead_letters": 45 }));
    let found: Vec<&str> = lines[1..46]
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, ids);
    assert_eq!(lines[1], shown["dead_letter"]);
    assert_eq!(shell.says(&["dead-letters", "export"]).lines().count(), 50);
    let nobody = shell.says(&["dead-letters", "export", "--recipient", "agent_1"]);
    assert_eq!(nobody.lines().count(), 2, "{nobody}");
    let answer = operator
        .get("/v1/operator/dead-letters/export?dateFrom=x")
        .await;
    answer.invalid("dateFrom");

    let redriven = shell.says(&["dead-letters", "redrive", ids[0], ids[1]]);
    assert_eq!(redriven.trim(), "redriven: 2");
    let all_of_one = [
        "dead-letters",
        "redrive",
        "--all",
        "--recipient",
        &one.id,
        "--reason",
        "cann",
    ];
    assert_eq!(shell.json(&all_of_one)["redriven"], 43);
    let purged = shell.says(&["dead-letters", "purge", "--all", "--yes"]);
    assert_eq!(purged.trim(), "purged: 3");
    assert_eq!(
        first_column(&shell.says(&["dead-letters", "list"])),
        Vec::<&str>::new()
    );

    assert!(
        shell
            .fails(&["dead-letters", "show", ids[0]], 1)
            .contains("404 not_found")
    );
    assert!(
        shell
            .fails(&["dead-letters", "redrive", "dl_x"], 1)
            .contains("400 validation_failed")
    );
    let both = ["dead-letters", "purge", "dl_1", "--recipient", "a", "--yes"];
    assert!(shell.fails(&both, 2).contains("--all"));
    assert_eq!(
        shell.run(&["dead-letters", "redrive"]).status.code(),
        Some(2)
    );
    let nowhere = ["dead-letters", "export", "--out", "/nowhere/x"];
    assert!(shell.fails(&nowhere, 1).contains("/nowhere/x"));
}
