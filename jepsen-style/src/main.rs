//! The runner: `ekho-jepsen --nodes 3 --minutes 10`. See README.md.
#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use ekho_jepsen::cluster::Shape;
use ekho_jepsen::nemesis::{FAULTS, Fault, named};
use ekho_jepsen::rng::clock_seed;
use ekho_jepsen::run::{Options, run};
use ekho_jepsen::show::show_checkers;
use tokio::signal::unix::{SignalKind, signal};

/// Runs relays, harms them under load, and judges what they answered.
#[derive(Debug, Parser)]
#[command(name = "ekho-jepsen")]
struct Args {
    /// How long faults go on
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// How many nodes, 1 to 9
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Faults, separated by commas: names, `partition`, `all` or `none`
    #[arg(long, default_value = "all")]
    faults: String,
    /// Repeats the schedule of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// The relay to test
    #[arg(long, default_value = "ekho")]
    binary: PathBuf,
    /// Where to write the picture
    #[arg(long, default_value = "timeline.svg")]
    timeline: PathBuf,
    /// Where to write the report as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep directories, logs and history, also where every promise was kept
    #[arg(long)]
    keep: bool,
    /// Which promise to break on purpose; takes a relay with the cargo feature `breakable`
    #[arg(long = "break", value_name = "NAME")]
    breakage: Option<String>,
    /// Break every promise once, and fail where nobody finds it
    #[arg(long, conflicts_with_all = ["minutes", "nodes", "faults", "breakage"])]
    show_checkers: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let faults = match parse_faults(&args.faults) {
        Ok(faults) => faults,
        Err(error) => return fail(&error),
    };
    if !rustix::process::geteuid().is_root() {
        return fail("network namespaces and FUSE take root");
    }
    let runtime = tokio::runtime::Runtime::new();
    match runtime {
        Ok(runtime) => runtime.block_on(drive(args, faults)),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("ekho-jepsen: {why}");
    ExitCode::from(2)
}

fn parse_faults(names: &str) -> Result<Vec<Fault>, String> {
    let mut faults = Vec::new();
    for name in names.split(',').map(str::trim) {
        let known: Vec<&str> = FAULTS.iter().map(|(_, name, _)| *name).collect();
        faults.extend(named(name).ok_or_else(|| {
            format!(
                "no such fault: {name}; there are partition, all, none, {}",
                known.join(", ")
            )
        })?);
    }
    Ok(faults)
}

async fn drive(args: Args, faults: Vec<Fault>) -> ExitCode {
    let seed = args.seed.unwrap_or_else(clock_seed);
    let interrupted = Arc::new(AtomicBool::new(false));
    end_early(Arc::clone(&interrupted));
    let binary = match std::path::absolute(&args.binary) {
        Ok(path) if path.exists() => path,
        _ => return fail(&format!("{}: no such file", args.binary.display())),
    };
    if args.show_checkers {
        let say = |line: &str| println!("{line}");
        return match show_checkers(&binary, seed, interrupted, say).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => fail(&error),
        };
    }
    let time = Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    println!(
        "seed {seed}, {} nodes, {:.0} s, faults: {}",
        args.nodes,
        time.as_secs_f64(),
        args.faults
    );
    let options = Options {
        seed,
        time,
        shape: Shape {
            binary,
            nodes: usize::from(args.nodes),
            clocks: faults.contains(&Fault::Clock),
            breakage: args.breakage,
        },
        faults,
        keep: args.keep,
        say: |line| println!("{line}"),
    };
    let outcomes = match run(options, interrupted).await {
        Ok(outcomes) => outcomes,
        Err(error) => return fail(&error),
    };
    print!("{}", outcomes.report.text());
    let written = std::fs::write(&args.timeline, outcomes.picture);
    if let (Ok(()), Some(json)) = (&written, &args.json) {
        let text = serde_json::to_string_pretty(&outcomes.report).unwrap_or_default();
        if let Err(error) = std::fs::write(json, text + "\n") {
            return fail(&format!("{}: {error}", json.display()));
        }
    }
    if let Err(error) = written {
        return fail(&format!("{}: {error}", args.timeline.display()));
    }
    println!("timeline    {}", args.timeline.display());
    if let Some(kept) = outcomes.kept {
        println!("kept        {}", kept.display());
    }
    if outcomes.report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The first signal ends the faults early; everything is healed, drained and judged all the same.
fn end_early(flag: Arc<AtomicBool>) {
    tokio::spawn(async move {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
        flag.store(true, Ordering::Relaxed);
    });
}
