//! `ekho settings`: limits and times that decide what happens, while the relay runs.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::cli::CliError;
use crate::cli::remote::Remote;

const PATH: &str = "/v1/operator/settings";
const FLEET_PATH: &str = "/v1/operator/settings/fleet";

const EXAMPLES: &str = "\
Examples:
  ekho settings show
  ekho settings set rate_max_messages=60 delivery_timeout_ms=300000
  ekho settings set 'approval_risks=[\"medium\", \"high\", \"critical\"]'
  ekho settings set --fleet edge_outbox=true";

/// Limits and times that decide what happens.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SettingsArgs {
    #[command(subcommand)]
    command: SettingsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    Show(ShowArgs),
    Set(SetArgs),
}

/// Every setting as it is now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho settings show
  ekho settings show --json
  ekho settings show --fleet")]
struct ShowArgs {
    /// Those that the fleet has of its own
    #[arg(long)]
    fleet: bool,
}

/// Change settings; those not named stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho settings set rate_max_messages=60 delivery_timeout_ms=300000
  ekho settings set 'approval_risks=[\"medium\", \"high\", \"critical\"]'
  ekho settings set --fleet edge_outbox=true")]
struct SetArgs {
    /// Those that the fleet has of its own
    #[arg(long)]
    fleet: bool,

    /// Names and new values; lists as JSON
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = assignment)]
    settings: Vec<(String, Value)>,
}

/// A value is JSON where it can be read as such, else a text.
fn assignment(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
    Ok((name.to_string(), value))
}

fn path(of_fleet: bool) -> &'static str {
    match of_fleet {
        true => FLEET_PATH,
        false => PATH,
    }
}

pub(in crate::cli) async fn run(args: SettingsArgs) -> Result<(), CliError> {
    let SettingsArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            SettingsCommand::Show(args) => {
                let answer = relay.get(path(args.fleet)).await?;
                relay.one(&answer, &answer)
            }
            SettingsCommand::Set(args) => {
                let changes: Map<String, Value> = args.settings.into_iter().collect();
                let names: Vec<String> = changes.keys().cloned().collect();
                let answer = relay.put(path(args.fleet), &Value::Object(changes)).await?;
                relay.done(&answer, &format!("changed {}", names.join(", ")))
            }
        })
        .await
}
