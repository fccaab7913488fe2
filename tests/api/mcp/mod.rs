//! `ekho mcp`, used by the official client that MCP hosts are made with: `tests/mcp-client`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Agent, Operator, Relay, a2a_message, ekho, root, shared};

/// What the client does, in this order, and says that it did.
const STEPS: [&str; 10] = [
    "tools",
    "peers",
    "conversation",
    "hand_off",
    "returned",
    "attachments",
    "decision",
    "task_asked_for",
    "task_worked_on",
    "refusals",
];

const TOOLS: [&str; 17] = [
    "ack_messages",
    "add_artifact",
    "ask_agent",
    "get_decision",
    "get_task",
    "hand_off",
    "list_peers",
    "message_status",
    "propose_action",
    "read_attachment",
    "read_inbox",
    "reply",
    "report_action",
    "return_message",
    "send_message",
    "update_task",
    "whoami",
];

fn modules() -> PathBuf {
    let named = std::env::var_os("EKHO_TEST_MCP_DIR").map(PathBuf::from);
    named.expect("EKHO_TEST_MCP_DIR is not set: run ./dev test")
}

/// Who acts, and where.
fn environment(relay: &Relay, agent: &Agent) -> Value {
    json!({
        "EKHO_AGENT_ID": agent.id,
        "EKHO_AGENT_SECRET": agent.secret,
        "EKHO_RELAY_URL": relay.url(),
        "EKHO_MCP_TOKEN": "mcp_token_of_the_test",
        "PATH": std::env::var("PATH").unwrap_or_default(),
    })
}

/// Runs the client with an agent of its own against another one; it does all of its steps.
async fn does(given: impl AsyncFnOnce(&Relay, &Agent) -> (Value, Option<Child>)) {
    let relay = shared().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("the model").await;
    let peer = operator.enrol(&format!("peer of {}", agent.id)).await;
    let (mut given, _server) = given(&relay, &agent).await;
    given["agent"] = agent.id.clone().into();
    given["peer"] = json!({ "id": peer.id, "name": format!("peer of {}", agent.id) });
    given["tools"] = json!(TOOLS);
    let mut client = Command::new("node");
    client
        .arg(root().join("tests/mcp-client/client.mjs"))
        .arg(modules())
        .arg(given.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::select! {
        output = client.output() => output.expect("node can be started"),
        () = answer(&operator, &peer, &agent) => unreachable!("it answers on"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{why}");
    let lines = said.lines().filter_map(|line| line.strip_prefix("ok "));
    assert_eq!(lines.collect::<Vec<_>>(), STEPS, "{said}\n{why}");
}

/// Does what messages to the peer say.
async fn answer(operator: &Operator, peer: &Agent, model: &Agent) {
    let client = operator.a2a_client("somebody").await;
    loop {
        let inbox = peer.get("/v1/inbox?limit=100&wait=20").await.ok();
        for message in inbox["messages"].as_array().expect("messages") {
            let id = message["message_id"].as_str().expect("an id");
            peer.ack(&[id]).await;
            let of_task = message["body"]["message"]["parts"][0]["text"].as_str();
            let text = of_task.or(message["body"]["text"].as_str());
            let (what, rest) = text
                .and_then(|text| text.split_once(' '))
                .unwrap_or_default();
            match (what, of_task) {
                ("echo", Some(_)) => {
                    let task = json!({ "id": message["correlation_id"] });
                    let artifact = json!({ "artifact": { "parts": [{ "text": rest }] } });
                    peer.add_artifact(&task, &artifact).await.ok();
                    let status = json!({ "state": "completed" });
                    peer.set_status(&task, &status).await.ok();
                }
                ("echo", None) => {
                    let files = message["attachments"].as_array().into_iter().flatten();
                    let ids: Vec<&Value> = files.map(|file| &file["id"]).collect();
                    peer.send(&json!({
                        "recipient": { "kind": "agent", "id": model.id },
                        "message_type": "direct",
                        "body": { "text": rest },
                        "conversation_id": message["conversation_id"],
                        "correlation_id": message["correlation_id"],
                        "attachment_ids": ids,
                    }))
                    .await;
                }
                ("approve", _) => {
                    let target = format!("/v1/operator/approvals/{rest}/approve");
                    operator.post(&target, &json!({})).await.ok();
                }
                ("ask", _) => {
                    client.send(model, &a2a_message("work on this")).await;
                }
                // Thanks, and what was handed off.
                _ => assert!(
                    text == Some("thanks") || message["body"]["note"] == "yours",
                    "{message}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_host_starts_it_and_talks_over_its_input_and_output() {
    let files = tempfile::tempdir().unwrap();
    does(async |relay, agent| {
        let program = ekho(["mcp"]).get_program().to_string_lossy().into_owned();
        let environment = environment(relay, agent);
        std::fs::write(files.path().join("notes.txt"), "Hello, Zürich!").unwrap();
        let args = json!(["mcp", "--files", files.path()]);
        let given = json!({
            "command": program, "args": args, "env": environment, "files": files.path(),
        });
        (given, None)
    })
    .await;
}

#[tokio::test]
async fn a_host_talks_to_it_over_http() {
    does(async |relay, agent| {
        let mut server = Command::from(ekho(["mcp", "--http", "127.0.0.1:0"]));
        for (name, value) in environment(relay, agent).as_object().unwrap() {
            server.env(name, value.as_str().unwrap());
        }
        server.stderr(Stdio::piped()).kill_on_drop(true);
        let mut server = server.spawn().expect("ekho can be started");
        let stderr = server.stderr.take().unwrap();
        let first = BufReader::new(stderr).lines().next_line().await.unwrap();
        let first = first.expect("an address");
        let url = first
            .split(' ')
            .find(|word| word.starts_with("http"))
            .expect("an address");
        let url = url.trim_end_matches(';');
        let given = json!({ "url": url, "token": "mcp_token_of_the_test" });
        (given, Some(server))
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let with = |more: &[(&str, &str)], args: &[&str]| {
        let mut command = ekho(args.iter());
        for (name, value) in environment(&relay, &agent).as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        command.envs(more.iter().copied()).stdin(Stdio::null());
        let output = command.output().expect("ekho can be started");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, why) = with(
        &[("EKHO_MCP_TOKEN", "short")],
        &["mcp", "--http", "127.0.0.1:0"],
    );
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("at least 16 characters"), "{why}");
    let (code, why) = with(&[("EKHO_AGENT_SECRET", "")], &["mcp"]);
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("go together"), "{why}");
    let (code, why) = with(&[], &["mcp", "--files", "/no/such/folder"]);
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("--files"), "{why}");
    let (code, why) = with(&[], &["mcp", "--http", "192.0.2.1:1"]);
    assert_eq!(code, Some(1), "{why}");
}
