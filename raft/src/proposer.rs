//! Group commit: commands that arrive while an append is under way become one log entry.
//!
//! One task takes what is queued whenever a place in the append pipeline is free, and proposes it
//! as one batch; when nothing is under way a command is proposed at once. Each caller waits on
//! its own channel and is woken by the apply thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use openraft::Raft;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::config::{Limits, Observer};
use crate::disk::Disk;
use crate::error::ProposeError;
use crate::machine::StateMachine;
use crate::types::{BatchResponder, CommandBatch, Outcomes, TypeConfig};

type Outcome = Result<Decided, ProposeError>;

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What apply answered.
    pub outcome: Bytes,
    /// When what happened.
    pub timing: CommandTiming,
}

/// When what happened to a command on the node that proposed it, by that node's clock.
#[derive(Clone, Copy, Debug)]
pub struct CommandTiming {
    /// The entry that holds it.
    pub log_index: u64,
    /// Commands in that entry.
    pub batch_commands: usize,
    /// When it was handed in.
    pub queued: Instant,
    /// When the entry was proposed: before, it waited for the one under way.
    pub proposed: Instant,
    /// When the entry began to be applied: by then a majority had it.
    pub applying: Instant,
    /// When it was applied.
    pub applied: Instant,
}

struct Waiter {
    answer: oneshot::Sender<Outcome>,
    since: Instant,
}

struct Proposal {
    command: Bytes,
    waiter: Waiter,
}

/// Where callers hand in commands.
pub(crate) struct Queue {
    proposals: mpsc::Sender<Proposal>,
    upcoming: Upcoming,
    waiting: Arc<Waiting>,
    command_bytes: usize,
    waiting_commands: usize,
    waiting_bytes: usize,
    disk: Disk,
    closed: AtomicBool,
    close: Arc<Notify>,
}

/// Commands that were handed in and are in no entry yet: as long as there are any, an entry follows.
#[derive(Clone, Default)]
pub(crate) struct Upcoming(Arc<AtomicUsize>);

impl Upcoming {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, commands: usize) {
        self.0.fetch_sub(commands, Ordering::Relaxed);
    }
}

/// What was accepted and is not answered yet.
#[derive(Default)]
struct Waiting {
    commands: AtomicUsize,
    bytes: AtomicUsize,
}

/// The task's side.
pub(crate) struct Proposer {
    proposals: mpsc::Receiver<Proposal>,
    upcoming: Upcoming,
    waiting: Arc<Waiting>,
    close: Arc<Notify>,
    raft: Raft<TypeConfig, StateMachine>,
    slots: Arc<Semaphore>,
    slot_count: u32,
    batch_commands: usize,
    batch_bytes: usize,
    retry_after_ms: u64,
    clock: fn() -> u64,
    last_ms: u64,
    observer: Arc<dyn Observer>,
}

impl Queue {
    pub(crate) fn new(
        limits: &Limits,
        disk: Disk,
        raft: Raft<TypeConfig, StateMachine>,
        upcoming: Upcoming,
        clock: fn() -> u64,
        retry_after_ms: u64,
        observer: Arc<dyn Observer>,
    ) -> (Self, Proposer) {
        let (sender, receiver) = mpsc::channel(limits.waiting_commands.max(1));
        let waiting = Arc::new(Waiting::default());
        let close = Arc::new(Notify::new());
        let slot_count = limits.pipelined_batches.max(1);
        let queue = Queue {
            proposals: sender,
            upcoming: upcoming.clone(),
            waiting: waiting.clone(),
            command_bytes: limits.command_bytes,
            waiting_commands: limits.waiting_commands,
            waiting_bytes: limits.waiting_bytes,
            disk,
            closed: AtomicBool::new(false),
            close: close.clone(),
        };
        let proposer = Proposer {
            proposals: receiver,
            upcoming,
            waiting,
            close,
            raft,
            slots: Arc::new(Semaphore::new(slot_count)),
            slot_count: u32::try_from(slot_count).unwrap_or(u32::MAX),
            batch_commands: limits.batch_commands.max(1),
            batch_bytes: limits.batch_bytes,
            retry_after_ms,
            clock,
            last_ms: 0,
            observer,
        };
        (queue, proposer)
    }

    /// Proposes one command and waits for its outcome. Dropping the future does not take the
    /// command back.
    pub(crate) async fn propose(&self, command: Bytes) -> Outcome {
        if command.len() > self.command_bytes {
            return Err(ProposeError::TooLarge {
                size_bytes: command.len(),
                limit_bytes: self.command_bytes,
            });
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(ProposeError::Stopped);
        }
        if self.disk.is_full() {
            return Err(ProposeError::DiskFull);
        }
        let size_bytes = command.len();
        if !self
            .waiting
            .admit(size_bytes, self.waiting_commands, self.waiting_bytes)
        {
            return Err(ProposeError::Overloaded);
        }
        let (answer, outcome) = oneshot::channel();
        let waiter = Waiter {
            answer,
            since: Instant::now(),
        };
        self.upcoming.add();
        if let Err(error) = self.proposals.try_send(Proposal { command, waiter }) {
            self.upcoming.remove(1);
            self.waiting.release(1, size_bytes);
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
            });
        }
        outcome.await.unwrap_or(Err(ProposeError::OutcomeUnknown))
    }

    pub(crate) fn waiting_commands(&self) -> usize {
        self.waiting.commands.load(Ordering::Relaxed)
    }

    /// Whether the node is stopping.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Accepts nothing more; the proposer finishes what was accepted and ends.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }
}

impl Waiting {
    fn admit(&self, size_bytes: usize, commands_max: usize, bytes_max: usize) -> bool {
        let commands = self.commands.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(size_bytes, Ordering::Relaxed);
        // One command is always let in, however large.
        let admitted =
            commands == 0 || (commands < commands_max && bytes + size_bytes <= bytes_max);
        if !admitted {
            self.release(1, size_bytes);
        }
        admitted
    }

    fn release(&self, commands: usize, size_bytes: usize) -> usize {
        self.bytes.fetch_sub(size_bytes, Ordering::Relaxed);
        self.commands.fetch_sub(commands, Ordering::Relaxed) - commands
    }
}

impl Proposer {
    /// Runs until the queue is closed and everything accepted is answered.
    pub(crate) async fn run(mut self) {
        let mut taken: Vec<Proposal> = Vec::new();
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                break;
            };
            if taken.is_empty() && !self.take(&mut taken).await {
                break;
            }
            let count = self.fitting(&taken);
            let rest = taken.split_off(count);
            let batch = std::mem::replace(&mut taken, rest);
            self.propose(batch, slot).await;
        }
        // All places free again means that everything was applied and answered.
        let _ = self.slots.acquire_many(self.slot_count).await;
    }

    /// Waits for proposals; false when there will be none.
    async fn take(&mut self, taken: &mut Vec<Proposal>) -> bool {
        loop {
            tokio::select! {
                count = self.proposals.recv_many(taken, self.batch_commands) => return count > 0,
                () = self.close.notified() => self.proposals.close(),
            }
        }
    }

    /// How many of the first proposals make one batch.
    fn fitting(&self, taken: &[Proposal]) -> usize {
        let mut size_bytes = 0;
        let fitting = taken
            .iter()
            .take(self.batch_commands)
            .take_while(|proposal| {
                size_bytes += proposal.command.len();
                size_bytes <= self.batch_bytes
            })
            .count();
        fitting.max(1)
    }

    async fn propose(&mut self, batch: Vec<Proposal>, slot: OwnedSemaphorePermit) {
        // The clock may be set back; what one leader stamps does not follow it.
        self.last_ms = self.last_ms.max((self.clock)());
        self.upcoming.remove(batch.len());
        let mut commands = Vec::with_capacity(batch.len());
        let mut waiters = Vec::with_capacity(batch.len());
        let mut size_bytes = 0;
        for Proposal { command, waiter } in batch {
            size_bytes += command.len();
            commands.push(command);
            waiters.push(waiter);
        }
        self.observer.batch(commands.len(), size_bytes);
        self.observer
            .queue_depth(self.waiting.commands.load(Ordering::Relaxed));
        let answer = Answer {
            proposed: Instant::now(),
            count: waiters.len(),
            waiters,
            size_bytes,
            waiting: self.waiting.clone(),
            observer: self.observer.clone(),
            retry_after_ms: self.retry_after_ms,
        };
        let responder = BatchResponder::new(slot, move |result| answer.give(result));
        let batch = CommandBatch {
            now_ms: self.last_ms,
            commands: commands.into(),
        };
        if self
            .raft
            .client_write_ff(batch, Some(responder))
            .await
            .is_err()
        {
            // openraft has ended; the responder is gone and with it the waiters were told.
            self.proposals.close();
        }
    }
}

/// Those who wait for one batch. Dropped unanswered, it tells them that nobody knows.
struct Answer {
    waiters: Vec<Waiter>,
    /// When the batch was proposed.
    proposed: Instant,
    /// How many of them count as waiting.
    count: usize,
    size_bytes: usize,
    waiting: Arc<Waiting>,
    observer: Arc<dyn Observer>,
    retry_after_ms: u64,
}

impl Answer {
    fn give(mut self, result: ClientWriteResult<TypeConfig>) {
        // Before anybody hears: whoever was answered does not wait any more.
        self.release();
        let error = match result {
            Ok(response) => {
                let now = Instant::now();
                let log_index = response.log_id.index;
                let Outcomes { outcomes, began } = response.data;
                let (proposed, batch_commands) = (self.proposed, outcomes.len());
                // An outcome that is missing leaves its waiter unanswered, which tells it so.
                let waiters = self.waiters.drain(..);
                for (waiter, outcome) in waiters.zip(outcomes) {
                    self.observer.commit(now.duration_since(waiter.since));
                    let timing = CommandTiming {
                        log_index,
                        batch_commands,
                        queued: waiter.since,
                        proposed,
                        applying: began.unwrap_or(now),
                        applied: now,
                    };
                    // The caller may have gone away.
                    let _ = waiter.answer.send(Ok(Decided { outcome, timing }));
                }
                return;
            }
            Err(ClientWriteError::ForwardToLeader(forward)) => ProposeError::NoLeader {
                leader: forward.leader_id,
                retry_after_ms: self.retry_after_ms,
            },
            Err(_) => ProposeError::OutcomeUnknown,
        };
        for waiter in self.waiters.drain(..) {
            let _ = waiter.answer.send(Err(error.clone()));
        }
    }
}

impl Answer {
    /// Takes its commands out of those that wait. Once.
    fn release(&mut self) {
        let (count, size_bytes) = (self.count, self.size_bytes);
        (self.count, self.size_bytes) = (0, 0);
        let left = self.waiting.release(count, size_bytes);
        self.observer.queue_depth(left);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.count > 0 {
            self.release();
        }
    }
}
