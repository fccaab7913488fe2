//! `ekho bench`: a load generator for a running relay, over HTTP with real signatures.
//!
//! It shares its cores with the relay it measures, so it is made to cost little: hand-written
//! HTTP/1.1 over one kept-alive connection a worker, one single-threaded runtime a generator
//! thread, keyed HMACs, counters behind uncontended locks. Its own CPU use is in every report.
//!
//! A closed loop (the default) sends when the last answer has come and shows service times. An open
//! loop (`--rate`) sends on a schedule and shows latencies from the intended start as well, which
//! is what a user of a stalled relay would see (no coordinated omission).
//!
//! This module knows the relay only by its public HTTP interface and imports nothing else of ours.
//!
//! - `args`: flags and the plan they make
//! - `enrol`: agents, from a file or newly enrolled
//! - `drive`: threads, stages of a run, samples of the relay's process
//! - `worker`, `receive`: what one connection does
//! - `pace`: turns of the closed and open loop
//! - `client`, `http`, `sign`, `payload`, `clock`: one request, cheaply
//! - `record`, `report`, `progress`, `procfs`: what is measured and how it is shown

mod args;
mod client;
mod clock;
mod drive;
mod enrol;
mod error;
mod http;
mod pace;
mod payload;
mod procfs;
mod progress;
mod receive;
mod record;
mod report;
mod sign;
mod worker;

use std::io::Write;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use self::args::{BenchArgs, Mode, Recipients};
pub use self::error::BenchError;

use self::args::Plan;
use self::progress::Progress;
use self::report::Report;

/// Files open beside the generator's connections.
const SPARE_FILES: u64 = 64;

/// Runs one measurement and prints its result: a table on stdout, or with `--json` JSON on stdout
/// and the table on stderr.
///
/// # Errors
///
/// When it cannot start (flags, credentials, enrolment, connections), and
/// [`BenchError::NothingSucceeded`] after a report in which nothing did; the process should then
/// end with exit code 1.
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    let plan = Plan::from_args(&args)?;
    allow_open_files(plan.connections + plan.receivers)?;
    let progress = Progress::new(args.quiet);
    let (target, agents) = enrol::agents(&args, plan.agents, &progress).await?;
    if plan.fill > 0 {
        let filling = plan.filling();
        let outcome = drive::execute(&filling, &target, &agents, None, &progress).await?;
        let report = Report::new(&filling, &target.url, &outcome);
        progress.note(&format!("fill: {}", report.table().trim_end()));
        if outcome.interrupted {
            return Ok(());
        }
        if !report.has_success() {
            return Err(BenchError::NothingSucceeded);
        }
    }
    let outcome = drive::execute(&plan, &target, &agents, args.relay_pid, &progress).await?;
    let report = Report::new(&plan, &target.url, &outcome);
    print(&report, args.json)?;
    if report.has_success() {
        Ok(())
    } else {
        Err(BenchError::NothingSucceeded)
    }
}

fn print(report: &Report, json: bool) -> Result<(), BenchError> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(std::io::stderr(), "{}", report.table().trim_end())?;
        serde_json::to_writer_pretty(&mut stdout, report).map_err(std::io::Error::from)?;
        writeln!(stdout)?;
    } else {
        writeln!(stdout, "{}", report.table().trim_end())?;
    }
    stdout.flush()?;
    Ok(())
}

/// Raises the soft limit of open files to what the connections need, or says who must.
fn allow_open_files(connections: usize) -> Result<(), BenchError> {
    let wanted = connections as u64 + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if enough(limit.current) {
        return Ok(());
    }
    let refuse = || {
        BenchError::usage(format!(
            "{wanted} open files are needed and the limit is {}: raise it (ulimit -n) or use fewer connections",
            limit.current.unwrap_or(0)
        ))
    };
    if !enough(limit.maximum) {
        return Err(refuse());
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        },
    )
    .map_err(|_| refuse())
}
