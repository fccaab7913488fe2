//! A Python program asks an agent by A2A while the agent is asleep. The agent starts a minute
//! later, takes what waited for it, and the program's stream delivers the answer.
//!
//! ```text
//! client.py  -- SendStreamingMessage -->  relay            (no agent yet)
//! client.py <-- task: submitted --------  relay
//!                                         relay  --inbox-->  agent   (a minute later)
//! client.py <-- working, artifact, completed --------------  agent
//! ```
//!
//! Run it with `./dev example a2a-offline`, or with another time in seconds:
//! `./dev example a2a-offline 5`. It starts a relay of its own in a temporary directory. The Python
//! program uses the official A2A SDK; `EKHO_A2A_PYTHON` names an interpreter that has it.

#![expect(
    clippy::print_stdout,
    reason = "the transcript is what the example is for"
)]

#[path = "../shared/own_relay.rs"]
mod own_relay;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ekho_client::{AckItem, Artifact, EkhoAgentClient, EnrollRequest, InboxQuery};
use serde_json::json;
use tokio::process::Command;

use own_relay::OwnRelay;

/// How long the agent sleeps, where it is not said.
const ASLEEP_SECONDS: u64 = 60;
/// How long everything after that may take.
const DEADLINE: Duration = Duration::from_secs(60);

fn tell(who: &str, what: &str) {
    println!("{who:>9}  {what}");
}

async fn run(relay: &OwnRelay, asleep: Duration) -> Result<(), Box<dyn Error>> {
    let token = relay.enrollment_token().await?;
    let request = EnrollRequest::new(relay.fleet_id(), token, "Historian");
    let enrolled = EkhoAgentClient::enroll(relay.url(), &request).await?;
    tell(
        "agent",
        &format!("enrolled as {}, and asleep", enrolled.agent_id),
    );

    let client = json!({ "name": "a Python program" });
    let client = relay.post("/v1/operator/a2a/clients", &client).await?;
    let bearer = client["token"].as_str().ok_or("no token")?;
    let python = std::env::var("EKHO_A2A_PYTHON").unwrap_or_else(|_| "python3".into());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/a2a-offline/client.py");
    let mut asking = Command::new(python)
        .arg(program)
        .arg(format!("{}/agents/{}", relay.url(), enrolled.agent_id))
        .args([bearer, "When was the first message relayed?"])
        .kill_on_drop(true)
        .spawn()?;

    tokio::time::sleep(asleep).await;
    tell("agent", "wakes up");
    let agent = EkhoAgentClient::builder(&enrolled.agent_id, enrolled.secret);
    let agent = agent.relay(relay.url()).build()?;
    let answering = async {
        let query = InboxQuery {
            wait_seconds: Some(30),
            ..InboxQuery::default()
        };
        let inbox = agent.get_inbox(&query).await?;
        let message = inbox.messages.first().ok_or("nothing waits")?;
        let task = agent.task_of(message).ok_or("no task")?;
        agent
            .ack_messages(vec![AckItem::now(&message.message_id)])
            .await?;
        tell("agent", &format!("works on {}", task.id()));
        let text = "In 1792, by optical telegraph, from hill to hill.";
        task.artifact(&Artifact::text("answer", text)).await?;
        task.complete("That is all there is to say.").await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let answered = async {
        answering.await?;
        Ok::<_, Box<dyn Error>>(asking.wait().await?)
    };
    let status = tokio::time::timeout(DEADLINE, answered)
        .await
        .map_err(|_| format!("not finished within {DEADLINE:?}"))??;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the Python program ended with {status}").into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map(|text| text.parse());
    let seconds = match seconds.unwrap_or(Ok(ASLEEP_SECONDS)) {
        Ok(seconds) => seconds,
        Err(error) => {
            tell("error", &format!("how many seconds? {error}"));
            return ExitCode::FAILURE;
        }
    };
    let relay = match OwnRelay::start().await {
        Ok(relay) => relay,
        Err(error) => {
            tell("error", &error.to_string());
            return ExitCode::FAILURE;
        }
    };
    tell("relay", &format!("ready at {}", relay.url()));
    let outcome = run(&relay, Duration::from_secs(seconds)).await;
    let stopped = relay.stop().await;
    if let Err(error) = outcome.and(stopped) {
        tell("error", &error.to_string());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
