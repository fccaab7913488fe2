//! `ekho agent`: acting as an agent, for shells and scripts. Everything goes over the agent API, by
//! the Rust client.

mod enroll;
pub(super) mod identity;
mod inbox;
mod listen;
mod send;

use clap::{Args, Subcommand};

use super::CliError;

/// Act as an agent: enrol, send, read the inbox, run a program for each message
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    #[command(subcommand)]
    command: AgentCommand,
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    Enroll(enroll::EnrollArgs),
    Send(send::SendArgs),
    Inbox(inbox::InboxArgs),
    Listen(listen::ListenArgs),
}

pub(super) async fn run(args: AgentArgs) -> Result<(), CliError> {
    match args.command {
        AgentCommand::Enroll(args) => enroll::run(args).await,
        AgentCommand::Send(args) => send::run(args).await,
        AgentCommand::Inbox(args) => inbox::run(args).await,
        AgentCommand::Listen(args) => listen::run(args).await,
    }
}
