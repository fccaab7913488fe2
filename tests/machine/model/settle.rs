//! Bringing model and machine together after each step: what time has done, and then everything.

use ekho_storage::tables::agent::{self, AgentStatus, AutoHold, HoldKind};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::{self, Delivery, DeliveryState};
use ekho_storage::tables::{AgentNo, idempotency, message};

use super::{Approval, DeliveryModel, End, HoldModel, Model, Place, SILENCE_MS};
use crate::rig::{FLEET, Relay};

/// The idempotency key with this number.
pub fn key_name(number: u8) -> String {
    format!("key-{number}")
}

/// Agents are numbered from 1 in the machine.
pub fn agent_no(agent: usize) -> AgentNo {
    agent as AgentNo + 1
}

fn stored(relay: &Relay, model: &DeliveryModel) -> Option<Delivery> {
    delivery::get(&relay.txn, FLEET, agent_no(model.agent), model.seq).unwrap()
}

/// Whether a stored delivery is as the model has it.
fn agrees(stored: &Delivery, model: &DeliveryModel) -> bool {
    let state = match model.place {
        Place::Ready => DeliveryState::Ready,
        Place::Held | Place::Waiting { .. } => DeliveryState::Waiting,
        Place::Out { .. } => DeliveryState::Delivered,
        Place::Ended(End::Acked) => DeliveryState::Acked,
        Place::Ended(End::Expired) => DeliveryState::Expired,
        Place::Ended(End::DeadLettered) => DeliveryState::DeadLettered,
        Place::Ended(End::Cancelled) => DeliveryState::Cancelled,
    };
    stored.state == state
        && (stored.attempts, stored.retries) == (model.attempts, model.retries)
        && stored.deadline_ms == model.deadline
        && model.due().is_none_or(|due| stored.due_ms == due)
}

impl Model {
    /// Takes over what time has done in the machine. Only what is due may have been done, only as
    /// the rules say, and after a `complete` tick all of it.
    pub fn settle(&mut self, relay: &Relay, complete: bool) {
        self.settle_deliveries(relay, complete);
        self.settle_agents(relay, complete);
        self.settle_removals(relay, complete);
    }

    fn settle_deliveries(&mut self, relay: &Relay, complete: bool) {
        let now = self.now;
        for number in 0..self.deliveries.len() {
            let before = &self.deliveries[number];
            if before.due().is_none_or(|due| due > now) {
                continue;
            }
            let after = before.when_due(now);
            let stored = stored(relay, before);
            if stored.as_ref().is_some_and(|stored| agrees(stored, &after)) {
                let message = after.message;
                self.deliveries[number] = after;
                self.finish(message);
            } else {
                assert!(
                    !complete,
                    "due and not done: {:?}, {stored:?}",
                    before.place
                );
            }
        }
    }

    fn settle_agents(&mut self, relay: &Relay, complete: bool) {
        let now = self.now;
        for (number, model) in self.agents.iter_mut().enumerate() {
            let stored = relay.agent(agent_no(number));
            let until = model.hold.as_ref().and_then(|hold| hold.until);
            if until.is_some_and(|until| until <= now) {
                if stored.hold.is_none() {
                    model.hold = None;
                }
                assert!(
                    !complete || model.hold.is_none(),
                    "agent {number} is held too long"
                );
            }
            let Some(heard) = model
                .last_heard
                .filter(|_| !model.revoked && model.auto_hold.is_none())
            else {
                continue;
            };
            let heard = heard.max(self.leader_since);
            if stored.auto_hold == Some(AutoHold::HeartbeatTimeout) {
                assert!(
                    now >= heard + SILENCE_MS,
                    "agent {number} was heard {} ms ago",
                    now - heard
                );
                model.auto_hold = stored.auto_hold;
            } else if complete {
                let since = heard.max(model.watched_from);
                assert!(
                    now < since + SILENCE_MS,
                    "agent {number} is silent for {} ms",
                    now - since
                );
            }
        }
    }

    fn settle_removals(&mut self, relay: &Relay, complete: bool) {
        let now = self.now;
        for model in self.messages.iter_mut().filter(|model| !model.removed) {
            model.removed = message::get(&relay.txn, FLEET, model.uuid)
                .unwrap()
                .is_none();
            let due = model.remove_at.is_some_and(|at| at <= now);
            assert!(due || !model.removed, "message {} vanished", model.uuid);
            assert!(
                !due || !complete || model.removed,
                "message {} is kept too long",
                model.uuid
            );
        }
        self.keys.retain(|(agent, key), model| {
            let key = key_name(*key);
            let stored = idempotency::get(&relay.txn, FLEET, agent_no(*agent), &key).unwrap();
            let due = model.forget_at <= now;
            assert!(
                due || stored.is_some(),
                "{key} of agent {agent} is forgotten too early"
            );
            assert!(
                !due || !complete || stored.is_none(),
                "{key} of agent {agent} is kept too long"
            );
            stored.is_some()
        });
        // Letters go oldest first.
        let letters = relay.count(Counter::DeadLetters) as usize;
        let due = self.dead_letters.iter().filter(|at| **at <= now).count();
        let gone = self
            .dead_letters
            .len()
            .checked_sub(letters)
            .expect("a letter too many");
        assert!(gone <= due, "{gone} dead letters gone, {due} due");
        assert!(
            !complete || gone == due,
            "{gone} dead letters gone, {due} due"
        );
        self.dead_letters.sort_unstable();
        self.dead_letters.drain(..gone);
    }

    /// Fails where the machine holds something else than the model.
    pub fn compare(&self, relay: &Relay) {
        for model in &self.deliveries {
            let stored = stored(relay, model);
            if self.messages[model.message].removed {
                assert_eq!(stored, None, "of a message that is removed");
                continue;
            }
            let stored = stored.expect("a delivery vanished");
            assert!(
                agrees(&stored, model),
                "{stored:?}, but it should be {:?} due {:?}",
                model.place,
                model.due()
            );
            assert_eq!(stored.message, self.messages[model.message].uuid);
        }
        for model in &self.messages {
            let body = message::body(&relay.txn, FLEET, model.uuid).unwrap();
            let expected = (!model.removed).then(|| body_of(model.uuid));
            assert_eq!(body, expected, "body of message {}", model.uuid);
        }
        for (number, model) in self.agents.iter().enumerate() {
            let stored = relay.agent(agent_no(number));
            let live = agent::live(&relay.txn, FLEET, stored.no).unwrap();
            assert_eq!(stored.status(&live), self.status(number), "agent {number}");
            assert_eq!(stored.auto_hold, model.auto_hold, "agent {number}");
        }
        self.compare_totals(relay);
    }

    /// What was ever counted.
    fn compare_totals(&self, relay: &Relay) {
        let ended = |end| {
            self.deliveries
                .iter()
                .filter(|delivery| delivery.place == Place::Ended(end))
                .count()
        };
        let over = self
            .messages
            .iter()
            .filter(|message| message.remove_at.is_some());
        let cancelled = over.clone().filter(|message| message.cancelled).count();
        let pending = self
            .messages
            .iter()
            .filter(|message| message.approval == Approval::Pending);
        let totals = [
            (Counter::DeliveryAcked, ended(End::Acked)),
            (Counter::DeliveryExpired, ended(End::Expired)),
            (Counter::DeliveryDeadLettered, ended(End::DeadLettered)),
            (Counter::DeliveryCancelled, ended(End::Cancelled)),
            (Counter::MessageAccepted, self.messages.len()),
            (Counter::MessageDone, over.count() - cancelled),
            (Counter::MessageCancelled, cancelled),
            (Counter::ApprovalsPending, pending.count()),
        ];
        for (counter, expected) in totals {
            assert_eq!(
                relay.count(counter),
                expected as u64,
                "{counter:?} against the model"
            );
        }
    }

    fn status(&self, agent: usize) -> AgentStatus {
        let agent = &self.agents[agent];
        match (&agent.hold, agent.auto_hold) {
            _ if agent.revoked => AgentStatus::Revoked,
            (
                Some(HoldModel {
                    kind: HoldKind::Quarantine,
                    ..
                }),
                _,
            )
            | (_, Some(_)) => AgentStatus::Quarantined,
            (Some(_), None) => AgentStatus::Paused,
            (None, None) if agent.degraded => AgentStatus::Degraded,
            (None, None) => AgentStatus::Healthy,
        }
    }

    /// Deliveries that can be handed out now.
    pub fn ready(&self) -> Vec<(AgentNo, u64)> {
        let ready = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.place == Place::Ready);
        ready
            .map(|delivery| (agent_no(delivery.agent), delivery.seq))
            .collect()
    }

    pub fn leadership_began(&mut self) {
        self.leader_since = self.now;
    }
}

/// The body that the message with this UUID is sent with.
pub fn body_of(uuid: u128) -> Vec<u8> {
    format!(r#"{{"text":"message {uuid}"}}"#).into_bytes()
}
