//! `ekho cluster`: the nodes of a relay that is more than one.

mod drain;
mod numbered;
mod recover;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::ask::Sure;
use super::client::under;
use super::remote::{Relay, Remote};
use super::setup::{self, SetupArgs};
use super::show::Columns;
use super::{CliError, print, say};

const PATH: &str = "/v1/operator/cluster";
const TOKENS: &str = "/v1/operator/cluster/tokens";
const NODES: &str = "/v1/operator/cluster/nodes";
const SECONDS_PER_HOUR: u64 = 3600;

const COLUMNS: Columns<'static> = &[
    ("node", "node_id"),
    ("address", "address"),
    ("role", "role"),
    ("part", "part"),
    ("health", "health"),
    ("log index", "log_index"),
    ("lag", "lag_entries"),
    ("version", "version"),
    ("disk free", "disk_free"),
    ("round trip", "round_trip"),
    ("outbox", "outbox"),
];

const TOKEN_COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("part", "part"),
    ("by", "created_by"),
    ("until", "expires_at"),
];

const EXAMPLES: &str = "\
Examples:
  EKHO_NODE_ADDRESS=10.0.0.1:4001 ekho cluster init --non-interactive
  ekho cluster token create
  EKHO_NODE_ADDRESS=10.0.0.2:4001 ekho serve --join 10.0.0.1:4001 --token ekho-join-…
  ekho cluster status
  ekho cluster transfer 2
  ekho cluster drain 1
  ekho cluster recover --accept-data-loss

A relay is a cluster of one until others join. See docs/cluster.md.";

/// The nodes of the relay: who they are, who leads, who joins and who goes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    Init(InitArgs),
    Status(StatusArgs),
    #[command(subcommand)]
    Token(TokenCommand),
    Promote(PromoteArgs),
    Demote(DemoteArgs),
    Remove(RemoveArgs),
    Replace(ReplaceArgs),
    Transfer(TransferArgs),
    Drain(drain::DrainArgs),
    Shrink(numbered::ShrinkArgs),
    Settle(numbered::SettleArgs),
    Recover(recover::RecoverArgs),
}

/// Begin a cluster with this machine as its first node: set up, and check that others can reach it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  EKHO_NODE_ADDRESS=10.0.0.1:4001 ekho cluster init
  EKHO_NODE_ADDRESS=10.0.0.1:4001 ekho cluster init --non-interactive")]
struct InitArgs {
    #[command(flatten)]
    setup: SetupArgs,
}

/// How every node is: its role, how far behind it is, its health.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster status\n  ekho cluster status --json")]
struct StatusArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Tokens, of which each lets one node join.
#[derive(Debug, Subcommand)]
enum TokenCommand {
    Create(TokenCreateArgs),
    List(TokenListArgs),
    Delete(TokenDeleteArgs),
}

/// What a node is to be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PartArg {
    /// Votes, and can lead
    Voter,
    /// Has all data and does not vote
    Learner,
    /// A learner that serves agents near it, also while it is cut off
    Edge,
}

/// Make a token that lets one node join. It is shown once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho cluster token create
  ekho cluster token create --part learner --hours 24
  ekho cluster token create --part edge
  ekho cluster token create --json")]
struct TokenCreateArgs {
    /// What the node becomes
    #[arg(long, value_enum, default_value = "voter")]
    part: PartArg,

    /// How long the token can be used
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: u64,

    #[command(flatten)]
    remote: Remote,
}

/// The tokens that can still be used.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster token list")]
struct TokenListArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Take a token back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster token delete jtk_01…")]
struct TokenDeleteArgs {
    /// Its id
    id: String,

    #[command(flatten)]
    remote: Remote,
}

/// Make a node vote.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster promote 4")]
struct PromoteArgs {
    /// The node
    node_id: u64,

    #[command(flatten)]
    remote: Remote,
}

/// Let a node have all data, and no vote.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster demote 4")]
struct DemoteArgs {
    /// The node
    node_id: u64,

    #[command(flatten)]
    remote: Remote,
}

/// Remove a node for good. Refused where the others could not decide anything without it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster remove 3 --yes")]
struct RemoveArgs {
    /// The node
    node_id: u64,

    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    remote: Remote,
}

/// Remove a dead node, and make a token for the one that takes its place.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster replace 3 --yes")]
struct ReplaceArgs {
    /// The dead node
    node_id: u64,

    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    remote: Remote,
}

/// Move leadership to a node.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho cluster transfer 2")]
struct TransferArgs {
    /// The node that is to lead
    node_id: u64,

    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ClusterArgs) -> Result<(), CliError> {
    match args.command {
        ClusterCommand::Init(args) => init(args).await,
        ClusterCommand::Status(args) => args.remote.run(status).await,
        ClusterCommand::Token(TokenCommand::Create(args)) => {
            let work = async |relay: &Relay| create_token(relay, args.part, args.hours).await;
            args.remote.clone().run(work).await
        }
        ClusterCommand::Token(TokenCommand::List(args)) => {
            args.remote
                .run(async |relay| {
                    let answer = relay.get(TOKENS).await?;
                    relay.rows(&answer, "tokens", TOKEN_COLUMNS)
                })
                .await
        }
        ClusterCommand::Token(TokenCommand::Delete(args)) => {
            args.remote
                .run(async |relay| {
                    let answer = relay.delete(&under(TOKENS, &args.id, "")).await?;
                    relay.done(&answer, &format!("took {} back", args.id))
                })
                .await
        }
        ClusterCommand::Promote(args) => {
            change(args.remote, args.node_id, "promote", "votes").await
        }
        ClusterCommand::Demote(args) => {
            change(args.remote, args.node_id, "demote", "does not vote").await
        }
        ClusterCommand::Remove(args) => {
            args.sure.check(&format!("Remove node {}", args.node_id))?;
            let work = async |relay: &Relay| {
                let answer = remove(relay, args.node_id).await?;
                relay.done(&answer, &told(&answer, args.node_id, "is removed"))
            };
            args.remote.run(work).await
        }
        ClusterCommand::Replace(args) => {
            args.sure.check(&format!("Remove node {}", args.node_id))?;
            let work = async |relay: &Relay| {
                let answer = remove(relay, args.node_id).await?;
                say(&told(&answer, args.node_id, "is removed"));
                create_token(relay, PartArg::Voter, 1).await
            };
            args.remote.run(work).await
        }
        ClusterCommand::Transfer(args) => {
            let work = async |relay: &Relay| {
                let body = json!({ "node_id": args.node_id });
                let answer = relay.post(&format!("{PATH}/transfer"), &body).await?;
                relay.done(&answer, &told(&answer, args.node_id, "leads"))
            };
            args.remote.run(work).await
        }
        ClusterCommand::Drain(args) => drain::run(args).await,
        ClusterCommand::Shrink(args) => numbered::shrink(args).await,
        ClusterCommand::Settle(args) => numbered::settle(args).await,
        ClusterCommand::Recover(args) => recover::run(args).await,
    }
}

async fn init(mut args: InitArgs) -> Result<(), CliError> {
    args.setup.first_of_several();
    setup::run(args.setup).await?;
    say(
        "\nStart it with `ekho serve`, and make a token for the next node with `ekho cluster token create`.",
    );
    Ok(())
}

async fn status(relay: &Relay) -> Result<(), CliError> {
    let mut answer = relay.get(PATH).await?;
    if relay.is_json() {
        return relay.one(&answer, &Value::Null);
    }
    let leader = match answer["leader"].as_u64() {
        Some(leader) => format!("node {leader} leads"),
        None => "nobody leads".into(),
    };
    let (reachable, needed) = (&answer["reachable_voters"], &answer["needed_voters"]);
    print(&format!(
        "{cluster}: {leader} in term {term}; {reachable} voters can be reached, {needed} are needed\n",
        cluster = answer["cluster_id"].as_str().unwrap_or_default(),
        term = answer["term"],
    ))?;
    for node in answer["nodes"].as_array_mut().into_iter().flatten() {
        node["disk_free"] = match node["disk_free_bytes"].as_u64() {
            Some(bytes) => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)).into(),
            None => Value::Null,
        };
        node["round_trip"] = match node["round_trip_ms"].as_f64() {
            Some(ms) => format!("{ms:.1} ms").into(),
            None => Value::Null,
        };
        node["outbox"] = outbox(node);
    }
    relay.rows(&answer, "nodes", COLUMNS)
}

/// What waits at an edge node, and for how long.
fn outbox(node: &Value) -> Value {
    match (&node["outbox_entries"], &node["outbox_oldest_seconds"]) {
        (Value::Null, _) => Value::Null,
        (entries, Value::Null) => entries.to_string().into(),
        (entries, seconds) => format!("{entries}, {seconds} s").into(),
    }
}

async fn create_token(relay: &Relay, part: PartArg, hours: u64) -> Result<(), CliError> {
    let part = match part {
        PartArg::Voter => "voter",
        PartArg::Learner => "learner",
        PartArg::Edge => "edge",
    };
    let body = json!({ "part": part, "ttl_seconds": hours * SECONDS_PER_HOUR });
    let answer = relay.post(TOKENS, &body).await?;
    if relay.is_json() {
        return relay.one(&answer, &Value::Null);
    }
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    print(&format!(
        "On the new machine, with an empty data directory:\n\n  EKHO_NODE_ADDRESS=HOST:PORT \
         ekho serve --join {} --token {}\n\nThe token lets one node join, until {}. It is not \
         shown again.",
        text("join"),
        text("token"),
        text("expires_at"),
    ))
}

async fn remove(relay: &Relay, node_id: u64) -> Result<Value, CliError> {
    relay.delete(&under(NODES, &node_id.to_string(), "")).await
}

async fn change(remote: Remote, node_id: u64, verb: &str, is_so: &str) -> Result<(), CliError> {
    let work = async |relay: &Relay| {
        let path = under(NODES, &node_id.to_string(), &format!("/{verb}"));
        let answer = relay.post(&path, &json!({})).await?;
        relay.done(&answer, &told(&answer, node_id, is_so))
    };
    remote.run(work).await
}

fn told(answer: &Value, node_id: u64, is_so: &str) -> String {
    match answer["done"].as_bool() {
        Some(false) => format!("under way: see `ekho cluster status` until node {node_id} {is_so}"),
        _ => format!("node {node_id} {is_so}"),
    }
}
