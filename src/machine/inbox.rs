//! The recipient's side: poll, ack, nack, lease; and the sender taking a message back.

use ekho_storage::StorageError;
use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::delivery::{self, DeliveryState};

use super::apply::Apply;
use super::command::{Nack, Poll};
use super::delivery::Slot;
use super::outcome::{HandedOut, Outcome};

/// Ready rows one poll looks at, so that a filter that matches nothing costs a bounded time.
const SCAN_LIMIT: usize = 10_000;
/// Ready rows read at once where a filter may pass over many.
const PAGE: usize = 100;

/// Hands out messages in accepted order.
pub(crate) fn poll(
    apply: &mut Apply<'_>,
    agent: &Agent,
    poll: &Poll,
) -> Result<Outcome, StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    if let Some(after) = poll.resume_after {
        resume(apply, agent, after)?;
    }
    let now = apply.now();
    let limit = poll.limit as usize;
    let queue = delivery::queue(apply.txn, fleet, no)?;
    let mut messages = Vec::new();
    let mut next = queue.head;
    let mut looked_at = 0;
    let mut passed_over = None;
    let page = if poll.types.is_empty() { limit } else { PAGE };
    while messages.len() < limit && looked_at < SCAN_LIMIT {
        let rows = delivery::ready(apply.txn, fleet, no, next, page)?;
        let last_page = rows.len() < page;
        for (seq, message_type) in rows {
            if messages.len() == limit {
                break;
            }
            next = seq + 1;
            looked_at += 1;
            if !poll.types.is_empty() && !poll.types.contains(&message_type) {
                passed_over.get_or_insert(seq);
                continue;
            }
            let Some(mut slot) = Slot::get(apply, fleet, no, seq)? else {
                continue;
            };
            if slot.delivery.deadline_ms <= now {
                // Its tick is on the way; a message past its deadline is never handed out.
                passed_over.get_or_insert(seq);
                continue;
            }
            delivery::delete_ready(apply.txn, fleet, no, seq);
            slot.hand_out(apply)?;
            messages.push(HandedOut {
                seq,
                message: slot.delivery.message,
                attempt: slot.delivery.attempts,
            });
        }
        if last_page {
            break;
        }
    }
    if is_broken(Break::Reorder) {
        messages.reverse();
    }
    let mut queue = delivery::queue(apply.txn, fleet, no)?;
    queue.ready = queue.ready.saturating_sub(messages.len() as u64);
    queue.head = passed_over.unwrap_or(next);
    delivery::put_queue(apply.txn, fleet, no, &queue);
    Ok(Outcome::Polled { messages })
}

/// Makes ready again what a broken stream may have lost.
fn resume(apply: &mut Apply<'_>, agent: &Agent, after: u64) -> Result<(), StorageError> {
    let rows = delivery::list(
        apply.txn,
        agent.fleet,
        agent.no,
        after.saturating_add(1),
        SCAN_LIMIT,
    )?;
    for (seq, delivery) in rows {
        if delivery.state == DeliveryState::Delivered && delivery.deadline_ms > apply.now() {
            Slot {
                fleet: agent.fleet,
                agent: agent.no,
                seq,
                delivery,
            }
            .make_ready(apply)?;
        }
    }
    Ok(())
}

/// Acknowledges messages; counts those that were open.
///
/// A message that was handed out counts as open also while it waits to be handed out again: the
/// agent had it and says so, only late.
pub(crate) fn ack(
    apply: &mut Apply<'_>,
    agent: &Agent,
    messages: &[u128],
) -> Result<Outcome, StorageError> {
    let mut updated = 0;
    for message in messages {
        if let Some(mut slot) = Slot::of(apply, agent.fleet, *message, agent.no)?
            && !slot.delivery.state.ended()
            && slot.delivery.attempts > 0
        {
            let is_dropped = is_broken(Break::RedeliverAcked) && slot.delivery.attempts == 1;
            if !is_dropped || !message.is_multiple_of(8) {
                slot.ack(apply)?;
            }
            updated += 1;
        }
    }
    if is_broken(Break::MiscountAcks) {
        updated += 1;
    }
    Ok(Outcome::Updated(updated))
}

/// Gives messages back; counts those that were out.
pub(crate) fn nack(
    apply: &mut Apply<'_>,
    agent: &Agent,
    nacks: &[Nack],
) -> Result<Outcome, StorageError> {
    let mut updated = 0;
    for nack in nacks {
        if let Some(mut slot) = out(apply, agent, nack.message)? {
            slot.put_back(
                apply,
                nack.reason.as_deref().unwrap_or("nack"),
                nack.delay_ms,
            )?;
            updated += 1;
        }
    }
    Ok(Outcome::Updated(updated))
}

/// Keeps messages longer before they are handed out again.
pub(crate) fn lease(
    apply: &mut Apply<'_>,
    agent: &Agent,
    leases: &[(u128, u64)],
) -> Result<Outcome, StorageError> {
    let mut extended = Vec::new();
    for (message, extend_ms) in leases {
        if let Some(mut slot) = out(apply, agent, *message)? {
            let until_ms = apply.now().saturating_add(*extend_ms);
            extended.push((*message, slot.extend(apply, until_ms)));
        }
    }
    Ok(Outcome::Leased(extended))
}

/// The delivery of a message the agent has out now.
fn out(apply: &Apply<'_>, agent: &Agent, message: u128) -> Result<Option<Slot>, StorageError> {
    let slot = Slot::of(apply, agent.fleet, message, agent.no)?;
    Ok(slot.filter(|slot| slot.delivery.state == DeliveryState::Delivered))
}
