//! `ekho token create`: an enrolment token from a running relay.

use clap::{Args, Subcommand};
use serde_json::json;

use super::remote::Remote;
use super::{CliError, print, print_json};

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
    remote: Remote,

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
    let relay = args.remote.connect().await?;
    let token = relay.operator.create_enrollment_token(&relay.session).await;
    relay.close().await;
    let token = token?;
    if args.json {
        let fleet_id = &relay.session.fleet_id;
        print_json(
            &json!({ "token": token.as_str(), "fleet_id": fleet_id, "relay_url": relay.url }),
        )
    } else {
        print(&token)
    }
}
