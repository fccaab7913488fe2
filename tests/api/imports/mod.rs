//! `ekho import sqlite`: a fleet of the original relay, and how its agents and people get in.
//!
//! - `fixture`: the original's database
//! - `rows`: what comes over, once
//! - `secrets`: the one request that shows a secret
//! - `tasks`: A2A tasks, which go on
//! - `history`: events, which come into a file
//! - `refusals`: files that are not usable

mod fixture;
mod history;
mod refusals;
mod rows;
mod secrets;
mod tasks;

use std::process::Output;

use serde_json::Value;

use crate::support::{DEADLINE, Operator, Relay, poll_until};
use fixture::Original;

/// Waits until the relay takes imports.
async fn ready(operator: &Operator) {
    poll_until(DEADLINE, "the fifth feature level", async || {
        let status = operator.get("/v1/operator/cluster").await.ok();
        (status["feature_level"].as_u64() >= Some(5)).then_some(())
    })
    .await;
}

fn run(relay: &Relay, original: &Original, args: &[&str]) -> Output {
    let path = original.path().to_str().expect("a path");
    relay.run(
        ["import", "sqlite", path]
            .into_iter()
            .chain(args.iter().copied()),
    )
}

/// Imports and returns the report.
fn import(relay: &Relay, original: &Original, args: &[&str]) -> Value {
    let output = run(relay, original, &[args, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// What a report says of a table: imported, here already, left out.
fn counts(report: &Value, table: &str) -> (u64, u64, u64) {
    let found = table_of(report, table);
    let left_out = found["left_out"].as_array().expect("reasons");
    let left_out = left_out.iter().filter_map(|one| one["rows"].as_u64());
    let number = |name: &str| found[name].as_u64().expect("a number");
    (number("imported"), number("exists"), left_out.sum())
}

fn table_of<'a>(report: &'a Value, table: &str) -> &'a Value {
    let tables = report["tables"].as_array().expect("tables");
    let found = tables.iter().find(|one| one["table"] == table);
    found.unwrap_or_else(|| panic!("no {table} in {report}"))
}

/// A relay that takes imports, its owner, and an original at work.
async fn scene() -> (Relay, Operator, Original) {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    ready(&operator).await;
    (relay, operator, Original::at_work())
}
