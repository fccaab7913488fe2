//! `ekho analytics`: counts over long times, as tables, JSON or CSV.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use crate::cli::client::Query;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;
use crate::cli::{CliError, print};
use crate::clock::{Iso, now_ms};

const PATH: &str = "/v1/operator/analytics";

const THROUGHPUT: Columns<'static> = &[
    ("from", "from"),
    ("accepted", "accepted"),
    ("acked", "acked"),
    ("retried", "retried"),
    ("expired", "failures.expired"),
    ("timeout", "failures.timeout"),
    ("given back", "failures.given_back"),
    ("denied", "failures.policy"),
    ("over rate", "failures.rate"),
    ("p50 ms", "latency_ms.p50"),
    ("p99 ms", "latency_ms.p99"),
];

const AGENTS: Columns<'static> = &[
    ("id", "agent_id"),
    ("name", "display_name"),
    ("sent", "sent"),
    ("bytes", "sent_bytes"),
    ("received", "received"),
    ("failed", "failed"),
    ("denied", "denied"),
    ("over rate", "rate_limited"),
];

const PAIRS: Columns<'static> = &[
    ("sender", "sender_agent_id"),
    ("recipient", "recipient_agent_id"),
    ("messages", "messages"),
    ("failed", "failed"),
];

const EXAMPLES: &str = "\
Examples:
  ekho analytics throughput --last 720h --step 86400
  ekho analytics agents --by failed --last 168h
  ekho analytics pairs --last 24h --limit 20
  ekho analytics pairs --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --csv > pairs.csv

Needs a licence for analytics; see `ekho license status`.";

/// Throughput, failures and latency, top talkers and pairs over up to 400 days.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AnalyticsArgs {
    #[command(subcommand)]
    command: AnalyticsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum AnalyticsCommand {
    Throughput(ThroughputArgs),
    Agents(AgentsArgs),
    Pairs(PairsArgs),
}

/// What happened when: throughput, failures, latency.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho analytics throughput
  ekho analytics throughput --last 720h --step 86400 --csv > month.csv")]
struct ThroughputArgs {
    #[command(flatten)]
    time: Time,

    #[command(flatten)]
    step: Step,
}

/// Agents that did most of something.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho analytics agents --by failed --last 168h")]
struct AgentsArgs {
    #[command(flatten)]
    time: Time,

    /// Of what
    #[arg(long, value_name = "COUNT", default_value = "sent")]
    #[arg(value_parser = ["sent", "sent_bytes", "received", "failed", "denied", "rate_limited"])]
    by: String,

    #[command(flatten)]
    top: Top,
}

/// Who sent most to whom.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho analytics pairs --last 24h
  ekho analytics pairs --sender agent_… --json")]
struct PairsArgs {
    #[command(flatten)]
    time: Time,

    #[command(flatten)]
    step: Step,

    /// From this agent only
    #[arg(long, value_name = "AGENT")]
    sender: Option<String>,

    /// To this agent only
    #[arg(long, value_name = "AGENT")]
    recipient: Option<String>,

    #[command(flatten)]
    top: Top,
}

/// Which time, and in which form.
#[derive(Debug, Args)]
struct Time {
    /// From when on [default: a day before the end]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,

    /// Until when [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,

    /// The last so long instead, such as 24h or 720h
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["from", "to"])]
    last: Option<SignedDuration>,

    /// Print all rows as CSV
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Args)]
struct Step {
    /// How long one row is: a multiple of 300, of 3600 beyond the last two days
    #[arg(long = "step", value_name = "SECONDS")]
    seconds: Option<u64>,
}

#[derive(Debug, Args)]
struct Top {
    /// How many of the first
    #[arg(long, value_name = "ROWS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100))]
    limit: u64,
}

impl Time {
    fn query(&self) -> Result<Query, CliError> {
        let mut query = Query::new();
        let mut from = self.from.map(|from| format!("{from:.3}"));
        if let Some(last) = self.last {
            let ms = u64::try_from(last.as_millis()).ok().filter(|ms| *ms > 0);
            let ms = ms.ok_or_else(|| {
                CliError::Usage("--last: a duration longer than nothing, such as 24h".into())
            })?;
            from = Some(Iso(now_ms().saturating_sub(ms)).to_string());
        }
        query.extend(from.map(|from| ("from", from)));
        query.extend(self.to.map(|to| ("to", format!("{to:.3}"))));
        Ok(query)
    }
}

impl Step {
    fn add(&self, query: &mut Query) {
        query.extend(self.seconds.map(|seconds| ("step", seconds.to_string())));
    }
}

pub(in crate::cli) async fn run(args: AnalyticsArgs) -> Result<(), CliError> {
    let AnalyticsArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            AnalyticsCommand::Throughput(args) => {
                let mut query = args.time.query()?;
                args.step.add(&mut query);
                show(relay, PATH, query, args.time.csv, ("points", THROUGHPUT)).await
            }
            AnalyticsCommand::Agents(args) => {
                let mut query = args.time.query()?;
                query.push(("by", args.by));
                query.push(("limit", args.top.limit.to_string()));
                let path = format!("{PATH}/agents");
                show(relay, &path, query, args.time.csv, ("agents", AGENTS)).await
            }
            AnalyticsCommand::Pairs(args) => {
                let mut query = args.time.query()?;
                args.step.add(&mut query);
                query.push(("limit", args.top.limit.to_string()));
                query.extend(args.sender.map(|id| ("sender_agent_id", id)));
                query.extend(args.recipient.map(|id| ("recipient_agent_id", id)));
                let path = format!("{PATH}/pairs");
                show(relay, &path, query, args.time.csv, ("pairs", PAIRS)).await
            }
        })
        .await
}

/// Prints a table, the answer as JSON, or the rows as CSV as they come.
async fn show(
    relay: &Relay,
    path: &str,
    mut query: Query,
    csv: bool,
    (items, columns): (&str, Columns<'_>),
) -> Result<(), CliError> {
    if !csv {
        let answer = relay.client().get(path, &query).await?;
        return relay.rows(&answer, items, columns);
    }
    query.push(("format", "csv".into()));
    let mut answer = relay.client().download(path, &query).await?;
    let mut text = Vec::new();
    while let Some(chunk) = relay.client().next_chunk(&mut answer).await? {
        text.extend_from_slice(&chunk);
    }
    match text.is_empty() {
        true => print("nothing happened in this time"),
        false => Ok(io::stdout().lock().write_all(&text)?),
    }
}
