//! `ekho import`: takes over what another relay held, into the fleet of who imports.
//!
//! Reads the other relay's database on this machine, and hands its rows to the running relay over
//! the public operator API. Each row has its own outcome and what is there already stays, so an
//! import that broke off is begun again.

mod database;
mod history;
mod messages;
mod people;
mod read;
mod report;
mod rules;
mod tasks;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinError;

use self::database::{Database, DatabaseError};
use self::read::{EVENTS, Entry, Fleet, Out};
use self::report::Report;
use super::client::ClientError;
use super::remote::{Relay, Remote};
use super::{CliError, print, print_json};

const PATH: &str = "/v1/operator/import";
/// Batches read ahead.
const AHEAD: usize = 2;
/// Fleets of one file.
const FLEETS_MAX: usize = 1000;
/// For how long a relay without a leader is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// Take over what another relay held.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ekho import sqlite ekho.db --dry-run\n  ekho import sqlite ekho.db"
)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    Sqlite(SqliteArgs),
}

/// Take over the database of the original Ekho, an SQLite file.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  ekho import sqlite ekho.db --dry-run
  ekho import sqlite ekho.db
  ekho import sqlite ekho.db --history history.jsonl
  ekho import sqlite ekho.db --fleet research --json")]
struct SqliteArgs {
    /// The file; the relay that wrote it must be stopped
    file: PathBuf,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Which fleet of the file, by name or id; needed where it has several
    #[arg(long, value_name = "FLEET")]
    fleet: Option<String>,

    /// Write the events of the fleet, which are not imported, as JSON lines into a new file
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// What goes to the relay at once.
#[derive(Serialize)]
struct Batch<'a> {
    source: &'a str,
    dry_run: bool,
    rows: Vec<&'a RawValue>,
}

pub(super) async fn run(args: ImportArgs) -> Result<(), CliError> {
    let ImportArgs { command, remote } = args;
    let ImportCommand::Sqlite(args) = command;
    args.history.as_deref().map_or(Ok(()), history::check)?;
    let database = open(&args.file)?;
    let fleet = choose(&database, &args)?;
    remote
        .run(async |relay| sqlite(relay, &args, database, fleet).await)
        .await
}

fn unusable(path: &Path) -> impl Fn(DatabaseError) -> CliError {
    let path = path.to_path_buf();
    move |error| match error {
        DatabaseError::Io(source) => CliError::File {
            path: path.clone(),
            source,
        },
        error => CliError::Content {
            path: path.clone(),
            why: error.to_string(),
        },
    }
}

fn open(path: &Path) -> Result<Database, CliError> {
    Database::open(path).map_err(unusable(path))
}

/// The fleet that is taken over.
fn choose(database: &Database, args: &SqliteArgs) -> Result<Fleet, CliError> {
    let mut fleets = read::fleets(database, FLEETS_MAX).map_err(unusable(&args.file))?;
    let names: Vec<String> = fleets.iter().map(|fleet| fleet.name.clone()).collect();
    let names = names.join(", ");
    if let Some(wanted) = &args.fleet {
        let found = fleets
            .into_iter()
            .find(|one| one.name == *wanted || one.id == *wanted);
        return found.ok_or_else(|| {
            CliError::Usage(format!("--fleet {wanted}: the file has the fleets {names}"))
        });
    }
    match (fleets.pop(), fleets.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(CliError::Usage(format!(
            "the file has several fleets: name one with --fleet, and import each as an owner of \
             the fleet that it shall come into: {names}"
        ))),
        (None, _) => Err(unusable(&args.file)(DatabaseError::NotEkho)),
    }
}

async fn sqlite(
    relay: &Relay,
    args: &SqliteArgs,
    database: Database,
    fleet: Fleet,
) -> Result<(), CliError> {
    let name = args.file.file_name();
    let source = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let shown = json!({ "id": fleet.id, "name": fleet.name });
    let bar = progress();
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let mut out = Out::new(sender);
        read::all(&database, &fleet, &mut out).map(|()| (database, fleet, out.report))
    });
    let mut answered = Report::default();
    while let Some(entries) = batches.recv().await {
        // Where this fails, the reader ends because nobody takes what it reads.
        hand_over(relay, &source, args.dry_run, &entries, &mut answered).await?;
        bar.inc(entries.len() as u64);
    }
    bar.finish_and_clear();
    let broken = |error: JoinError| CliError::Content {
        path: args.file.clone(),
        why: error.to_string(),
    };
    let read = reading.await.map_err(broken)?;
    let (database, fleet, mut report) = read.map_err(unusable(&args.file))?;
    report.merge(answered);
    let task = {
        let args = args.clone();
        tokio::task::spawn_blocking(move || {
            keep_history(&args, &database, &fleet, &mut report).map(|()| report)
        })
    };
    let report = task.await.map_err(broken)??;
    match relay.is_json() {
        true => print_json(&report.json(&args.file.to_string_lossy(), &shown, args.dry_run)),
        false => print(&report.text(args.dry_run)),
    }
}

/// Writes the events of the fleet, once everything else is in the relay; says what became of them.
fn keep_history(
    args: &SqliteArgs,
    database: &Database,
    fleet: &Fleet,
    report: &mut Report,
) -> Result<(), CliError> {
    const LEFT: &str = "history of the other relay: --history writes it into a file";
    let (rows, ignored) = history::count(database, fleet).map_err(unusable(&args.file))?;
    let Some(path) = &args.history else {
        report.leaves_out_many(EVENTS, rows, LEFT);
        return Ok(());
    };
    if rows > 0 {
        report.attached_many(EVENTS, rows, "the history");
        report.ignores_columns(EVENTS, ignored);
    }
    if args.dry_run {
        return Ok(());
    }
    let bar = progress();
    bar.set_length(rows);
    let written = history::write(database, fleet, path, || bar.inc(1));
    bar.finish_and_clear();
    written.map_err(|failed| failed.told(path, unusable(&args.file)))
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} rows, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

/// Hands rows over and notes what became of each.
async fn hand_over(
    relay: &Relay,
    source: &str,
    dry_run: bool,
    entries: &[Entry],
    report: &mut Report,
) -> Result<(), CliError> {
    let batch = Batch {
        source: if source.is_empty() { "sqlite" } else { source },
        dry_run,
        rows: entries.iter().map(|entry| &*entry.row).collect(),
    };
    let answer = match ask(relay, &batch).await {
        Ok(answer) => answer,
        Err(ClientError::Refused(refused))
            if ["payload_too_large", "validation_failed"].contains(&refused.code.as_str()) =>
        {
            let [only] = entries else {
                // Only some of them may have a mistake, or all of them be too large together.
                for entry in entries {
                    let one = std::slice::from_ref(entry);
                    Box::pin(hand_over(relay, source, dry_run, one, report)).await?;
                }
                return Ok(());
            };
            report.leaves_out(
                only.table,
                &only.id,
                &refused.message.replace("rows.0.", ""),
            );
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let results = answer["results"].as_array().map(Vec::as_slice);
    let results = results.unwrap_or_default();
    if results.len() != entries.len() {
        return Err(CliError::Client(ClientError::NotARelay {
            call: format!("POST {PATH}"),
            field: "results",
            url: relay.client().url().to_string(),
        }));
    }
    for (entry, result) in entries.iter().zip(results) {
        match result["outcome"].as_str() {
            Some("imported") => report.imported(entry.table),
            Some("exists") => report.exists(entry.table),
            _ => {
                let why = result["reason"].as_str().unwrap_or("refused");
                report.leaves_out(entry.table, &entry.id, why);
            }
        }
    }
    Ok(())
}

/// Asks again while the relay has no leader: rows that are there already stay as they are.
async fn ask(relay: &Relay, batch: &Batch<'_>) -> Result<Value, ClientError> {
    let began = Instant::now();
    loop {
        match relay.client().post(PATH, batch).await {
            Err(ClientError::Refused(refused))
                if refused.status == 503 && began.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
