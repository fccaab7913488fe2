//! `ekho cluster`: the nodes of a relay.

mod recover;

use clap::{Args, Subcommand};

use super::CliError;

const EXAMPLES: &str = "\
Examples:
  ekho cluster recover --accept-data-loss";

/// The nodes of a relay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    Recover(recover::RecoverArgs),
}

pub(super) async fn run(args: ClusterArgs) -> Result<(), CliError> {
    match args.command {
        ClusterCommand::Recover(args) => recover::run(args).await,
    }
}
