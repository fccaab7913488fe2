//! Measures the commit path alone: proposers in this process, a machine that stores each command
//! under its position, a real disk. Not a test; nothing here fails on a slow machine.
//!
//!     cargo run --release -p ekho-raft --example group_commit -- [--seconds 5] [--bytes 1024]
//!         [--proposers 1,64,512] [--in-flight 1] [--dir PATH]
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ekho_raft::{ApplyError, Machine, Node, NodeConfig, Observer, Stamp};
use ekho_storage::{Cf, State, StateOptions, Txn};

struct Store;

impl Machine for Store {
    type Effects = ();

    fn apply(
        &self,
        txn: &mut Txn,
        at: Stamp,
        command: &[u8],
        _effects: &mut (),
    ) -> Result<Bytes, ApplyError> {
        let mut key = at.index.to_be_bytes().to_vec();
        key.extend_from_slice(&at.position.to_be_bytes());
        txn.put(Cf::Body, key, command.to_vec());
        Ok(Bytes::from_static(b"ok"))
    }

    fn committed(&self, _effects: ()) {}
}

#[derive(Default)]
struct Measured {
    writes: AtomicU64,
    write_ns: AtomicU64,
    batches: AtomicU64,
    commands: AtomicU64,
}

impl Observer for Measured {
    fn log_write(&self, took: Duration, _entries: usize, _size_bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.write_ns
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    fn batch(&self, commands: usize, _size_bytes: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }
}

struct Arguments {
    seconds: u64,
    bytes: usize,
    proposers: Vec<usize>,
    in_flight: usize,
    dir: PathBuf,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut found = Arguments {
        seconds: 5,
        bytes: 1024,
        proposers: vec![1, 8, 64, 512],
        in_flight: 1,
        dir: std::env::temp_dir(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--seconds" => found.seconds = value.parse()?,
            "--bytes" => found.bytes = value.parse()?,
            "--in-flight" => found.in_flight = value.parse()?,
            "--dir" => found.dir = value.into(),
            "--proposers" => {
                found.proposers = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(found)
}

fn clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Seconds of processor time this process has used.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

/// Bytes this process caused to be written to disks.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    println!(
        "{:>9} {:>10} {:>9} {:>9} {:>9} {:>7} {:>9} {:>10} {:>7}",
        "proposers",
        "commands/s",
        "p50 us",
        "p99 us",
        "max us",
        "batch",
        "fsync us",
        "cpu us/cmd",
        "w-amp"
    );
    for &proposers in &arguments.proposers {
        measure(&arguments, proposers).await?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, proposers: usize) -> Result<(), Box<dyn Error>> {
    let dir = arguments
        .dir
        .join(format!("ekho-group-commit-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = Arc::new(Measured::default());
    let mut config = NodeConfig::new(&dir, "bench", 1, clock);
    config.observer = measured.clone();
    config.limits.pipelined_batches = arguments.in_flight;
    let state = State::open(&dir.join("state"), &StateOptions::default())?;
    let node = Node::start(config, state, Store).await?;
    node.leadership()
        .wait_for(|leadership| leadership.is_self)
        .await?;

    let command = Bytes::from(vec![b'x'; arguments.bytes]);
    let (processor_before, written_before) = (processor_seconds(), written_bytes());
    let began = Instant::now();
    let end = began + Duration::from_secs(arguments.seconds);
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let (node, command) = (node.clone(), command.clone());
            tokio::spawn(async move {
                let mut took_us = Vec::new();
                while Instant::now() < end {
                    let asked = Instant::now();
                    node.propose(command.clone())
                        .await
                        .map_err(|error| error.to_string())?;
                    took_us.push(asked.elapsed().as_micros() as u64);
                }
                Ok::<_, String>(took_us)
            })
        })
        .collect();
    let mut took_us = Vec::new();
    for task in tasks {
        took_us.extend(task.await??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    let processor = processor_seconds() - processor_before;
    let written = written_bytes() - written_before;
    took_us.sort_unstable();
    let at = |part: f64| {
        let position =
            ((took_us.len() as f64 * part) as usize).min(took_us.len().saturating_sub(1));
        took_us.get(position).copied().unwrap_or(0)
    };
    let per = |sum: &AtomicU64, count: &AtomicU64| {
        sum.load(Ordering::Relaxed) as f64 / count.load(Ordering::Relaxed).max(1) as f64
    };
    let count = took_us.len() as f64;
    println!(
        "{:>9} {:>10.0} {:>9} {:>9} {:>9} {:>7.1} {:>9.0} {:>10.1} {:>7.2}",
        proposers,
        count / elapsed,
        at(0.5),
        at(0.99),
        at(1.0),
        per(&measured.commands, &measured.batches),
        per(&measured.write_ns, &measured.writes) / 1000.0,
        processor * 1e6 / count,
        written as f64 / (count * arguments.bytes as f64),
    );
    node.shutdown(Duration::from_secs(30)).await;
    drop(node);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
