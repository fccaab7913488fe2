//! How long a connection may take for what, at next to no cost.
//!
//! A request's way marks times in atomics; one timer a connection looks at them, at most once a
//! header timeout. So a connection that serves thousands of requests a second never touches a
//! timer, and a client that trickles its head is cut off at its deadline all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::metrics::Cut;

/// Longest time for the body of a request to arrive, or the next of several at once, or the next
/// [`PROGRESS_BYTES`] of a large one.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// What has to come of a body within its time, for the rest to get as much.
pub(super) const PROGRESS_BYTES: u64 = 1 << 20;
/// No such time.
const NEVER: u64 = u64::MAX;

/// What a listener and its connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the head of a request, or a TLS handshake, to arrive.
    pub header_timeout: Duration,
    /// For the body of a request to arrive.
    pub body_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// For requests in flight to finish at shutdown.
    pub shutdown_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
}

impl Limits {
    /// The limits of a configuration.
    pub fn of(config: &Config) -> Self {
        Limits {
            header_timeout: config.header_timeout,
            body_timeout: BODY_TIMEOUT,
            idle_timeout: config.idle_timeout,
            shutdown_timeout: config.shutdown_timeout,
            max_connections: config.max_connections,
        }
    }
}

/// What a connection is doing, and since when (milliseconds after it was opened).
pub(super) struct Watch {
    opened: Instant,
    limits: Limits,
    /// Requests whose head arrived and whose answer is not yet sent.
    active: AtomicU32,
    /// Requests whose body is still arriving.
    bodies: AtomicU32,
    head_since_ms: AtomicU64,
    body_since_ms: AtomicU64,
    idle_since_ms: AtomicU64,
    is_http2: AtomicBool,
}

/// What to do about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again after this long.
    Wait(Duration),
    /// Close it.
    Close(Cut),
}

impl Watch {
    /// A connection that was just opened owes the head of a request.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Watch {
            opened: Instant::now(),
            limits,
            active: AtomicU32::new(0),
            bodies: AtomicU32::new(0),
            head_since_ms: AtomicU64::new(0),
            body_since_ms: AtomicU64::new(NEVER),
            idle_since_ms: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
        })
    }

    fn now_ms(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64
    }

    /// Bytes arrived. Between requests, the first one begins a head.
    pub fn bytes_read(&self) {
        if self.active.load(Ordering::Relaxed) == 0
            && self.head_since_ms.load(Ordering::Relaxed) == NEVER
        {
            self.head_since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// A head is complete; the guard is dropped when the answer was sent or given up.
    pub fn request(self: &Arc<Self>, is_http2: bool) -> Active {
        if is_http2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        self.head_since_ms.store(NEVER, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// A body follows the head; the guard is dropped when it arrived or nobody reads it.
    pub fn body(self: &Arc<Self>) -> Arriving {
        if self.bodies.fetch_add(1, Ordering::Relaxed) == 0 {
            self.body_since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        Arriving(Arc::clone(self))
    }

    /// Whether the connection is within its limits.
    pub fn verdict(&self) -> Verdict {
        let now_ms = self.now_ms();
        // Whatever it does next is looked at before it can be overdue.
        let next = self.limits.header_timeout;
        let within = |since: &AtomicU64, limit: Duration, cut: Cut| {
            let deadline_ms = since
                .load(Ordering::Relaxed)
                .saturating_add(limit.as_millis() as u64);
            match deadline_ms.checked_sub(now_ms) {
                None | Some(0) => Verdict::Close(cut),
                Some(left_ms) => Verdict::Wait(Duration::from_millis(left_ms).min(next)),
            }
        };
        if self.active.load(Ordering::Relaxed) > 0 {
            if self.bodies.load(Ordering::Relaxed) > 0 {
                return within(&self.body_since_ms, self.limits.body_timeout, Cut::Body);
            }
            return Verdict::Wait(next);
        }
        // HTTP/2 reads frames that belong to no request; its pings tell who is gone.
        let in_head = self.head_since_ms.load(Ordering::Relaxed) != NEVER
            && !self.is_http2.load(Ordering::Relaxed);
        if in_head {
            within(&self.head_since_ms, self.limits.header_timeout, Cut::Header)
        } else {
            within(&self.idle_since_ms, self.limits.idle_timeout, Cut::Idle)
        }
    }

    /// Returns when the connection must be closed.
    pub async fn expired(&self) -> Cut {
        loop {
            match self.verdict() {
                Verdict::Wait(wait) => tokio::time::sleep(wait).await,
                Verdict::Close(cut) => return cut,
            }
        }
    }
}

/// A request being answered.
pub(super) struct Active(Arc<Watch>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0
            .idle_since_ms
            .store(self.0.now_ms(), Ordering::Relaxed);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that is arriving.
pub(super) struct Arriving(Arc<Watch>);

impl Arriving {
    /// Much of it came: a large body gets the time for the rest anew.
    pub fn progress(&self) {
        self.0
            .body_since_ms
            .store(self.0.now_ms(), Ordering::Relaxed);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // One body done is progress; the others get the time anew.
        self.0
            .body_since_ms
            .store(self.0.now_ms(), Ordering::Relaxed);
        self.0.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}
