//! `ekho policies`

use std::fs;

use serde_json::json;

use super::{Shell, all, first_column, refused};
use crate::support::{Relay, direct};

#[tokio::test]
async fn a_policy_is_made_changed_tried_and_removed() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let shell = Shell::new(&relay, &operator);
    let create = [
        "policies",
        "create",
        "--name",
        "no shouting",
        "--action",
        "deny",
        "--message-type",
        "alert,broadcast",
    ];
    let made = shell.says(&create);
    let id = made.trim().strip_prefix("made ").unwrap().to_string();
    let table = shell.says(&["policies", "list"]);
    assert_eq!(first_column(&table), [id.as_str()]);
    assert!(
        table.contains("no shouting") && table.contains("alert"),
        "{table}"
    );
    let shown = &shell.json(&["policies", "show", &id])["policy"];
    assert_eq!(
        shown["rule"]["conditions"],
        json!({ "message_type": ["alert", "broadcast"] })
    );

    // What is given changes, the rest stays.
    let edit = [
        "policies",
        "edit",
        &id,
        "--message-priority",
        "urgent",
        "--order",
        "5",
        "--sender",
        &sender.id,
    ];
    assert_eq!(shell.says(&edit).trim(), format!("changed {id}"));
    let shown = shell.json(&["policies", "show", &id])["policy"].clone();
    assert_eq!(
        (&shown["name"], &shown["priority"]),
        (&json!("no shouting"), &json!(5))
    );
    let conditions = json!({ "message_type": ["alert", "broadcast"], "priority": ["urgent"], "sender_agent_id": [sender.id] });
    assert_eq!(
        shown["rule"],
        json!({ "action": "deny", "conditions": conditions })
    );

    let preview = [
        "policies",
        "preview",
        "--sender",
        &sender.id,
        "--recipient",
        &recipient.id,
        "--message-type",
        "alert",
        "--message-priority",
        "urgent",
    ];
    let verdict = shell.says(&preview);
    assert!(
        verdict.starts_with("denied, by \"no shouting\""),
        "{verdict}"
    );
    assert_eq!(shell.json(&preview)["allowed"], false);
    assert_eq!(
        shell.says(&["policies", "disable", &id]).trim(),
        format!("switched {id} off")
    );
    assert!(
        shell
            .says(&preview)
            .starts_with("allowed, as no policy matches")
    );
    shell.says(&["policies", "enable", &id]);
    assert_eq!(shell.json(&preview)["allowed"], false);

    let versions = shell.says(&["policies", "versions", &id]);
    assert_eq!(first_column(&versions), ["4", "3", "2", "1"]);
    let sentence = shell.says(&["policies", "rollback", &id, "1"]);
    assert_eq!(
        sentence.trim(),
        format!("{id} says again what version 1 said")
    );
    assert_eq!(
        shell.json(&["policies", "show", &id])["policy"]["priority"],
        100
    );
    let alert = |mut message: serde_json::Value| {
        message["message_type"] = json!("alert");
        message
    };
    let denied = sender
        .post("/v1/messages", &alert(direct(&recipient.id, "x")))
        .await;
    assert_eq!(denied.code(), "policy_denied");

    let said = shell.fails(&["policies", "rollback", &id, "99"], 1);
    assert!(said.contains("404 not_found"), "{said}");
    assert!(
        shell
            .says(&["policies", "delete", &id, "--yes"])
            .contains("removed")
    );
    for args in [
        &["policies", "show", &id][..],
        &["policies", "enable", &id],
        &["policies", "versions", &id],
    ] {
        assert!(shell.fails(args, 1).contains("404 not_found"), "{args:?}");
    }
}

#[tokio::test]
async fn policies_come_from_files_in_yaml_and_json() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let file = relay.dir().join("policy.yaml");
    let path = file.to_str().unwrap();
    let yaml = "name: no shouting\nscope_kind: fleet\nrule:\n  action: deny\n  conditions: { message_type: [alert] }\n";
    fs::write(&file, yaml).unwrap();
    let made = shell.json(&["policies", "create", "--file", path]);
    let id = made["policyId"].as_str().unwrap();
    // What was read can be written back, also as JSON on standard input.
    let mut policy = shell.json(&["policies", "show", id])["policy"].clone();
    policy["name"] = json!("hush");
    let changed = shell.run_with(
        &["policies", "edit", id, "--file", "-"],
        &policy.to_string(),
    );
    assert!(changed.status.success(), "{}", all(&changed));
    let now = shell.json(&["policies", "show", id])["policy"].clone();
    assert_eq!((&now["name"], &now["version"]), (&json!("hush"), &json!(2)));
    assert_eq!(now["rule"], policy["rule"]);
    fs::write(&file, "sender_agent_id: a\nmessage_type: alert\n").unwrap();
    assert_eq!(
        shell.json(&["policies", "preview", "--file", path])["allowed"],
        false
    );

    for (text, why) in [
        ("name: [", "is not usable"),
        ("- a\n- b\n", "an object is expected"),
        (
            "name: x\nscope_kind: fleet\nrule: { action: shout }\n",
            "rule.action: one of",
        ),
        (
            "scope_kind: fleet\nrule: { action: deny, conditions: { colour: red } }\n",
            "name: required",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let said = shell.run(&["policies", "create", "--file", path]);
        assert_eq!(said.status.code(), Some(1), "{text}");
        assert!(all(&said).contains(why), "{text}: {}", all(&said));
    }
    let missing = refused(
        &shell.run(&["policies", "create", "--file", "/nowhere.yaml"]),
        1,
    );
    assert!(missing.contains("/nowhere.yaml"), "{missing}");
    let said = shell.fails(&["policies", "create", "--name", "x"], 1);
    assert!(said.contains("rule.action: required"), "{said}");
    let both = shell.run(&["policies", "create", "--file", path, "--name", "x"]);
    assert_eq!(both.status.code(), Some(2));
}

#[tokio::test]
async fn all_policies_go_out_to_a_file_and_come_back() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    for name in ["one", "two"] {
        let create = [
            "policies",
            "create",
            "--name",
            name,
            "--action",
            "deny",
            "--message-type",
            "alert",
        ];
        shell.says(&create);
    }
    let file = relay.dir().join("policies.yaml");
    let path = file.to_str().unwrap();
    shell.says(&["policies", "export", "--out", path]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(shell.says(&["policies", "export"]).trim(), text.trim());
    let unchanged = "created: 0, updated: 0, unchanged: 2, deleted: 0";
    assert_eq!(shell.says(&["policies", "import", path]).trim(), unchanged);

    fs::write(&file, text.replace("name: one", "name: first")).unwrap();
    let dry = shell.says(&["policies", "import", path, "--dry-run"]);
    assert_eq!(
        dry.trim(),
        "would be created: 0, updated: 1, unchanged: 1, deleted: 0"
    );
    assert_eq!(shell.json(&["policies", "import", path])["updated"], 1);
    assert!(shell.says(&["policies", "list"]).contains("first"));
    fs::write(&file, "policies: []\n").unwrap();
    let all = ["policies", "import", path, "--delete-others"];
    assert!(shell.fails(&all, 2).contains("--yes"));
    let all = ["policies", "import", path, "--delete-others", "--yes"];
    assert_eq!(shell.json(&all)["deleted"], 2);
    fs::write(&file, "policies: [{ name: x }]\n").unwrap();
    let said = shell.fails(&["policies", "import", path], 1);
    assert!(said.contains("policies.0.rule"), "{said}");
    shell.fails(&["policies", "import", "/nowhere.yaml"], 1);
}
