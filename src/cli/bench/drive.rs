//! Runs a plan: generator threads with their workers, the clockwork of warm-up, measurement and
//! end, the samples of the relay's process, the progress line. What comes out is an [`Outcome`].
//!
//! Every thread has a single-threaded runtime of its own, so that `--threads` is the number of
//! cores the generator can take from the relay, and its cost stays visible.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::args::{Mode, Plan};
use super::enrol::Agent;
use super::error::BenchError;
use super::http::Target;
use super::pace::{Run, Schedule};
use super::payload::Messages;
use super::procfs::{Sample, Usage};
use super::progress::Progress;
use super::record::{Interval, Operation, Tally};
use super::worker::{Context, Role, Worker};
use super::{receive, worker};

/// Connections a thread opens at once.
const OPENING: usize = 64;
/// What receivers get, after the last send was answered, to take what was sent.
const DELIVERY_GRACE: Duration = Duration::from_secs(1);
/// What is in flight gets this long after Ctrl-C.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// Beyond the request timeout, what workers get to finish: receivers empty inboxes for up to 10 s.
const FINISH_GRACE: Duration = Duration::from_secs(15);
/// How often the progress line is looked after.
const TICK: Duration = Duration::from_millis(100);

/// What a run measured.
#[derive(Debug)]
pub struct Outcome {
    /// All threads' figures.
    pub tally: Tally,
    /// Measured time: from the end of the warm-up to the end of the run or, where that is later,
    /// to the last success.
    pub elapsed: Duration,
    /// Calls of an open loop that were never made.
    pub unsent: u64,
    /// Use of resources by the relay, where its process id was given.
    pub relay: Option<Usage>,
    /// Use of resources by this process.
    pub generator: Usage,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
}

/// What the run is about, and its throughput with it.
pub fn watched(mode: Mode) -> Operation {
    match mode {
        Mode::Send | Mode::Single | Mode::Mixed => Operation::Send,
        Mode::Receive => Operation::Ack,
        Mode::IdlePoll => Operation::Poll,
        Mode::Roundtrip => Operation::Delivery,
    }
}

/// Roles of all workers, each with its number among those of its role.
fn roles(plan: &Plan) -> Vec<(Role, usize)> {
    let main = match plan.mode {
        Mode::Send | Mode::Single | Mode::Mixed | Mode::Roundtrip => Role::Sender,
        Mode::Receive => Role::Drainer,
        Mode::IdlePoll => Role::Idler,
    };
    // The one receiver of a round trip is the second agent; its sender is the first.
    let first = if plan.mode == Mode::Roundtrip { 1 } else { 0 };
    let receivers = (first..first + plan.receivers).map(|number| (Role::Receiver, number));
    (0..plan.connections)
        .map(|number| (main, number))
        .chain(receivers)
        .collect()
}

/// Runs a plan to its end.
pub async fn execute(
    plan: &Plan,
    target: &Arc<Target>,
    agents: &[Agent],
    relay_pid: Option<u32>,
    progress: &Progress,
) -> Result<Outcome, BenchError> {
    let run = Arc::new(Run::new(plan));
    let mut threads = Threads::start(plan, &run, target, agents)?;
    progress.show("connecting".to_owned());
    if let Err(error) = threads.wait_until_ready().await {
        run.cut.cancel();
        threads.started.send_replace(true);
        threads.join().await?;
        return Err(error);
    }
    // What was polled while preparing is not part of the run.
    let mut preparation = Interval::new(watched(plan.mode))?;
    threads
        .tallies
        .iter()
        .for_each(|tally| tally.lock().take_interval(&mut preparation));
    let schedule = run.begin(plan)?;
    threads.started.send_replace(true);
    let watch = watch_run(plan, &run, schedule, &threads, relay_pid, progress).await;
    let finished = threads.join().await;
    progress.clear();
    finished?;
    let mut tally = Tally::new(watched(plan.mode))?;
    for part in &threads.tallies {
        tally.add(&part.lock());
    }
    let until_us = match watch.stopped_us {
        Some(stopped_us) => stopped_us.max(tally.last_done_us),
        None if tally.last_done_us > 0 => tally.last_done_us,
        None => run.clock.now_us(),
    };
    Ok(Outcome {
        elapsed: Duration::from_micros(until_us.saturating_sub(schedule.measure_us)),
        unsent: run.unsent(),
        relay: watch.relay,
        generator: watch.generator,
        interrupted: watch.interrupted,
        tally,
    })
}

/// What was seen while a run went on.
struct Watch {
    /// When it was stopped by its time or by Ctrl-C; none when it came to its own end.
    stopped_us: Option<u64>,
    relay: Option<Usage>,
    generator: Usage,
    interrupted: bool,
}

/// Follows a run through its stages until its threads have ended or must end.
async fn watch_run(
    plan: &Plan,
    run: &Arc<Run>,
    schedule: Schedule,
    threads: &Threads,
    relay_pid: Option<u32>,
    progress: &Progress,
) -> Watch {
    let relay = relay_pid.map(|pid| pid.to_string());
    let sample = || {
        (
            relay.as_deref().map(Sample::take),
            Sample::take("self"),
            run.clock.now_us(),
        )
    };
    let mut before = None;
    let mut after = None;
    let mut stopped_us = None;
    let mut interrupted = false;
    let mut listening = true;
    let mut cut_at: Option<Instant> = None;
    let mut drain_at: Option<Instant> = None;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let measure_at = Instant::from_std(run.clock.instant_at(schedule.measure_us));
    let end_at = Instant::from_std(run.clock.instant_at(schedule.end_us));
    let sends = plan.mode != Mode::Receive && plan.mode != Mode::IdlePoll;
    loop {
        tokio::select! {
            () = sleep_until(measure_at), if before.is_none() => before = Some(sample()),
            () = sleep_until(end_at), if stopped_us.is_none() => {
                run.end();
                stopped_us = Some(schedule.end_us);
                after.get_or_insert_with(sample);
            }
            outcome = &mut interrupt, if listening => {
                // An error means that this system has no such signal: nothing to listen for.
                listening = false;
                if outcome.is_ok() {
                    interrupted = true;
                    run.end();
                    run.drain.cancel();
                    stopped_us.get_or_insert(run.clock.now_us());
                    after.get_or_insert_with(sample);
                    cut_at = Some(Instant::now() + INTERRUPT_GRACE);
                }
            }
            _ = ticks.tick() => progress.update(plan, run, schedule, &threads.tallies),
        }
        if threads.have_ended() {
            break;
        }
        // Senders that have sent everything, or whose time is over, leave the receivers a moment.
        let stopped = after.is_some() || (sends && run.senders.load(Ordering::Acquire) == 0);
        if stopped && drain_at.is_none() {
            after.get_or_insert_with(sample);
            let grace = if plan.receivers > 0 {
                DELIVERY_GRACE
            } else {
                Duration::ZERO
            };
            drain_at = Some(Instant::now() + grace);
            cut_at.get_or_insert(Instant::now() + plan.timeout + FINISH_GRACE);
        }
        let senders_done = !sends || run.senders.load(Ordering::Acquire) == 0;
        if senders_done && drain_at.is_some_and(|at| Instant::now() >= at) {
            run.drain.cancel();
        }
        if cut_at.is_some_and(|at| Instant::now() >= at) {
            run.cut.cancel();
            break;
        }
    }
    run.end();
    run.cut.cancel();
    let (relay_after, generator_after, after_us) = after.unwrap_or_else(sample);
    let (relay_before, generator_before, before_us) =
        before.unwrap_or((relay_after, generator_after, after_us));
    let elapsed_us = after_us.saturating_sub(before_us);
    Watch {
        stopped_us,
        relay: relay_after
            .zip(relay_before)
            .map(|(after, before)| after.since(&before, elapsed_us)),
        generator: generator_after.since(&generator_before, elapsed_us),
        interrupted,
    }
}

/// The generator threads of one run.
struct Threads {
    handles: Vec<JoinHandle<Result<(), BenchError>>>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    ready: mpsc::Receiver<Result<(), BenchError>>,
    started: watch::Sender<bool>,
    workers: usize,
}

impl Threads {
    fn start(
        plan: &Plan,
        run: &Arc<Run>,
        target: &Arc<Target>,
        agents: &[Agent],
    ) -> Result<Self, BenchError> {
        let roles = roles(plan);
        let workers = roles.len();
        let senders = roles
            .iter()
            .filter(|(role, _)| *role == Role::Sender)
            .count();
        run.senders.store(senders, Ordering::Release);
        let (ready_sender, ready) = mpsc::channel(64);
        let (started, _) = watch::channel(false);
        let plan = Arc::new(plan.clone());
        let agents: Arc<[Agent]> = agents.into();
        let messages = Arc::new(Messages::new(plan.payload_bytes, plan.ttl_seconds));
        let mut threads = Self {
            handles: Vec::new(),
            tallies: Vec::new(),
            ready,
            started,
            workers,
        };
        for thread in 0..plan.threads {
            let tally = Arc::new(Mutex::new(Tally::new(watched(plan.mode))?));
            threads.tallies.push(Arc::clone(&tally));
            let context = Context {
                run: Arc::clone(run),
                plan: Arc::clone(&plan),
                target: Arc::clone(target),
                agents: Arc::clone(&agents),
                messages: Arc::clone(&messages),
                tally,
                opening: Arc::new(Semaphore::new(OPENING)),
                ready: ready_sender.clone(),
                started: threads.started.subscribe(),
            };
            // Dealt out in turn, so that every thread has its share of each role.
            let mine = roles
                .iter()
                .copied()
                .skip(thread)
                .step_by(plan.threads)
                .collect();
            let handle = std::thread::Builder::new()
                .name(format!("bench-{thread}"))
                .spawn(move || run_thread(context, mine))
                .map_err(|e| BenchError::Thread(e.to_string()))?;
            threads.handles.push(handle);
        }
        Ok(threads)
    }

    /// Waits until every worker is connected; the first that cannot ends the run.
    async fn wait_until_ready(&mut self) -> Result<(), BenchError> {
        let mut waiting = self.workers;
        while waiting > 0 {
            tokio::select! {
                outcome = self.ready.recv() => match outcome {
                    Some(outcome) => outcome?,
                    None => return Err(BenchError::Thread("ended before it was ready".into())),
                },
                // A thread that died cannot say so itself, and the others wait for it.
                () = tokio::time::sleep(TICK) => match self.handles.iter().any(JoinHandle::is_finished) {
                    true => return Err(BenchError::Thread("ended before it was ready".into())),
                    false => continue,
                },
            }
            waiting -= 1;
        }
        Ok(())
    }

    fn have_ended(&self) -> bool {
        self.handles.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the threads to end, which they do soon after the run was cut.
    async fn join(&mut self) -> Result<(), BenchError> {
        self.ready.close();
        for handle in self.handles.drain(..) {
            let joined = tokio::task::spawn_blocking(move || handle.join()).await;
            joined
                .map_err(|e| BenchError::Thread(e.to_string()))?
                .map_err(|_| BenchError::Thread("panicked".into()))??;
        }
        Ok(())
    }
}

/// Body of a generator thread: its workers, until they end or the run is cut.
fn run_thread(context: Context, roles: Vec<(Role, usize)>) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| BenchError::Thread(e.to_string()))?;
    let cut = context.run.cut.clone();
    let outcome = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (role, number) in roles {
            tasks.spawn(run_worker(context.clone(), role, number));
        }
        // The run counts on being told by every worker, and by nobody else.
        drop(context);
        loop {
            tokio::select! {
                finished = tasks.join_next() => match finished {
                    None => return Ok(()),
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Err(BenchError::Thread(error.to_string())),
                },
                () = cut.cancelled() => return Ok(()),
            }
        }
    });
    // Whatever is still in flight is dropped here, and counted as unanswered.
    drop(runtime);
    outcome
}

async fn run_worker(context: Context, role: Role, number: usize) {
    let stride = match (role, context.plan.mode) {
        // Only the first agent sends in a round trip; the second receives.
        (Role::Sender, Mode::Roundtrip) | (Role::Receiver | Role::Idler, _) => context.agents.len(),
        (Role::Sender | Role::Drainer, _) => context.plan.connections,
    };
    let ready = context.ready.clone();
    match Worker::connect(context, number, stride).await {
        Ok(worker) => match role {
            Role::Sender => worker::send(worker, number).await,
            Role::Drainer => receive::drain(worker).await,
            Role::Receiver => receive::receive(worker).await,
            Role::Idler => receive::idle(worker, number).await,
        },
        // Fails only when the run has been given up already.
        Err(error) => drop(ready.send(Err(error)).await),
    }
}
