//! `ekho agents`: find agents, look at them, hold them, let them go on, end them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Until;
use crate::cli::CliError;
use crate::cli::ask::Sure;
use crate::cli::client::{Query, under};
use crate::cli::paging::{Paging, filters};
use crate::cli::print;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::{self, Columns};

const PATH: &str = "/v1/operator/agents";
const STATUSES: [&str; 5] = ["healthy", "degraded", "paused", "quarantined", "revoked"];
const ORDERS: [&str; 4] = ["display_name", "status", "last_seen_at", "created_at"];

pub(super) const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "display_name"),
    ("status", "status"),
    ("reason", "status_reason"),
    ("runtime", "runtime"),
    ("last seen", "last_seen_at"),
];

const EXAMPLES: &str = "\
Examples:
  ekho agents list --status quarantined
  ekho agents show agent_…
  ekho agents inbox agent_…
  ekho agents pause agent_… --reason \"deploy under way\" --for 30m
  ekho agents resume agent_… --reason \"deploy done\"
  ekho agents quarantine agent_… --reason \"odd answers\" --redirect-to agent_…
  ekho agents redirect agent_… --to agent_… --reason \"its host is down\"
  ekho agents new-secret agent_… --yes
  ekho agents revoke agent_… --reason \"retired\" --yes";

/// Find agents, hold them, let them go on, end them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AgentsArgs {
    #[command(subcommand)]
    command: AgentsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum AgentsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Inbox(InboxArgs),
    RateLimits(RateLimitsArgs),
    Pause(HoldArgs),
    Quarantine(QuarantineArgs),
    Resume(ResumeArgs),
    NewSecret(NewSecretArgs),
    Revoke(RevokeArgs),
    Redirect(RedirectArgs),
}

/// Agents of the fleet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho agents list --search writer
  ekho agents list --status paused --sort last_seen_at --desc
  ekho agents list --all --json")]
struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,

    /// Part of a name, or a whole id
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Enrolled at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Enrolled at this time or earlier
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    /// In which order [default: created_at]
    #[arg(long, value_parser = ORDERS)]
    sort: Option<String>,

    /// The last first
    #[arg(long)]
    desc: bool,

    #[command(flatten)]
    paging: Paging,
}

/// One agent, with what happened to it last.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho agents show agent_…\n  ekho agents show agent_… --json")]
struct ShowArgs {
    /// The agent's id
    agent: String,
}

/// What waits for an agent, in the order in which it will get it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ekho agents inbox agent_…\n  ekho agents inbox agent_… --all --json"
)]
struct InboxArgs {
    /// The agent's id
    agent: String,

    #[command(flatten)]
    paging: Paging,
}

/// When an agent was refused for sending too much.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho agents rate-limits agent_…")]
struct RateLimitsArgs {
    /// The agent's id
    agent: String,
}

/// Stop an agent for now: it may receive and not send.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho agents pause agent_… --reason \"deploy under way\" --for 30m
  ekho agents pause agent_… --reason holiday --redirect-to agent_…")]
struct HoldArgs {
    /// The agent's id
    agent: String,

    /// Why; the agent is told
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    until: Until,

    /// Who receives new messages to it meanwhile
    #[arg(long, value_name = "AGENT")]
    redirect_to: Option<String>,
}

/// Stop an agent that is not to be trusted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho agents quarantine agent_… --reason \"odd answers\"")]
struct QuarantineArgs {
    #[command(flatten)]
    hold: HoldArgs,
}

/// Lift every hold on an agent, the relay's own included.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho agents resume agent_… --reason \"deploy done\"")]
struct ResumeArgs {
    /// The agent's id
    agent: String,

    /// Why; the agent is told
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Give an agent a new secret: its own is lost, in wrong hands, or was imported as a hash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho agents new-secret agent_… --yes
  ekho agents new-secret agent_… --yes --json")]
struct NewSecretArgs {
    /// The agent's id
    agent: String,

    #[command(flatten)]
    sure: Sure,
}

/// End an agent for good: its keys stop working, its inbox expires.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho agents revoke agent_… --reason retired --yes")]
struct RevokeArgs {
    /// The agent's id
    agent: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    sure: Sure,
}

/// Send everything that waits for an agent on to another.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho agents redirect agent_… --to agent_… --reason \"its host is down\"")]
struct RedirectArgs {
    /// The agent's id
    agent: String,

    /// Who receives it
    #[arg(long, value_name = "AGENT")]
    to: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(in crate::cli) async fn run(args: AgentsArgs) -> Result<(), CliError> {
    let AgentsArgs { command, remote } = args;
    if let AgentsCommand::Revoke(args) = &command {
        args.sure
            .check(&format!("Revoke {} for good", args.agent))?;
    }
    if let AgentsCommand::NewSecret(args) = &command {
        let what = format!("End every secret that {} has now", args.agent);
        args.sure.check(&what)?;
    }
    remote
        .run(async |relay| match command {
            AgentsCommand::List(args) => list(relay, args).await,
            AgentsCommand::Show(args) => show(relay, &args.agent).await,
            AgentsCommand::Inbox(args) => {
                let path = under(PATH, &args.agent, "/inbox");
                let answer = args
                    .paging
                    .get(relay, &path, Query::new(), "messages")
                    .await?;
                relay.rows(&answer, "messages", super::messages::COLUMNS)
            }
            AgentsCommand::RateLimits(args) => rate_limits(relay, &args.agent).await,
            AgentsCommand::Pause(args) => hold(relay, args, "pause", "paused").await,
            AgentsCommand::Quarantine(args) => {
                hold(relay, args.hold, "quarantine", "quarantined").await
            }
            AgentsCommand::Resume(args) => {
                let body = json!({ "reason": args.reason });
                order(relay, &args.agent, "resume", body, "resumed").await
            }
            AgentsCommand::NewSecret(args) => {
                let path = under(PATH, &args.agent, "/secret");
                let answer = relay.post(&path, &json!({})).await?;
                relay.one(&answer, &answer)
            }
            AgentsCommand::Revoke(args) => {
                let body = json!({ "reason": args.reason });
                order(relay, &args.agent, "revoke", body, "revoked").await
            }
            AgentsCommand::Redirect(args) => redirect(relay, args).await,
        })
        .await
}

async fn list(relay: &Relay, args: ListArgs) -> Result<(), CliError> {
    let mut query = filters(&[
        ("status", &args.status),
        ("search", &args.search),
        ("dateFrom", &args.from),
        ("dateTo", &args.to),
        ("sortBy", &args.sort),
    ]);
    if args.desc {
        query.push(("sortOrder", "desc".into()));
    }
    let answer = args.paging.get(relay, PATH, query, "agents").await?;
    relay.rows(&answer, "agents", COLUMNS)
}

async fn show(relay: &Relay, agent: &str) -> Result<(), CliError> {
    let answer = relay.get(&under(PATH, agent, "")).await?;
    relay.one(&answer, &answer["agent"])?;
    if relay.is_json() {
        return Ok(());
    }
    let parts: [(&str, &str, Columns<'_>); 3] = [
        ("Controls", "controls", CONTROLS),
        ("Events", "recentEvents", super::overview::EVENTS),
        ("Messages", "recentMessages", super::messages::COLUMNS),
    ];
    for (title, name, columns) in parts {
        let rows = answer[name].as_array().map(Vec::as_slice);
        let rows = rows.unwrap_or_default();
        if !rows.is_empty() {
            print(&format!("\n{title}, the newest first:"))?;
            print(&show::table(columns, rows))?;
        }
    }
    Ok(())
}

const CONTROLS: Columns<'static> = &[
    ("id", "control_id"),
    ("action", "action"),
    ("reason", "reason"),
    ("when", "created_at"),
    ("until", "expires_at"),
];

async fn rate_limits(relay: &Relay, agent: &str) -> Result<(), CliError> {
    let answer = relay.get(&under(PATH, agent, "/rate-limits")).await?;
    relay.rows(
        &answer,
        "violations",
        &[("id", "id"), ("when", "created_at")],
    )
}

async fn hold(relay: &Relay, args: HoldArgs, call: &str, done: &str) -> Result<(), CliError> {
    let body = json!({
        "reason": args.reason,
        "expires_at": args.until.time()?,
        "redirect_agent_id": args.redirect_to,
    });
    order(relay, &args.agent, call, body, done).await
}

async fn order(
    relay: &Relay,
    agent: &str,
    call: &str,
    body: Value,
    done: &str,
) -> Result<(), CliError> {
    let path = under(PATH, agent, &format!("/{call}"));
    let answer = relay.post(&path, &body).await?;
    relay.done(&answer, &format!("{done} {agent}"))
}

async fn redirect(relay: &Relay, args: RedirectArgs) -> Result<(), CliError> {
    let body = json!({ "to_agent_id": args.to, "reason": args.reason });
    let path = under(PATH, &args.agent, "/redirect");
    let answer = relay.post(&path, &body).await?;
    let sentence = format!("sent on to {}: {}", args.to, answer["redirected"]);
    relay.done(&answer, &sentence)
}
