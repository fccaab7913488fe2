//! Single use of nonces for requests that change nothing.
//!
//! A write carries its nonce in its command and apply decides. A read or an empty poll must not
//! cost a disk write; the leader remembers its nonce in memory instead. What an earlier
//! leadership remembered is gone, so timestamps from before this leadership began are refused
//! (a replay of such a request would be accepted otherwise), with a margin for clocks that
//! differ a little. A timestamp ahead of the margin, or a full guard, sends the nonce through
//! the log. See `docs/decisions/0005-read-nonce-guard.md`.

use std::collections::{HashSet, VecDeque};

use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use parking_lot::Mutex;

/// How far a clock may be ahead of the leader's before its reads cost a write.
pub const MARGIN_MS: u64 = 500;

/// Nonces remembered at most. Each takes about 150 bytes.
const CAPACITY: usize = 1_000_000;

type Entry = (FleetNo, AgentNo, Box<str>);

/// The leader's memory of nonces.
#[derive(Default)]
pub struct NonceGuard {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// None until this node leads: it cannot vouch for anything.
    leads: Option<Leads>,
    used: HashSet<Entry>,
    /// Nonces on their way through the log.
    in_flight: HashSet<Entry>,
    /// Entries in the order they were made, with the time they were made at. How long they are
    /// kept is asked when they are forgotten: the allowed skew may have grown since.
    order: VecDeque<(TimeMs, Entry)>,
}

/// The leadership for which nonces are remembered.
#[derive(Clone, Copy)]
struct Leads {
    term: u64,
    /// Timestamps up to this one are from before this leadership, or could be.
    floor_ms: TimeMs,
}

/// What the guard says of a read's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New, and remembered from now on.
    Accepted {
        /// Counts only if this node still leads in this term once the nonce is remembered: where
        /// another leads already, that one may have accepted it before.
        term: u64,
    },
    /// Used before.
    Replayed,
    /// From before this leadership: it may have been used then.
    BeforeLeadership,
    /// The guard cannot vouch for it: it has to go through the log.
    NeedsLog,
    /// This node does not lead yet.
    NotLeading,
}

impl NonceGuard {
    /// A leadership began: what was remembered before does not count, and timestamps from
    /// before are refused.
    pub fn leadership_began(&self, term: u64, began_ms: TimeMs) {
        let mut inner = self.inner.lock();
        let before_ms = inner.leads.map_or(0, |leads| leads.floor_ms);
        let floor_ms = before_ms.max(began_ms + MARGIN_MS);
        inner.leads = Some(Leads { term, floor_ms });
        inner.used.clear();
        inner.order.clear();
    }

    /// This node no longer leads: it cannot vouch for anything.
    pub fn leadership_ended(&self) {
        self.inner.lock().leads = None;
    }

    /// Takes a read's nonce. `keep_ms` is how long it must be remembered: twice the skew.
    pub fn take(
        &self,
        fleet: FleetNo,
        agent: AgentNo,
        nonce: &str,
        timestamp_ms: TimeMs,
        now_ms: TimeMs,
        keep_ms: u64,
    ) -> Verdict {
        let mut inner = self.inner.lock();
        inner.forget(now_ms, keep_ms);
        let Some(Leads { term, floor_ms }) = inner.leads else {
            return Verdict::NotLeading;
        };
        let entry: Entry = (fleet, agent, nonce.into());
        if inner.used.contains(&entry) || inner.in_flight.contains(&entry) {
            return Verdict::Replayed;
        }
        if timestamp_ms <= floor_ms {
            return Verdict::BeforeLeadership;
        }
        if timestamp_ms > now_ms + MARGIN_MS || inner.used.len() >= CAPACITY {
            return Verdict::NeedsLog;
        }
        inner.order.push_back((now_ms, entry.clone()));
        inner.used.insert(entry);
        Verdict::Accepted { term }
    }

    /// Whether this node leads, so that reads can be answered.
    pub fn is_leading(&self) -> bool {
        self.inner.lock().leads.is_some()
    }

    /// Takes a nonce that goes through the log, until the log has decided; none when it was used
    /// or is on its way already. Should nobody learn what the log decided, it counts as used.
    pub fn begin(
        &self,
        fleet: FleetNo,
        agent: AgentNo,
        nonce: &str,
        now_ms: TimeMs,
    ) -> Option<InFlight<'_>> {
        let entry: Entry = (fleet, agent, nonce.into());
        let mut inner = self.inner.lock();
        if inner.used.contains(&entry) || !inner.in_flight.insert(entry.clone()) {
            // No InFlight is made for a taken nonce: its drop would take the lock again, and
            // would release a nonce that another request holds.
            return None;
        }
        Some(InFlight {
            guard: self,
            entry: Some(entry),
            began_ms: now_ms,
        })
    }
}

/// A nonce on its way through the log.
pub struct InFlight<'a> {
    guard: &'a NonceGuard,
    entry: Option<Entry>,
    began_ms: TimeMs,
}

impl InFlight<'_> {
    /// The log has decided: from now on the state knows the nonce, or nobody used it.
    pub fn decided(mut self) {
        if let Some(entry) = self.entry.take() {
            self.guard.inner.lock().in_flight.remove(&entry);
        }
    }
}

impl Drop for InFlight<'_> {
    /// Given up undecided, as when the client went away: the log may take the nonce yet.
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        let mut inner = self.guard.inner.lock();
        inner.in_flight.remove(&entry);
        inner.order.push_back((self.began_ms, entry.clone()));
        inner.used.insert(entry);
    }
}

impl Inner {
    /// Forgets what can no longer come back: a few at a time, so that no call pays for many.
    fn forget(&mut self, now_ms: TimeMs, keep_ms: u64) {
        for _ in 0..4 {
            match self.order.front() {
                Some((made_ms, _)) if made_ms.saturating_add(keep_ms) <= now_ms => {
                    if let Some((_, entry)) = self.order.pop_front() {
                        self.used.remove(&entry);
                    }
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_MS: u64 = 600_000;
    const ACCEPTED: Verdict = Verdict::Accepted { term: 1 };

    fn leading() -> NonceGuard {
        let guard = NonceGuard::default();
        assert_eq!(
            guard.take(1, 1, "n", 10_000, 10_000, KEEP_MS),
            Verdict::NotLeading
        );
        guard.leadership_began(1, 1_000);
        guard
    }

    #[test]
    fn a_nonce_is_taken_once_per_agent() {
        let guard = leading();
        assert_eq!(guard.take(1, 1, "n", 10_000, 10_000, KEEP_MS), ACCEPTED);
        assert_eq!(
            guard.take(1, 1, "n", 10_000, 10_001, KEEP_MS),
            Verdict::Replayed
        );
        assert_eq!(guard.take(1, 2, "n", 10_000, 10_001, KEEP_MS), ACCEPTED);
        assert!(guard.begin(1, 1, "n", 10_000).is_none());
        assert!(guard.begin(1, 1, "m", 10_000).is_some());
    }

    #[test]
    fn a_nonce_on_its_way_through_the_log_is_taken() {
        let guard = leading();
        let read = |nonce| guard.take(1, 1, nonce, 10_000, 10_000, KEEP_MS);
        let Some(decided) = guard.begin(1, 1, "n", 10_000) else {
            panic!("a new nonce")
        };
        assert!(guard.begin(1, 1, "n", 10_000).is_none());
        assert_eq!(read("n"), Verdict::Replayed);
        decided.decided();
        // From here on the state answers for it, not the guard.
        assert_eq!(read("n"), ACCEPTED);
        drop(guard.begin(1, 1, "given up", 10_000));
        assert_eq!(read("given up"), Verdict::Replayed);
    }

    #[test]
    fn a_new_leadership_refuses_what_the_old_one_may_have_taken() {
        let guard = leading();
        assert_eq!(guard.take(1, 1, "n", 10_000, 10_000, KEEP_MS), ACCEPTED);
        // The old leader may have taken timestamps up to its clock plus the margin.
        guard.leadership_began(2, 10_000);
        for timestamp in [9_000, 10_000, 10_000 + MARGIN_MS] {
            assert_eq!(
                guard.take(1, 1, "n", timestamp, 10_100, KEEP_MS),
                Verdict::BeforeLeadership
            );
        }
        assert_eq!(
            guard.take(1, 1, "n", 10_501, 10_501, KEEP_MS),
            Verdict::Accepted { term: 2 }
        );
    }

    #[test]
    fn a_clock_ahead_goes_through_the_log() {
        let guard = leading();
        assert_eq!(
            guard.take(1, 1, "n", 10_000 + MARGIN_MS, 10_000, KEEP_MS),
            ACCEPTED
        );
        assert_eq!(
            guard.take(1, 1, "m", 10_001 + MARGIN_MS, 10_000, KEEP_MS),
            Verdict::NeedsLog
        );
    }

    #[test]
    fn nonces_are_forgotten_when_they_cannot_come_back() {
        let guard = leading();
        assert_eq!(guard.take(1, 1, "n", 10_000, 10_000, KEEP_MS), ACCEPTED);
        assert_eq!(
            guard.take(1, 1, "m", 10_000 + KEEP_MS, 10_000 + KEEP_MS, KEEP_MS),
            ACCEPTED
        );
        assert!(guard.begin(1, 1, "n", 10_000).is_some());
    }

    #[test]
    fn what_was_taken_under_a_narrower_skew_is_kept_as_long_as_a_wider_one_asks() {
        let guard = leading();
        let take =
            |nonce, now_ms, keep_ms| guard.take(1, 1, nonce, 10_000 + MARGIN_MS, now_ms, keep_ms);
        assert_eq!(take("n", 10_000, 1_000), ACCEPTED);
        assert_eq!(take("m", 11_500, KEEP_MS), ACCEPTED);
        assert_eq!(take("n", 11_500, KEEP_MS), Verdict::Replayed);
    }
}
