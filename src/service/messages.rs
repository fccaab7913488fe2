//! The sender's side: send, look at, take back.

use ekho_storage::View;
use ekho_storage::tables::attachment::Attachment;
use ekho_storage::tables::delivery::{self, Delivery, DeliveryState};
use ekho_storage::tables::message::{self, Message, MessageState};
use ekho_storage::tables::{FleetNo, agent};

use super::{Caller, Service, ServiceError, attachments};
use crate::machine::command::{AgentRequest, Command, NewMessage};
use crate::machine::outcome::{Outcome, RateState, Refusal, Sent};
use crate::telemetry::trace::{self, Span};

/// Deliveries of one message shown at most.
const SHOWN_DELIVERIES: usize = 1000;

/// A message as its sender sees it.
pub struct MessageStatus {
    /// The message.
    pub message: Message,
    /// Where it stands as a whole.
    pub status: &'static str,
    /// What it binds.
    pub attachments: Vec<Attachment>,
    /// Its deliveries with the public ids of their recipients.
    pub deliveries: Vec<(agent::Agent, Delivery)>,
    /// How old that may be, where it is only what this node knows.
    pub view_age_ms: Option<u64>,
}

impl Service {
    /// Sends messages, each with what it binds; each has its own outcome.
    pub async fn send(
        &self,
        caller: Caller,
        messages: Vec<NewMessage>,
        attachments: Vec<Vec<u128>>,
    ) -> Result<(Vec<Result<Sent, Refusal>>, RateState), ServiceError> {
        let metadata = messages.iter().map(|message| message.metadata.as_deref());
        let span = Span::of_sending(metadata);
        let sent = self.send_traced(caller, messages, attachments);
        trace::within(span.as_ref(), sent).await
    }

    async fn send_traced(
        &self,
        caller: Caller,
        messages: Vec<NewMessage>,
        attachments: Vec<Vec<u128>>,
    ) -> Result<(Vec<Result<Sent, Refusal>>, RateState), ServiceError> {
        /// Hooks change seldom; somebody who changes them all the time must not keep us here.
        const TRIES: usize = 5;
        let (mut messages, mut attachments) = (messages, attachments);
        // Older nodes understand what binds nothing.
        let binds = attachments.iter().any(|of_one| !of_one.is_empty());
        for _ in 0..TRIES {
            self.judge(&caller, &mut messages).await?;
            let command = Command::Signed {
                auth: caller.auth(Some(caller.nonce.clone())),
                request: match binds {
                    true => AgentRequest::SendWith {
                        messages,
                        attachments,
                    },
                    false => AgentRequest::Send(messages),
                },
            };
            let outcome = self.signed_command(&caller, &command).await;
            match (outcome, command) {
                (
                    Err(ServiceError::Refused(Refusal::ExtensionsNotAsked)),
                    Command::Signed {
                        request: AgentRequest::Send(asked),
                        ..
                    },
                ) => {
                    messages = asked;
                    attachments = Vec::new();
                }
                (
                    Err(ServiceError::Refused(Refusal::ExtensionsNotAsked)),
                    Command::Signed {
                        request:
                            AgentRequest::SendWith {
                                messages: asked,
                                attachments: bound,
                            },
                        ..
                    },
                ) => {
                    messages = asked;
                    attachments = bound;
                }
                (outcome, _) => {
                    return match outcome? {
                        Outcome::Sent { results, rate } => Ok((results, rate)),
                        outcome => Err(ServiceError::unexpected(&outcome)),
                    };
                }
            }
        }
        Err(Refusal::ExtensionsNotAsked.into())
    }

    /// What became of a message the caller sent.
    pub async fn message_status(
        &self,
        caller: &Caller,
        uuid: u128,
    ) -> Result<MessageStatus, ServiceError> {
        let (view, view_age_ms) = self.read_or_look(caller).await?;
        let fleet = caller.agent.fleet;
        let stored = message::get(&view, fleet, uuid)?;
        match stored.filter(|message| message.sender == caller.agent.no) {
            Some(message) => Ok(MessageStatus {
                view_age_ms,
                ..with_deliveries(&view, fleet, message)?
            }),
            None => Err(Refusal::NotFound.into()),
        }
    }

    /// Takes a message back where it was not handed out yet; how many recipients that were.
    pub async fn cancel(&self, caller: Caller, message: u128) -> Result<u64, ServiceError> {
        match self
            .signed(&caller, AgentRequest::Cancel { message })
            .await?
        {
            Outcome::Updated(count) => Ok(count),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }
}

/// A message with its deliveries.
pub fn with_deliveries(
    view: &View,
    fleet: FleetNo,
    message: Message,
) -> Result<MessageStatus, ServiceError> {
    let places = match message.single {
        Some(place) => vec![place],
        None => delivery::fan_out_list(view, fleet, message.uuid, 0, SHOWN_DELIVERIES)?,
    };
    let mut deliveries = Vec::with_capacity(places.len());
    for (agent_no, seq) in places {
        if let (Some(agent), Some(delivery)) = (
            agent::get(view, fleet, agent_no)?,
            delivery::get(view, fleet, agent_no, seq)?,
        ) {
            deliveries.push((agent, delivery));
        }
    }
    let attachments = attachments::of_message(view, fleet, message.uuid)?;
    let status = status(&message, deliveries.iter().map(|(_, delivery)| delivery));
    Ok(MessageStatus {
        message,
        attachments,
        status,
        deliveries,
        view_age_ms: None,
    })
}

/// A message's state in one word: that of its delivery where there is one, otherwise the least
/// advanced one that is still open, otherwise the worst ending.
pub(super) fn status<'a>(
    message: &Message,
    deliveries: impl Iterator<Item = &'a Delivery>,
) -> &'static str {
    let mut deliveries = deliveries.map(|delivery| delivery.state).peekable();
    match message.state {
        MessageState::PendingApproval if deliveries.peek().is_none_or(|state| !state.ended()) => {
            return "pending_approval";
        }
        MessageState::PendingApproval => {}
        MessageState::Rejected => return "rejected",
        MessageState::Cancelled => return "cancelled",
        MessageState::Open | MessageState::Done => {}
    }
    let order = |state: &DeliveryState| match state {
        DeliveryState::Ready | DeliveryState::Waiting => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::DeadLettered => 2,
        DeliveryState::Expired => 3,
        DeliveryState::Cancelled => 4,
        DeliveryState::Acked => 5,
    };
    let first = deliveries.min_by_key(order);
    first.map_or("acked", DeliveryState::as_str)
}
