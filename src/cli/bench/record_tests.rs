//! Tests of what is counted, and what is not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn times(intended_us: Option<u64>, started_us: u64, done_us: u64) -> Times {
    Times {
        intended_us,
        started_us,
        done_us,
    }
}

#[test]
fn corrected_latency_counts_from_the_intended_start() {
    let mut tally = Tally::new(Operation::Send).unwrap();
    // A stall of a second: the second call should have begun during it.
    tally.success(Operation::Send, times(Some(0), 0, 1_000_000), 1, true);
    tally.success(
        Operation::Send,
        times(Some(500_000), 1_000_000, 1_001_000),
        1,
        true,
    );
    let send = tally.series(Operation::Send);
    assert_eq!(send.succeeded, 2);
    assert!(send.service.min() <= 1001);
    assert!(send.corrected.min() >= 500_000);
}

#[test]
fn warm_up_is_shown_but_not_counted() {
    let mut tally = Tally::new(Operation::Send).unwrap();
    tally.success(Operation::Send, times(None, 0, 10), 5, false);
    tally.failure(Operation::Send, Failure::Timeout, b"", 2, false);
    assert_eq!(
        (tally.series(Operation::Send).succeeded, tally.failed()),
        (0, 0)
    );
    let mut interval = Interval::new(Operation::Send).unwrap();
    tally.take_interval(&mut interval);
    assert_eq!(
        (interval.succeeded, interval.failed, interval.latency.len()),
        (5, 2, 1)
    );
    tally.take_interval(&mut interval);
    assert_eq!((interval.succeeded, interval.latency.len()), (5, 1));
}

#[test]
fn what_is_dropped_without_an_outcome_is_unanswered() {
    let tally = Mutex::new(Tally::new(Operation::Send).unwrap());
    drop(InFlight::begin(&tally, Operation::Send, 3, true));
    InFlight::begin(&tally, Operation::Poll, 1, true).held();
    InFlight::begin(&tally, Operation::Send, 10, true).succeeded(times(None, 0, 1), 4, b"why");
    InFlight::begin(&tally, Operation::Send, 1, true)
        .failed(Failure::Status(429), b"{\"error\":\"x\"}");
    let tally = tally.into_inner();
    assert_eq!(tally.series(Operation::Send).succeeded, 6);
    assert_eq!((tally.failed(), tally.held), (8, 1));
    assert_eq!(
        tally.failures[&(Operation::Send, Failure::Unanswered)].count,
        3
    );
    assert_eq!(
        tally.failures[&(Operation::Send, Failure::BatchItem)].example,
        "why"
    );
}

#[test]
fn merged_tallies_add_up() {
    let mut sum = Tally::new(Operation::Ack).unwrap();
    for done_us in [10, 20] {
        let mut part = Tally::new(Operation::Ack).unwrap();
        part.success(Operation::Ack, times(None, 0, done_us), 2, true);
        part.failure(Operation::Ack, Failure::Status(503), b"busy", 1, true);
        sum.add(&part);
    }
    assert_eq!(
        (
            sum.series(Operation::Ack).succeeded,
            sum.series(Operation::Ack).service.len()
        ),
        (4, 2)
    );
    assert_eq!((sum.last_done_us, sum.failed()), (20, 2));
    assert_eq!(
        sum.failures[&(Operation::Ack, Failure::Status(503))].example,
        "busy"
    );
}
