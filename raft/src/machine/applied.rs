//! How far the state has come, and who waits for it to come further.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::types::{LogId, StoredMembership};

/// How far the state has come, and the membership in force there.
#[derive(Clone, Default)]
pub(crate) struct Position {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Position {
    fn index(&self) -> Option<u64> {
        self.applied.map(|applied| applied.index)
    }
}

/// What the apply thread shares with the rest of the node.
pub(crate) struct Applied {
    pub(crate) position: Mutex<Position>,
    waiting: Mutex<Waiting>,
}

/// Those who wait, by what for: each batch wakes those that it serves, and nobody else.
#[derive(Default)]
struct Waiting {
    applied: Option<u64>,
    /// By index, and a number that tells those apart who wait for the same one.
    places: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    last: u64,
}

impl Applied {
    pub(super) fn new(position: Position) -> Self {
        let waiting = Waiting {
            applied: position.index(),
            ..Waiting::default()
        };
        Applied {
            position: Mutex::new(position),
            waiting: Mutex::new(waiting),
        }
    }

    pub(super) fn set(&self, position: Position) {
        let applied = position.index();
        *self.position.lock() = position;
        let served = {
            let mut waiting = self.waiting.lock();
            waiting.applied = applied;
            let Some(applied) = applied else { return };
            let later = waiting.places.split_off(&(applied + 1, 0));
            std::mem::replace(&mut waiting.places, later)
        };
        for waiter in served.into_values() {
            // It may have gone away.
            let _ = waiter.send(());
        }
    }

    /// The index of the last entry applied.
    pub(crate) fn index(&self) -> Option<u64> {
        self.waiting.lock().applied
    }

    /// Waits until the entry with this index is applied.
    pub(crate) async fn reach(&self, index: u64) {
        let (reached, _place) = {
            let mut waiting = self.waiting.lock();
            if waiting.applied.is_some_and(|applied| applied >= index) {
                return;
            }
            waiting.last += 1;
            let place = (index, waiting.last);
            let (sender, reached) = oneshot::channel();
            waiting.places.insert(place, sender);
            (reached, Place(self, place))
        };
        // The sender is dropped unsent by nobody but this place.
        let _ = reached.await;
    }
}

/// A place among those who wait; given up when its holder waits no longer.
struct Place<'a>(&'a Applied, (u64, u64));

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().places.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;
    use crate::types::log_id;

    fn at(index: u64) -> Position {
        Position {
            applied: Some(log_id(1, 1, index)),
            membership: StoredMembership::default(),
        }
    }

    #[tokio::test]
    async fn each_is_woken_by_what_it_waits_for() {
        let applied = Applied::new(Position::default());
        let (mut first, mut second) = (pin!(applied.reach(0)), pin!(applied.reach(5)));
        let mut same = pin!(applied.reach(5));
        for waiting in [first.as_mut(), second.as_mut(), same.as_mut()] {
            assert!(poll!(waiting).is_pending());
        }
        applied.set(at(4));
        assert!(poll!(first).is_ready());
        assert!(poll!(second.as_mut()).is_pending());
        applied.set(at(5));
        assert!(poll!(second).is_ready());
        assert!(poll!(same).is_ready());
        assert!(poll!(pin!(applied.reach(3))).is_ready(), "long applied");
        assert_eq!(applied.index(), Some(5));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing() {
        let applied = Applied::new(at(1));
        {
            let mut gone = pin!(applied.reach(9));
            assert!(poll!(gone.as_mut()).is_pending());
            assert_eq!(applied.waiting.lock().places.len(), 1);
        }
        assert_eq!(applied.waiting.lock().places.len(), 0);
    }
}
