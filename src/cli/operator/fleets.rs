//! `ekho fleets`: the tenants of the relay, for owners of its first fleet.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::ask::{Sure, new_password};
use crate::cli::client::{Query, under};
use crate::cli::paging::Paging;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;

const PATH: &str = "/v1/operator/fleets";

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("agents", "agents"),
    ("queued", "queued"),
    ("messages", "messages_accepted"),
    ("since", "created_at"),
    ("archived", "archived_at"),
];

const EXAMPLES: &str = "\
Examples:
  ekho fleets list
  ekho fleets create branch --owner boss@branch.example
  ekho fleets rename branch office
  ekho fleets archive office --yes
  ekho fleets restore office

A fleet is named by id or name. More than one needs a licence; see `ekho license status`.";

/// Many fleets on one relay, kept apart.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct FleetsArgs {
    #[command(subcommand)]
    command: FleetsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum FleetsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Create(CreateArgs),
    Rename(RenameArgs),
    Archive(ArchiveArgs),
    Restore(RestoreArgs),
}

/// Every fleet of the relay, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho fleets list\n  ekho fleets list --all --json")]
struct ListArgs {
    #[command(flatten)]
    paging: Paging,
}

/// One fleet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho fleets show branch")]
struct ShowArgs {
    /// Its id or name
    fleet: String,
}

/// Make a fleet; asks for its owner's first password.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho fleets create branch --owner boss@branch.example
  pwgen 20 1 | tee first.txt | ekho fleets create branch --owner boss@branch.example --password-stdin")]
struct CreateArgs {
    /// Its name, with which its operators sign in
    name: String,

    /// Its owner's email
    #[arg(long, value_name = "EMAIL")]
    owner: String,

    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Give a fleet another name, with which its operators sign in from then on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho fleets rename branch office")]
struct RenameArgs {
    /// Its id or name
    fleet: String,

    /// Its new name
    name: String,
}

/// Shut a fleet: nobody of it gets in any more; its data stays.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho fleets archive office --yes")]
struct ArchiveArgs {
    /// Its id or name
    fleet: String,

    #[command(flatten)]
    sure: Sure,
}

/// Take an archived fleet back into use.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho fleets restore office")]
struct RestoreArgs {
    /// Its id or name
    fleet: String,
}

pub(in crate::cli) async fn run(args: FleetsArgs) -> Result<(), CliError> {
    let FleetsArgs { command, remote } = args;
    if let FleetsCommand::Archive(args) = &command {
        args.sure.check(&format!("Archive {}", args.fleet))?;
    }
    remote
        .run(async |relay| match command {
            FleetsCommand::List(args) => {
                let answer = args.paging.get(relay, PATH, Query::new(), "fleets").await?;
                relay.rows(&answer, "fleets", COLUMNS)
            }
            FleetsCommand::Show(args) => {
                let answer = find(relay, &args.fleet).await?;
                relay.one(&answer, &answer["fleet"])
            }
            FleetsCommand::Create(args) => create(relay, args).await,
            FleetsCommand::Rename(args) => {
                let (path, _) = place(relay, &args.fleet).await?;
                let answer = relay.put(&path, &json!({ "name": args.name })).await?;
                relay.done(&answer, &format!("{} is {} now", args.fleet, args.name))
            }
            FleetsCommand::Archive(args) => {
                let (path, name) = place(relay, &args.fleet).await?;
                let path = format!("{path}/archive");
                let answer = relay.post(&path, &json!({ "name": name })).await?;
                relay.done(&answer, &format!("archived {}", args.fleet))
            }
            FleetsCommand::Restore(args) => {
                let (path, _) = place(relay, &args.fleet).await?;
                let answer = relay.post(&format!("{path}/restore"), &json!({})).await?;
                relay.done(&answer, &format!("{} is in use again", args.fleet))
            }
        })
        .await
}

async fn create(relay: &Relay, args: CreateArgs) -> Result<(), CliError> {
    let password = new_password(args.password_stdin, "The owner's first password")?;
    let body = json!({
        "name": args.name,
        "owner_email": args.owner,
        "owner_password": password.as_str(),
    });
    let answer = relay.post(PATH, &body).await?;
    let id = answer["fleet_id"].as_str().unwrap_or_default();
    relay.done(&answer, &format!("made {} as {id}", args.name))
}

/// The fleet with this id or name, as the relay answers it.
async fn find(relay: &Relay, fleet: &str) -> Result<Value, CliError> {
    if fleet.starts_with("flt_") {
        return relay.get(&under(PATH, fleet, "")).await;
    }
    let all = Paging::whole()
        .get(relay, PATH, Query::new(), "fleets")
        .await?;
    let fleets = all["fleets"].as_array().into_iter().flatten();
    let found = fleets.into_iter().find(|one| one["name"] == fleet);
    match found {
        Some(found) => Ok(json!({ "fleet": found })),
        None => Err(CliError::NotFound(format!("there is no fleet {fleet}"))),
    }
}

/// The path and the name of a fleet.
async fn place(relay: &Relay, fleet: &str) -> Result<(String, String), CliError> {
    let found = find(relay, fleet).await?;
    let text = |name: &str| {
        found["fleet"][name]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    Ok((under(PATH, &text("id"), ""), text("name")))
}
