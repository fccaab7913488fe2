//! The scenario suite (sdk/scenarios) with this client, against real relays. Each of the first two
//! tests starts a rig, which starts the relays and then this very program with the third test.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout
)]

mod agent;
mod behaviour;
mod calls;
mod matching;
mod quickstart;
mod rig;
mod run;

use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// The relay built beside this test: target/release/ekho for target/release/deps/scenarios-….
fn binary() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("EKHO_BINARY") {
        return Some(given.into());
    }
    let this = std::env::current_exe().ok()?;
    let beside = this.parent()?.parent()?.join("ekho");
    beside.is_file().then_some(beside)
}

fn suite_on(nodes: &str) {
    let Some(ekho) = binary() else {
        println!("skipped: no relay is built; EKHO_BINARY names one");
        return;
    };
    let status = Command::new("python3")
        .arg(Path::new(FOLDER).join("rig.py"))
        .args(["--nodes", nodes])
        .arg(ekho)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "suite", "--nocapture"])
        .status()
        .expect("python3 runs");
    assert!(status.success(), "scenarios on {nodes} node(s)");
}

#[test]
fn one_node() {
    suite_on("1");
}

#[test]
fn three_nodes() {
    suite_on("3");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the rig runs it, see above"]
async fn suite() {
    let folder = Path::new(FOLDER).join("suite");
    let only = std::env::var("EKHO_SCENARIO").ok();
    quickstart::run(&rig::Rig::from_environment()).await;
    let counts = run::suite(&folder, only.as_deref()).await;
    println!(
        "summary: sdk/rust: scenarios: {} passed, {} skipped, on {} node(s)",
        counts.passed, counts.skipped, counts.nodes
    );
    assert!(
        counts.failed == 0 && counts.passed > 0,
        "{} failed",
        counts.failed
    );
}
