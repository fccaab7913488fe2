//! `ekho setup` at a terminal, from the first question to a relay that serves

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Relay, ekho, free_port};
use crate::terminal::{CTRL_C, DOWN, ENTER, Terminal};
use crate::{done, out};

fn setup(dir: &std::path::Path) -> Command {
    let mut command = ekho(["setup"]);
    command
        .current_dir(dir)
        .env("EKHO_TAILSCALED_SOCKET", dir.join("no-tailscaled"))
        .env("EKHO_DISK_FREE_MIN_BYTES", "1048576");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_lead_to_a_relay_with_a_first_token_that_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut terminal = Terminal::start(&mut setup(dir.path()));
    terminal.answer("Data directory", ENTER);
    terminal.expect("This machine:");
    terminal.expect("to mend");
    terminal.answer("This node is to be", ENTER);
    terminal.answer("The relay is to be reached from", ENTER);
    terminal.answer("Port", "0\r");
    terminal.expect("from 1 to 65535");
    terminal.keys("\x08");
    terminal.keys(&format!("{port}\r"));
    terminal.answer("Name of the fleet", "acme\r");
    terminal.answer("Owner's email", "ops@acme.example\r");
    terminal.answer("Owner's password", "short\r");
    terminal.expect("at least 8 characters");
    terminal.keys("correct horse\r");
    terminal.answer("The same again", "correct horse\r");
    terminal.answer("Make a token for a first agent", "y");
    terminal.answer("Try the relay with a test agent", "y");
    // Nothing is made before this is answered.
    terminal.expect("Set up in");
    assert!(!dir.path().join("data").exists());
    terminal.keys("y");
    terminal.expect("acked and was revoked again");
    assert!(terminal.end().success(), "{}", terminal.text());
    let text = terminal.text();
    assert!(!text.contains("correct horse"), "{text}");

    let data = dir.path().join("data");
    let kept = fs::read_to_string(data.join("ekho.toml")).unwrap();
    assert!(
        kept.contains(&format!("port = {port}")) && kept.contains("host = \"127.0.0.1\""),
        "{kept}"
    );
    let mut relay = Relay::builder().dir(dir.path()).bare().set_up();
    relay.port = port;
    relay.boot().await;
    assert_eq!(relay.credentials().fleet_name, "acme");
    assert_eq!(relay.credentials().email, "ops@acme.example");
    assert_eq!(relay.credentials().password, "correct horse");
    let agents = relay.operator().await.get("/v1/operator/agents").await.ok();
    let agents = agents["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 1, "{agents:?}");
    assert_eq!(agents[0]["status"], "revoked");

    // The command that was shown enrols an agent.
    let shown = text.lines().find(|line| line.contains("ekho agent enroll"));
    let shown = shown.unwrap_or_else(|| panic!("no command in {text}"));
    let words = shown.trim().replace("NAME", "writer");
    let mut enroll = relay.command(words.split_whitespace().skip(1));
    enroll.env("EKHO_AGENT_FILE", dir.path().join("agent.json"));
    assert!(out(&done(enroll.output().unwrap())).contains("enrolled as agent_"));
}

#[test]
fn who_interrupts_a_question_has_changed_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&mut setup(dir.path()));
    terminal.answer("Data directory", ENTER);
    terminal.expect("This node is to be");
    terminal.keys(DOWN);
    terminal.keys(CTRL_C);
    terminal.expect("nothing was done");
    assert_eq!(terminal.end().code(), Some(1));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // The list had hidden the cursor.
    let raw = terminal.raw();
    let (hidden, shown) = (raw.rfind("\x1b[?25l"), raw.rfind("\x1b[?25h"));
    assert!(hidden.is_some() && hidden < shown, "{raw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_joins_by_answers() {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let first_address = address(free_port());
    let first = Relay::builder()
        .env("EKHO_NODE_ADDRESS", &first_address)
        .env("EKHO_NODE_LISTEN", &first_address)
        .start()
        .await;
    let made = first
        .operator()
        .await
        .post("/v1/operator/cluster/tokens", &serde_json::json!({}))
        .await
        .ok();
    let token = made["token"].as_str().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (port, own) = (free_port(), address(free_port()));
    let mut command = setup(dir.path());
    command.env("EKHO_NODE_LISTEN", &own);
    let mut terminal = Terminal::start(&mut command);
    terminal.answer("Data directory", ENTER);
    terminal.answer("This node is to be", &format!("{DOWN}{DOWN}{ENTER}"));
    terminal.answer("The relay is to be reached from", ENTER);
    terminal.answer("Port", &format!("{port}\r"));
    terminal.answer("Where other nodes reach this one", "nowhere\r");
    terminal.expect("host:port");
    for _ in 0.."nowhere".len() {
        terminal.keys("\x08");
    }
    terminal.keys(&format!("{own}\r"));
    terminal.answer(
        "Node of the cluster to join by",
        &format!("{first_address}\r"),
    );
    terminal.answer("Join token", &format!("{token}\r"));
    terminal.answer("Set up in", "y");
    terminal.expect("as node 2");
    assert!(terminal.end().success(), "{}", terminal.text());
    assert!(!terminal.text().contains(token), "{}", terminal.text());

    let mut second = Relay::builder()
        .dir(dir.path())
        .bare()
        .env("EKHO_NODE_LISTEN", &own)
        .set_up();
    second.port = port;
    second.boot().await;
    let operator = first.operator_at(&second).await;
    let status: Value = operator.get("/v1/operator/cluster").await.ok();
    assert_eq!(status["node_id"], 2, "{status}");
    // Asked again, it says what it is.
    let mut again = setup(dir.path());
    again.args(["--non-interactive"]);
    assert!(out(&done(again.output().unwrap())).contains("already node 2"));
}
