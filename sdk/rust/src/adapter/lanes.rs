//! Who works on what: messages of one conversation go through a lane, one after the other, in the
//! order of the inbox; lanes run side by side. Pure bookkeeping; its size is bounded by the slots
//! that each entry holds.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::types::InboxMessage;

/// How many finished messages whose ack was lost are remembered.
const MAX_UNACKED: usize = 1000;
/// How many conversations one heartbeat names.
const MAX_ACTIVE_CONVERSATIONS: usize = 100;

/// A message with the slot it takes up until its work is over.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) message: InboxMessage,
    pub(super) slot: OwnedSemaphorePermit,
}

/// What is to be done about an offered message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Its lane is new: start a worker for this conversation.
    NewLane(String),
    /// A worker will come to it.
    Queued,
    /// It is in work already; this copy is dropped.
    InWork,
    /// Its work is done and only the ack was lost: ack it again.
    AckAgain,
}

/// The lanes of one adapter.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    waiting: HashMap<String, VecDeque<Work>>,
    /// Message ids in work or waiting, with the time they were taken.
    in_work: HashMap<String, Instant>,
    unacked: VecDeque<String>,
    /// Conversations touched since the last heartbeat.
    touched: HashSet<String>,
}

impl Lanes {
    /// Takes a message from the inbox.
    pub(super) fn offer(&mut self, work: Work) -> Offer {
        let message_id = &work.message.message_id;
        if self.in_work.contains_key(message_id) {
            return Offer::InWork;
        }
        if self.unacked.contains(message_id) {
            return Offer::AckAgain;
        }
        self.in_work.insert(message_id.clone(), Instant::now());
        let conversation = work.message.conversation_id.clone();
        self.touch(&conversation);
        if let Some(lane) = self.waiting.get_mut(&conversation) {
            lane.push_back(work);
            return Offer::Queued;
        }
        self.waiting
            .insert(conversation.clone(), VecDeque::from([work]));
        Offer::NewLane(conversation)
    }

    /// The next message of a lane. None closes the lane: its worker must end.
    pub(super) fn next(&mut self, conversation: &str) -> Option<Work> {
        let work = self.waiting.get_mut(conversation)?.pop_front();
        if work.is_none() {
            self.waiting.remove(conversation);
        }
        work
    }

    /// The work on a message is over. Without its ack it is remembered, so that it is not worked on
    /// again when the relay delivers it again.
    pub(super) fn finished(&mut self, message_id: &str, needs_ack: bool) {
        self.in_work.remove(message_id);
        if needs_ack {
            if self.unacked.len() >= MAX_UNACKED {
                self.unacked.pop_front();
            }
            self.unacked.push_back(message_id.to_owned());
        }
    }

    /// A late ack of a remembered message went through.
    pub(super) fn acked_late(&mut self, message_id: &str) {
        self.unacked.retain(|unacked| unacked != message_id);
    }

    /// Messages that were taken before `instant` and are not finished.
    pub(super) fn taken_before(&self, instant: Instant) -> Vec<String> {
        let old = self.in_work.iter().filter(|(_, taken)| **taken < instant);
        old.map(|(message_id, _)| message_id.clone()).collect()
    }

    /// Forgets all work; returns the messages that were not finished.
    pub(super) fn take_all(&mut self) -> Vec<String> {
        self.waiting.clear();
        let mut ids: Vec<String> = self.in_work.drain().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Notes that the agent took part in a conversation.
    pub(super) fn touch(&mut self, conversation_id: &str) {
        if self.touched.len() < MAX_ACTIVE_CONVERSATIONS {
            self.touched.insert(conversation_id.to_owned());
        }
    }

    /// Conversations touched since the last call, and those still in work; sorted.
    pub(super) fn active_conversations(&mut self) -> Vec<String> {
        let mut active = std::mem::take(&mut self.touched);
        active.extend(self.waiting.keys().cloned());
        active.remove("");
        let mut active: Vec<String> = active.into_iter().collect();
        active.sort_unstable();
        active.truncate(MAX_ACTIVE_CONVERSATIONS);
        active
    }

    /// How many messages are in work or waiting.
    pub(super) fn in_work_count(&self) -> usize {
        self.in_work.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::{Lanes, MAX_UNACKED, Offer, Work};

    fn work(message_id: &str, conversation_id: &str) -> Work {
        let slots = Arc::new(Semaphore::new(1));
        Work {
            message: serde_json::from_value(json!({
                "message_id": message_id,
                "conversation_id": conversation_id,
                "message_type": "direct",
            }))
            .unwrap(),
            slot: slots.try_acquire_owned().unwrap(),
        }
    }

    fn next_id(lanes: &mut Lanes, conversation: &str) -> Option<String> {
        lanes.next(conversation).map(|work| work.message.message_id)
    }

    #[test]
    fn a_lane_keeps_order_and_has_one_worker() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.offer(work("1", "a")), Offer::NewLane("a".to_owned()));
        assert_eq!(lanes.offer(work("2", "b")), Offer::NewLane("b".to_owned()));
        assert_eq!(lanes.offer(work("3", "a")), Offer::Queued);
        assert_eq!(next_id(&mut lanes, "a").as_deref(), Some("1"));
        assert_eq!(
            lanes.offer(work("4", "a")),
            Offer::Queued,
            "while 1 is in work"
        );
        assert_eq!(next_id(&mut lanes, "a").as_deref(), Some("3"));
        assert_eq!(next_id(&mut lanes, "a").as_deref(), Some("4"));
        assert_eq!(next_id(&mut lanes, "a"), None);
        assert_eq!(lanes.offer(work("5", "a")), Offer::NewLane("a".to_owned()));
    }

    #[test]
    fn a_copy_of_a_message_in_work_is_dropped() {
        let mut lanes = Lanes::default();
        lanes.offer(work("1", "a"));
        assert_eq!(lanes.offer(work("1", "a")), Offer::InWork);
        lanes.next("a");
        assert_eq!(lanes.offer(work("1", "a")), Offer::InWork);
        lanes.finished("1", false);
        assert_eq!(lanes.offer(work("1", "a")), Offer::Queued, "it was nacked");
    }

    #[test]
    fn a_finished_message_with_a_lost_ack_is_not_worked_on_again() {
        let mut lanes = Lanes::default();
        lanes.offer(work("1", "a"));
        lanes.finished("1", true);
        assert_eq!(lanes.offer(work("1", "a")), Offer::AckAgain);
        lanes.acked_late("1");
        assert_ne!(lanes.offer(work("1", "a")), Offer::AckAgain);
    }

    #[test]
    fn lost_acks_are_remembered_up_to_a_limit() {
        let mut lanes = Lanes::default();
        for number in 0..=MAX_UNACKED {
            lanes.finished(&number.to_string(), true);
        }
        assert_eq!(lanes.unacked.len(), MAX_UNACKED);
        assert_ne!(
            lanes.offer(work("0", "a")),
            Offer::AckAgain,
            "the oldest gave way"
        );
    }

    #[test]
    fn conversations_stay_active_while_they_are_worked_on() {
        let mut lanes = Lanes::default();
        lanes.offer(work("1", "b"));
        lanes.touch("a");
        assert_eq!(lanes.active_conversations(), ["a", "b"]);
        assert_eq!(lanes.active_conversations(), ["b"]);
        lanes.next("b");
        lanes.finished("1", false);
        lanes.next("b");
        assert!(lanes.active_conversations().is_empty());
    }

    #[test]
    fn what_is_left_is_handed_back() {
        let mut lanes = Lanes::default();
        lanes.offer(work("2", "a"));
        lanes.offer(work("1", "a"));
        lanes.next("a");
        assert_eq!(lanes.take_all(), ["1", "2"]);
        assert_eq!(lanes.in_work_count(), 0);
        assert_eq!(next_id(&mut lanes, "a"), None);
    }
}
