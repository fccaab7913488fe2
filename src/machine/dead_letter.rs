//! Dead letters: handed out once more, or thrown away, by an operator.

use ekho_storage::StorageError;
use ekho_storage::tables::agent;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter::{self, DeadLetter};
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, MessageState};

use super::access::Principal;
use super::apply::Apply;
use super::delivery::Slot;
use super::outcome::Outcome;

/// Puts dead letters back into their recipients' inboxes; counts those that could be.
///
/// They begin anew: all retries, and as much time as the message had at first. One whose
/// recipient was revoked stays what it is.
pub(crate) fn redrive(
    apply: &mut Apply<'_>,
    by: &Principal,
    numbers: &[u64],
) -> Result<Outcome, StorageError> {
    let mut redriven = 0;
    for number in numbers {
        if let Some(letter) = dead_letter::get(apply.txn, by.fleet, *number)?
            && redrive_one(apply, by, *number, &letter)?
        {
            redriven += 1;
        }
    }
    Ok(Outcome::Updated(redriven))
}

fn redrive_one(
    apply: &mut Apply<'_>,
    by: &Principal,
    number: u64,
    letter: &DeadLetter,
) -> Result<bool, StorageError> {
    let fleet = by.fleet;
    let slot = Slot::get(apply, fleet, letter.recipient, letter.seq)?;
    let Some(mut slot) = slot.filter(|slot| slot.delivery.state == DeliveryState::DeadLettered)
    else {
        return Ok(false);
    };
    let recipient = agent::get(apply.txn, fleet, letter.recipient)?;
    let Some(mut stored) = message::get(apply.txn, fleet, letter.message)? else {
        return Ok(false);
    };
    if recipient.is_none_or(|agent| agent.revoked) {
        return Ok(false);
    }
    forget(apply, by, number, letter)?;
    if stored.dead_until_ms != 0 {
        // It was over; it is open again.
        let removal = Due::Retention {
            fleet,
            message: stored.uuid,
        };
        due::delete(apply.txn, stored.dead_until_ms, &removal);
        stored.dead_until_ms = 0;
        let ended = match stored.state {
            MessageState::Cancelled => Counter::MessageCancelled,
            _ => Counter::MessageDone,
        };
        apply.count(fleet, ended, -1)?;
        apply.count(fleet, Counter::MessageOpen, 1)?;
    }
    let ttl_ms = stored.deadline_ms.saturating_sub(stored.deliver_at_ms);
    stored.deliver_at_ms = apply.now();
    stored.deadline_ms = apply.now().saturating_add(ttl_ms);
    if stored.single.is_none() {
        stored.open += 1;
    }
    if stored.state == MessageState::Done {
        stored.state = MessageState::Open;
    }
    message::put(apply.txn, fleet, &stored);
    apply.count(fleet, Counter::DeliveryDeadLettered, -1)?;
    slot.delivery.retries = 0;
    slot.delivery.ended_ms = None;
    slot.delivery.deadline_ms = stored.deadline_ms;
    slot.make_ready(apply)?;
    apply.record(
        fleet,
        EventKind::MessageRedriven,
        Actor::Operator(by.operator.id.clone()),
        Resource::Delivery(letter.message, letter.recipient),
    )?;
    Ok(true)
}

/// Throws dead letters away; counts those that were there. Their messages stay as long as any.
pub(crate) fn purge(
    apply: &mut Apply<'_>,
    by: &Principal,
    numbers: &[u64],
) -> Result<Outcome, StorageError> {
    let mut purged = 0;
    for number in numbers {
        if let Some(letter) = dead_letter::get(apply.txn, by.fleet, *number)? {
            forget(apply, by, *number, &letter)?;
            apply.record(
                by.fleet,
                EventKind::DeadLetterPurged,
                Actor::Operator(by.operator.id.clone()),
                Resource::Delivery(letter.message, letter.recipient),
            )?;
            purged += 1;
        }
    }
    Ok(Outcome::Updated(purged))
}

fn forget(
    apply: &mut Apply<'_>,
    by: &Principal,
    number: u64,
    letter: &DeadLetter,
) -> Result<(), StorageError> {
    let due = Due::DeadLetter {
        fleet: by.fleet,
        seq: number,
    };
    due::delete(apply.txn, letter.until_ms, &due);
    dead_letter::delete(apply.txn, by.fleet, number);
    apply.count(by.fleet, Counter::DeadLetters, -1)
}
