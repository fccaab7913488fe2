//! Two agents on one relay: a writer hands a draft to a reviewer, the reviewer sends a critique
//! back, the writer says that the text is complete.
//!
//! ```text
//! writer   -- handoff:  draft    --> reviewer
//! writer  <-- direct:   critique --  reviewer
//! writer   -- complete: text     --> reviewer
//! ```
//!
//! Run it with `./dev example`. It starts a relay of its own in a temporary directory, and takes a
//! few seconds. To use a relay that runs already, set `EKHO_RELAY_URL`, `EKHO_FLEET_ID`,
//! `EKHO_WRITER_TOKEN` and `EKHO_REVIEWER_TOKEN` (two enrolment tokens).

#![expect(
    clippy::print_stdout,
    reason = "the transcript is what the example is for"
)]

#[path = "../shared/own_relay.rs"]
mod own_relay;
mod relay;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ekho_client::{
    AgentHandle, AgentHooks, EkhoAgentAdapter, EkhoAgentClient, EnrollRequest, HandlerError,
    InboxMessage, MessageType, Recipient, SendMessage,
};
use serde_json::json;
use tokio::sync::Notify;

use relay::Relay;

/// The whole flow takes a second or two; this is for a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(25);
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const CONVERSATION: &str = "conv-haiku";

/// Prints one line of the transcript.
fn tell(who: &str, what: &str) {
    println!("{who:>9}  {what}");
}

fn text_of(message: &InboxMessage) -> &str {
    message.body["text"].as_str().unwrap_or("(no text)")
}

/// Waits for critique and makes a better version of it.
struct Writer;

impl AgentHooks for Writer {
    async fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> Result<(), HandlerError> {
        if message.message_type != MessageType::Direct {
            return Ok(());
        }
        tell(
            "writer",
            &format!("reads the critique: {}", text_of(&message)),
        );
        let text = "An old silent pond / a frog jumps into the pond / splash! Silence again.";
        let body = json!({"text": text, "revision": 2});
        let complete = SendMessage::reply_to(&message, MessageType::Complete, body)?;
        tell("writer", &format!("sends the complete text: {text}"));
        agent.send(&complete).await?;
        Ok(())
    }
}

/// Criticises drafts, and takes note when the text is complete.
struct Reviewer {
    completed: Notify,
}

impl AgentHooks for Reviewer {
    async fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> Result<(), HandlerError> {
        match message.message_type {
            MessageType::Handoff => {
                tell(
                    "reviewer",
                    &format!("reads the draft: {}", text_of(&message)),
                );
                let text = "A frog should jump. Let it.";
                let critique = SendMessage::reply_to(
                    &message,
                    MessageType::Direct,
                    json!({"text": text, "verdict": "revise"}),
                )?;
                tell("reviewer", &format!("sends a critique: {text}"));
                agent.send(&critique).await?;
            }
            MessageType::Complete => {
                tell(
                    "reviewer",
                    &format!("reads the complete text: {}", text_of(&message)),
                );
                self.completed.notify_one();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Enrols an agent and makes its client.
async fn enrol(relay: &Relay, name: &str, token: &str) -> Result<EkhoAgentClient, Box<dyn Error>> {
    let mut request = EnrollRequest::new(relay.fleet_id(), token, name);
    request.capabilities = vec![name.to_lowercase()];
    let agent = EkhoAgentClient::enroll(relay.url(), &request).await?;
    tell(
        &name.to_lowercase(),
        &format!("enrolled as {}", agent.agent_id),
    );
    let builder = EkhoAgentClient::builder(agent.agent_id, agent.secret);
    Ok(builder.relay(relay.url()).build()?)
}

async fn run(relay: &Relay) -> Result<(), Box<dyn Error>> {
    let writer = enrol(relay, "Writer", relay.writer_token()).await?;
    let reviewer = enrol(relay, "Reviewer", relay.reviewer_token()).await?;
    let reviewer_id = reviewer.agent_id().to_owned();

    let completed = Notify::new();
    let reviewer = EkhoAgentAdapter::builder(reviewer, Reviewer { completed }).start();
    let writer = EkhoAgentAdapter::builder(writer, Writer).start();

    let text = "An old silent pond / a frog sits by the pond / it is very quiet.";
    let draft = SendMessage::new(
        Recipient::agent(reviewer_id),
        MessageType::Handoff,
        CONVERSATION,
        json!({"text": text, "revision": 1}),
    );
    tell("writer", &format!("sends a draft: {text}"));
    let sent = writer.send(&draft).await?;

    reviewer.hooks().completed.notified().await;

    // Stopping lets the last handlers finish, so that everything is acked afterwards.
    let client = writer.client().clone();
    reviewer.stop(STOP_DEADLINE).await;
    writer.stop(STOP_DEADLINE).await;
    let state = client.get_message(&sent.message_id).await?;
    for delivery in state.deliveries {
        let acked_at = delivery.acked_at.unwrap_or_default();
        tell(
            "relay",
            &format!("{} was {} {acked_at}", sent.message_id, delivery.status),
        );
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let began = Instant::now();
    let relay = match Relay::from_environment_or_start().await {
        Ok(relay) => relay,
        Err(error) => {
            tell("error", &error.to_string());
            return ExitCode::FAILURE;
        }
    };
    tell("relay", &format!("ready at {}", relay.url()));
    let outcome = match tokio::time::timeout(DEADLINE, run(&relay)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("not finished within {DEADLINE:?}").into()),
    };
    let stopped = relay.stop().await;
    if let Err(error) = outcome.and(stopped) {
        tell("error", &error.to_string());
        return ExitCode::FAILURE;
    }
    tell(
        "done",
        &format!("in {:.1} s", began.elapsed().as_secs_f64()),
    );
    ExitCode::SUCCESS
}
