//! The life of a delivery: made, handed out, put back, ended.
//!
//! Every function here keeps four things in step: the delivery record, the ready index with the
//! inbox's head, the one due entry, and the counters.

use ekho_storage::StorageError;
use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::tables::approval::{self, ApprovalStatus};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter::{self, DeadLetter};
use ekho_storage::tables::delivery::{self, Delivery, DeliveryState};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, Message, MessageState};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};

use super::action::resolve;
use super::apply::Apply;
use super::task;

/// A delivery under change: where it is and what it is.
pub(crate) struct Slot {
    pub fleet: FleetNo,
    pub agent: AgentNo,
    pub seq: u64,
    pub delivery: Delivery,
}

impl Slot {
    pub fn get(
        apply: &Apply<'_>,
        fleet: FleetNo,
        agent: AgentNo,
        seq: u64,
    ) -> Result<Option<Self>, StorageError> {
        Ok(
            delivery::get(apply.txn, fleet, agent, seq)?.map(|delivery| Slot {
                fleet,
                agent,
                seq,
                delivery,
            }),
        )
    }

    /// The delivery of `message` to `agent`.
    pub fn of(
        apply: &Apply<'_>,
        fleet: FleetNo,
        message: u128,
        agent: AgentNo,
    ) -> Result<Option<Self>, StorageError> {
        let Some(stored) = message::get(apply.txn, fleet, message)? else {
            return Ok(None);
        };
        let seq = match stored.single {
            Some((recipient, seq)) => (recipient == agent).then_some(seq),
            None => delivery::fan_out(apply.txn, fleet, message, agent)?,
        };
        match seq {
            Some(seq) => Slot::get(apply, fleet, agent, seq),
            None => Ok(None),
        }
    }

    fn due(&self) -> Due {
        Due::Delivery {
            fleet: self.fleet,
            agent: self.agent,
            seq: self.seq,
        }
    }

    fn put(&self, apply: &mut Apply<'_>) {
        delivery::put(apply.txn, self.fleet, self.agent, self.seq, &self.delivery);
    }

    /// Moves the one due entry; 0 removes it.
    fn set_due(&mut self, apply: &mut Apply<'_>, due_ms: TimeMs) {
        if self.delivery.due_ms == due_ms {
            return;
        }
        if self.delivery.due_ms != 0 {
            due::delete(apply.txn, self.delivery.due_ms, &self.due());
        }
        if due_ms != 0 {
            due::put(apply.txn, due_ms, &self.due());
        }
        self.delivery.due_ms = due_ms;
    }

    /// Takes the delivery out of what can be handed out or is in flight.
    fn leave(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        match self.delivery.state {
            DeliveryState::Ready => {
                delivery::delete_ready(apply.txn, self.fleet, self.agent, self.seq);
                let mut queue = delivery::queue(apply.txn, self.fleet, self.agent)?;
                queue.ready = queue.ready.saturating_sub(1);
                delivery::put_queue(apply.txn, self.fleet, self.agent, &queue);
                apply.count(self.fleet, Counter::DeliveryQueued, -1)
            }
            DeliveryState::Waiting => apply.count(self.fleet, Counter::DeliveryQueued, -1),
            DeliveryState::Delivered => apply.count(self.fleet, Counter::DeliveryDelivered, -1),
            _ => Ok(()),
        }
    }

    /// Can be handed out from now on.
    pub fn make_ready(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        self.leave(apply)?;
        self.delivery.state = DeliveryState::Ready;
        delivery::put_ready(
            apply.txn,
            self.fleet,
            self.agent,
            self.seq,
            &self.delivery.message_type,
        );
        let mut queue = delivery::queue(apply.txn, self.fleet, self.agent)?;
        queue.ready += 1;
        queue.head = queue.head.min(self.seq);
        delivery::put_queue(apply.txn, self.fleet, self.agent, &queue);
        apply.count(self.fleet, Counter::DeliveryQueued, 1)?;
        self.set_due(apply, self.delivery.deadline_ms);
        self.put(apply);
        apply.wake(self.fleet, self.agent);
        Ok(())
    }

    /// Handed out: counts an attempt and starts the delivery timeout. The caller has removed the
    /// ready row and accounts for it in the queue, once for the whole poll.
    pub fn hand_out(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        let now = apply.now();
        self.delivery.state = DeliveryState::Delivered;
        if self.delivery.attempts == 0 || !is_broken(Break::ForgetAttempts) {
            self.delivery.attempts += 1;
        }
        self.delivery.delivered_ms = Some(now);
        let timeout_ms = now + apply.settings.delivery_timeout_ms;
        self.set_due(apply, timeout_ms.min(self.delivery.deadline_ms));
        self.put(apply);
        apply.count(self.fleet, Counter::DeliveryQueued, -1)?;
        apply.count(self.fleet, Counter::DeliveryDelivered, 1)?;
        apply.record(
            self.fleet,
            EventKind::MessageDelivered,
            Actor::Agent(self.agent),
            Resource::Delivery(self.delivery.message, self.agent),
        )
    }

    /// Waits until `at_ms`, then becomes ready.
    pub fn wait_until(&mut self, apply: &mut Apply<'_>, at_ms: TimeMs) {
        self.set_due(apply, at_ms.min(self.delivery.deadline_ms));
        self.put(apply);
    }

    /// Keeps a handed-out message until `until_ms`, never beyond its deadline.
    pub fn extend(&mut self, apply: &mut Apply<'_>, until_ms: TimeMs) -> TimeMs {
        let until_ms = until_ms.min(self.delivery.deadline_ms);
        self.set_due(apply, until_ms);
        self.put(apply);
        until_ms
    }

    /// Nobody acked, or the agent gave it back: waits and is handed out again, or is given up
    /// when it was put back too often. `delay_ms` overrides the schedule.
    pub fn put_back(
        &mut self,
        apply: &mut Apply<'_>,
        reason: &str,
        delay_ms: Option<u64>,
    ) -> Result<(), StorageError> {
        self.delivery.last_failure_reason = Some(reason.to_string());
        let schedule = apply
            .settings
            .retry_backoff_ms
            .get(self.delivery.retries as usize)
            .copied();
        let Some(scheduled_ms) = schedule else {
            let why = if reason == "timeout" {
                "max_retries_exceeded".to_string()
            } else {
                format!("max_retries_exceeded: {reason}")
            };
            return self.dead_letter(apply, &why);
        };
        self.delivery.retries += 1;
        self.leave(apply)?;
        self.delivery.state = DeliveryState::Waiting;
        apply.count(self.fleet, Counter::DeliveryQueued, 1)?;
        let again_ms = apply.now() + delay_ms.unwrap_or(scheduled_ms);
        apply.record_with(
            self.fleet,
            EventKind::MessageRetryRequeued,
            Actor::System,
            Resource::Delivery(self.delivery.message, self.agent),
            None,
            super::apply::payload(&[("reason", reason)]),
        )?;
        if again_ms <= apply.now() {
            return self.make_ready(apply);
        }
        self.set_due(apply, again_ms.min(self.delivery.deadline_ms));
        self.put(apply);
        Ok(())
    }

    /// Takes the delivery out of the inbox without an end of its own: the message goes elsewhere.
    pub fn remove(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        self.leave(apply)?;
        self.set_due(apply, 0);
        delivery::delete(apply.txn, self.fleet, self.agent, self.seq);
        Ok(())
    }

    pub fn ack(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        let actor = Actor::Agent(self.agent);
        self.end(
            apply,
            DeliveryState::Acked,
            Counter::DeliveryAcked,
            EventKind::MessageAcked,
            actor,
            String::new(),
        )
    }

    pub fn expire(&mut self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        self.end(
            apply,
            DeliveryState::Expired,
            Counter::DeliveryExpired,
            EventKind::MessageExpired,
            Actor::System,
            String::new(),
        )
    }

    pub fn cancel(&mut self, apply: &mut Apply<'_>, actor: Actor) -> Result<(), StorageError> {
        self.end(
            apply,
            DeliveryState::Cancelled,
            Counter::DeliveryCancelled,
            EventKind::MessageCancelled,
            actor,
            String::new(),
        )
    }

    pub fn dead_letter(&mut self, apply: &mut Apply<'_>, reason: &str) -> Result<(), StorageError> {
        self.delivery.last_failure_reason = Some(reason.to_string());
        let sender = message::get(apply.txn, self.fleet, self.delivery.message)?
            .map_or(0, |message| message.sender);
        let number = sequence::next(apply.txn, self.fleet, Sequence::DeadLetter)?;
        let until_ms = apply.now() + apply.settings.dead_letter_retention_ms;
        let letter = DeadLetter {
            message: self.delivery.message,
            recipient: self.agent,
            seq: self.seq,
            sender,
            retry_count: self.delivery.retries,
            failure_reason: reason.to_string(),
            at_ms: apply.now(),
            until_ms,
        };
        dead_letter::put(apply.txn, self.fleet, number, &letter);
        due::put(
            apply.txn,
            until_ms,
            &Due::DeadLetter {
                fleet: self.fleet,
                seq: number,
            },
        );
        apply.count(self.fleet, Counter::DeadLetters, 1)?;
        self.end(
            apply,
            DeliveryState::DeadLettered,
            Counter::DeliveryDeadLettered,
            EventKind::MessageDeadLettered,
            Actor::System,
            super::apply::payload(&[("reason", reason)]),
        )
    }

    fn end(
        &mut self,
        apply: &mut Apply<'_>,
        state: DeliveryState,
        counter: Counter,
        event: EventKind,
        actor: Actor,
        payload: String,
    ) -> Result<(), StorageError> {
        self.leave(apply)?;
        self.set_due(apply, 0);
        self.delivery.state = state;
        self.delivery.ended_ms = Some(apply.now());
        self.put(apply);
        apply.count(self.fleet, counter, 1)?;
        let resource = Resource::Delivery(self.delivery.message, self.agent);
        apply.record_with(self.fleet, event, actor, resource, None, payload)?;
        self.message_ended(apply)?;
        if self.delivery.message_type == task::MESSAGE_TYPE {
            task::delivery_ended(apply, self)?;
        }
        Ok(())
    }

    /// When this was the message's last open delivery, the message is done and its retention
    /// begins.
    fn message_ended(&self, apply: &mut Apply<'_>) -> Result<(), StorageError> {
        let dead = self.delivery.state == DeliveryState::DeadLettered;
        let Some(mut stored) = message::get(apply.txn, self.fleet, self.delivery.message)? else {
            return Ok(());
        };
        if stored.single.is_none() {
            stored.open = stored.open.saturating_sub(1);
            stored.dead |= dead;
            let last = stored.open == 0;
            if last && stored.state == MessageState::Open {
                stored.state = MessageState::Done;
            }
            message::put(apply.txn, self.fleet, &stored);
            if !last {
                return Ok(());
            }
        }
        message_done(apply, self.fleet, &stored, dead || stored.dead)
    }
}

/// Nobody needs to decide about this message any more.
pub(crate) fn close_approval(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    message: &Message,
    status: ApprovalStatus,
) -> Result<(), StorageError> {
    let Some(uuid) = message.approval else {
        return Ok(());
    };
    if let Some(mut stored) = approval::get(apply.txn, fleet, uuid)?
        && stored.status == ApprovalStatus::Pending
    {
        resolve(apply, fleet, &mut stored)?;
        stored.status = status;
        approval::put(apply.txn, fleet, &stored)?;
    }
    Ok(())
}

/// Counts a message as ended and schedules its removal.
pub(crate) fn message_done(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    message: &Message,
    dead: bool,
) -> Result<(), StorageError> {
    if message.state == MessageState::PendingApproval {
        close_approval(apply, fleet, message, ApprovalStatus::Expired)?;
    }
    apply.count(fleet, Counter::MessageOpen, -1)?;
    let ended = match message.state {
        MessageState::Cancelled => Counter::MessageCancelled,
        _ => Counter::MessageDone,
    };
    apply.count(fleet, ended, 1)?;
    let keep_ms = if dead {
        apply
            .settings
            .dead_letter_retention_ms
            .max(apply.settings.message_retention_ms)
    } else {
        apply.settings.message_retention_ms
    };
    let retention = Due::Retention {
        fleet,
        message: message.uuid,
    };
    let until_ms = apply.now() + keep_ms;
    due::put(apply.txn, until_ms, &retention);
    if dead {
        let mut stored = message.clone();
        stored.dead_until_ms = until_ms;
        message::put(apply.txn, fleet, &stored);
    }
    Ok(())
}

/// Makes a delivery of `message` to `agent` and returns its place in the inbox. With `held` it
/// waits until it is released, at most until its deadline.
pub(crate) fn make(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    agent: AgentNo,
    message: &Message,
    held: bool,
) -> Result<u64, StorageError> {
    let now = apply.now();
    let mut queue = delivery::queue(apply.txn, fleet, agent)?;
    queue.last_seq += 1;
    let seq = queue.last_seq;
    let ready = !held && message.deliver_at_ms <= now;
    let due_ms = if ready || held {
        message.deadline_ms
    } else {
        message.deliver_at_ms.min(message.deadline_ms)
    };
    let slot = Slot {
        fleet,
        agent,
        seq,
        delivery: Delivery {
            message: message.uuid,
            state: if ready {
                DeliveryState::Ready
            } else {
                DeliveryState::Waiting
            },
            attempts: 0,
            retries: 0,
            deadline_ms: message.deadline_ms,
            due_ms,
            delivered_ms: None,
            ended_ms: None,
            last_failure_reason: None,
            message_type: message.message_type.clone(),
        },
    };
    due::put(apply.txn, due_ms, &slot.due());
    slot.put(apply);
    if ready {
        delivery::put_ready(apply.txn, fleet, agent, seq, &message.message_type);
        if queue.ready == 0 {
            queue.head = seq;
        }
        queue.ready += 1;
        apply.wake(fleet, agent);
    }
    delivery::put_queue(apply.txn, fleet, agent, &queue);
    apply.count(fleet, Counter::DeliveryQueued, 1)?;
    Ok(seq)
}
