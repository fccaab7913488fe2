//! `ekho secrets`: changing the master secret, in three steps.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::remote::{Relay, Remote};
use super::show::Columns;
use super::{CliError, Place, print, print_json, say, warn_all};
use crate::config::Config;
use crate::ingress::seal::Sealer;
use crate::rebuilding::{self, RebuildError};
use crate::relay::OpenError;
use crate::secrets;

const PATH: &str = "/v1/operator/cluster/master-secret";
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(300);
/// How long the command looks on; the relay goes on without it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest secret.
const MAX_BYTES: u64 = 1000;

const COLUMNS: Columns<'static> = &[
    ("node", "node_id"),
    ("reachable", "reachable"),
    ("keys", "keys"),
];

const EXAMPLES: &str = "\
Examples:
  ekho secrets next                on the first node: makes the next master secret, and shows it
  ekho secrets next --stdin        on every other node: takes the same one
  ekho secrets rotate              once every node was started again
  ekho secrets finish              on every node; then start it again

See docs/runbooks/master-secret.md.";

/// Change the master secret: give nodes the next one, seal everything under it, drop the old one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    Next(NextArgs),
    Status(StatusArgs),
    Rotate(RotateArgs),
    Finish(FinishArgs),
}

/// Keep the next master secret in secrets.toml of this node, which is to be started again then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho secrets next
  ekho secrets next --stdin < next.txt
  ekho secrets next --file next.txt

Without --stdin and --file one is made and shown. Every node has to be given the same.")]
struct NextArgs {
    /// Take it from standard input
    #[arg(long, conflicts_with = "file")]
    stdin: bool,

    /// Take it from this file
    #[arg(long)]
    file: Option<PathBuf>,

    #[command(flatten)]
    place: Place,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Which key is in force, which keys the nodes hold, and how far a change is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho secrets status\n  ekho secrets status --json")]
struct StatusArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Seal everything under the next master secret, which every node must hold.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho secrets rotate")]
struct RotateArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Put the next master secret in the place of the old one, in secrets.toml of this node.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho secrets finish

Refused while the relay is not through with `ekho secrets rotate`: the relay is asked while it runs,
else the data on this machine.")]
struct FinishArgs {
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: SecretsArgs) -> Result<(), CliError> {
    match args.command {
        SecretsCommand::Next(args) => next(&args),
        SecretsCommand::Status(args) => args.remote.run(status).await,
        SecretsCommand::Rotate(args) => args.remote.run(rotate).await,
        SecretsCommand::Finish(args) => finish(args.remote).await,
    }
}

fn next(args: &NextArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    warn_all(&config.warnings);
    let given = given(args)?;
    let is_made = given.is_none();
    let next = given.unwrap_or_else(|| Zeroizing::new(secrets::generate()));
    let key_id = key_id_of(&next)?;
    let is_new = secrets::keep_next(&config, &next)?;
    if args.json {
        let shown = is_made.then_some(next.as_str());
        return print_json(&json!({ "key_id": key_id, "is_new": is_new, "secret": shown }));
    }
    if is_made {
        say(
            "Give it to every other node, with `ekho secrets next --stdin`, and keep it where you \
             keep the old one:\n",
        );
        print(&next)?;
    }
    say(&format!(
        "\nThe next master secret, of key {key_id}, is in {}. Start the node again; once every \
         node was, run `ekho secrets rotate`.",
        secrets::path(&config.data_dir).display()
    ));
    Ok(())
}

/// The secret that was given to the command; none where one is to be made.
fn given(args: &NextArgs) -> Result<Option<Zeroizing<String>>, CliError> {
    let mut text = Zeroizing::new(String::new());
    match &args.file {
        Some(path) => {
            let failed = |source| CliError::File {
                path: path.clone(),
                source,
            };
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(MAX_BYTES + 1)
                .read_to_string(&mut text)
                .map_err(failed)?;
        }
        None if args.stdin => {
            std::io::stdin()
                .take(MAX_BYTES + 1)
                .read_to_string(&mut text)?;
        }
        None => return Ok(None),
    }
    let secret = text.trim();
    if secret.is_empty() || text.len() as u64 > MAX_BYTES || secret.contains(char::is_whitespace) {
        let why = format!("a secret of 1 to {MAX_BYTES} bytes without blanks is expected");
        return Err(CliError::Usage(why));
    }
    Ok(Some(Zeroizing::new(secret.to_string())))
}

fn key_id_of(secret: &str) -> Result<String, CliError> {
    Ok(Sealer::key_id_of(secret).map_err(OpenError::Seal)?)
}

async fn status(relay: &Relay) -> Result<(), CliError> {
    let mut answer = relay.get(PATH).await?;
    if relay.is_json() {
        return relay.one(&answer, &Value::Null);
    }
    print(&format!("{}\n", sentence(&answer)))?;
    for node in answer["nodes"].as_array_mut().into_iter().flatten() {
        let keys = node["key_ids"].as_array().into_iter().flatten();
        let keys: Vec<&str> = keys.filter_map(Value::as_str).collect();
        node["keys"] = keys.join(", ").into();
    }
    relay.rows(&answer, "nodes", COLUMNS)
}

/// How far a change is.
fn sentence(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (key_id, rotation) = (text(&answer["key_id"]), &answer["rotation"]);
    if rotation.is_null() {
        return format!("key {key_id} is in force");
    }
    let resealed = &rotation["resealed"];
    match is_done(answer) {
        true => format!(
            "key {key_id} is in force since {}; secrets sealed anew: {resealed}",
            text(&rotation["done_at"])
        ),
        false => format!(
            "key {key_id} is in force; secrets sealed under key {} so far: {resealed}",
            text(&rotation["to_key_id"])
        ),
    }
}

fn is_done(answer: &Value) -> bool {
    !answer["rotation"]["done_at"].is_null()
}

async fn rotate(relay: &Relay) -> Result<(), CliError> {
    let mut answer = relay.post(PATH, &json!({})).await?;
    let began = Instant::now();
    let mut said = String::new();
    while !is_done(&answer) {
        if began.elapsed() > PATIENCE {
            say("it goes on: see `ekho secrets status`");
            break;
        }
        let now = sentence(&answer);
        if now != said {
            say(&now);
            said = now;
        }
        tokio::time::sleep(LOOK).await;
        answer = relay.get(PATH).await?;
    }
    relay.done(&answer, &sentence(&answer))
}

async fn finish(remote: Remote) -> Result<(), CliError> {
    let config = remote.configuration().await?;
    let resolved = secrets::resolve(&config)?;
    let Some(next) = &resolved.secrets.next_master else {
        // Says what is missing.
        return Ok(secrets::finish(&config)?);
    };
    let key_id = key_id_of(next)?;
    let in_force = match rebuilding::key_in_force(&config.data_dir).await {
        Ok(in_force) => in_force,
        Err(RebuildError::InUse { .. }) => {
            let relay = remote.connect().await?;
            let answer = relay.get(PATH).await;
            relay.close().await;
            answer?["key_id"].as_str().unwrap_or_default().to_string()
        }
        Err(error) => return Err(error.into()),
    };
    if in_force != key_id {
        return Err(CliError::Members(format!(
            "key {in_force} is in force, and the next master secret is of key {key_id}: the old \
             one is needed until `ekho secrets rotate` is through"
        )));
    }
    secrets::finish(&config)?;
    let done = format!(
        "the master secret is that of key {key_id}, the old one is gone from {}: start the node \
         again",
        secrets::path(&config.data_dir).display()
    );
    match remote.is_json() {
        true => print_json(&json!({ "key_id": key_id })),
        false => print(&done),
    }
}
