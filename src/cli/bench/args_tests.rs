//! Tests of the flags: defaults by mode, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

fn plan(flags: &[&str]) -> Result<Plan, String> {
    let line =
        Line::try_parse_from(std::iter::once(&"bench").chain(flags)).map_err(|e| e.to_string())?;
    Plan::from_args(&line.bench).map_err(|e| e.to_string())
}

#[test]
fn defaults_follow_the_mode() {
    let send = plan(&[]).unwrap();
    assert_eq!(
        (send.connections, send.receivers, send.agents, send.rate),
        (64, 0, 64, None)
    );
    assert_eq!((send.duration.as_secs(), send.warmup.as_secs()), (30, 2));
    let roundtrip = plan(&["--mode", "roundtrip"]).unwrap();
    assert_eq!(
        (roundtrip.connections, roundtrip.receivers, roundtrip.rate),
        (1, 1, Some(20.0))
    );
    let idle = plan(&["--mode", "idle-poll"]).unwrap();
    assert_eq!((idle.connections, idle.agents), (1000, 1000));
    let counted = plan(&["--messages", "10"]).unwrap();
    assert_eq!(
        (counted.warmup.as_secs(), counted.duration),
        (0, COUNTED_RUN_LIMIT)
    );
}

#[test]
fn what_cannot_be_done_is_refused() {
    for flags in [
        &["--batch", "101"][..],
        &["--wait", "61"],
        &["--rate", "0"],
        &["--rate", "NaN"],
        &["--mode", "receive", "--rate", "5"],
        &["--mode", "single", "--connections", "2"],
        &["--agents", "1"],
        &["--payload-bytes", "3"],
        &["--messages", "0"],
        &["--token-file", "tokens"],
        &["--threads", "0"],
    ] {
        assert!(plan(flags).is_err(), "{flags:?} was accepted");
    }
}
