//! `ekho debug`: what goes on inside the node that is asked.

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::client::Query;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;

const LOG: &str = "/v1/operator/debug/log";
const THREADS: &str = "/v1/operator/debug/threads";
const MEMORY: &str = "/v1/operator/debug/memory";
const RUNTIME: &str = "/v1/operator/debug/runtime";
const COLUMNS: Columns<'_> = &[
    ("thread", "name"),
    ("count", "count"),
    ("user", "user"),
    ("system", "system"),
];

const EXAMPLES: &str = "\
Examples:
  ekho debug log show
  ekho debug log set debug --for 5m
  ekho debug threads --seconds 10
  ekho debug memory
  ekho debug runtime --url http://10.0.0.2:4000

They are about the node that is asked; --url says which.";

/// What goes on inside the node that is asked. For owners of its first fleet.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DebugArgs {
    #[command(subcommand)]
    command: DebugCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum DebugCommand {
    /// Which log lines the node writes
    #[command(subcommand)]
    Log(LogCommand),
    Threads(ThreadsArgs),
    Memory(MemoryArgs),
    Runtime(RuntimeArgs),
}

/// Which log lines the node writes.
#[derive(Debug, Subcommand)]
enum LogCommand {
    Show(ShowArgs),
    Set(SetArgs),
    Reset(ResetArgs),
}

/// Which log lines the node writes at this moment.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho debug log show\n  ekho debug log show --json")]
struct ShowArgs {}

/// Have the node write other log lines, for a time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho debug log set debug
  ekho debug log set \"info,ekho::api=debug,openraft=info\" --for 1h")]
struct SetArgs {
    /// A level, or TARGET=LEVEL pairs separated by commas
    filter: String,

    /// For how long, such as 90s or 1h; at most a day
    #[arg(long = "for", value_name = "DURATION", default_value = "10m")]
    lasting: SignedDuration,
}

/// Have the node write the log lines that it is configured with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho debug log reset")]
struct ResetArgs {}

/// Look which threads of the node use the CPU, in hundredths of a core.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho debug threads
  ekho debug threads --seconds 30 --json")]
struct ThreadsArgs {
    /// How long to look
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// What takes memory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho debug memory\n  ekho debug memory --json")]
struct MemoryArgs {}

/// What runs, and how far the node is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho debug runtime\n  ekho debug runtime --json")]
struct RuntimeArgs {}

pub(in crate::cli) async fn run(args: DebugArgs) -> Result<(), CliError> {
    let DebugArgs { command, remote } = args;
    remote
        .run(async |relay| match command {
            DebugCommand::Log(LogCommand::Show(_)) => {
                let answer = relay.get(LOG).await?;
                relay.one(&answer, &answer)
            }
            DebugCommand::Log(LogCommand::Set(args)) => set(relay, &args).await,
            DebugCommand::Log(LogCommand::Reset(_)) => {
                let answer = relay.delete(LOG).await?;
                relay.done(&answer, &told(&answer))
            }
            DebugCommand::Threads(args) => threads(relay, args.seconds).await,
            DebugCommand::Memory(_) => {
                let answer = relay.get(MEMORY).await?;
                relay.one(&answer, &flat(&answer))
            }
            DebugCommand::Runtime(_) => {
                let answer = relay.get(RUNTIME).await?;
                relay.one(&answer, &answer)
            }
        })
        .await
}

async fn set(relay: &Relay, args: &SetArgs) -> Result<(), CliError> {
    let seconds = u64::try_from(args.lasting.as_secs()).unwrap_or_default();
    if seconds == 0 {
        return Err(CliError::Usage(
            "--for: a second at least, such as 90s or 1h".into(),
        ));
    }
    let body = json!({ "filter": args.filter, "seconds": seconds });
    let answer = relay.put(LOG, &body).await?;
    relay.done(&answer, &told(&answer))
}

/// What became of the log.
fn told(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    let until = match answer["until"].as_str() {
        Some(until) => format!(" until {until}"),
        None => String::new(),
    };
    let audited = match answer["audited"].as_bool() {
        Some(false) => "; the audit log could not be told",
        _ => "",
    };
    format!(
        "node {} writes {}{until}{audited}",
        answer["node_id"],
        text("filter")
    )
}

async fn threads(relay: &Relay, seconds: u64) -> Result<(), CliError> {
    let query: Query = vec![("seconds", seconds.to_string())];
    let mut answer = relay.client().get(THREADS, &query).await?;
    if relay.is_json() {
        return relay.one(&answer, &Value::Null);
    }
    let over = seconds.max(1) as f64;
    for row in answer["threads"].as_array_mut().into_iter().flatten() {
        let share = |name: &str| format!("{:.1} %", 100.0 * number(row, name) / over);
        let (user, system) = (share("user_seconds"), share("system_seconds"));
        row["user"] = user.into();
        row["system"] = system.into();
    }
    relay.rows(&answer, "threads", COLUMNS)
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_default()
}

/// The answer with what is inside beside the rest, sizes for people.
fn flat(answer: &Value) -> Value {
    let mut flat = serde_json::Map::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => {
                for (inner_name, value) in inner {
                    flat.insert(format!("{name}.{inner_name}"), readable(inner_name, value));
                }
            }
            None => {
                flat.insert(name.clone(), readable(name, value));
            }
        }
    }
    Value::Object(flat)
}

fn readable(name: &str, value: &Value) -> Value {
    match (name.ends_with("_bytes"), value.as_u64()) {
        (true, Some(bytes)) => indicatif::BinaryBytes(bytes).to_string().into(),
        _ => value.clone(),
    }
}
