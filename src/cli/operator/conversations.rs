//! `ekho conversations`: what was said, and what became of it; and the rooms there are.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::{Query, under};
use crate::cli::paging::{Paging, filters};
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::{self, Columns};
use crate::cli::{CliError, print, say};

const PATH: &str = "/v1/operator/conversations";

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("messages", "message_count"),
    ("last", "last_message_at"),
    ("participants", "participants"),
];

const EXAMPLES: &str = "\
Examples:
  ekho conversations list
  ekho conversations list --search \"quarterly report\"
  ekho conversations show conv_…
  ekho conversations rooms";

/// What was said and what became of it; rooms.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ConversationsArgs {
    #[command(subcommand)]
    command: ConversationsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum ConversationsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Rooms(RoomsArgs),
}

/// Conversations, those with the newest messages first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho conversations list
  ekho conversations list --search \"quarterly report\" --json")]
struct ListArgs {
    /// Those with a message that has all of these words
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,

    #[command(flatten)]
    paging: Paging,
}

/// Messages and events of one conversation, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho conversations show conv_…
  ekho conversations show conv_… --all --json")]
struct ShowArgs {
    /// The conversation's id
    conversation: String,

    #[command(flatten)]
    paging: Paging,
}

/// Rooms of the fleet, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho conversations rooms")]
struct RoomsArgs {
    #[command(flatten)]
    paging: Paging,
}

pub(in crate::cli) async fn run(args: ConversationsArgs) -> Result<(), CliError> {
    let ConversationsArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            ConversationsCommand::List(args) => {
                let query = filters(&[("search", &args.search)]);
                let answer = args.paging.get(relay, PATH, query, "conversations").await?;
                relay.rows(&answer, "conversations", COLUMNS)
            }
            ConversationsCommand::Show(args) => show(relay, args).await,
            ConversationsCommand::Rooms(args) => {
                let path = "/v1/operator/rooms";
                let answer = args.paging.get(relay, path, Query::new(), "rooms").await?;
                relay.rows(&answer, "rooms", ROOMS)
            }
        })
        .await
}

const ROOMS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("members", "members"),
    ("made", "created_at"),
];

async fn show(relay: &Relay, args: ShowArgs) -> Result<(), CliError> {
    let path = under(PATH, &args.conversation, "");
    let answer = args.paging.get(relay, &path, Query::new(), "items").await?;
    if relay.is_json() {
        return relay.done(&answer, "");
    }
    print(&show::fields(&answer["conversation"]))?;
    let items = answer["items"].as_array().map(Vec::as_slice);
    let rows: Vec<Value> = items.unwrap_or_default().iter().map(row).collect();
    print(&format!("\n{}", show::table(TIMELINE, &rows)))?;
    if let Some(cursor) = answer["next_cursor"].as_str() {
        say(&format!("there are more: --cursor {cursor}, or --all"));
    }
    Ok(())
}

const TIMELINE: Columns<'static> = &[
    ("when", "created_at"),
    ("what", "what"),
    ("by", "by"),
    ("about", "about"),
    ("says", "says"),
];

/// A message or an event as a row of one table.
fn row(item: &Value) -> Value {
    let (message, event) = (&item["message"], &item["event"]);
    match item["kind"].as_str() {
        Some("message") => serde_json::json!({
            "created_at": message["created_at"],
            "what": message["message_type"],
            "by": message["sender_id"],
            "about": message["id"],
            "says": message["body"],
        }),
        _ => serde_json::json!({
            "created_at": event["created_at"],
            "what": event["event_type"],
            "by": event["actor_id"],
            "about": event["resource_id"],
            "says": event["payload"],
        }),
    }
}
