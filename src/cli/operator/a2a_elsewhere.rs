//! `ekho a2a remote` and `ekho a2a push`: agents elsewhere, and notifications that were given up.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::client::{Query, under};
use crate::cli::paging::Paging;
use crate::cli::remote::Relay;
use crate::cli::show::Columns;

const REMOTES: &str = "/v1/operator/a2a/remotes";
const PUSHES: &str = "/v1/operator/a2a/pushes";

const REMOTE_COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("card", "card_url"),
    ("scheme", "scheme"),
    ("created", "created_at"),
    ("revoked", "revoked"),
];

const PUSH_COLUMNS: Columns<'static> = &[
    ("task", "task_id"),
    ("config", "config_id"),
    ("url", "url"),
    ("tries", "attempts"),
    ("last error", "last_error"),
    ("given up", "gave_up_at"),
];

/// A2A agents elsewhere that agents of the fleet ask through the relay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a remote add --name weather --card https://weather.example.com/.well-known/agent-card.json
  ekho a2a remote list

It is an agent of the fleet from then on: `ekho agents pause`, `quarantine` and `revoke` take its id.")]
pub(super) struct RemoteArgs {
    #[command(subcommand)]
    command: RemoteCommand,
}

#[derive(Debug, Subcommand)]
enum RemoteCommand {
    List(ListArgs),
    Add(AddArgs),
    Change(ChangeArgs),
}

/// Push notifications that were given up after their last try.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a push list\n  ekho a2a push retry task_… push_…")]
pub(super) struct PushArgs {
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Debug, Subcommand)]
enum PushCommand {
    List(ListArgs),
    Retry(RetryArgs),
}

/// Every one there is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a remote list --all --json\n  ekho a2a push list")]
struct ListArgs {
    #[command(flatten)]
    paging: Paging,
}

/// Register an agent elsewhere.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a remote add --name weather --card https://weather.example.com/.well-known/agent-card.json
  ekho a2a remote add --name weather --card https://… --scheme Bearer --credentials-file weather.token")]
struct AddArgs {
    /// What people call it
    #[arg(long)]
    name: String,

    #[command(flatten)]
    place: Place,
}

/// Set where an agent elsewhere is, and what it is shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a remote change agent_… --card https://… --scheme Bearer --credentials-file weather.token")]
struct ChangeArgs {
    /// Its id
    agent: String,

    #[command(flatten)]
    place: Place,
}

/// Where an agent elsewhere is, and what it is shown.
#[derive(Debug, Args)]
struct Place {
    /// The address of its card
    #[arg(long, value_name = "URL")]
    card: String,

    /// Scheme of HTTP by which to show who calls, such as Bearer
    #[arg(long)]
    scheme: Option<String>,

    /// File with what goes with the scheme
    #[arg(long, value_name = "FILE", requires = "scheme")]
    credentials_file: Option<PathBuf>,
}

impl Place {
    /// As the API takes it.
    fn request(self) -> Result<Value, CliError> {
        let mut request = json!({ "card_url": self.card });
        if let Some(scheme) = self.scheme {
            request["scheme"] = scheme.into();
        }
        if let Some(path) = self.credentials_file {
            let read = std::fs::read_to_string(&path);
            let credentials = read.map_err(|source| CliError::File { path, source })?;
            request["credentials"] = credentials.trim().into();
        }
        Ok(request)
    }
}

/// Try one again that was given up.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a push retry task_… push_…")]
struct RetryArgs {
    /// The task's id
    task: String,

    /// The configuration's id
    config_id: String,
}

pub(super) async fn remote(relay: &Relay, args: RemoteArgs) -> Result<(), CliError> {
    match args.command {
        RemoteCommand::List(args) => {
            let query = Query::new();
            let answer = args.paging.get(relay, REMOTES, query, "remotes").await?;
            relay.rows(&answer, "remotes", REMOTE_COLUMNS)
        }
        RemoteCommand::Add(args) => {
            let mut request = args.place.request()?;
            request["name"] = args.name.into();
            let answer = relay.post(REMOTES, &request).await?;
            let id = answer["agent_id"].as_str().unwrap_or_default();
            relay.done(&answer, &format!("registered {id}"))
        }
        RemoteCommand::Change(args) => {
            let path = under(REMOTES, &args.agent, "");
            let answer = relay.put(&path, &args.place.request()?).await?;
            relay.done(&answer, &format!("changed {}", args.agent))
        }
    }
}

pub(super) async fn push(relay: &Relay, args: PushArgs) -> Result<(), CliError> {
    match args.command {
        PushCommand::List(args) => {
            let query = Query::new();
            let answer = args.paging.get(relay, PUSHES, query, "pushes").await?;
            relay.rows(&answer, "pushes", PUSH_COLUMNS)
        }
        PushCommand::Retry(args) => {
            let of_task = under(PUSHES, &args.task, "");
            let path = under(&of_task, &args.config_id, "/retry");
            let answer = relay.post(&path, &json!({})).await?;
            relay.done(&answer, &format!("{} is tried again", args.config_id))
        }
    }
}
