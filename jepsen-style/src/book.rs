//! The book of a run: the history as it grows, and the bytes of what was answered 2xx, to be sent
//! again. Shared by everybody who makes requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::history::{AgentNo, History, Message, MessageNo, Micros, Op};
use crate::rng::Rng;

/// Older signatures are refused for their age alone, which would prove nothing. The relay allows
/// 300 s.
const WORTH_REPLAYING: Duration = Duration::from_secs(280);

/// A request that was answered 2xx, byte for byte.
#[derive(Clone)]
pub struct Recorded {
    /// Who signed it.
    pub agent: AgentNo,
    /// Its nonce.
    pub nonce: String,
    /// The whole request.
    pub bytes: Arc<[u8]>,
    signed: Instant,
    /// How often the relay had been started when it was answered.
    starts: u64,
}

/// See the module.
pub struct Book {
    began: Instant,
    history: Mutex<History>,
    recorded: Mutex<Vec<Recorded>>,
    starts: AtomicU64,
}

impl Book {
    /// An empty one; the run's clock begins.
    pub fn new() -> Arc<Self> {
        Book::with(History::default())
    }

    /// One that goes on from a history.
    pub fn with(history: History) -> Arc<Self> {
        // Its times lie before everything that is added.
        let last = history.ops.iter().map(|op| op.ended).max().unwrap_or(0);
        Arc::new(Book {
            began: Instant::now() - Duration::from_micros(last),
            history: Mutex::new(history),
            recorded: Mutex::default(),
            starts: AtomicU64::new(0),
        })
    }

    /// The run's clock.
    pub fn now(&self) -> Micros {
        self.began.elapsed().as_micros() as Micros
    }

    /// Notes what is meant to be sent. The content is made with the number it gets.
    pub fn plan(&self, make: impl FnOnce(MessageNo) -> Message) -> MessageNo {
        let mut history = self.history.lock();
        let no = history.messages.len();
        let message = make(no);
        history.messages.push(message);
        no
    }

    /// Notes a request and what came of it.
    pub fn note(&self, op: Op) {
        self.history.lock().ops.push(op);
    }

    /// Keeps the bytes of a request that was answered 2xx.
    pub fn keep(&self, agent: AgentNo, nonce: String, bytes: Arc<[u8]>, signed: Instant) {
        let starts = self.starts.load(Ordering::Relaxed);
        self.recorded.lock().push(Recorded {
            agent,
            nonce,
            bytes,
            signed,
            starts,
        });
    }

    /// The relay was started once more.
    pub fn restarted(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the relay was started again.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// One of the newest `among` records.
    pub fn recent(&self, rng: &mut Rng, among: usize) -> Option<Recorded> {
        let recorded = self.recorded.lock();
        let from = recorded.len().saturating_sub(among);
        (!recorded.is_empty()).then(|| recorded[from + rng.index(recorded.len() - from)].clone())
    }

    /// The newest records before the last start, and as many of all ages.
    pub fn after_start(&self, rng: &mut Rng, count: usize) -> Vec<Recorded> {
        let starts = self.starts.load(Ordering::Relaxed);
        let mut recorded = self.recorded.lock();
        recorded.retain(|record| record.signed.elapsed() < WORTH_REPLAYING);
        let old: Vec<&Recorded> = recorded
            .iter()
            .filter(|record| record.starts < starts)
            .collect();
        let mut chosen: Vec<Recorded> =
            old.iter().rev().take(count).map(|r| (*r).clone()).collect();
        if !old.is_empty() {
            chosen.extend((0..count).map(|_| (*rng.pick(&old)).clone()));
        }
        chosen
    }

    /// Every record whose age alone does not refuse it.
    pub fn all_recorded(&self) -> Vec<Recorded> {
        let recorded = self.recorded.lock();
        recorded
            .iter()
            .filter(|record| record.signed.elapsed() < WORTH_REPLAYING)
            .cloned()
            .collect()
    }

    /// How many requests were made.
    pub fn ops(&self) -> usize {
        self.history.lock().ops.len()
    }

    /// Looks at the history so far.
    pub fn read<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history.lock())
    }
}
