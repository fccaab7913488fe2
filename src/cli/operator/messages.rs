//! `ekho messages`: send to agents and rooms, see what became of a message, take it back, send it
//! on, find it by its words.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::client::{Query, under};
use crate::cli::paging::Paging;
use crate::cli::print;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::{self, Columns};

const PATH: &str = "/v1/operator/messages";
const TYPES: [&str; 8] = [
    "direct",
    "broadcast",
    "alert",
    "handoff",
    "claim",
    "complete",
    "heartbeat",
    "control",
];
pub(super) const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];

/// Messages without what they say.
pub(super) const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("when", "created_at"),
    ("type", "message_type"),
    ("from", "sender_id"),
    ("to", "recipient_id"),
    ("conversation", "conversation_id"),
];

const EXAMPLES: &str = "\
Examples:
  ekho messages send --to agent_… \"Please stop after this draft\"
  ekho messages show msg_…
  ekho messages cancel msg_…
  ekho messages redirect msg_… --to agent_… --reason \"its host is down\"
  ekho messages search quarterly report";

/// Send messages, see what became of them, take them back, find them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct MessagesArgs {
    #[command(subcommand)]
    command: MessagesCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum MessagesCommand {
    Send(SendArgs),
    Show(ShowArgs),
    Cancel(CancelArgs),
    Redirect(RedirectArgs),
    Search(SearchArgs),
}

/// Send a text to an agent or a room.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho messages send --to agent_… \"Please stop after this draft\"
  ekho messages send --room room_… \"Standup in five minutes\" --priority high")]
struct SendArgs {
    /// What to say, at most 8,000 characters
    text: String,

    /// The agent
    #[arg(long, value_name = "AGENT", required_unless_present = "room")]
    to: Option<String>,

    /// The room
    #[arg(long, value_name = "ROOM", conflicts_with = "to")]
    room: Option<String>,

    /// Type of the message [default: direct]
    #[arg(long = "type", value_name = "TYPE", value_parser = TYPES)]
    message_type: Option<String>,

    /// How urgent it is [default: normal]
    #[arg(long, value_parser = PRIORITIES)]
    priority: Option<String>,

    /// How long it is worth something [default: a day]
    #[arg(long, value_name = "SECONDS")]
    ttl_seconds: Option<u64>,

    /// The conversation it belongs to [default: a new one, or the room's]
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    /// What it answers to
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,

    /// More about it, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    metadata: Option<Value>,

    /// Sent again with the same key, it is not sent twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

fn json_object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("an object is expected".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A message and what became of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho messages show msg_…")]
struct ShowArgs {
    /// The message's id
    message: String,
}

/// Take a message back that was not handed out yet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho messages cancel msg_…")]
struct CancelArgs {
    /// The message's id
    message: String,
}

/// Send a message that waits on to another agent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho messages redirect msg_… --to agent_… --reason \"its host is down\"")]
struct RedirectArgs {
    /// The message's id
    message: String,

    /// Who receives it
    #[arg(long, value_name = "AGENT")]
    to: String,

    /// For whom it waits, where it has several recipients
    #[arg(long, value_name = "AGENT")]
    from: Option<String>,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Messages that have all of these words, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho messages search quarterly report
  ekho messages search agent_… --limit 100 --json")]
struct SearchArgs {
    /// Whole words of a message, or an id
    #[arg(required = true)]
    words: Vec<String>,

    #[command(flatten)]
    paging: Paging,
}

pub(in crate::cli) async fn run(args: MessagesArgs) -> Result<(), CliError> {
    let MessagesArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            MessagesCommand::Send(args) => send(relay, args).await,
            MessagesCommand::Show(args) => show(relay, &args.message).await,
            MessagesCommand::Cancel(args) => {
                let path = under(PATH, &args.message, "/cancel");
                let answer = relay.post(&path, &json!({})).await?;
                let count = &answer["cancelled_deliveries"];
                let sentence = format!("took back {}, deliveries: {count}", args.message);
                relay.done(&answer, &sentence)
            }
            MessagesCommand::Redirect(args) => redirect(relay, args).await,
            MessagesCommand::Search(args) => search(relay, args).await,
        })
        .await
}

async fn send(relay: &Relay, args: SendArgs) -> Result<(), CliError> {
    let given = [
        ("recipient_agent_id", json!(args.to)),
        ("room_id", json!(args.room)),
        ("text", json!(args.text)),
        ("message_type", json!(args.message_type)),
        ("priority", json!(args.priority)),
        ("ttl_seconds", json!(args.ttl_seconds)),
        ("conversation_id", json!(args.conversation)),
        ("correlation_id", json!(args.correlation)),
        ("metadata", json!(args.metadata)),
    ];
    let given = given.into_iter().filter(|(_, value)| !value.is_null());
    let body = Value::Object(given.map(|(name, value)| (name.into(), value)).collect());
    let key = args.idempotency_key.as_deref();
    let answer = relay.client().post_once(PATH, &body, key).await?;
    relay.one(&answer, &answer)
}

async fn show(relay: &Relay, message: &str) -> Result<(), CliError> {
    let answer = relay.get(&under(PATH, message, "")).await?;
    let mut shown = answer["message"].clone();
    shown["status"] = answer["status"].clone();
    relay.one(&answer, &shown)?;
    if relay.is_json() {
        return Ok(());
    }
    let rows = answer["deliveries"].as_array().map(Vec::as_slice);
    print("\nDeliveries:")?;
    print(&show::table(DELIVERIES, rows.unwrap_or_default()))
}

const DELIVERIES: Columns<'static> = &[
    ("to", "recipient_agent_id"),
    ("status", "status"),
    ("attempts", "attempts"),
    ("failure", "last_failure_reason"),
];

async fn redirect(relay: &Relay, args: RedirectArgs) -> Result<(), CliError> {
    let body = json!({
        "to_agent_id": args.to,
        "from_agent_id": args.from,
        "reason": args.reason,
    });
    let path = under(PATH, &args.message, "/redirect");
    let answer = relay.post(&path, &body).await?;
    relay.done(&answer, &format!("sent {} on to {}", args.message, args.to))
}

async fn search(relay: &Relay, args: SearchArgs) -> Result<(), CliError> {
    let query: Query = vec![("q", args.words.join(" "))];
    let answer = args
        .paging
        .get(relay, "/v1/operator/search", query, "messages")
        .await?;
    relay.rows(&answer, "messages", COLUMNS)
}
