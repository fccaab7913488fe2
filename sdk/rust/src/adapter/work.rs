//! The work on messages: calls the handler, and tells the relay what came of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::handle::AgentHandle;
use super::hooks::{AgentHooks, HandlerError};
use super::lanes::Work;
use super::shared::Shared;
use crate::identity::EncryptionStatus;
use crate::types::{AckItem, InboxMessage, MessageType, NackItem};

/// Longest reason given to the relay, in characters.
const MAX_REASON_CHARS: usize = 200;
/// When a message that came while the agent is paused may come again.
const PAUSED_DELAY_SECONDS: u64 = 60;

/// Works through one conversation's lane until it is empty.
pub(super) async fn run_lane<H: AgentHooks>(shared: Arc<Shared<H>>, conversation: String) {
    loop {
        // The lock must be free again before the work begins.
        let next = shared.lanes().next(&conversation);
        let Some(Work { message, slot }) = next else {
            return;
        };
        if !shared.running() {
            // Not begun, so left for the stop to hand back.
            continue;
        }
        let message_id = message.message_id.clone();
        let needs_ack = if shared.paused() && message.message_type != MessageType::Control {
            nack(
                &shared,
                &message_id,
                Some(PAUSED_DELAY_SECONDS),
                "the agent is paused",
            )
            .await;
            false
        } else {
            handle(&shared, message).await
        };
        shared.lanes().finished(&message_id, needs_ack);
        drop(slot);
    }
}

/// Acks a message whose work was done earlier.
pub(super) async fn ack_again<H: AgentHooks>(shared: Arc<Shared<H>>, message_id: String) {
    if ack(&shared, &message_id).await {
        shared.lanes().acked_late(&message_id);
    }
}

/// True if the work is done and the ack did not get through.
async fn handle<H: AgentHooks>(shared: &Arc<Shared<H>>, message: InboxMessage) -> bool {
    let message_id = message.message_id.clone();
    let was_encrypted = message.encryption.status != EncryptionStatus::None;
    match call_handler(shared, message).await {
        Ok(()) => !ack(shared, &message_id).await,
        Err(failure) => {
            tracing::warn!(message_id, reason = %failure, "a message was not handled");
            let reason = failure.told_to_the_relay(was_encrypted);
            nack(shared, &message_id, None, &reason).await;
            false
        }
    }
}

/// Why a message was not handled.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the handler panicked")]
    Panicked,
    #[error("the handler took too long")]
    TookTooLong,
    #[error("{0}")]
    Handler(HandlerError),
}

impl Failure {
    /// What a handler says may repeat what it read: of a body that the relay cannot read, the relay
    /// is told no word of it.
    fn told_to_the_relay(&self, was_encrypted: bool) -> String {
        match self {
            Self::Handler(_) if was_encrypted => "the handler failed".to_owned(),
            other => other.to_string(),
        }
    }
}

async fn call_handler<H: AgentHooks>(
    shared: &Arc<Shared<H>>,
    message: InboxMessage,
) -> Result<(), Failure> {
    let agent = AgentHandle::new(Arc::clone(shared));
    let handled = AssertUnwindSafe(shared.hooks.on_message(&agent, message)).catch_unwind();
    match tokio::time::timeout(shared.options.handler_timeout, handled).await {
        Ok(Ok(outcome)) => outcome.map_err(Failure::Handler),
        Ok(Err(_)) => Err(Failure::Panicked),
        Err(_) => Err(Failure::TookTooLong),
    }
}

async fn ack<H>(shared: &Shared<H>, message_id: &str) -> bool {
    let outcome = shared
        .client
        .ack_messages(vec![AckItem::now(message_id)])
        .await;
    if let Err(error) = &outcome {
        tracing::warn!(message_id, %error, "an ack did not get through");
    }
    outcome.is_ok()
}

async fn nack<H>(shared: &Shared<H>, message_id: &str, delay_seconds: Option<u64>, reason: &str) {
    let nack = NackItem {
        message_id: message_id.to_owned(),
        delay_seconds,
        reason: Some(reason.chars().take(MAX_REASON_CHARS).collect()),
    };
    if let Err(error) = shared.client.nack_messages(vec![nack]).await {
        // The delivery timeout brings the message again all the same.
        tracing::warn!(message_id, %error, "a nack did not get through");
    }
}
