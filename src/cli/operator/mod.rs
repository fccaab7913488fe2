//! What operators do, as commands: one file a subject, all over the public operator API. A command
//! parses, calls, and shows the answer: a table or a sentence for people, the answer itself with
//! `--json`.

mod a2a;
mod a2a_elsewhere;
mod agents;
mod analytics;
mod approvals;
mod conversations;
mod dead_letters;
mod debug;
mod fleets;
mod hooks;
mod keys;
mod messages;
mod operators;
mod overview;
mod policies;
mod policy_file;
mod settings;
mod tokens;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::CliError;
use crate::clock::{Iso, now_ms};

pub(super) use overview::EVENTS;

/// Commands over the operator API.
#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    Overview(overview::OverviewArgs),
    Agents(agents::AgentsArgs),
    Messages(messages::MessagesArgs),
    Conversations(conversations::ConversationsArgs),
    Policies(policies::PoliciesArgs),
    Approvals(approvals::ApprovalsArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Hooks(hooks::HooksArgs),
    #[command(visible_alias = "token")]
    Tokens(tokens::TokensArgs),
    Operators(operators::OperatorsArgs),
    Settings(settings::SettingsArgs),
    Fleets(fleets::FleetsArgs),
    Analytics(analytics::AnalyticsArgs),
    Keys(keys::KeysArgs),
    A2a(a2a::A2aArgs),
    Debug(debug::DebugArgs),
}

pub(super) async fn run(command: OperatorCommand) -> Result<(), CliError> {
    match command {
        OperatorCommand::Overview(args) => overview::run(args).await,
        OperatorCommand::Agents(args) => agents::run(args).await,
        OperatorCommand::Messages(args) => messages::run(args).await,
        OperatorCommand::Conversations(args) => conversations::run(args).await,
        OperatorCommand::Policies(args) => policies::run(args).await,
        OperatorCommand::Approvals(args) => approvals::run(args).await,
        OperatorCommand::DeadLetters(args) => dead_letters::run(args).await,
        OperatorCommand::Hooks(args) => hooks::run(args).await,
        OperatorCommand::Tokens(args) => tokens::run(args).await,
        OperatorCommand::Operators(args) => operators::run(args).await,
        OperatorCommand::Settings(args) => settings::run(args).await,
        OperatorCommand::Fleets(args) => fleets::run(args).await,
        OperatorCommand::Analytics(args) => analytics::run(args).await,
        OperatorCommand::Keys(args) => keys::run(args).await,
        OperatorCommand::A2a(args) => a2a::run(args).await,
        OperatorCommand::Debug(args) => debug::run(args).await,
    }
}

/// Until when something holds.
#[derive(Debug, Args)]
struct Until {
    /// When it ends, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,

    /// For how long, such as 90m or 2h
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "expires_at")]
    lasting: Option<SignedDuration>,
}

impl Until {
    /// The time, as the API takes it.
    fn time(&self) -> Result<Option<String>, CliError> {
        if let Some(at) = self.expires_at {
            return Ok(Some(format!("{at:.3}")));
        }
        let Some(lasting) = self.lasting else {
            return Ok(None);
        };
        match u64::try_from(lasting.as_millis()) {
            Ok(ms) if ms > 0 => Ok(Some(Iso(now_ms().saturating_add(ms)).to_string())),
            _ => Err(CliError::Usage(
                "--for: a duration longer than nothing, such as 90m or 2h".into(),
            )),
        }
    }
}

/// The text of a file, or of standard input where it is `-`.
fn read_text(path: &Path, max_bytes: u64) -> Result<String, CliError> {
    let failed = |source| CliError::File {
        path: path.to_path_buf(),
        source,
    };
    let source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let mut text = String::new();
    let read = source.take(max_bytes + 1).read_to_string(&mut text);
    if read.map_err(failed)? as u64 > max_bytes {
        return Err(CliError::Content {
            path: path.to_path_buf(),
            why: format!("at most {max_bytes} bytes"),
        });
    }
    Ok(text)
}
