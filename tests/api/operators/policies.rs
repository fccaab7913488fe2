//! Policies over HTTP: made, tried out, changed, rolled back, removed

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{Operator, Relay, direct};

fn rule(name: &str, conditions: Value) -> Value {
    json!({
        "name": name,
        "scope_kind": "fleet",
        "rule": { "action": "deny", "conditions": conditions },
        "enabled": true,
    })
}

pub async fn create(operator: &Operator, policy: &Value) -> String {
    let made = operator.post("/v1/operator/policies", policy).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_id(&made.json()["policyId"], "pol_").to_string()
}

#[tokio::test]
async fn a_denied_message_names_the_policy() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let id = create(
        &operator,
        &rule(
            "no shouting",
            json!({ "message_type": ["alert", "broadcast"] }),
        ),
    )
    .await;
    let target = format!("/v1/operator/policies/{id}");
    let mut alert = direct(&reviewer.id, "now!");
    alert["message_type"] = json!("alert");
    let refused = writer.post("/v1/messages", &alert).await;
    let body = refused.refused(403, "blocked by policy", "policy_denied");
    assert_eq!(body["policy"], "no shouting");
    writer.send(&direct(&reviewer.id, "quietly")).await;
    assert_eq!(reviewer.inbox().await.len(), 1);

    let shown = operator.get(&target).await.ok()["policy"].clone();
    assert_eq!(
        shown["rule"]["conditions"]["message_type"],
        json!(["alert", "broadcast"])
    );
    assert_eq!(
        (&shown["version"], &shown["dry_run"], &shown["priority"]),
        (&json!(1), &json!(false), &json!(100))
    );
    assert_time(&shown["updated_at"]);

    // What would happen, without anybody sending it.
    let asked = json!({
        "sender_agent_id": writer.id, "recipient_agent_id": reviewer.id, "message_type": "alert",
    });
    let preview = operator
        .post("/v1/operator/policies/preview", &asked)
        .await
        .ok();
    assert_eq!(
        (&preview["allowed"], &preview["decided_by"]["id"]),
        (&json!(false), &json!(id))
    );
    let mut asked = asked;
    asked["message_type"] = json!("direct");
    let preview = operator
        .post("/v1/operator/policies/preview", &asked)
        .await
        .ok();
    assert_eq!(preview["allowed"], true);
    assert_eq!(
        preview["policies"][0]["why"],
        "the condition on message_type does not hold"
    );

    // A message that was sent, and a policy that is not there yet: alone, and in another's place.
    let sent = writer.send(&direct(&reviewer.id, "a draft")).await;
    let quiet = rule("quiet", json!({ "message_type": "direct" }));
    let preview = async |more: Value| {
        let mut asked = json!({ "message_id": sent });
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = operator.post("/v1/operator/policies/preview", &asked);
        answer.await.ok()
    };
    assert_eq!(preview(json!({})).await["allowed"], true);
    let with = preview(json!({ "draft": quiet })).await;
    assert_eq!(with["decided_by"]["name"], "quiet", "{with}");
    assert_eq!(with["policies"].as_array().unwrap().len(), 2);
    let instead = preview(json!({ "draft": quiet, "replaces": id })).await;
    assert_eq!(instead["policies"].as_array().unwrap().len(), 1);
    assert_eq!(preview(json!({})).await["allowed"], true, "nothing is kept");
    for (asked, field) in [
        (
            json!({ "message_id": sent, "draft": { "name": "n" } }),
            "draft.rule",
        ),
        (json!({ "message_id": sent, "draft": 1 }), "draft"),
    ] {
        let answer = operator.post("/v1/operator/policies/preview", &asked);
        answer.await.invalid(field);
    }

    // A dry run lets it pass; a rollback does not.
    let mut dry = rule("no shouting", json!({ "message_type": "alert" }));
    dry["dry_run"] = json!(true);
    operator.put(&target, &dry).await.ok();
    writer.send(&alert).await;
    let versions = operator.get(&format!("{target}/versions")).await.ok();
    let numbers: Vec<_> = versions["versions"]
        .as_array()
        .expect("versions")
        .iter()
        .map(|one| one["version"].clone())
        .collect();
    assert_eq!(numbers, [json!(2), json!(1)]);
    operator
        .post(&format!("{target}/rollback"), &json!({ "version": 1 }))
        .await
        .ok();
    assert_eq!(writer.post("/v1/messages", &alert).await.status, 403);
    let listed = operator.get("/v1/operator/policies").await.ok();
    assert_eq!(
        (&listed["total"], &listed["policies"][0]["version"]),
        (&json!(1), &json!(3))
    );

    operator.call("DELETE", &target, None).await.ok();
    writer.send(&alert).await;
    assert_eq!(operator.get(&target).await.status, 404);
    for (method, path) in [
        ("DELETE", target.clone()),
        ("GET", format!("{target}/versions")),
    ] {
        assert_eq!(
            operator.call(method, &path, None).await.status,
            404,
            "{method} {path}"
        );
    }
    assert_eq!(operator.put(&target, &dry).await.status, 404);
}

#[tokio::test]
async fn bad_policies_are_named_by_field() {
    let relay = support::shared().await;
    let operator = relay.operator().await;
    for (policy, field) in [
        (json!({}), "name"),
        (json!({ "name": "n" }), "scope_kind"),
        (json!({ "name": "n", "scope_kind": "agent" }), "scope_id"),
        (json!({ "name": "n", "scope_kind": "fleet" }), "rule"),
        (
            json!({ "name": "n", "scope_kind": "fleet", "rule": {} }),
            "rule.action",
        ),
        (
            rule("n", json!({ "colour": "red" })),
            "rule.conditions.colour",
        ),
        (
            rule("n", json!({ "priority": "someday" })),
            "rule.conditions.priority",
        ),
        (
            rule("n", json!({ "message_type": 7 })),
            "rule.conditions.message_type",
        ),
    ] {
        operator
            .post("/v1/operator/policies", &policy)
            .await
            .invalid(field);
    }
    let asked = json!({ "message_type": "direct" });
    operator
        .post("/v1/operator/policies/preview", &asked)
        .await
        .invalid("sender_agent_id");
}
