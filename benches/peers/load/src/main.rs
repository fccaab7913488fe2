//! Loads a cluster of etcd or NATS JetStream for a fixed time and prints what it did as JSON, with
//! the field names of `ekho bench --json`. Started by ../run.mjs.
//!
//! A closed loop, as in `ekho bench`: every connection writes, waits for the answer, and writes
//! again. One thread does it all.

mod drive;
mod etcd;
mod jetstream;
mod report;

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    system: System,
}

#[derive(Subcommand)]
enum System {
    /// Unary puts of new keys over gRPC; endpoints are http://HOST:PORT
    Etcd(Plan),
    /// Publishes to a stream of three replicas on disk; endpoints are nats://HOST:PORT
    Jetstream(Plan),
}

/// Which node all connections go to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Through {
    /// The one that leads
    Leader,
    /// The first that does not
    Follower,
}

/// What to do.
#[derive(Args)]
struct Plan {
    /// The nodes, with commas between
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,

    /// Which of them to write to
    #[arg(long, value_enum, default_value = "leader")]
    through: Through,

    /// Connections, each with one write under way
    #[arg(long, short = 'c', default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,

    /// Size of each value
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    payload_bytes: u32,

    /// Unmeasured time at the start
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warmup_seconds: u64,

    /// Measured time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration_seconds: u64,
}

impl Plan {
    fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup_seconds)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.duration_seconds)
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let local = tokio::task::LocalSet::new();
    let report = local.block_on(&runtime, async {
        match &cli.system {
            System::Etcd(plan) => etcd::run(plan).await,
            System::Jetstream(plan) => jetstream::run(plan).await,
        }
    })?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
