//! Clients that others wrote, as their users use them: the programs in `tests/a2a-clients`, each on
//! every binding that it speaks. Here are the agents that they ask.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Notify;

use super::push::open_relay;
use crate::support::{Agent, root};

/// What each of them does, in this order, and says that it did.
const OPERATIONS: [&str; 15] = [
    "card",
    "signature",
    "extended_card",
    "blocking",
    "not_blocking",
    "streaming",
    "get",
    "listing",
    "cancel",
    "subscribe",
    "input_required",
    "offline",
    "push",
    "failures",
    "versions",
];

/// A directory that `./dev` installs something into, and names.
fn installed(variable: &str, what: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = named.unwrap_or_else(|| panic!("{variable} is not set: run ./dev test"));
    assert!(
        path.join(what).exists(),
        "{} has no {what}: run ./dev test",
        path.display()
    );
    path
}

fn python() -> Command {
    let venv = installed("EKHO_TEST_A2A_PYTHON_DIR", "bin/python");
    let mut command = Command::new(venv.join("bin/python"));
    command.arg(root().join("tests/a2a-clients/python/client.py"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn node() -> Command {
    let modules = installed("EKHO_TEST_A2A_NODE_DIR", "node_modules/@a2a-js/sdk");
    let mut command = Command::new("node");
    command.arg(root().join("tests/a2a-clients/node/client.mjs"));
    command.arg(modules);
    command
}

/// The command line, which a program drives.
fn cli() -> Command {
    let tools = installed("EKHO_TEST_A2A_CLI_DIR", "bin/a2acli");
    let mut command = Command::new("python3");
    command.arg(root().join("tests/a2a-clients/cli/client.py"));
    command.arg(tools.join("bin/a2acli"));
    command
}

/// Runs a client on a binding against agents of its own; it does all of these.
async fn does(mut client: Command, binding: &str, operations: &[&str]) {
    let relay = open_relay().await;
    let operator = relay.operator().await;
    let awake = operator.enrol("awake").await;
    let sleeper = operator.enrol("sleeper").await;
    let given = json!({
        "url": relay.url(),
        "token": operator.a2a_client("real client").await.token,
        "agent": awake.id,
        "sleeper": sleeper.id,
        "binding": binding,
    });
    client
        .arg(given.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let morning = Notify::new();
    let sleeping = async {
        morning.notified().await;
        answer(&sleeper, &morning).await;
    };
    let output = tokio::select! {
        output = client.output() => output.expect("the client can be started"),
        () = answer(&awake, &morning) => unreachable!("it answers on"),
        () = sleeping => unreachable!("it answers on"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{why}");
    let done: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    assert_eq!(done, operations, "{said}\n{why}");
}

/// Answers everything that an agent is asked.
async fn answer(agent: &Agent, morning: &Notify) {
    loop {
        let inbox = agent.get("/v1/inbox?limit=100&wait=20").await.ok();
        for message in inbox["messages"].as_array().expect("messages") {
            agent
                .ack(&[message["message_id"].as_str().expect("an id")])
                .await;
            let task = json!({ "id": message["correlation_id"] });
            let said = message["body"]["message"]["parts"][0]["text"].as_str();
            let (script, rest) = match said.expect("a text").split_once(' ') {
                Some((script, rest)) => (script, rest),
                None => (said.expect("a text"), ""),
            };
            match script {
                "echo" => {
                    piece(agent, &task, rest, false, true).await;
                    end(agent, &task).await;
                }
                "steps" => {
                    piece(agent, &task, "a", false, false).await;
                    piece(agent, &task, "b", true, true).await;
                    end(agent, &task).await;
                }
                "ask" => {
                    let status = json!({ "state": "input-required", "message": "which?" });
                    agent.set_status(&task, &status).await.ok();
                }
                // Until somebody says that it may go on, or calls it off.
                "wait" => {}
                "go" => {
                    let other = rest.strip_prefix("on ").expect("a task");
                    let other = json!({ "id": other });
                    piece(agent, &other, "late", false, true).await;
                    end(agent, &other).await;
                    end(agent, &task).await;
                }
                "wake" => {
                    morning.notify_one();
                    end(agent, &task).await;
                }
                other => panic!("no script for {other:?}"),
            }
        }
    }
}

async fn piece(agent: &Agent, task: &Value, text: &str, append: bool, is_last: bool) {
    let artifact = json!({
        "artifact": { "artifactId": "answer", "parts": [{ "text": text }] },
        "append": append,
        "last_chunk": is_last,
    });
    agent.add_artifact(task, &artifact).await.ok();
}

async fn end(agent: &Agent, task: &Value) {
    let status = json!({ "state": "completed", "message": "done" });
    agent.set_status(task, &status).await.ok();
}

#[tokio::test]
async fn the_sdk_for_python_over_json_rpc() {
    does(python(), "JSONRPC", &OPERATIONS).await;
}

#[tokio::test]
async fn the_sdk_for_python_over_http() {
    does(python(), "HTTP+JSON", &OPERATIONS).await;
}

#[tokio::test]
async fn the_sdk_for_python_over_grpc() {
    // It names its own version beside any other, so that versions cannot be tried.
    does(python(), "GRPC", &OPERATIONS[..14]).await;
}

#[tokio::test]
async fn the_sdk_for_javascript_over_json_rpc() {
    does(node(), "JSONRPC", &OPERATIONS).await;
}

#[tokio::test]
async fn the_sdk_for_javascript_over_http() {
    does(node(), "HTTP+JSON", &OPERATIONS).await;
}

#[tokio::test]
async fn the_sdk_for_javascript_over_grpc() {
    does(node(), "GRPC", &OPERATIONS).await;
}

/// It verifies no signatures and asks for no push notifications.
fn of_the_command_line() -> Vec<&'static str> {
    let all = OPERATIONS.into_iter();
    all.filter(|operation| !["signature", "push"].contains(operation))
        .collect()
}

#[tokio::test]
async fn the_command_line_over_json_rpc() {
    does(cli(), "JSONRPC", &of_the_command_line()).await;
}

#[tokio::test]
async fn the_command_line_over_http() {
    does(cli(), "HTTP+JSON", &of_the_command_line()).await;
}
