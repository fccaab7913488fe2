//! Kills a node's process in the middle of its work, over and over: whatever was answered is
//! still there, and nothing happens twice.
//!
//! The test starts itself as the child that is killed. The child prints a line for every answer
//! it got; the parent counts them, kills it, and compares the counters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "raft/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use common::{Counter, config, count, propose, start_with, stop};
use ekho_raft::{Node, NodeConfig};
use tempfile::TempDir;

const CHILD: &str = "EKHO_RAFT_KILL_CHILD";
const CALLERS: usize = 8;
const ROUNDS: usize = 12;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var_os(CHILD) {
        Some(dir) => runtime.block_on(child(Path::new(&dir))),
        None => runtime.block_on(parent()),
    }
}

/// Snapshots and purges often, so that kills fall into them too.
fn busy(dir: &Path) -> NodeConfig {
    let mut config = config(dir);
    config.limits.log_snapshot_bytes = 256 * 1024;
    config.timing.maintenance = std::time::Duration::from_millis(5);
    config
}

fn key(caller: usize) -> String {
    format!("caller-{caller}")
}

async fn child(dir: &Path) {
    let node = start_with(busy(dir)).await;
    let callers = (0..CALLERS).map(|caller| {
        let node = node.clone();
        tokio::spawn(async move { call_forever(&node, caller).await })
    });
    futures::future::join_all(callers).await;
}

async fn call_forever(node: &Node<Counter>, caller: usize) {
    loop {
        propose(node, key(caller)).await;
        propose(node, common::fill(caller as u64, 2000)).await;
        // One write, so that a kill cannot cut a line in two.
        let line = format!("{caller}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

async fn parent() {
    let dir = TempDir::new().unwrap();
    let mut answered = [0u64; CALLERS];
    let mut unanswered_at_most = 0u64;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 60 + 130 * (round % 4);
        for _ in 0..wanted {
            let line = lines.next().expect("the child ended by itself").unwrap();
            answered[line.parse::<usize>().unwrap()] += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that were already in the pipe count as well.
        for line in lines {
            answered[line.unwrap().parse::<usize>().unwrap()] += 1;
        }
        unanswered_at_most += 1;

        // Every other time a killed directory goes straight to the next child.
        if round % 2 == 1 {
            let node = start_with(busy(dir.path())).await;
            node.read_point().await.unwrap();
            for (caller, answered) in answered.iter_mut().enumerate() {
                let found = count(node.state(), &key(caller));
                assert!(
                    (*answered..=*answered + unanswered_at_most).contains(&found),
                    "round {round}, caller {caller}: {answered} answered, {found} found",
                );
                *answered = found;
            }
            unanswered_at_most = 0;
            let again = node.propose(Bytes::from_static(b"after")).await.unwrap();
            assert_eq!(again, format!("after={}", round / 2 + 1));
            stop(node).await;
        }
    }
    println!(
        "{ROUNDS} kills, {} answers, none lost, none doubled",
        answered.iter().sum::<u64>()
    );
}
