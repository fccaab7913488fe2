//! `ekho hooks`: programs that the relay asks before it accepts a message, or tells what happened.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::ask::Sure;
use crate::cli::client::under;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;
use crate::cli::{CliError, print, print_json, say};

const PATH: &str = "/v1/operator/hooks";
/// More than a fleet may have.
const ALL: &str = "/v1/operator/hooks?limit=100";

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("url", "url"),
    ("events", "events"),
    ("enabled", "enabled"),
    ("on failure", "on_failure"),
    ("priority", "priority"),
];

const EXAMPLES: &str = "\
Examples:
  ekho hooks list
  ekho hooks add --name scanner --hook-url http://127.0.0.1:4100/ --event before_message
  ekho hooks test hook_…
  ekho hooks status hook_…
  ekho hooks edit hook_… --on-failure open --timeout-ms 500
  ekho hooks rotate hook_… --overlap-seconds 3600
  ekho hooks disable hook_…
  ekho hooks remove hook_… --yes

A secret is printed this once, when a hook is added and when its secret is replaced.";

/// Programs that are asked before a message is accepted, or told what happened.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct HooksArgs {
    #[command(subcommand)]
    command: HooksCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum HooksCommand {
    List(ListArgs),
    Show(ShowArgs),
    Status(StatusArgs),
    Add(AddArgs),
    Edit(EditArgs),
    Enable(EnableArgs),
    Disable(DisableArgs),
    Test(TestArgs),
    Rotate(RotateArgs),
    Remove(RemoveArgs),
}

/// Every hook, in the order in which they are asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks list\n  ekho hooks list --json")]
struct ListArgs {}

/// One hook.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks show hook_…")]
struct ShowArgs {
    /// The hook's id
    hook: String,
}

/// How a hook fares on the node that is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks status hook_…")]
struct StatusArgs {
    /// The hook's id
    hook: String,
}

/// Add a hook, and print its secret.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho hooks add --name scanner --hook-url http://127.0.0.1:4100/ --event before_message
  ekho hooks add --name archive --hook-url https://hooks.example.org/ekho --event after_message --json")]
struct AddArgs {
    /// A short name: lower case letters, digits and hyphens
    #[arg(long)]
    name: String,

    /// Where it is
    #[arg(long, value_name = "URL")]
    hook_url: String,

    /// What it hears of
    #[arg(
        long = "event",
        value_name = "EVENT",
        value_delimiter = ',',
        required = true
    )]
    events: Vec<Event>,

    #[command(flatten)]
    given: Given,
}

/// Change a hook: what is given, the rest stays.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho hooks edit hook_… --on-failure open --timeout-ms 500
  ekho hooks edit hook_… --event before_message,overview")]
struct EditArgs {
    /// The hook's id
    hook: String,

    /// A short name: lower case letters, digits and hyphens
    #[arg(long)]
    name: Option<String>,

    /// Where it is
    #[arg(long, value_name = "URL")]
    hook_url: Option<String>,

    /// What it hears of
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',')]
    events: Option<Vec<Event>>,

    #[command(flatten)]
    given: Given,
}

/// Switch a hook on. It hears of what happens from then on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks enable hook_…")]
struct EnableArgs {
    /// The hook's id
    hook: String,
}

/// Switch a hook off; it stays where it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks disable hook_…")]
struct DisableArgs {
    /// The hook's id
    hook: String,
}

/// Send a hook a signed request that asks nothing, and say what it answered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks test hook_…\n  ekho hooks test hook_… --json")]
struct TestArgs {
    /// The hook's id
    hook: String,
}

/// Replace a hook's secret, and print the new one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho hooks rotate hook_…
  ekho hooks rotate hook_… --overlap-seconds 3600")]
struct RotateArgs {
    /// The hook's id
    hook: String,

    /// How long requests are signed with the old one as well [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u64>,
}

/// Remove a hook.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho hooks remove hook_… --yes")]
struct RemoveArgs {
    /// The hook's id
    hook: String,

    #[command(flatten)]
    sure: Sure,
}

/// What else a hook is.
#[derive(Debug, Args)]
struct Given {
    /// How long it may take to answer [default: 1000]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,

    /// What becomes of a message when it fails: goes on, or is refused [default: closed]
    #[arg(long, value_name = "HOW")]
    on_failure: Option<OnFailure>,

    /// Lower ones are asked first [default: 100]
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u64>,

    /// How long it is told again what it failed to hear [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    retry_seconds: Option<u64>,
}

/// What a hook can hear of.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Event {
    /// A message is about to be accepted
    BeforeMessage,
    /// A message was accepted
    AfterMessage,
    /// A fleet was made
    FleetCreated,
    /// Somebody looks at the overview
    Overview,
}

/// What becomes of a message when a hook fails.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailure {
    /// It goes on
    Open,
    /// It is refused
    Closed,
}

/// The word that the API takes.
fn word(value: impl ValueEnum) -> String {
    let named = value.to_possible_value();
    named.map_or_else(String::new, |named| named.get_name().to_string())
}

impl Given {
    /// Puts what is given into a request.
    fn put_into(&self, request: &mut Value) {
        let fields = [
            ("timeout_ms", json!(self.timeout_ms)),
            ("on_failure", json!(self.on_failure.map(word))),
            ("priority", json!(self.priority)),
            ("retry_seconds", json!(self.retry_seconds)),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            request[name] = value;
        }
    }
}

fn words(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| word(*event)).collect()
}

pub(in crate::cli) async fn run(args: HooksArgs) -> Result<(), CliError> {
    let HooksArgs { command, remote } = args;
    if let HooksCommand::Remove(args) = &command {
        args.sure.check(&format!("Remove {}", args.hook))?;
    }
    remote
        .run(async |relay| match command {
            HooksCommand::List(ListArgs {}) => relay.rows(&relay.get(ALL).await?, "hooks", COLUMNS),
            HooksCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.hook, "")).await?;
                relay.one(&answer, &answer["hook"])
            }
            HooksCommand::Status(args) => {
                let answer = relay.get(&under(PATH, &args.hook, "/status")).await?;
                relay.one(&answer, &answer)
            }
            HooksCommand::Add(args) => add(relay, args).await,
            HooksCommand::Edit(args) => edit(relay, args).await,
            HooksCommand::Enable(args) => switch(relay, &args.hook, true).await,
            HooksCommand::Disable(args) => switch(relay, &args.hook, false).await,
            HooksCommand::Test(args) => test(relay, &args.hook).await,
            HooksCommand::Rotate(args) => rotate(relay, args).await,
            HooksCommand::Remove(args) => {
                let answer = relay.delete(&under(PATH, &args.hook, "")).await?;
                relay.done(&answer, &format!("removed {}", args.hook))
            }
        })
        .await
}

async fn add(relay: &Relay, args: AddArgs) -> Result<(), CliError> {
    let mut hook = json!({
        "name": args.name,
        "url": args.hook_url,
        "events": words(&args.events),
    });
    args.given.put_into(&mut hook);
    let answer = relay.post(PATH, &hook).await?;
    let id = answer["hook_id"].as_str().unwrap_or_default();
    secret(relay, &answer, &format!("added {id}"))
}

async fn edit(relay: &Relay, args: EditArgs) -> Result<(), CliError> {
    let mut change = json!({});
    if let Some(name) = args.name {
        change["name"] = name.into();
    }
    if let Some(url) = args.hook_url {
        change["url"] = url.into();
    }
    if let Some(events) = &args.events {
        change["events"] = words(events).into();
    }
    args.given.put_into(&mut change);
    let answer = relay.put(&under(PATH, &args.hook, ""), &change).await?;
    relay.done(&answer, &format!("changed {}", args.hook))
}

async fn switch(relay: &Relay, hook: &str, on: bool) -> Result<(), CliError> {
    let change = json!({ "enabled": on });
    let answer = relay.put(&under(PATH, hook, ""), &change).await?;
    let state = if on { "on" } else { "off" };
    relay.done(&answer, &format!("switched {hook} {state}"))
}

async fn test(relay: &Relay, hook: &str) -> Result<(), CliError> {
    let answer = relay.post(&under(PATH, hook, "/test"), &json!({})).await?;
    let (status, latency) = (&answer["status"], &answer["latency_ms"]);
    let sentence = match answer["error"].as_str() {
        None => format!("it answered {status} after {latency} ms"),
        Some(why) => format!("it failed after {latency} ms: {why}"),
    };
    relay.done(&answer, &sentence)
}

async fn rotate(relay: &Relay, args: RotateArgs) -> Result<(), CliError> {
    let mut body = json!({});
    if let Some(seconds) = args.overlap_seconds {
        body["overlap_seconds"] = seconds.into();
    }
    let path = under(PATH, &args.hook, "/rotate-secret");
    let answer = relay.post(&path, &body).await?;
    let until = answer["previous_valid_until"].as_str().unwrap_or_default();
    let sentence = format!("requests are signed with the old one as well until {until}");
    secret(relay, &answer, &sentence)
}

/// Prints a secret alone on standard output, so that it can be put where it is needed.
fn secret(relay: &Relay, answer: &Value, sentence: &str) -> Result<(), CliError> {
    if relay.is_json() {
        return print_json(answer);
    }
    say(sentence);
    print(answer["secret"].as_str().unwrap_or_default())
}
