//! `ekho agent`: acting as an agent from a shell

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::node::mode;
use super::{all, out, refused};
use crate::checks::assert_id;
use crate::support::{
    Agent, DEADLINE, Operator, Relay, a2a_message, direct, ekho, poll_until, root, shared,
};

/// A shell in a directory of its own, in which agents have their files.
struct Home {
    dir: TempDir,
    url: String,
}

impl Home {
    fn new(relay: &Relay) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Home {
            dir,
            url: relay.url(),
        }
    }

    fn command(&self, who: &str, args: &[&str]) -> Command {
        let file = self.dir.path().join(format!("{who}.json"));
        let mut command = ekho(["agent"].iter().chain(args));
        command
            .env("EKHO_AGENT_FILE", file)
            .env("EKHO_RELAY_URL", &self.url)
            // One for the rest of the world, which the relay of this machine is not reached by.
            .env("http_proxy", "http://127.0.0.1:9")
            .env_remove("no_proxy")
            .env_remove("NO_PROXY")
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, who: &str, args: &[&str]) -> Output {
        self.command(who, args)
            .output()
            .expect("ekho can be started")
    }

    /// What a command prints that must succeed.
    fn says(&self, who: &str, args: &[&str]) -> String {
        let output = self.run(who, args);
        assert!(output.status.success(), "{args:?}: {}", all(&output));
        out(&output)
    }

    async fn enrol(&self, operator: &Operator, name: &str) -> String {
        let token = operator.enrollment_token().await;
        let fleet = &operator.fleet_id;
        let args = [
            "enroll", "--fleet", fleet, "--token", &token, "--name", name, "--json",
        ];
        let enrolled: Value = serde_json::from_str(&self.says(name, &args)).unwrap();
        assert_id(&enrolled["agent_id"], "agent_").to_string()
    }

    /// Runs a command for each message of an agent's, from when it says that it listens.
    fn listen(&self, who: &str, exec: &str, more: &[&str]) -> Listening {
        let args: Vec<&str> = ["listen", "--exec", exec]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let mut command = self.command(who, &args);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening as agent_"), "{line}");
        Listening { child, stderr }
    }
}

struct Listening {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Listening {
    /// Stops it as Ctrl-C does; what it said.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(killed.success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_shell_enrols_sends_and_reads() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let home = Home::new(&relay);
    let writer = home.enrol(&operator, "shell writer").await;
    let reader = home.enrol(&operator, "shell reader").await;
    assert_eq!(mode(&home.dir.path().join("shell writer.json")), 0o600);
    // A file that holds an agent is not written over.
    let token = operator.enrollment_token().await;
    let fleet = &operator.fleet_id;
    let again = ["enroll", "--fleet", fleet, "--token", &token, "--name", "x"];
    let why = refused(&home.run("shell writer", &again), 2);
    assert!(why.contains("holds an agent already"), "{why}");

    home.says(
        "shell writer",
        &["send", "--to", "shell reader", "by its name"],
    );
    let mut child = home
        .command(
            "shell writer",
            &["send", "--to", &reader, "--type", "handoff", "--json"],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"from standard input")
        .unwrap();
    let sent: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(sent["status"], "queued");
    let waits = lines(&home.says("shell reader", &["inbox", "--wait-seconds", "10", "--ack"]));
    let texts: Vec<&Value> = waits
        .iter()
        .map(|message| &message["body"]["text"])
        .collect();
    assert_eq!(texts, ["by its name", "from standard input"]);
    assert_eq!(waits[1]["message_type"], "handoff");
    assert_eq!(waits[0]["sender_agent_id"], writer.as_str());
    let body = r#"{"draft": 2}"#;
    home.says("shell writer", &["send", "--to", &reader, "--body", body]);
    let waits = lines(&home.says("shell reader", &["inbox"]));
    assert_eq!(waits[0]["body"], json!({ "draft": 2 }));
    assert_eq!(waits.len(), 1, "the others were acked");

    let fails = |args: &[&str], code| refused(&home.run("shell writer", args), code);
    assert!(fails(&["send", "--to", "nobody", "x"], 1).contains("no agent is called"));
    assert!(fails(&["send", "--to", &reader, "--body", "[1]"], 2).contains("a JSON object"));
    let message_type = ["send", "--to", &reader, "--type", "shout", "x"];
    assert!(fails(&message_type, 1).contains("message_type"));
    let why = refused(&home.run("nobody", &["inbox"]), 1);
    assert!(why.contains("ekho agent enroll"), "{why}");
    let mut nowhere = home.command("shell writer", &["inbox"]);
    nowhere.env("EKHO_RELAY_URL", "http://127.0.0.1:1");
    let why = refused(&nowhere.output().unwrap(), 1);
    assert!(
        why.contains("no answer from the relay: "),
        "says why: {why}"
    );
}

async fn answer_of(agent: &Agent) -> Value {
    let mut received = agent.receive().await;
    assert_eq!(received.len(), 1, "{received:?}");
    received.remove(0)
}

#[tokio::test]
async fn a_command_is_run_for_each_message_and_its_output_is_the_answer() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let soon = json!({ "retry_backoff_ms": [100, 100] });
    operator.put("/v1/operator/settings", &soon).await.ok();
    let [asker] = relay.agents(["asker"]).await;
    let home = Home::new(&relay);
    let shell = home.enrol(&operator, "shell").await;
    let script = root().join("tests/api/cli/answer.sh");
    let listening = home.listen("shell", &format!("sh {}", script.display()), &[]);

    asker.send(&direct(&shell, "upper hello")).await;
    let answer = answer_of(&asker).await;
    assert_eq!(answer["body"], json!({ "text": "HELLO" }));
    assert_eq!(answer["sender_agent_id"], shell.as_str());
    asker.send(&direct(&shell, "json")).await;
    let answer = answer_of(&asker).await;
    assert_eq!(
        answer["body"],
        json!({ "sender": asker.id }),
        "an object as it is"
    );
    // What fails comes again, with the reason; what succeeds then is answered.
    let id = asker.send(&direct(&shell, "second-time")).await;
    let answer = answer_of(&asker).await;
    assert_eq!(answer["body"]["text"], "the second time");
    assert_eq!(asker.status(&id).await["deliveries"][0]["attempts"], 2);
    // An A2A task is completed with what was printed.
    let client = operator.a2a_client("shell client").await;
    let params = json!({ "message": a2a_message("upper task") });
    let task = client
        .result(&format!("/agents/{shell}/a2a"), "SendMessage", &params)
        .await;
    assert_eq!(
        task["task"]["status"]["state"], "TASK_STATE_COMPLETED",
        "{task}"
    );
    assert_eq!(
        task["task"]["status"]["message"]["parts"][0]["text"],
        "TASK"
    );
    // One that its client called off while the command ran is over, and not done again.
    let params = json!({
        "message": a2a_message("slow"),
        "configuration": { "returnImmediately": true },
    });
    let at = format!("/agents/{shell}/a2a");
    let task = client.result(&at, "SendMessage", &params).await["task"].clone();
    let files = || std::fs::read_dir(home.dir.path()).unwrap().flatten();
    let begun = || files().filter(|file| file.file_name().to_string_lossy().starts_with("msg_"));
    // The other one is of the message that came twice.
    poll_until(DEADLINE, "the command", async || {
        (begun().count() == 2).then_some(())
    })
    .await;
    client
        .result(&at, "CancelTask", &json!({ "id": task["id"] }))
        .await;
    std::fs::write(home.dir.path().join("go"), "").unwrap();
    let context = task["contextId"].as_str().unwrap();
    let events = format!("/v1/operator/events?type=message.acked&conversation_id={context}");
    poll_until(DEADLINE, "an ack", async || {
        let acked = operator.get(&events).await.ok();
        (acked["events"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let said = listening.stop();
    assert!(
        said.contains("not the first time; it comes again"),
        "{said}"
    );
    assert!(said.contains(": done"), "{said}");
}

#[tokio::test]
async fn a_command_that_takes_too_long_or_says_too_much_is_ended() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    operator
        .put("/v1/operator/settings", &json!({ "retry_backoff_ms": [] }))
        .await
        .ok();
    let [asker] = relay.agents(["asker"]).await;
    let home = Home::new(&relay);
    let shell = home.enrol(&operator, "shell").await;
    for (exec, reason) in [
        ("sleep 600", "took too long"),
        ("yes", "it printed more than 524288 bytes"),
    ] {
        let more = ["--timeout-seconds", "1", "--no-reply"];
        let listening = home.listen("shell", exec, &more);
        let id = asker.send(&direct(&shell, "go")).await;
        let failed = poll_until(DEADLINE, "a failure", async || {
            let delivery = asker.status(&id).await["deliveries"][0].clone();
            delivery["last_failure_reason"].as_str().map(str::to_string)
        })
        .await;
        assert!(failed.contains(reason), "{exec}: {failed}");
        listening.stop();
    }
}
