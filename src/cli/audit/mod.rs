//! `ekho audit`: the audit log, looked at, followed and exported out of a running relay, and proved
//! without one.

mod events;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Query;
use super::remote::Remote;
use super::{CliError, lines, say};

const EXAMPLES: &str = "\
Examples:
  ekho audit events --type agent.pause
  ekho audit tail --type agent,approval
  ekho audit export --out audit.jsonl
  ekho audit export --from 120000 > rest.jsonl
  ekho audit verify audit.jsonl
  ekho audit verify audit.jsonl --head 3f1c… --json

Each event carries a hash of itself and of all before it. An export holds what it takes to compute
them again; `verify` does so without a relay, and says where a chain breaks. Whoever could change
an export could compute its hashes anew: keep the last hash (printed by `export`, or from GET
/v1/operator/audit) somewhere else, and pass it with --head.";

/// The audit log: look, follow, export, verify an export.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Events(events::EventsArgs),
    Tail(events::TailArgs),
    Export(ExportArgs),
    Verify(verify::VerifyArgs),
}

/// Write the audit log of a running relay as JSON lines.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct ExportArgs {
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Begin at the event with this number [default: the oldest that is kept]
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: AuditArgs) -> Result<(), CliError> {
    match args.command {
        AuditCommand::Events(args) => events::list(args).await,
        AuditCommand::Tail(args) => events::tail(args).await,
        AuditCommand::Export(args) => export(args).await,
        AuditCommand::Verify(args) => verify::verify(&args),
    }
}

async fn export(args: ExportArgs) -> Result<(), CliError> {
    let ExportArgs { remote, out, from } = args;
    remote
        .run(async |relay| {
            let query: Query = from
                .map(|from| ("from", from.to_string()))
                .into_iter()
                .collect();
            let path = "/v1/operator/audit/export";
            let total = |first: &Value| {
                let number = |name: &str| first[name].as_u64().unwrap_or(1);
                (number("head_seq") + 1).saturating_sub(number("from_seq"))
            };
            let last = lines::download(relay, path, &query, out.as_deref(), total).await?;
            say(&format!(
                "exported up to event {}, the last hash is {}",
                last["head_seq"],
                last["head_hash"].as_str().unwrap_or_default()
            ));
            Ok(())
        })
        .await
}
