//! The closed loop: runs writers until the time is over and measures them. Knows no system.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::RngExt;

use crate::Plan;

/// Values are cut from this much random text, each at a random place: nothing repeats.
const POOL_BYTES: usize = 1 << 20;
/// A write without an answer for this long has failed. As in `ekho bench`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failure, so that a refusing server is not asked in a tight loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);
/// More kinds of failures than this are counted together.
const MAX_KINDS_OF_FAILURE: usize = 20;
/// Linux reports processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// One connection.
pub trait Writer {
    /// Writes the value under a key that was never used before and returns once the system
    /// has confirmed it.
    fn write(&mut self, value: Bytes) -> impl Future<Output = anyhow::Result<()>>;
}

/// What was measured after the warm-up.
pub struct Tally {
    /// From the call to its answer, of what succeeded, in microseconds.
    pub latency_us: Histogram<u64>,
    /// How often each thing went wrong.
    pub failures: BTreeMap<String, u64>,
    /// From the end of the warm-up to the last answer.
    pub elapsed: Duration,
    /// Processor time of this process meanwhile.
    pub cpu: Duration,
}

/// Runs all writers side by side for the plan's time.
pub async fn drive<W: Writer + 'static>(plan: &Plan, writers: Vec<W>) -> anyhow::Result<Tally> {
    let pool = random_text(POOL_BYTES + plan.payload_bytes as usize);
    let tally = Rc::new(RefCell::new(Tally {
        latency_us: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        failures: BTreeMap::new(),
        elapsed: Duration::ZERO,
        cpu: Duration::ZERO,
    }));
    let measured_from = Instant::now() + plan.warmup();
    let end = measured_from + plan.duration();

    let mut tasks = tokio::task::JoinSet::new();
    for mut writer in writers {
        let (pool, tally) = (pool.clone(), Rc::clone(&tally));
        let length = plan.payload_bytes as usize;
        tasks.spawn_local(async move {
            loop {
                let begun = Instant::now();
                if begun >= end {
                    break;
                }
                let at = rand::rng().random_range(0..POOL_BYTES);
                let write = writer.write(pool.slice(at..at + length));
                let failure = match tokio::time::timeout(ANSWER_TIMEOUT, write).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("{error:#}")),
                    Err(_) => Some("no answer".into()),
                };
                let has_failed = failure.is_some();
                if begun >= measured_from {
                    tally.borrow_mut().count(begun.elapsed(), failure);
                }
                if has_failed {
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        });
    }

    tokio::time::sleep_until(measured_from.into()).await;
    let cpu_before = own_cpu()?;
    while let Some(task) = tasks.join_next().await {
        task.context("a writer died")?;
    }
    let mut tally = Rc::into_inner(tally)
        .context("a writer is still there")?
        .into_inner();
    tally.elapsed = measured_from.elapsed();
    tally.cpu = own_cpu()?.saturating_sub(cpu_before);
    Ok(tally)
}

impl Tally {
    fn count(&mut self, took: Duration, failure: Option<String>) {
        let Some(failure) = failure else {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.latency_us.saturating_record(took_us);
            return;
        };
        let is_known = self.failures.contains_key(&failure);
        let kind = match is_known || self.failures.len() < MAX_KINDS_OF_FAILURE {
            true => failure,
            false => "others".into(),
        };
        *self.failures.entry(kind).or_default() += 1;
    }
}

fn random_text(length: usize) -> Bytes {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
    let mut text = vec![0_u8; length];
    rand::rng().fill(text.as_mut_slice());
    for byte in &mut text {
        *byte = LETTERS[usize::from(*byte & 63)];
    }
    text.into()
}

/// User and system time of this process. The second field of the file is the command in
/// parentheses and may hold anything, so counting begins after the last parenthesis.
fn own_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let (_, after) = stat.rsplit_once(')').context("/proc/self/stat")?;
    let mut ticks = after.split_ascii_whitespace().skip(11);
    let mut next = || -> anyhow::Result<u32> {
        Ok(ticks.next().context("/proc/self/stat is short")?.parse()?)
    };
    Ok(TICK * (next()? + next()?))
}
