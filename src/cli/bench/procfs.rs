//! What a process on this machine uses, from /proc: CPU time, memory, bytes written. Reads files
//! of /proc and nothing else.

use std::fs;

use serde::Serialize;

use crate::procfs::{Stat, bytes, number};

/// A process's counters at one moment. A counter that cannot be read (another user's process, no
/// /proc) is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// CPU time of all its threads, in microseconds (steps of 10 ms).
    pub cpu_us: Option<u64>,
    /// Resident memory now.
    pub rss_bytes: Option<u64>,
    /// Most resident memory since it started.
    pub rss_peak_bytes: Option<u64>,
    /// Bytes it caused to be sent to storage since it started.
    pub write_bytes: Option<u64>,
}

impl Sample {
    /// The counters of a process now, `self` for this one.
    pub fn take(process: &str) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let status = read("status");
        Self {
            cpu_us: Stat::parse(&read("stat")).map(|stat| stat.cpu().as_micros() as u64),
            rss_bytes: bytes(&status, "VmRSS:"),
            rss_peak_bytes: bytes(&status, "VmHWM:"),
            write_bytes: number(&read("io"), "write_bytes:"),
        }
    }

    /// What was used from an earlier sample until this one, `elapsed_us` later.
    pub fn since(&self, earlier: &Self, elapsed_us: u64) -> Usage {
        let difference = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Usage {
            cpu_percent: difference(self.cpu_us, earlier.cpu_us)
                .filter(|_| elapsed_us > 0)
                .map(|cpu_us| cpu_us as f64 * 100.0 / elapsed_us as f64),
            rss_bytes: self.rss_bytes,
            rss_peak_bytes: self.rss_peak_bytes,
            write_bytes: difference(self.write_bytes, earlier.write_bytes),
        }
    }
}

/// What a process used during the measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Usage {
    /// Percent of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory at the end.
    pub rss_bytes: Option<u64>,
    /// Most resident memory since the process started.
    pub rss_peak_bytes: Option<u64>,
    /// Bytes sent to storage during the measurement.
    pub write_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let sample = Sample::take("self");
        assert!(sample.rss_bytes.unwrap() > 0);
        assert!(sample.rss_peak_bytes >= sample.rss_bytes);
        assert!(sample.cpu_us.is_some());
        let usage = sample.since(&sample, 1_000_000);
        assert_eq!(usage.cpu_percent, Some(0.0));
        assert_eq!(usage.rss_bytes, sample.rss_bytes);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        let nobody = Sample::take("no-such-process");
        assert!(
            nobody.cpu_us.is_none() && nobody.rss_bytes.is_none() && nobody.write_bytes.is_none()
        );
        assert!(nobody.since(&nobody, 0).cpu_percent.is_none());
    }
}
