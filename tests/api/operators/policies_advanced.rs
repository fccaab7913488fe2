//! Policies with more than the basic conditions, and policies as files

use bytes::Bytes;
use serde_json::{Value, json};

use super::policies::create;
use crate::support::{Answer, Operator, Relay, direct};

fn policy(name: &str, rule: Value) -> Value {
    json!({ "name": name, "scope_kind": "fleet", "rule": rule })
}

async fn import(operator: &Operator, query: &str, text: &str) -> Answer {
    let headers = [
        (
            "authorization".to_string(),
            format!("Bearer {}", operator.token),
        ),
        ("content-type".into(), "application/yaml".into()),
    ];
    let url = format!("{}/v1/operator/policies/import{query}", operator.relay_url);
    let body = Bytes::from(text.to_string());
    operator.http.send("POST", &url, &headers, body).await
}

async fn export(operator: &Operator) -> String {
    let answer = operator.get("/v1/operator/policies/export").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[tokio::test]
async fn labels_and_bodies_decide_and_the_preview_says_the_same() {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let rule = json!({
        "action": "require_approval",
        "conditions": {
            "sender_labels": "external",
            "body": [{ "pointer": "/text", "matches": "(?i)transfer" }],
        },
    });
    let asks = policy("ask before transfers", rule);
    create(&operator, &asks).await;
    let labels = format!("/v1/operator/agents/{}/labels", writer.id);
    operator
        .put(&labels, &json!({ "labels": ["external"] }))
        .await
        .ok();
    assert_eq!(operator.agent(&writer).await["labels"], json!(["external"]));

    writer.send(&direct(&reviewer.id, "good morning")).await;
    let waits = writer.send(&direct(&reviewer.id, "Transfer 100")).await;
    assert_eq!(reviewer.inbox().await.len(), 1);
    let pending = operator
        .get("/v1/operator/approvals?status=pending")
        .await
        .ok();
    let approval = &pending["approvals"][0];
    assert_eq!(approval["message_id"], json!(waits));
    assert_eq!(approval["payload"]["policy"], "ask before transfers");

    for (text, outcome) in [
        ("good morning", "allow"),
        ("a transfer", "require_approval"),
    ] {
        let asked = json!({
            "sender_agent_id": writer.id, "recipient_agent_id": reviewer.id,
            "message_type": "direct", "body": { "text": text },
        });
        let preview = operator
            .post("/v1/operator/policies/preview", &asked)
            .await
            .ok();
        assert_eq!(preview["outcome"], outcome, "{preview}");
        assert_eq!(preview["allowed"], true);
    }
}

#[tokio::test]
async fn what_was_exported_can_be_imported() {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    let [writer] = relay.agents(["writer"]).await;
    let conditions = json!({
        "priority": ["high", "urgent"],
        "conversation_id": "c-1",
        "body": [
            { "pointer": "/a", "equals": { "n": 1.5, "x": null } },
            { "pointer": "", "matches": "sk-[a-z0-9]{20}" },
            { "pointer": "/b", "exists": false },
        ],
        "time": {
            "time_zone": "Europe/Berlin",
            "windows": [{ "days": ["mon", "sun"], "from": "22:00", "to": "06:30" }],
        },
        "rate": { "max_messages": 10, "window_seconds": 60 },
    });
    for policy in [
        policy(
            "quiet: \"nights\"",
            json!({ "action": "deny", "conditions": conditions }),
        ),
        policy(
            "stand-in",
            json!({ "action": "redirect", "redirect_agent_id": writer.id }),
        ),
        policy(
            "mark",
            json!({ "action": "tag", "tags": ["a", "yes", "1"] }),
        ),
        policy(
            "stop",
            json!({ "action": "quarantine", "conditions": { "priority": "urgent" } }),
        ),
    ] {
        create(&operator, &policy).await;
    }
    let text = export(&operator).await;
    let before = operator.get("/v1/operator/policies").await.ok();
    let shown = &before["policies"][0]["rule"]["conditions"];
    assert_eq!(shown["time"]["windows"][0]["to"], "06:30");
    assert_eq!(shown["body"][0]["equals"], json!({ "n": 1.5, "x": null }));

    let same = import(&operator, "?delete_others=true", &text).await.ok();
    assert_eq!(
        (&same["unchanged"], &same["deleted"]),
        (&json!(4), &json!(0)),
        "{same}"
    );
    assert_eq!(operator.get("/v1/operator/policies").await.ok(), before);

    let one = "policies:\n  - name: stand-in\n    scope_kind: fleet\n    rule: {action: allow}\n";
    let tried = import(&operator, "?delete_others=true&dry_run=true", one)
        .await
        .ok();
    assert_eq!(
        (&tried["updated"], &tried["deleted"]),
        (&json!(1), &json!(3)),
        "{tried}"
    );
    assert_eq!(export(&operator).await, text, "a dry run changes nothing");
    import(&operator, "?delete_others=true", one).await.ok();
    let left = operator.get("/v1/operator/policies").await.ok();
    assert_eq!(
        (&left["total"], &left["policies"][0]["version"]),
        (&json!(1), &json!(2))
    );

    // What was taken out comes back as new policies.
    let back = import(&operator, "", &text).await.ok();
    assert_eq!(
        (&back["created"], &back["updated"]),
        (&json!(3), &json!(1)),
        "{back}"
    );
    assert_eq!(export(&operator).await, text);
}

#[tokio::test]
async fn bad_files_are_refused_as_a_whole_and_name_the_place() {
    let relay = support::shared().await;
    let operator = relay.operator().await;
    let before = export(&operator).await;
    let good = "{name: good, scope_kind: fleet, rule: {action: allow}}";
    for (entry, field) in [
        (
            "{name: n, scope_kind: fleet, rule: {action: maybe}}",
            "policies.1.rule.action",
        ),
        (
            "{name: good, scope_kind: fleet, rule: {action: deny}}",
            "policies.1.name",
        ),
        ("{name: n, scope_kind: fleet}", "policies.1.rule"),
    ] {
        let text = format!("policies: [{good}, {entry}]");
        import(&operator, "", &text).await.invalid(field);
    }
    for text in ["policies: [", "- 1", "", "a: &a [*a, *a]"] {
        let refused = import(&operator, "", text).await;
        assert_eq!(refused.status, 400, "{text}: {}", refused.text());
        assert_eq!(refused.json()["code"], "validation_failed", "{text}");
    }
    import(&operator, "?dry_run=perhaps", good)
        .await
        .invalid("dry_run");
    assert_eq!(export(&operator).await, before);
}

#[tokio::test]
async fn bad_conditions_are_named_by_field() {
    let relay = support::shared().await;
    let operator = relay.operator().await;
    for (conditions, field) in [
        (json!({ "body": [] }), "body"),
        (
            json!({ "body": [{ "pointer": "a", "exists": true }] }),
            "body.0.pointer",
        ),
        (json!({ "body": [{ "pointer": "/a" }] }), "body.0.pointer"),
        (
            json!({ "body": [{ "pointer": "/a", "matches": "(" }] }),
            "body.0.matches",
        ),
        (
            json!({ "body": [{ "pointer": "/a", "matches": "\\w{9999}{9999}" }] }),
            "body.0.matches",
        ),
        (
            json!({ "time": { "time_zone": "Mars", "windows": [{ "from": "01:00", "to": "02:00" }] } }),
            "time.time_zone",
        ),
        (
            json!({ "time": { "time_zone": "UTC", "windows": [{ "from": "24:00", "to": "02:00" }] } }),
            "time.windows.0.from",
        ),
        (
            json!({ "time": { "time_zone": "UTC", "windows": [{ "days": ["monday"], "from": "01:00", "to": "02:00" }] } }),
            "time.windows.0.days",
        ),
        (
            json!({ "rate": { "max_messages": 0, "window_seconds": 1 } }),
            "rate.max_messages",
        ),
        (
            json!({ "rate": { "max_messages": 1 } }),
            "rate.window_seconds",
        ),
    ] {
        let bad = policy("n", json!({ "action": "deny", "conditions": conditions }));
        let answer = operator.post("/v1/operator/policies", &bad).await;
        answer.invalid(&format!("rule.conditions.{field}"));
    }
    for (rule, field) in [
        (json!({ "action": "redirect" }), "rule.redirect_agent_id"),
        (json!({ "action": "tag", "tags": [] }), "rule.tags"),
    ] {
        let answer = operator
            .post("/v1/operator/policies", &policy("n", rule))
            .await;
        answer.invalid(field);
    }
    for labels in [
        json!({}),
        json!({ "labels": "a" }),
        json!({ "labels": [""] }),
    ] {
        let answer = operator
            .put("/v1/operator/agents/agent_none/labels", &labels)
            .await;
        answer.invalid("labels");
    }
    let none = json!({ "labels": [] });
    let unknown = operator
        .put("/v1/operator/agents/agent_none/labels", &none)
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn without_a_licence_only_basic_policies_are_made() {
    let relay = support::shared().await;
    let operator = relay.operator().await;
    let tags = policy("n", json!({ "action": "tag", "tags": ["a"] }));
    let refused = operator.post("/v1/operator/policies", &tags).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "license_required")
    );
    assert_eq!(refused.json()["feature"], "advanced_policies");
}
