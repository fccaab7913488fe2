//! `ekho dead-letters`: what nobody took; hand it out once more, throw it away, keep it elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::ask::Sure;
use crate::cli::client::{Query, under};
use crate::cli::paging::{Paging, filters};
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;
use crate::cli::{CliError, lines, say};

const PATH: &str = "/v1/operator/dead-letters";

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("when", "dead_lettered_at"),
    ("to", "recipient_agent_id"),
    ("from", "sender_agent_id"),
    ("type", "message_type"),
    ("retries", "retry_count"),
    ("why", "failure_reason"),
];

const EXAMPLES: &str = "\
Examples:
  ekho dead-letters list --recipient agent_…
  ekho dead-letters show dl_…
  ekho dead-letters redrive dl_… dl_…
  ekho dead-letters redrive --all --reason max_retries
  ekho dead-letters export --out dead-letters.jsonl
  ekho dead-letters purge --all --to 2026-01-01T00:00:00Z --yes";

/// Deliveries that were given up: look, hand out once more, throw away.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    List(ListArgs),
    Show(ShowArgs),
    Redrive(RedriveArgs),
    Purge(PurgeArgs),
    Export(ExportArgs),
}

/// Dead letters, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho dead-letters list --recipient agent_…
  ekho dead-letters list --reason max_retries --all --json")]
struct ListArgs {
    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    paging: Paging,
}

/// One dead letter with its message's body.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho dead-letters show dl_…")]
struct ShowArgs {
    /// The dead letter's id
    letter: String,
}

/// Put dead letters back into their inboxes, with all their retries.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho dead-letters redrive dl_… dl_…
  ekho dead-letters redrive --all --recipient agent_…")]
struct RedriveArgs {
    #[command(flatten)]
    which: Which,
}

/// Throw dead letters away; their messages and the audit log stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho dead-letters purge dl_… --yes
  ekho dead-letters purge --all --to 2026-01-01T00:00:00Z --yes")]
struct PurgeArgs {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    sure: Sure,
}

/// Write dead letters with their messages as JSON lines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho dead-letters export --out dead-letters.jsonl
  ekho dead-letters export --recipient agent_… > of-one-agent.jsonl")]
struct ExportArgs {
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    filter: Filter,
}

/// These, or all that match.
#[derive(Debug, Args)]
struct Which {
    /// Ids of dead letters
    #[arg(value_name = "LETTER", required_unless_present = "all")]
    letters: Vec<String>,

    /// All that match the filters
    #[arg(long, conflicts_with = "letters")]
    all: bool,

    #[command(flatten)]
    filter: Filter,
}

/// All of these must hold.
#[derive(Debug, Args)]
struct Filter {
    /// For this agent
    #[arg(long, value_name = "AGENT")]
    recipient: Option<String>,

    /// From this agent
    #[arg(long, value_name = "AGENT")]
    sender: Option<String>,

    /// Of this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    message_type: Option<String>,

    /// Given up for a reason with this text in it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Given up at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Given up at this time or earlier
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Filter {
    fn query(&self) -> Query {
        filters(&[
            ("recipient_agent_id", &self.recipient),
            ("sender_agent_id", &self.sender),
            ("conversation_id", &self.conversation),
            ("message_type", &self.message_type),
            ("reason", &self.reason),
            ("dateFrom", &self.from),
            ("dateTo", &self.to),
        ])
    }
}

impl Which {
    fn body(&self) -> Result<Value, CliError> {
        if !self.all {
            if !self.filter.query().is_empty() {
                let why = "filters choose among all: pass --all, or ids and no filter";
                return Err(CliError::Usage(why.into()));
            }
            return Ok(json!({ "ids": self.letters }));
        }
        let mut body = json!({ "all": true });
        for (name, value) in self.filter.query() {
            body[name] = value.into();
        }
        Ok(body)
    }

    /// For a question.
    fn words(&self) -> String {
        match (self.all, self.letters.as_slice()) {
            (true, _) if self.filter.query().is_empty() => "every dead letter".into(),
            (true, _) => "every dead letter that matches".into(),
            (false, [one]) => one.clone(),
            (false, many) => format!("{} dead letters", many.len()),
        }
    }
}

pub(in crate::cli) async fn run(args: DeadLettersArgs) -> Result<(), CliError> {
    let DeadLettersArgs { command, remote } = args;
    match &command {
        DeadLettersCommand::Purge(args) => {
            args.which.body()?;
            args.sure
                .check(&format!("Throw away {}", args.which.words()))?;
        }
        DeadLettersCommand::Redrive(args) => drop(args.which.body()?),
        _ => {}
    }
    remote
        .run(async |relay| match command {
            DeadLettersCommand::List(args) => {
                let query = args.filter.query();
                let answer = args.paging.get(relay, PATH, query, "dead_letters").await?;
                relay.rows(&answer, "dead_letters", COLUMNS)
            }
            DeadLettersCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.letter, "")).await?;
                relay.one(&answer, &answer["dead_letter"])
            }
            DeadLettersCommand::Redrive(args) => {
                order(relay, &args.which, "redrive", "redriven").await
            }
            DeadLettersCommand::Purge(args) => order(relay, &args.which, "purge", "purged").await,
            DeadLettersCommand::Export(args) => export(relay, &args).await,
        })
        .await
}

async fn order(relay: &Relay, which: &Which, call: &str, done: &str) -> Result<(), CliError> {
    let body = which.body()?;
    let answer = relay.post(&format!("{PATH}/{call}"), &body).await?;
    relay.done(&answer, &format!("{done}: {}", answer[done]))
}

async fn export(relay: &Relay, args: &ExportArgs) -> Result<(), CliError> {
    let path = format!("{PATH}/export");
    let query = args.filter.query();
    let total = |first: &Value| first["total"].as_u64().unwrap_or_default();
    let last = lines::download(relay, &path, &query, args.out.as_deref(), total).await?;
    say(&format!("dead letters: {}", last["dead_letters"]));
    Ok(())
}
