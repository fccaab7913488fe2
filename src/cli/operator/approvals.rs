//! `ekho approvals`: what agents asked to be allowed, and the answers.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::client::under;
use crate::cli::paging::{Paging, filters};
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;

const PATH: &str = "/v1/operator/approvals";
const STATUSES: [&str; 7] = [
    "pending",
    "approved",
    "rejected",
    "executed",
    "cancelled",
    "failed",
    "expired",
];
const RISKS: [&str; 4] = ["low", "medium", "high", "critical"];

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("status", "status"),
    ("risk", "risk_level"),
    ("action", "action_type"),
    ("summary", "summary"),
    ("agent", "agent_id"),
    ("asked", "requested_at"),
];

const EXAMPLES: &str = "\
Examples:
  ekho approvals list --status pending
  ekho approvals show apr_…
  ekho approvals approve apr_… --reason \"the tests are green\"
  ekho approvals reject apr_… --reason \"not on a Friday\"";

/// What agents asked to be allowed; say yes or no.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ApprovalsArgs {
    #[command(subcommand)]
    command: ApprovalsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Approve(ApproveArgs),
    Reject(RejectArgs),
}

/// Approvals, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho approvals list --status pending --risk critical
  ekho approvals list --search deploy --all --json")]
struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,

    /// Only those of this risk
    #[arg(long, value_parser = RISKS)]
    risk: Option<String>,

    /// Part of the summary or of the kind of action
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    #[command(flatten)]
    paging: Paging,
}

/// One approval with its payload.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho approvals show apr_…")]
struct ShowArgs {
    /// The approval's id
    approval: String,
}

/// Say yes; where two must agree, it waits for the second.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ekho approvals approve apr_… --reason \"the tests are green\""
)]
struct ApproveArgs {
    #[command(flatten)]
    decision: Decision,
}

/// Say no.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho approvals reject apr_… --reason \"not on a Friday\"")]
struct RejectArgs {
    #[command(flatten)]
    decision: Decision,
}

#[derive(Debug, Args)]
struct Decision {
    /// The approval's id
    approval: String,

    /// Why; the agent is told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(in crate::cli) async fn run(args: ApprovalsArgs) -> Result<(), CliError> {
    let ApprovalsArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            ApprovalsCommand::List(args) => {
                let query = filters(&[
                    ("status", &args.status),
                    ("risk", &args.risk),
                    ("search", &args.search),
                ]);
                let answer = args.paging.get(relay, PATH, query, "approvals").await?;
                relay.rows(&answer, "approvals", COLUMNS)
            }
            ApprovalsCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.approval, "")).await?;
                relay.one(&answer, &answer["approval"])
            }
            ApprovalsCommand::Approve(args) => decide(relay, args.decision, "approve").await,
            ApprovalsCommand::Reject(args) => decide(relay, args.decision, "reject").await,
        })
        .await
}

async fn decide(relay: &Relay, args: Decision, call: &str) -> Result<(), CliError> {
    let mut body = json!({});
    if let Some(reason) = args.reason {
        body["reason"] = Value::String(reason);
    }
    let path = under(PATH, &args.approval, &format!("/{call}"));
    let answer = relay.post(&path, &body).await?;
    let sentence = match answer["status"].as_str() {
        Some("pending") => format!("{}: a second operator must agree", args.approval),
        status => format!("{}: {}", args.approval, status.unwrap_or("decided")),
    };
    relay.done(&answer, &sentence)
}
