//! Tests of turns and schedules; none of them asserts how long anything took.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;

use super::super::args::BenchArgs;
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

fn run(flags: &[&str]) -> (Arc<Run>, Plan) {
    let line = Line::try_parse_from(std::iter::once(&"bench").chain(flags)).unwrap();
    let plan = Plan::from_args(&line.bench).unwrap();
    (Arc::new(Run::new(&plan)), plan)
}

#[tokio::test]
async fn a_closed_loop_ends_with_its_messages() {
    let (run, plan) = run(&["--messages", "250", "--batch", "100"]);
    assert!(run.turn().await.is_none(), "a turn before the beginning");
    run.begin(&plan).unwrap();
    let mut sizes = Vec::new();
    while let Some(turn) = run.turn().await {
        assert!(turn.intended_us.is_none());
        if turn.measured {
            sizes.push(turn.items);
        }
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert!(run.is_over());
    assert_eq!(run.unsent(), 0);
}

#[tokio::test]
async fn an_open_loop_gives_every_turn_its_own_time() {
    let (run, plan) = run(&["--rate", "2000", "--messages", "100"]);
    let schedule = run.begin(&plan).unwrap();
    let mut times = Vec::new();
    while let Some(turn) = run.turn().await {
        times.push(turn.intended_us.unwrap());
    }
    let expected: Vec<u64> = (0..100).map(|n| schedule.begin_us + n * 500).collect();
    assert_eq!(times, expected);
    assert_eq!(run.unsent(), 0);
}

#[tokio::test]
async fn turns_nobody_could_take_are_unsent() {
    let (run, plan) = run(&["--rate", "5000"]);
    run.begin(&plan).unwrap();
    assert!(run.turn().await.is_some());
    let deadline = Instant::now() + Duration::from_secs(20);
    while run.unsent() < 50 {
        assert!(Instant::now() < deadline, "no turns were released");
        tokio::task::yield_now().await;
    }
    run.end();
    assert!(run.turn().await.is_none());
    assert!(run.unsent() >= 50);
}

#[tokio::test]
async fn ending_a_run_wakes_who_waits_for_a_turn() {
    let (run, plan) = run(&["--rate", "0.01", "--warmup-seconds", "0"]);
    run.begin(&plan).unwrap();
    assert!(run.turn().await.is_some());
    let waiting = tokio::spawn({
        let run = Arc::clone(&run);
        async move { run.turn().await }
    });
    tokio::task::yield_now().await;
    run.end();
    assert!(waiting.await.unwrap().is_none());
}

#[test]
fn turns_fall_due_at_the_offered_rate() {
    let (run, _) = run(&["--rate", "1000", "--batch", "10"]);
    let open = run.open.as_ref().unwrap();
    let schedule = Schedule {
        begin_us: 1_000_000,
        measure_us: 1_000_000,
        end_us: 9_000_000,
    };
    // 1,000 messages in calls of 10 are 100 calls a second.
    for (now_us, due) in [
        (999_999, 0),
        (1_000_000, 1),
        (1_009_999, 1),
        (1_010_000, 2),
        (2_000_000, 101),
    ] {
        assert_eq!(open.due(&schedule, now_us), due, "at {now_us}");
    }
    assert_eq!(open.intended_us(&schedule, 100), 2_000_000);
}
