//! `ekho a2a`

use serde_json::json;

use super::{Shell, all, first_column, out};
use crate::support::{A2aClient, Relay, a2a_message, iso, now_ms};

#[tokio::test]
async fn a_client_is_made_limited_given_tokens_and_loses_them() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let [agent, other] = relay.agents(["agent", "other"]).await;
    let create = [
        "a2a", "client", "create", "--name", "planner", "--agent", &agent.id, "--rate", "2",
    ];
    let made = shell.run(&create);
    assert!(made.status.success(), "{}", all(&made));
    // The token alone on standard output, so that it can be put where it is needed.
    let token = out(&made).trim().to_string();
    assert!(all(&made).contains("made agent_"), "{}", all(&made));
    let table = shell.says(&["a2a", "client", "list"]);
    let id = first_column(&table)[0].to_string();
    assert!(
        table.contains("planner") && !table.contains(&token),
        "{table}"
    );
    let client = |token: &str| A2aClient {
        id: id.clone(),
        token: token.into(),
        token_id: String::new(),
        relay_url: relay.url(),
        http: operator.http.clone(),
    };
    let first = client(&token);
    first.send(&agent, &a2a_message("hello")).await;
    let params = json!({ "message": a2a_message("hello") });
    let at_other = format!("/agents/{}/a2a", other.id);
    first.error(&at_other, "SendMessage", &params).await;

    let said = shell.says(&["a2a", "client", "change", &id, "--agent", &other.id]);
    assert_eq!(said.trim(), format!("changed {id}"));
    first.send(&other, &a2a_message("hello")).await;
    let shown = shell.json(&["a2a", "client", "show", &id]);
    assert_eq!(shown["agents"], json!([other.id]));
    assert_eq!(shown["rate_max_messages"], 2, "what is not given stays");
    shell.says(&["a2a", "client", "change", &id, "--default-rate"]);
    let shown = shell.json(&["a2a", "client", "show", &id]);
    assert_eq!(shown["agents"], json!([other.id]));
    assert_eq!(shown["rate_max_messages"], json!(null));
    shell.says(&[
        "a2a",
        "client",
        "change",
        &id,
        "--all-agents",
        "--rate",
        "9",
    ]);
    let shown = shell.json(&["a2a", "client", "show", &id]);
    assert_eq!(shown["agents"], json!([]));
    assert_eq!(shown["rate_max_messages"], 9);

    let more = shell.json(&["a2a", "client", "token", &id, "--for", "1h"]);
    let second = client(more["token"].as_str().unwrap());
    second.send(&other, &a2a_message("hello")).await;
    let tokens = shell.json(&["a2a", "client", "show", &id])["tokens"].clone();
    assert_eq!(tokens[1]["id"], more["token_id"]);
    let expires_at = tokens[1]["expires_at"].as_str().unwrap();
    assert!(expires_at > iso(now_ms() + 3_000_000).as_str(), "{tokens}");
    let first_id = tokens[0]["id"].as_str().unwrap();
    let take_back = ["a2a", "client", "delete-token", &id, first_id];
    let sentence = shell.fails(&take_back, 2);
    assert!(sentence.contains("pass --yes"), "{sentence}");
    let said = shell.says(&[&take_back[..], &["--yes"]].concat());
    assert_eq!(said.trim(), format!("took {first_id} back"));
    let refused = first.call_as("1.0", "POST", "/a2a", "{}").await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    second.send(&other, &a2a_message("still")).await;
    let sentence = shell.fails(&["a2a", "client", "show", &agent.id], 1);
    assert!(sentence.contains("not_found"), "{sentence}");
    let none = [
        "a2a", "client", "create", "--name", "x", "--agent", "agent_1",
    ];
    let sentence = shell.fails(&none, 1);
    assert!(sentence.contains("unknown_recipient"), "{sentence}");
}

#[tokio::test]
async fn agents_elsewhere_are_registered_and_listed() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let card = "https://weather.example.com/.well-known/agent-card.json";
    let said = shell.says(&["a2a", "remote", "add", "--name", "weather", "--card", card]);
    assert!(said.contains("registered agent_"), "{said}");
    let table = shell.says(&["a2a", "remote", "list"]);
    assert!(table.contains("weather") && table.contains(card), "{table}");
    let listed = shell.json(&["a2a", "remote", "list"]);
    let id = listed["remotes"][0]["id"].as_str().unwrap().to_string();
    let secret = relay.dir().join("weather.token");
    std::fs::write(&secret, "secret\n").unwrap();
    let secret = secret.to_str().unwrap();
    let change = [
        "a2a",
        "remote",
        "change",
        &id,
        "--card",
        card,
        "--scheme",
        "Bearer",
        "--credentials-file",
        secret,
    ];
    let said = shell.says(&change);
    assert!(said.contains("changed"), "{said}");
    let listed = shell.json(&["a2a", "remote", "list"]);
    assert_eq!(listed["remotes"][0]["has_credentials"], true);
    let none = shell.json(&["a2a", "push", "list"]);
    assert_eq!(none["pushes"], json!([]));
    let sentence = shell.fails(&["a2a", "push", "retry", "task_1", "push_1"], 1);
    assert!(sentence.contains("not found"), "{sentence}");
}
