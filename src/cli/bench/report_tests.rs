//! Tests of what a report says, from figures made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use clap::Parser;

use super::super::args::BenchArgs;
use super::super::procfs::Sample;
use super::super::record::{Tally, Times};
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

fn plan(flags: &[&str]) -> Plan {
    let line = Line::try_parse_from(std::iter::once(&"bench").chain(flags)).unwrap();
    Plan::from_args(&line.bench).unwrap()
}

fn outcome(tally: Tally) -> Outcome {
    let nothing = Sample::take("no-such-process");
    Outcome {
        tally,
        elapsed: Duration::from_secs(2),
        unsent: 0,
        relay: None,
        generator: nothing.since(&nothing, 1),
        interrupted: false,
    }
}

fn sends(count: u64, intended: bool) -> Tally {
    let mut tally = Tally::new(Operation::Send).unwrap();
    for n in 1..=count {
        let times = Times {
            intended_us: intended.then_some(0),
            started_us: n,
            done_us: 1000 * n,
        };
        tally.success(Operation::Send, times, 1, true);
    }
    tally
}

#[test]
fn throughput_and_percentiles_are_those_of_the_run() {
    let report = Report::new(&plan(&[]), "http://a:1", &outcome(sends(1000, false)));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (
            json["throughput_per_s"].as_f64(),
            json["succeeded"].as_u64()
        ),
        (Some(500.0), Some(1000))
    );
    let p50 = json["latency_ms"]["p50"].as_f64().unwrap();
    assert!((499.0..=501.0).contains(&p50), "{p50}");
    assert!(
        json["latency_ms"]["p999"].as_f64().unwrap() > json["latency_ms"]["p99"].as_f64().unwrap()
    );
    assert!(json["corrected_latency_ms"].is_null());
    assert_eq!(json["config"]["mode"], "send");
    assert!(report.table().contains("1,000"));
}

#[test]
fn an_open_loop_shows_corrected_latencies_and_what_was_not_sent() {
    let mut outcome = outcome(sends(10, true));
    outcome.unsent = 7;
    let report = Report::new(&plan(&["--rate", "5"]), "http://a:1", &outcome);
    let table = report.table();
    assert!(table.contains("send, corrected"), "{table}");
    assert!(table.contains("never sent: 7 calls"), "{table}");
}

#[test]
fn failures_are_no_success() {
    let mut tally = Tally::new(Operation::Send).unwrap();
    tally.failure(
        Operation::Send,
        Failure::Status(429),
        b"{\"error\":\"rate limit exceeded\"}",
        9,
        true,
    );
    let report = Report::new(&plan(&[]), "http://a:1", &outcome(tally));
    assert!(!report.has_success());
    let table = report.table();
    assert!(table.contains("no call succeeded"), "{table}");
    assert!(
        table.contains("rate limit exceeded") && table.contains("EKHO_RATE_LIMIT_MAX_MESSAGES"),
        "{table}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["errors"]["send_status_429"]["count"], 9);
    assert_eq!(json["throughput_per_s"], 0.0);
}

#[test]
fn polls_held_to_the_end_are_a_success_of_idle_polling() {
    let mut tally = Tally::new(Operation::Poll).unwrap();
    tally.held = 3;
    assert!(
        Report::new(
            &plan(&["--mode", "idle-poll"]),
            "http://a:1",
            &outcome(tally)
        )
        .has_success()
    );
}

#[test]
fn what_was_sent_and_not_delivered_is_told() {
    let report = Report::new(
        &plan(&["--mode", "mixed"]),
        "http://a:1",
        &outcome(sends(5, false)),
    );
    assert_eq!(serde_json::to_value(&report).unwrap()["undelivered"], 5);
    assert!(report.table().contains("not delivered before the end: 5"));
}

#[test]
fn numbers_are_grouped() {
    let text: Vec<String> = [0, 999, 1000, 12_345, 1_234_567]
        .into_iter()
        .map(thousands)
        .collect();
    assert_eq!(text, ["0", "999", "1,000", "12,345", "1,234,567"]);
}
