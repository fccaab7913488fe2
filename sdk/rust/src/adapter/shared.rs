//! State shared by an adapter's loops, workers and handles. No network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::control::Controls;
use super::lanes::Lanes;
use crate::client::EkhoAgentClient;
use crate::error::EkhoError;

/// Settings, bounded by the builder.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) concurrency: usize,
    pub(super) wait_seconds: u32,
    pub(super) handler_timeout: Duration,
    pub(super) approval_poll_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 8,
            wait_seconds: 25,
            handler_timeout: Duration::from_secs(3600),
            approval_poll_interval: Duration::from_millis(1500),
        }
    }
}

/// The life of an adapter; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// No more messages are taken; running handlers finish.
    Draining,
    Closed,
}

/// What the last polls said of the relay.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    pub(super) consecutive_failures: u32,
    pub(super) last_error: Option<String>,
}

#[derive(Debug)]
pub(super) struct Shared<H> {
    pub(super) client: EkhoAgentClient,
    pub(super) hooks: H,
    pub(super) options: Options,
    pub(super) slots: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    controls: Mutex<Controls>,
    lanes: Mutex<Lanes>,
    reach: Mutex<Reach>,
    workers: Mutex<JoinSet<()>>,
}

impl<H> Shared<H> {
    pub(super) fn new(client: EkhoAgentClient, hooks: H, options: Options) -> Self {
        Self {
            client,
            hooks,
            slots: Arc::new(Semaphore::new(options.concurrency)),
            options,
            phase: watch::Sender::new(Phase::Running),
            controls: Mutex::default(),
            lanes: Mutex::default(),
            reach: Mutex::default(),
            workers: Mutex::default(),
        }
    }

    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        lock(&self.lanes)
    }

    pub(super) fn controls(&self) -> MutexGuard<'_, Controls> {
        lock(&self.controls)
    }

    pub(super) fn paused(&self) -> bool {
        self.controls().paused()
    }

    pub(super) fn reach(&self) -> Reach {
        lock(&self.reach).clone()
    }

    pub(super) fn reached(&self) {
        *lock(&self.reach) = Reach::default();
    }

    pub(super) fn not_reached(&self, error: &EkhoError) {
        let mut reach = lock(&self.reach);
        reach.consecutive_failures = reach.consecutive_failures.saturating_add(1);
        reach.last_error = Some(error.to_string());
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = *now < phase;
            *now = (*now).max(phase);
            forward
        });
    }

    pub(super) fn running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    /// Returns once the adapter is in `phase` or beyond.
    pub(super) async fn until(&self, phase: Phase) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Sleeps, but not beyond the change to `phase`; false if that came first.
    pub(super) async fn pause_unless(&self, phase: Phase, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.until(phase) => false,
        }
    }

    pub(super) fn spawn_worker(&self, worker: impl Future<Output = ()> + Send + 'static) {
        let mut workers = lock(&self.workers);
        // Finished workers are let go of here, so that the set does not grow.
        while workers.try_join_next().is_some() {}
        workers.spawn(worker);
    }

    /// Returns once no worker runs. Only the poll loop adds any, and it has ended by then.
    pub(super) async fn workers_done(&self) {
        loop {
            let next = std::future::poll_fn(|context| lock(&self.workers).poll_join_next(context));
            if next.await.is_none() {
                return;
            }
        }
    }

    pub(super) fn abort_workers(&self) {
        lock(&self.workers).abort_all();
    }
}

/// A panic while a lock was held leaves plain data behind, which stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
