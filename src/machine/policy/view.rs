//! A policy as JSON, the same in the audit log, in answers and in files.

use ekho_storage::tables::policy::{Action, BodyRule, BodyTest, Conditions, Policy, TimeWindows};
use serde_json::{Map, Value, json};

/// Names of the days, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A policy without who made it and when.
pub fn shown(policy: &Policy) -> Value {
    let draft = &policy.draft;
    let mut rule = json!({ "action": draft.action.as_str() });
    match &draft.action {
        Action::Redirect(to) => rule["redirect_agent_id"] = to.as_str().into(),
        Action::Tag(tags) => rule["tags"] = tags.clone().into(),
        Action::Deny | Action::Allow | Action::RequireApproval | Action::Quarantine => {}
    }
    rule["conditions"] = Value::Object(conditions(&draft.conditions));
    json!({
        "id": policy.id,
        "name": draft.name,
        "scope_kind": if draft.scope_agent.is_some() { "agent" } else { "fleet" },
        "scope_id": draft.scope_agent,
        "rule": rule,
        "enabled": draft.enabled,
        "dry_run": draft.dry_run,
        "priority": draft.priority,
        "version": policy.version,
    })
}

fn conditions(conditions: &Conditions) -> Map<String, Value> {
    let mut given = Map::new();
    for (name, values) in [
        ("sender_agent_id", &conditions.sender_agent_id),
        ("recipient_agent_id", &conditions.recipient_agent_id),
        ("message_type", &conditions.message_type),
        ("conversation_id", &conditions.conversation_id),
        ("sender_labels", &conditions.sender_labels),
        ("sender_capabilities", &conditions.sender_capabilities),
        ("recipient_labels", &conditions.recipient_labels),
        ("recipient_capabilities", &conditions.recipient_capabilities),
    ] {
        if let Some(values) = values {
            given.insert(name.into(), values.clone().into());
        }
    }
    if let Some(values) = &conditions.priority {
        let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
        given.insert("priority".into(), values.into());
    }
    if !conditions.body.is_empty() {
        let tests: Vec<Value> = conditions.body.iter().map(body_test).collect();
        given.insert("body".into(), tests.into());
    }
    if let Some(time) = &conditions.time {
        given.insert("time".into(), times(time));
    }
    if let Some(rate) = &conditions.rate {
        let rate = json!({
            "max_messages": rate.max_messages,
            "window_seconds": rate.window_ms / 1000,
        });
        given.insert("rate".into(), rate);
    }
    given
}

fn body_test(test: &BodyTest) -> Value {
    let pointer = &test.pointer;
    match &test.test {
        BodyRule::Equals(raw) => {
            // What was read as JSON when the policy was written is JSON.
            let value: Value = serde_json::from_str(raw).unwrap_or_default();
            json!({ "pointer": pointer, "equals": value })
        }
        BodyRule::Matches(pattern) => json!({ "pointer": pointer, "matches": pattern }),
        BodyRule::Exists(exists) => json!({ "pointer": pointer, "exists": exists }),
    }
}

fn times(time: &TimeWindows) -> Value {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let windows: Vec<Value> = time
        .windows
        .iter()
        .map(|window| {
            let days = DAYS.iter().enumerate();
            let days: Vec<&str> = days
                .filter(|(day, _)| window.days & (1 << day) != 0)
                .map(|(_, name)| *name)
                .collect();
            json!({
                "days": days,
                "from": clock(window.from_minute),
                "to": clock(window.to_minute),
            })
        })
        .collect();
    json!({ "time_zone": time.time_zone, "windows": windows })
}
