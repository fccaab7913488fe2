//! `ekho agent listen --exec`: a program is run for each message; what it prints is the answer.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use ekho_client::{
    AgentHandle, AgentHooks, EkhoAgentAdapter, HandlerError, InboxControl, InboxMessage,
    MessageType, SendMessage,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::identity::As;
use crate::cli::{CliError, say};

const EXAMPLES: &str = "\
Examples:
  ekho agent listen --exec 'jq -r .body.text | tr a-z A-Z'
  ekho agent listen --exec ./review.sh --concurrency 4 --timeout-seconds 600
  ekho agent listen --exec 'cat >> inbox.jsonl' --no-reply

The command gets the message as JSON on its standard input, and EKHO_MESSAGE_ID,
EKHO_MESSAGE_TYPE, EKHO_CONVERSATION_ID, EKHO_SENDER_ID and, of an A2A task, EKHO_TASK_ID in its
environment. Where it ends with 0 the message is acked, and what it printed goes to the sender: a
JSON object as it is, anything else as {\"text\": …}; an A2A task is completed with it. Where it
ends otherwise, or not in time, the message comes again later. Messages of one conversation are
worked on one after the other. Ctrl-C lets running commands finish.";

/// What a command may print.
const OUTPUT_MAX_BYTES: u64 = 512 << 10;
/// What is told of why it failed.
const REASON_MAX_CHARS: usize = 200;

/// Run a command for each message
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListenArgs {
    /// The command, as `sh -c` takes it
    #[arg(long, value_name = "COMMAND")]
    exec: String,

    /// Messages in work at once
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    concurrency: u64,

    /// How long a command may take; then it is killed, and the message comes again
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_seconds: u64,

    /// Send no answers
    #[arg(long)]
    no_reply: bool,

    #[command(flatten)]
    who: As,
}

struct Exec {
    command: String,
    replies: bool,
}

pub(super) async fn run(args: ListenArgs) -> Result<(), CliError> {
    let client = args.who.client()?;
    let exec = Exec {
        command: args.exec,
        replies: !args.no_reply,
    };
    let timeout = Duration::from_secs(args.timeout_seconds);
    let mut terminate = signal(SignalKind::terminate())?;
    let agent_id = client.agent_id().to_string();
    let agent = EkhoAgentAdapter::builder(client, exec)
        .concurrency(args.concurrency as usize)
        .handler_timeout(timeout)
        .start();
    say(&format!("listening as {agent_id}; Ctrl-C stops"));
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    let report = agent.stop(timeout).await;
    let left = report.abandoned_message_ids.len();
    if left > 0 {
        say(&format!("{left} messages were handed back unfinished"));
    }
    Ok(())
}

impl AgentHooks for Exec {
    async fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> Result<(), HandlerError> {
        let printed = self.run(&message).await.inspect_err(|error| {
            say(&format!("{}: {error}; it comes again", message.message_id));
        })?;
        say(&format!("{}: done", message.message_id));
        if !self.replies {
            return Ok(());
        }
        if let Some(task) = agent.client().task_of(&message) {
            let told = match printed.trim() {
                "" => "done",
                text => text,
            };
            return match task.complete(told).await {
                // It ended otherwise meanwhile, as where its client called it off: to do it again
                // changes nothing.
                Err(error) if error.code() == Some("conflict") => {
                    say(&format!("{}: {error}", message.message_id));
                    Ok(())
                }
                completed => Ok(completed.map(|_| ())?),
            };
        }
        if printed.trim().is_empty() || message.sender_agent_id.is_none() {
            return Ok(());
        }
        let mut reply = SendMessage::reply_to(&message, MessageType::Direct, body(&printed))?;
        // Should the ack be lost, the same answer to the same message is not sent twice.
        reply.idempotency_key = Some(format!("reply-{}", message.message_id));
        match agent.send(&reply).await {
            // The command ran again, and printed something else: the first answer stands.
            Err(error) if error.code() == Some("idempotency_conflict") => Ok(()),
            // An operator's message has an operator as its sender, who has no inbox.
            Err(error) if error.code() == Some("unknown_recipient") => {
                say(&format!(
                    "{}: the answer goes to nobody",
                    message.message_id
                ));
                Ok(())
            }
            other => Ok(other.map(|_| ())?),
        }
    }

    async fn on_control(&self, control: &InboxControl) {
        let reason = control.reason.as_deref().unwrap_or_default();
        say(&format!("told: {} ({reason})", control.action));
    }
}

impl Exec {
    /// Runs the command for a message; what it printed.
    async fn run(&self, message: &InboxMessage) -> Result<String, HandlerError> {
        let task = message.metadata["a2a_task_id"].as_str().unwrap_or_default();
        let sender = message.sender_agent_id.as_deref().unwrap_or_default();
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .env("EKHO_MESSAGE_ID", &message.message_id)
            .env("EKHO_MESSAGE_TYPE", message.message_type.as_str())
            .env("EKHO_CONVERSATION_ID", &message.conversation_id)
            .env("EKHO_SENDER_ID", sender)
            .env("EKHO_TASK_ID", task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let given = format!("{}\n", serde_json::to_string(message)?);
        let give = async {
            if let Some(mut stdin) = stdin {
                // A command need not read what it is given.
                let _ = stdin.write_all(given.as_bytes()).await;
            }
            Ok(())
        };
        let ended = async { Ok::<_, HandlerError>(child.wait().await?) };
        // Where it prints too much it is not waited for: dropped, it is killed.
        let (status, (), printed, complained) =
            tokio::try_join!(ended, give, read(stdout), read(stderr))?;
        if !complained.trim().is_empty() {
            say(complained.trim_end());
        }
        match status.success() {
            true => Ok(printed),
            false => Err(why(status, &complained).into()),
        }
    }
}

/// Reads all that a command prints, and refuses more than it may.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Result<String, HandlerError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .await?;
    }
    if bytes.len() as u64 > OUTPUT_MAX_BYTES {
        return Err(format!("it printed more than {OUTPUT_MAX_BYTES} bytes").into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn why(status: ExitStatus, complained: &str) -> String {
    let last = complained
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty());
    let text = match last {
        Some(line) => format!("{status}: {line}"),
        None => status.to_string(),
    };
    text.chars().take(REASON_MAX_CHARS).collect()
}

/// What was printed as the body of a message.
fn body(printed: &str) -> Value {
    match serde_json::from_str(printed) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({ "text": printed.trim_end_matches('\n') }),
    }
}
