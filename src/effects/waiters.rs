//! Who waits for which inbox on this node.
//!
//! Every applied batch names the inboxes with something new, on every node; those who wait there
//! are woken. A waiter registers before it looks into the inbox, so nothing falls between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ekho_storage::tables::{AgentNo, FleetNo};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::machine::Sink;

type Inbox = (FleetNo, AgentNo);

/// The waiters of this node, by inbox.
#[derive(Default)]
pub struct Waiters {
    by_inbox: Mutex<HashMap<Inbox, Slot>>,
    log: Notify,
    waiting: AtomicUsize,
}

struct Slot {
    notify: Arc<Notify>,
    waiters: usize,
}

/// A place among those who wait for one inbox; given up when dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    inbox: Inbox,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Registers for an inbox. Wakes from now on are not missed.
    pub fn register(self: &Arc<Self>, inbox: Inbox) -> Waiter {
        let mut by_inbox = self.by_inbox.lock();
        let slot = by_inbox.entry(inbox).or_insert_with(|| Slot {
            notify: Arc::new(Notify::new()),
            waiters: 0,
        });
        slot.waiters += 1;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiter {
            waiters: Arc::clone(self),
            inbox,
            notify: Arc::clone(&slot.notify),
        }
    }

    /// Ends when something is added to the audit log, of any fleet, after the future was first
    /// polled or enabled.
    pub fn recorded_next(&self) -> tokio::sync::futures::Notified<'_> {
        self.log.notified()
    }

    /// How many wait on this node.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Waiter {
    /// Ends at the next wake after the future was first polled or enabled.
    pub fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut by_inbox = self.waiters.by_inbox.lock();
        if let Some(slot) = by_inbox.get_mut(&self.inbox) {
            slot.waiters -= 1;
            if slot.waiters == 0 {
                by_inbox.remove(&self.inbox);
            }
        }
        self.waiters.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sink for Arc<Waiters> {
    fn recorded(&self) {
        self.log.notify_waiters();
    }

    fn close(&self, fleet: FleetNo) {
        let by_inbox = self.by_inbox.lock();
        let of_fleet = by_inbox.iter().filter(|((of, _), _)| *of == fleet);
        of_fleet.for_each(|(_, slot)| slot.notify.notify_waiters());
    }

    fn wake(&self, inboxes: &[Inbox]) {
        if self.is_empty() {
            return;
        }
        let by_inbox = self.by_inbox.lock();
        for inbox in inboxes {
            if let Some(slot) = by_inbox.get(inbox) {
                slot.notify.notify_waiters();
            }
        }
    }
}
