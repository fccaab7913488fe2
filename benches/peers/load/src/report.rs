//! The result as it is printed. The names are those of `ekho bench --json`, so that one reader
//! understands both.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::drive::Tally;
use crate::{Plan, Through};

/// What a system was found to be.
pub struct Target {
    /// Its own word for its release.
    pub version: String,
    /// The node that was written to.
    pub endpoint: String,
    /// Whether leadership moved between the beginning and the end: then the figures say nothing
    /// about a leader or a follower.
    pub leader_changed: bool,
}

/// The result of a run.
#[derive(Serialize)]
pub struct Report {
    version: String,
    endpoint: String,
    through: Through,
    connections: u16,
    payload_bytes: u32,
    leader_changed: bool,
    elapsed_seconds: f64,
    succeeded: u64,
    failed: u64,
    throughput_per_s: f64,
    latency_ms: Option<Latency>,
    /// How often, by what was said.
    errors: BTreeMap<String, u64>,
    generator: Generator,
}

#[derive(Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct Generator {
    /// Percent of one core. Near 100, this program is what was measured.
    cpu_percent: f64,
}

impl Report {
    /// The report of a finished run.
    pub fn new(plan: &Plan, target: Target, tally: Tally) -> Self {
        let elapsed_seconds = tally.elapsed.as_secs_f64();
        let succeeded = tally.latency_us.len();
        let at = |quantile| tally.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        let latency_ms = (succeeded > 0).then(|| Latency {
            mean: tally.latency_us.mean().round() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        });
        Self {
            version: target.version,
            endpoint: target.endpoint,
            through: plan.through,
            connections: plan.connections,
            payload_bytes: plan.payload_bytes,
            leader_changed: target.leader_changed,
            elapsed_seconds: (elapsed_seconds * 1000.0).round() / 1000.0,
            succeeded,
            failed: tally.failures.values().sum(),
            throughput_per_s: (succeeded as f64 / elapsed_seconds).round(),
            latency_ms,
            errors: tally.failures,
            generator: Generator {
                cpu_percent: (tally.cpu.as_secs_f64() / elapsed_seconds * 100.0).round(),
            },
        }
    }
}
