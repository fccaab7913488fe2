//! The rules: what each command and each moment does to the model.

use ekho::machine::outcome::{HandedOut, HeldStatus, RateState, Refusal, Sent};
use ekho_storage::tables::agent::{AutoHold, HoldKind};

use super::{
    Approval, BACKOFF_MS, DEAD_LETTER_RETENTION_MS, DELIVERY_TIMEOUT_MS, DeliveryModel, End,
    HoldModel, IDEMPOTENCY_MS, KeyModel, MessageModel, Model, Place, RATE_MAX_MESSAGES,
    RATE_WINDOW_MS, RETENTION_MS, VIOLATION_THRESHOLD, VIOLATION_WINDOW_MS, Wanted,
};

impl DeliveryModel {
    pub fn open(&self) -> bool {
        !matches!(self.place, Place::Ended(_))
    }

    /// When time next changes it.
    pub fn due(&self) -> Option<u64> {
        match self.place {
            Place::Ready | Place::Held => Some(self.deadline),
            Place::Waiting { until } | Place::Out { until } => Some(until.min(self.deadline)),
            Place::Ended(_) => None,
        }
    }

    fn put_back(&mut self, now: u64, delay_ms: Option<u64>) {
        let Some(scheduled_ms) = BACKOFF_MS.get(self.retries as usize) else {
            self.place = Place::Ended(End::DeadLettered);
            return;
        };
        self.retries += 1;
        let until = now + delay_ms.unwrap_or(*scheduled_ms);
        self.place = if until <= now {
            Place::Ready
        } else {
            Place::Waiting { until }
        };
    }

    /// What becomes of it now that it is due.
    pub(super) fn when_due(&self, now: u64) -> Self {
        let mut after = self.clone();
        if self.deadline <= now {
            after.place = Place::Ended(End::Expired);
            return after;
        }
        match self.place {
            Place::Waiting { .. } => after.place = Place::Ready,
            Place::Out { .. } => after.put_back(now, None),
            Place::Ready | Place::Held | Place::Ended(_) => {}
        }
        after
    }
}

impl Model {
    pub fn held(&self, agent: usize) -> Option<HeldStatus> {
        let agent = &self.agents[agent];
        match (&agent.hold, agent.auto_hold) {
            (
                Some(HoldModel {
                    kind: HoldKind::Quarantine,
                    ..
                }),
                _,
            )
            | (_, Some(_)) => Some(HeldStatus::Quarantined),
            (Some(_), None) => Some(HeldStatus::Paused),
            (None, None) => None,
        }
    }

    /// Who receives in this agent's place.
    pub fn redirected(&self, agent: usize) -> usize {
        let target = self.agents[agent]
            .hold
            .as_ref()
            .and_then(|hold| hold.redirect);
        target
            .filter(|target| !self.agents[*target].revoked)
            .unwrap_or(agent)
    }

    pub fn rate(&mut self, agent: usize) -> RateState {
        let start = self.now - self.now % RATE_WINDOW_MS;
        let agent = &mut self.agents[agent];
        if agent.window_start != start {
            (agent.window_start, agent.window_count) = (start, 0);
        }
        RateState {
            limit: RATE_MAX_MESSAGES,
            remaining: RATE_MAX_MESSAGES - agent.window_count,
            reset_ms: start + RATE_WINDOW_MS,
        }
    }

    pub fn send(&mut self, from: usize, wanted: Wanted) -> Result<Sent, Refusal> {
        let now = self.now;
        if let Some(held) = self.held(from) {
            return Err(Refusal::Held(held));
        }
        if let Some((key, other_request)) = wanted.key
            && let Some(done) = self.keys.get(&(from, key))
        {
            if done.other_request != other_request {
                return Err(Refusal::IdempotencyConflict);
            }
            return Ok(Sent {
                repeated: true,
                ..done.answer.clone()
            });
        }
        let rate = self.rate(from);
        if rate.remaining == 0 {
            self.violation(from);
            return Err(Refusal::RateLimited {
                retry_after_ms: rate.reset_ms - now,
            });
        }
        let recipients = wanted.recipients.ok_or(Refusal::UnknownRecipient)?;
        self.agents[from].window_count += 1;

        let deliver_at = now + wanted.delay_ms.unwrap_or(0);
        let message = self.messages.len();
        self.messages.push(MessageModel {
            uuid: wanted.uuid,
            sender: from,
            approval: if wanted.requires_approval {
                Approval::Pending
            } else {
                Approval::None
            },
            approval_uuid: wanted.approval_uuid,
            deliver_at,
            remove_at: None,
            cancelled: false,
            removed: false,
        });
        for agent in recipients {
            self.agents[agent].last_seq += 1;
            let place = match (wanted.requires_approval, deliver_at > now) {
                (true, _) => Place::Held,
                (false, true) => Place::Waiting { until: deliver_at },
                (false, false) => Place::Ready,
            };
            self.deliveries.push(DeliveryModel {
                message,
                agent,
                seq: self.agents[agent].last_seq,
                place,
                attempts: 0,
                retries: 0,
                deliver_at,
                deadline: deliver_at + wanted.ttl_ms,
                message_type: wanted.message_type,
                ended_at: None,
            });
        }
        self.finish(message);
        let answer = Sent {
            message: wanted.uuid,
            queued_ms: now,
            deliver_at_ms: deliver_at,
            repeated: false,
        };
        if let Some((key, other_request)) = wanted.key {
            let done = KeyModel {
                other_request,
                answer: answer.clone(),
                forget_at: now + IDEMPOTENCY_MS,
            };
            self.keys.insert((from, key), done);
        }
        Ok(answer)
    }

    fn violation(&mut self, agent: usize) {
        let now = self.now;
        let agent = &mut self.agents[agent];
        agent.violations.push(now);
        agent
            .violations
            .retain(|at| at + VIOLATION_WINDOW_MS >= now);
        if agent.violations.len() >= VIOLATION_THRESHOLD {
            agent.auto_hold = Some(AutoHold::RateLimitAbuse);
        }
    }

    pub fn poll(
        &mut self,
        agent: usize,
        limit: usize,
        types: &[&str],
        resume_after: Option<u64>,
    ) -> Vec<HandedOut> {
        let now = self.now;
        if let Some(after) = resume_after {
            for delivery in self
                .deliveries
                .iter_mut()
                .filter(|delivery| delivery.agent == agent)
            {
                let lost = delivery.seq > after && matches!(delivery.place, Place::Out { .. });
                if lost && delivery.deadline > now {
                    delivery.place = Place::Ready;
                }
            }
        }
        let mut inbox: Vec<&mut DeliveryModel> = self
            .deliveries
            .iter_mut()
            .filter(|delivery| delivery.agent == agent && delivery.place == Place::Ready)
            .filter(|delivery| delivery.deadline > now)
            .filter(|delivery| types.is_empty() || types.contains(&delivery.message_type))
            .collect();
        inbox.sort_by_key(|delivery| delivery.seq);
        let hand_out = |delivery: &mut DeliveryModel| {
            delivery.place = Place::Out {
                until: now + DELIVERY_TIMEOUT_MS,
            };
            delivery.attempts += 1;
            let message = self.messages[delivery.message].uuid;
            HandedOut {
                seq: delivery.seq,
                message,
                attempt: delivery.attempts,
            }
        };
        inbox.into_iter().take(limit).map(hand_out).collect()
    }

    /// The delivery of a message to an agent.
    fn find(&mut self, message: usize, agent: usize) -> Option<&mut DeliveryModel> {
        if self.messages[message].removed {
            return None;
        }
        self.deliveries
            .iter_mut()
            .find(|delivery| delivery.message == message && delivery.agent == agent)
    }

    pub fn ack(&mut self, agent: usize, message: usize) -> bool {
        let open = self
            .find(message, agent)
            .filter(|delivery| delivery.open() && delivery.attempts > 0);
        let Some(delivery) = open else { return false };
        delivery.place = Place::Ended(End::Acked);
        self.finish(message);
        true
    }

    fn out(&mut self, agent: usize, message: usize) -> Option<&mut DeliveryModel> {
        self.find(message, agent)
            .filter(|delivery| matches!(delivery.place, Place::Out { .. }))
    }

    pub fn nack(&mut self, agent: usize, message: usize, delay_ms: Option<u64>) -> bool {
        let now = self.now;
        let Some(delivery) = self.out(agent, message) else {
            return false;
        };
        delivery.put_back(now, delay_ms);
        self.finish(message);
        true
    }

    pub fn lease(&mut self, agent: usize, message: usize, extend_ms: u64) -> Option<u64> {
        let now = self.now;
        let delivery = self.out(agent, message)?;
        let until = (now + extend_ms).min(delivery.deadline);
        delivery.place = Place::Out { until };
        Some(until)
    }

    /// How many deliveries were cancelled.
    pub fn cancel(&mut self, agent: usize, message: usize) -> Result<u64, Refusal> {
        if self.messages[message].removed || self.messages[message].sender != agent {
            return Err(Refusal::NotFound);
        }
        let mut cancelled = 0;
        for delivery in self
            .deliveries
            .iter_mut()
            .filter(|delivery| delivery.message == message)
        {
            if delivery.open() && delivery.attempts == 0 {
                delivery.place = Place::Ended(End::Cancelled);
                cancelled += 1;
            }
        }
        if cancelled == 0 {
            return Err(Refusal::Conflict(String::new()));
        }
        if self.messages[message].approval == Approval::Pending {
            self.messages[message].approval = Approval::Closed;
        }
        self.messages[message].cancelled = true;
        self.finish(message);
        Ok(cancelled)
    }

    /// Whether there was something to decide.
    pub fn decide(&mut self, message: usize, approve: bool) -> bool {
        if self.messages[message].approval != Approval::Pending {
            return false;
        }
        self.messages[message].approval = Approval::Closed;
        let (now, deliver_at) = (self.now, self.messages[message].deliver_at);
        for delivery in self
            .deliveries
            .iter_mut()
            .filter(|delivery| delivery.message == message && delivery.open())
        {
            delivery.place = match approve {
                false => Place::Ended(End::Cancelled),
                true if deliver_at > now => Place::Waiting { until: deliver_at },
                true => Place::Ready,
            };
        }
        self.finish(message);
        true
    }

    pub fn resume(&mut self, agent: usize) {
        let now = self.now;
        let agent = &mut self.agents[agent];
        (agent.hold, agent.auto_hold, agent.watched_from) = (None, None, now);
    }

    pub fn revoke(&mut self, agent: usize) {
        let agent = &mut self.agents[agent];
        (agent.hold, agent.auto_hold, agent.revoked) = (None, None, true);
        agent
            .credentials
            .iter_mut()
            .for_each(|until| *until = Some(0));
    }

    pub fn rotate(&mut self, agent: usize, overlap_ms: u64) -> (u32, u64) {
        let until = self.now + overlap_ms;
        let credentials = &mut self.agents[agent].credentials;
        if let Some((newest, older)) = credentials.split_last_mut() {
            *newest = Some(until);
            older.iter_mut().for_each(|until| *until = Some(0));
        }
        credentials.push(None);
        (credentials.len() as u32, until)
    }

    pub fn heard(&mut self, agent: usize, at: u64) {
        let now = self.now;
        let agent = &mut self.agents[agent];
        agent.last_heard = agent.last_heard.max(Some(at));
        agent.watched_from = now;
        if agent.auto_hold == Some(AutoHold::HeartbeatTimeout) {
            agent.auto_hold = None;
        }
    }

    /// Notes what has ended, and begins the retention of a message when nothing of it is open.
    pub(super) fn finish(&mut self, message: usize) {
        let now = self.now;
        let (mut open, mut dead) = (false, false);
        for delivery in self
            .deliveries
            .iter_mut()
            .filter(|delivery| delivery.message == message)
        {
            open |= delivery.open();
            dead |= delivery.place == Place::Ended(End::DeadLettered);
            if !delivery.open() && delivery.ended_at.is_none() {
                delivery.ended_at = Some(now);
                if delivery.place == Place::Ended(End::DeadLettered) {
                    self.dead_letters.push(now + DEAD_LETTER_RETENTION_MS);
                }
            }
        }
        let message = &mut self.messages[message];
        if !open && message.remove_at.is_none() {
            let keep_ms = if dead {
                DEAD_LETTER_RETENTION_MS
            } else {
                RETENTION_MS
            };
            message.remove_at = Some(now + keep_ms);
            if message.approval == Approval::Pending {
                message.approval = Approval::Closed;
            }
        }
    }
}
