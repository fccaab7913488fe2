//! The recipient's side: taking messages, waiting for them, and saying what became of them.

use std::collections::HashMap;
use std::time::Duration;

use ekho_storage::tables::attachment::Attachment;
use ekho_storage::tables::control::{self, Control};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::{agent, delivery, fleet};
use ekho_storage::{Read, View};
use tokio::time::Instant;

use super::{Caller, Service, ServiceError, attachments};
use crate::clock::now_ms;
use crate::id;
use crate::machine::command::{AgentRequest, Nack, Poll};
use crate::machine::outcome::{HandedOut, Outcome, Refusal};
use crate::telemetry::trace;

/// Controls shown at most, newest first.
const SHOWN_CONTROLS: usize = 50;

/// Rows a filtered look reads; what lies beyond is found when these are gone.
const SCAN_LIMIT: usize = 10_000;

/// A poll's answer.
#[derive(Default)]
pub struct Inbox {
    /// Messages handed out, in accepted order.
    pub messages: Vec<InboxMessage>,
    /// Controls with their numbers, newest first.
    pub controls: Vec<(u64, Control)>,
    /// How old that may be, where it is only what this node knows and nothing was handed out.
    pub view_age_ms: Option<u64>,
}

/// A message handed out.
pub struct InboxMessage {
    /// Its place in the inbox.
    pub seq: u64,
    /// How often it has been handed out, this time included.
    pub attempt: u32,
    /// The message.
    pub message: Message,
    /// Its body, JSON as sent.
    pub body: Vec<u8>,
    /// What it binds.
    pub attachments: Vec<Attachment>,
}

/// One agent's repeated taking from its inbox: a long poll, or a stream.
pub struct Taker<'a> {
    service: &'a Service,
    caller: Caller,
    poll: Poll,
    /// Controls up to this number were shown before.
    shown_control: u64,
}

impl Service {
    /// Takes messages; with none there, waits for some until `wait` is over.
    pub async fn poll(
        &self,
        caller: Caller,
        poll: Poll,
        wait: Duration,
    ) -> Result<Inbox, ServiceError> {
        let deadline = Instant::now() + wait;
        if self.vouch_cut_off(&caller).await? {
            return self.look_in(caller, poll, deadline).await;
        }
        self.vouch(&caller).await?;
        let mut taker = self.taker(caller, poll, wait > Duration::ZERO)?;
        let inbox = taker.take(Some(deadline)).await?;
        if inbox.messages.is_empty() && inbox.controls.is_empty() {
            // Also the controls shown before belong to a full answer.
            return Ok(Inbox {
                controls: taker.controls(&self.view())?,
                ..inbox
            });
        }
        Ok(Inbox {
            controls: taker.controls(&self.view())?,
            ..inbox
        })
    }

    /// Shows what a poll would hand out, as far as this node knows, and changes nothing. With
    /// nothing there, waits for the leader or until then: here nothing comes meanwhile.
    async fn look_in(
        &self,
        caller: Caller,
        poll: Poll,
        deadline: Instant,
    ) -> Result<Inbox, ServiceError> {
        let taker = self.taker(caller, poll, false)?;
        let messages = taker.peek()?;
        if messages.is_empty() && deadline > Instant::now() {
            self.contact_or(deadline).await;
        }
        Ok(Inbox {
            messages,
            controls: taker.controls(&self.view())?,
            view_age_ms: Some(self.view_age_ms()?),
        })
    }

    /// Prepares taking. The caller's nonce has been used up. With `skip_shown`, controls this
    /// node showed the agent before do not end a wait again.
    pub fn taker(
        &self,
        caller: Caller,
        poll: Poll,
        skip_shown: bool,
    ) -> Result<Taker<'_>, ServiceError> {
        let inbox = (caller.agent.fleet, caller.agent.no);
        let shown_control = if skip_shown {
            self.shown_controls.get(inbox)
        } else {
            0
        };
        Ok(Taker {
            service: self,
            caller,
            poll,
            shown_control,
        })
    }

    /// Acknowledges messages; how many were open.
    pub async fn ack(&self, caller: Caller, messages: Vec<u128>) -> Result<u64, ServiceError> {
        self.updated(caller, AgentRequest::Ack(messages)).await
    }

    /// Gives messages back; how many were out.
    pub async fn nack(&self, caller: Caller, nacks: Vec<Nack>) -> Result<u64, ServiceError> {
        self.updated(caller, AgentRequest::Nack(nacks)).await
    }

    async fn updated(&self, caller: Caller, request: AgentRequest) -> Result<u64, ServiceError> {
        match self.signed(&caller, request).await? {
            Outcome::Updated(count) => Ok(count),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Keeps messages longer; those extended with their new ends.
    pub async fn lease(
        &self,
        caller: Caller,
        leases: Vec<(u128, u64)>,
    ) -> Result<Vec<(u128, u64)>, ServiceError> {
        match self.signed(&caller, AgentRequest::Lease(leases)).await? {
            Outcome::Leased(extended) => Ok(extended),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }
}

impl Taker<'_> {
    /// Takes what is there; with nothing there, waits until `deadline` (none: for ever). Ends
    /// early and empty when the node is about to stop.
    pub async fn take(&mut self, deadline: Option<Instant>) -> Result<Inbox, ServiceError> {
        let service = self.service;
        let inbox = (self.caller.agent.fleet, self.caller.agent.no);
        // Without waiting there is nothing to register for.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(self.look().await?.unwrap_or_default());
        }
        let waiter = service.waiters.register(inbox);
        loop {
            // Before the look, so that what is committed after it wakes us.
            let woken = waiter.woken();
            if let Some(found) = self.look().await? {
                return Ok(found);
            }
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = woken => {}
                () = over => return Ok(Inbox::default()),
                () = service.draining.cancelled() => return Ok(Inbox::default()),
            }
            self.still_admitted()?;
        }
    }

    /// The agent may have been revoked, its credential replaced, or its fleet shut, while it waited.
    fn still_admitted(&self) -> Result<(), ServiceError> {
        let view = self.service.view();
        let fleet = self.caller.agent.fleet;
        let agent = match fleet::is_archived(&view, fleet)? {
            true => None,
            false => agent::get(&view, fleet, self.caller.agent.no)?,
        };
        let now = now_ms();
        let admitted = agent.is_some_and(|agent| {
            agent.credentials.iter().any(|credential| {
                credential.id == self.caller.credential
                    && credential.valid_until_ms.is_none_or(|until| now < until)
            })
        });
        if admitted {
            Ok(())
        } else {
            Err(Refusal::InvalidCredentials.into())
        }
    }

    /// Messages or new controls, if there are any now.
    async fn look(&mut self) -> Result<Option<Inbox>, ServiceError> {
        let mut messages = Vec::new();
        if self.anything_ready()? {
            let request = AgentRequest::Poll(self.poll.clone());
            match self.service.vouched(&self.caller, request).await? {
                Outcome::Polled {
                    messages: handed_out,
                } => {
                    messages = self.load(&handed_out)?;
                    self.observe_lag(&messages);
                    self.trace(&messages);
                }
                outcome => return Err(ServiceError::unexpected(&outcome)),
            }
            self.poll.resume_after = None;
        }
        let view = self.service.view();
        let mut controls = self.controls(&view)?;
        let shown = self.shown_control;
        controls.retain(|(seq, _)| *seq > shown);
        if let Some((newest, _)) = controls.first() {
            self.shown_control = *newest;
            self.service
                .shown_controls
                .set((self.caller.agent.fleet, self.caller.agent.no), *newest);
        }
        if messages.is_empty() && controls.is_empty() {
            return Ok(None);
        }
        Ok(Some(Inbox {
            messages,
            controls,
            view_age_ms: None,
        }))
    }

    fn anything_ready(&self) -> Result<bool, ServiceError> {
        if self.poll.resume_after.is_some() {
            return Ok(true);
        }
        let view = self.service.view();
        let (fleet, no) = (self.caller.agent.fleet, self.caller.agent.no);
        let queue = delivery::queue(&view, fleet, no)?;
        if queue.ready == 0 || self.poll.types.is_empty() {
            return Ok(queue.ready > 0);
        }
        let rows = delivery::ready(&view, fleet, no, queue.head, SCAN_LIMIT)?;
        Ok(rows
            .iter()
            .any(|(_, message_type)| self.poll.types.contains(message_type)))
    }

    /// What a poll would hand out.
    fn peek(&self) -> Result<Vec<InboxMessage>, ServiceError> {
        let view = self.service.view();
        let (fleet, no) = (self.caller.agent.fleet, self.caller.agent.no);
        let now = now_ms();
        let head = delivery::queue(&view, fleet, no)?.head;
        let mut found = Vec::new();
        for (seq, message_type) in delivery::ready(&view, fleet, no, head, SCAN_LIMIT)? {
            if found.len() == self.poll.limit as usize {
                break;
            }
            if !self.poll.types.is_empty() && !self.poll.types.contains(&message_type) {
                continue;
            }
            let delivery = delivery::get(&view, fleet, no, seq)?;
            let Some(delivery) = delivery.filter(|delivery| delivery.deadline_ms > now) else {
                continue;
            };
            found.push(HandedOut {
                seq,
                message: delivery.message,
                attempt: delivery.attempts,
            });
        }
        self.load(&found)
    }

    fn load(&self, handed_out: &[HandedOut]) -> Result<Vec<InboxMessage>, ServiceError> {
        let view = self.service.view();
        let fleet = self.caller.agent.fleet;
        let mut messages = Vec::with_capacity(handed_out.len());
        for item in handed_out {
            let stored = message::get(&view, fleet, item.message)?;
            let body = message::body(&view, fleet, item.message)?;
            let (Some(message), Some(body)) = (stored, body) else {
                let uuid = item.message;
                return Err(ServiceError::Internal(format!(
                    "message {uuid:032x} has no record or body"
                )));
            };
            let attachments = attachments::of_message(&view, fleet, item.message)?;
            messages.push(InboxMessage {
                attachments,
                seq: item.seq,
                attempt: item.attempt,
                message,
                body,
            });
        }
        Ok(messages)
    }

    /// How long messages that are handed out for the first time were due.
    fn observe_lag(&self, messages: &[InboxMessage]) {
        let now = now_ms();
        for item in messages.iter().filter(|item| item.attempt == 1) {
            let lag_ms = now.saturating_sub(item.message.deliver_at_ms);
            let lag = Duration::from_millis(lag_ms);
            self.service.metrics.observe_delivery_lag(lag);
        }
    }

    fn trace(&self, messages: &[InboxMessage]) {
        if !trace::is_on() {
            return;
        }
        for item in messages {
            trace::handed_out(&trace::HandedOut {
                message_id: id::from_uuid("msg_", item.message.uuid),
                recipient_id: &self.caller.agent.id,
                attempt: item.attempt,
                due_ms: item.message.deliver_at_ms,
                metadata: item.message.metadata.as_deref(),
            });
        }
    }

    /// The agent's controls that are not over, newest first.
    fn controls(&self, view: &View) -> Result<Vec<(u64, Control)>, ServiceError> {
        let (fleet, no) = (self.caller.agent.fleet, self.caller.agent.no);
        let mut controls = control::list_rev(view, fleet, no, SHOWN_CONTROLS)?;
        let now = now_ms();
        controls.retain(|(_, control)| control.expires_ms.is_none_or(|expires| now < expires));
        Ok(controls)
    }
}

/// Which controls this node has shown each agent, so that a control ends one long poll and not
/// every one until it expires.
#[derive(Default)]
pub struct ShownControls(parking_lot::Mutex<HashMap<(u32, u32), u64>>);

impl ShownControls {
    fn get(&self, inbox: (u32, u32)) -> u64 {
        self.0.lock().get(&inbox).copied().unwrap_or(0)
    }

    fn set(&self, inbox: (u32, u32), seq: u64) {
        self.0.lock().insert(inbox, seq);
    }
}

/// Reads a conversation's last messages, oldest first, for an agent that takes part.
pub fn conversation_tail(
    view: &impl Read,
    fleet: u32,
    conversation: &str,
    limit: usize,
) -> Result<Vec<(Message, Vec<u8>)>, ServiceError> {
    use ekho_storage::tables::conversation as index;
    let mut tail = Vec::new();
    for (_, uuid) in index::messages_rev(view, fleet, conversation, u64::MAX, limit)? {
        if let (Some(message), Some(body)) = (
            message::get(view, fleet, uuid)?,
            message::body(view, fleet, uuid)?,
        ) {
            tail.push((message, body));
        }
    }
    tail.reverse();
    Ok(tail)
}
