//! The inbox loop: takes as many messages as there are free slots, by long poll, and gives them to
//! lanes. Works on nothing itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::hooks::AgentHooks;
use super::lanes::{Offer, Work};
use super::shared::{Phase, Shared};
use super::work;
use crate::retry::Backoff;
use crate::types::{Inbox, InboxQuery, MessageType};

/// Bounds of the pauses while no relay answers; the client's own retries come before each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) async fn run<H: AgentHooks>(shared: Arc<Shared<H>>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    // The first poll does not wait: an agent that was paused before it started should know at once.
    let mut wait_seconds = 0;
    while shared.running() {
        // Only what can be worked on now is taken: a message that waits here would run into its
        // delivery timeout.
        let slot = tokio::select! {
            slot = Arc::clone(&shared.slots).acquire_owned() => slot,
            () = shared.until(Phase::Draining) => return,
        };
        let Ok(slot) = slot else { return };
        let free = shared.slots.available_permits() + 1;
        let query = InboxQuery {
            limit: u32::try_from(free).ok(),
            wait_seconds: Some(wait_seconds),
            // A paused agent works on nothing but controls, and listens for its resume.
            types: if shared.paused() {
                vec![MessageType::Control]
            } else {
                Vec::new()
            },
        };
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = shared.client.get_inbox(&query) => answer,
            () = shared.until(Phase::Draining) => return,
        };
        let pause = match answer {
            Ok(inbox) => {
                shared.reached();
                backoff.reset();
                let anything_new = take(&shared, inbox, slot, free).await;
                let waited = wait_seconds > 0;
                wait_seconds = shared.options.wait_seconds;
                if anything_new || (!waited && wait_seconds > 0) {
                    continue;
                }
                // A poll that came back early with nothing new was not held open: the relay does
                // not wait, or lists a control that was obeyed long ago.
                shared
                    .client
                    .poll_interval()
                    .saturating_sub(asked.elapsed())
            }
            Err(error) => {
                drop(slot);
                tracing::warn!(%error, "no inbox from the relay");
                shared.not_reached(&error);
                let asked_for = error.request().and_then(|refusal| refusal.retry_after());
                backoff.next_delay(asked_for.map(|wait| wait.min(LONGEST_PAUSE)))
            }
        };
        shared.pause_unless(Phase::Draining, pause).await;
    }
}

/// Obeys controls first, then gives messages to lanes. True if there was anything new.
async fn take<H: AgentHooks>(
    shared: &Arc<Shared<H>>,
    inbox: Inbox,
    slot: OwnedSemaphorePermit,
    free: usize,
) -> bool {
    let fresh = shared.controls().update(inbox.controls);
    let mut anything_new = !fresh.is_empty();
    for control in &fresh {
        tracing::info!(action = %control.action, reason = control.reason, "control");
        shared.hooks.on_control(control).await;
    }
    if inbox.view_age_ms.is_some() {
        // Nothing of it was handed out: it comes again when the node is not cut off any more.
        tracing::debug!(view_age_ms = inbox.view_age_ms, "only a view of the inbox");
        return anything_new;
    }
    if inbox.messages.len() > free {
        // They were not asked for; the delivery timeout brings them again.
        tracing::warn!(
            extra = inbox.messages.len() - free,
            "more messages than asked for"
        );
    }
    let mut slot = Some(slot);
    for message in inbox.messages.into_iter().take(free) {
        let another = || Arc::clone(&shared.slots).try_acquire_owned().ok();
        let Some(slot) = slot.take().or_else(another) else {
            break;
        };
        let message_id = message.message_id.clone();
        let offer = shared.lanes().offer(Work { message, slot });
        match offer {
            Offer::NewLane(conversation) => {
                anything_new = true;
                shared.spawn_worker(work::run_lane(Arc::clone(shared), conversation));
            }
            Offer::Queued => anything_new = true,
            Offer::InWork => tracing::debug!(message_id, "delivered again while in work"),
            Offer::AckAgain => {
                anything_new = true;
                shared.spawn_worker(work::ack_again(Arc::clone(shared), message_id));
            }
        }
    }
    anything_new
}
