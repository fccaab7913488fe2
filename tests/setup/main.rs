//! From nothing to a relay that runs: `ekho setup` at a terminal and by flags, `ekho doctor` on a
//! machine of a tailnet and in a cluster, and the relay as a service.
//!
//! - `terminal`: a program at a terminal, which tests read and type into
//! - `tailscaled`: what stands in for tailscaled, behind a socket of its own
//! - `hosts`: machines with networks of their own
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod doctor;
mod hosts;
mod manual;
mod namespaces;
mod scripted;
mod service;
mod tailnet;
mod tailscaled;
mod terminal;
mod wizard;

use std::process::Output;

use ::support;
use serde_json::Value;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn all(output: &Output) -> String {
    format!("{}{}", out(output), String::from_utf8_lossy(&output.stderr))
}

fn done(output: Output) -> Output {
    assert!(output.status.success(), "{}", all(&output));
    output
}

/// What a command printed, as JSON, whether it succeeded or not.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", all(output)))
}

/// What doctor found of one kind: `STATUS found -> mend`.
fn findings(report: &Value, check: &str) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks");
    let ours = checks.iter().filter(|finding| finding["check"] == check);
    ours.map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_string();
        format!("{} {} -> {}", text("status"), text("found"), text("mend"))
    })
    .collect()
}

/// Fails unless one of the findings begins and goes on like this.
fn assert_found(findings: &[String], status: &str, part: &str) {
    let found = findings
        .iter()
        .any(|finding| finding.starts_with(status) && finding.contains(part));
    assert!(found, "no {status} with {part:?} in {findings:#?}");
}
