//! `ekho token create`: an enrolment token from a running relay.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::credentials::{self, Credentials};
use super::operator::Operator;
use super::{CliError, Place, print, print_json, say, warn_all};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  ekho token create
  ekho token create --json
  ekho token create --url https://relay.example.org --credentials owner.json

A token admits one agent to the fleet, once, within an hour. The relay must be running.";

/// Enrolment tokens.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    Create(CreateArgs),
}

/// Make a token that lets one agent enrol.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct CreateArgs {
    #[command(flatten)]
    place: Place,

    /// The owner's credentials, as setup wrote them [default: credentials.json in the data
    /// directory]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// The relay [default: as configured, where that says where it is, else the one in the
    /// credentials]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Trust the certificates in this PEM file as well as the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Print the token with the fleet's id and the relay's URL, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: TokenArgs) -> Result<(), CliError> {
    match args.command {
        TokenCommand::Create(args) => create(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    warn_all(&config.warnings);
    let is_own = args.credentials.is_none();
    let path = args
        .credentials
        .unwrap_or_else(|| credentials::path(&config.data_dir));
    let owner = Credentials::read(&path)?.ok_or_else(|| CliError::Content {
        path: path.clone(),
        why: "it is not there: run `ekho setup`, or pass --credentials".into(),
    })?;
    // Settings may have changed since setup wrote the credentials; foreign credentials know better.
    let default = if config.names_an_address() && is_own {
        &config.base_url
    } else {
        &owner.relay_url
    };
    let url = args.url.as_deref().unwrap_or(default);
    let operator = Operator::new(url, args.ca_file.as_deref())?;
    let session = operator.sign_in(&owner).await?;
    let token = operator.create_enrollment_token(&session).await;
    // The session has served; the token is worth more than a failure to end it.
    if let Err(error) = operator.sign_out(&session).await {
        say(&format!("warning: {error}"));
    }
    let token = token?;
    if args.json {
        print_json(
            &json!({ "token": token.as_str(), "fleet_id": session.fleet_id, "relay_url": url }),
        )
    } else {
        print(&token)
    }
}
