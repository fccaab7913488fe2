//! Who waits for which inbox on this node, and who follows which A2A task.
//!
//! Every applied batch names the inboxes and tasks with something new, on every node; those who
//! wait there are woken. A waiter registers before it looks, so nothing falls between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ekho_storage::tables::{AgentNo, FleetNo};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::attachments::FileChanges;
use crate::machine::{Files, Sink};

type Inbox = (FleetNo, AgentNo);
type Task = (FleetNo, u128);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Inbox(Inbox),
    Task(Task),
}

/// The waiters of this node, by what they wait for.
#[derive(Default)]
pub struct Waiters {
    places: Mutex<HashMap<Place, Slot>>,
    log: Notify,
    tasks: Notify,
    waiting: AtomicUsize,
    following: AtomicUsize,
    /// Files that are needed, or no longer.
    pub files: FileChanges,
}

struct Slot {
    notify: Arc<Notify>,
    waiters: usize,
}

/// A place among those who wait for one thing; given up when dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    place: Place,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Registers for an inbox. Wakes from now on are not missed.
    pub fn register(self: &Arc<Self>, inbox: Inbox) -> Waiter {
        self.wait_at(Place::Inbox(inbox))
    }

    /// Registers for an A2A task. Wakes from now on are not missed.
    pub fn follow(self: &Arc<Self>, task: Task) -> Waiter {
        self.wait_at(Place::Task(task))
    }

    fn wait_at(self: &Arc<Self>, place: Place) -> Waiter {
        let mut places = self.places.lock();
        let slot = places.entry(place).or_insert_with(|| Slot {
            notify: Arc::new(Notify::new()),
            waiters: 0,
        });
        slot.waiters += 1;
        self.count(place).fetch_add(1, Ordering::Relaxed);
        Waiter {
            waiters: Arc::clone(self),
            place,
            notify: Arc::clone(&slot.notify),
        }
    }

    fn count(&self, place: Place) -> &AtomicUsize {
        match place {
            Place::Inbox(_) => &self.waiting,
            Place::Task(_) => &self.following,
        }
    }

    fn wake_at(&self, woken: impl Iterator<Item = Place>) {
        let places = self.places.lock();
        for place in woken {
            if let Some(slot) = places.get(&place) {
                slot.notify.notify_waiters();
            }
        }
    }

    /// Ends when something is added to the audit log, of any fleet, after the future was first
    /// polled or enabled.
    pub fn recorded_next(&self) -> tokio::sync::futures::Notified<'_> {
        self.log.notified()
    }

    /// Ends when any A2A task changes after the future was first polled or enabled.
    pub fn updated_next(&self) -> tokio::sync::futures::Notified<'_> {
        self.tasks.notified()
    }

    /// How many wait for an inbox on this node.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for an inbox.
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
        let mut places = self.waiters.places.lock();
        if let Some(slot) = places.get_mut(&self.place) {
            slot.waiters -= 1;
            if slot.waiters == 0 {
                places.remove(&self.place);
            }
        }
        self.waiters
            .count(self.place)
            .fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sink for Arc<Waiters> {
    fn files(&self, files: Files) {
        self.files.changed(files);
    }

    fn recorded(&self) {
        self.log.notify_waiters();
    }

    fn close(&self, fleet: FleetNo) {
        let places = self.places.lock();
        let of_fleet = places.iter().filter(|(place, _)| match place {
            Place::Inbox((of, _)) | Place::Task((of, _)) => *of == fleet,
        });
        of_fleet.for_each(|(_, slot)| slot.notify.notify_waiters());
    }

    fn wake(&self, inboxes: &[Inbox]) {
        if !self.is_empty() {
            self.wake_at(inboxes.iter().copied().map(Place::Inbox));
        }
    }

    fn updated(&self, tasks: &[Task]) {
        self.tasks.notify_waiters();
        if self.following.load(Ordering::Relaxed) > 0 {
            self.wake_at(tasks.iter().copied().map(Place::Task));
        }
    }
}
