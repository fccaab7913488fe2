//! `ekho overview`: how the fleet stands, on one screen.

use clap::Args;
use serde_json::json;

use crate::cli::CliError;
use crate::cli::print;
use crate::cli::remote::Remote;
use crate::cli::show::{self, Columns};

const EXAMPLES: &str = "\
Examples:
  ekho overview
  ekho overview --json";

/// Events of the audit log, as a table.
pub(in crate::cli) const EVENTS: Columns<'static> = &[
    ("id", "id"),
    ("when", "created_at"),
    ("event", "event_type"),
    ("by", "actor_id"),
    ("about", "resource_id"),
];

/// How the fleet stands: counts, the newest agents, the newest events.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct OverviewArgs {
    #[command(flatten)]
    remote: Remote,
}

pub(in crate::cli) async fn run(args: OverviewArgs) -> Result<(), CliError> {
    args.remote
        .run(async |relay| {
            let answer = relay.get("/v1/operator/overview").await?;
            let counts = json!({
                "messages that wait": answer["queuedMessages"],
                "approvals that wait": answer["pendingApprovals"],
                "dead letters": answer["deadLetterCount"],
                "agents in quarantine": answer["quarantinedAgentCount"],
                "refusals by rate, 24 h": answer["rateLimitViolationsLast24h"],
            });
            relay.one(&answer, &counts)?;
            if relay.is_json() {
                return Ok(());
            }
            let parts: [(&str, &str, Columns<'_>); 2] = [
                ("Agents", "agents", super::agents::COLUMNS),
                ("Events", "recentEvents", EVENTS),
            ];
            for (title, name, columns) in parts {
                let rows = answer[name].as_array().map(Vec::as_slice);
                print(&format!("\n{title}, the newest first:"))?;
                print(&show::table(columns, rows.unwrap_or_default()))?;
            }
            Ok(())
        })
        .await
}
