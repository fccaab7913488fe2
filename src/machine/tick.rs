//! What time does: everything in the due index, in order of its time.

use ekho_storage::StorageError;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::dead_letter;
use ekho_storage::tables::delivery::{self, DeliveryState};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::message;
use ekho_storage::tables::{
    FleetNo, control, conversation, edge, floor, idempotency, login, nonce, notice, rate, session,
    token,
};

use super::action;
use super::agent;
use super::apply::Apply;
use super::attachment;
use super::audit;
use super::delivery::Slot;
use super::edge::longest_wait_ms;
use super::license;
use super::outcome::Outcome;
use super::task;

/// Deliveries of one message removed in one step; a larger fan-out takes several.
const REMOVED_AT_ONCE: usize = 500;

/// Handles what is due, earliest first, at most `limit` entries.
pub(crate) fn tick(apply: &mut Apply<'_>, limit: u32) -> Result<Outcome, StorageError> {
    let now = apply.now();
    let entries = due::list(apply.txn, apply.system.due_low_ms, now, limit as usize)?;
    let more = entries.len() == limit as usize;
    let handled = entries.len() as u32;
    for (due_ms, entry) in &entries {
        due::delete(apply.txn, *due_ms, entry);
        handle(apply, *due_ms, entry)?;
    }
    // Entries are never made for a time before the one of the command that makes them, so
    // nothing can appear below this mark; with more to come it stays at the last one handled.
    apply.system.due_low_ms = match entries.last() {
        Some((due_ms, _)) if more => *due_ms,
        None if more => apply.system.due_low_ms,
        _ => now,
    };
    drop_nonces(apply)?;
    Ok(Outcome::Ticked { handled, more })
}

fn handle(apply: &mut Apply<'_>, due_ms: u64, entry: &Due) -> Result<(), StorageError> {
    match entry {
        Due::Delivery { fleet, agent, seq } => {
            let Some(mut slot) = Slot::get(apply, *fleet, *agent, *seq)? else {
                return Ok(());
            };
            if slot.delivery.due_ms != due_ms {
                return Ok(());
            }
            slot.delivery.due_ms = 0;
            delivery_due(apply, &mut slot)
        }
        Due::Retention { fleet, message } => remove_message(apply, due_ms, *fleet, *message),
        Due::Heartbeat { fleet, agent } => agent::judge_silence(apply, *fleet, *agent),
        Due::Hold { fleet, agent } => agent::hold_expired(apply, *fleet, *agent),
        Due::Control { fleet, agent, seq } => {
            control::delete(apply.txn, *fleet, *agent, *seq);
            Ok(())
        }
        Due::Floor {
            fleet,
            conversation,
        } => {
            let over = floor::get(apply.txn, *fleet, conversation)?
                .is_some_and(|floor| floor.expires_ms <= apply.now());
            if over {
                floor::delete(apply.txn, *fleet, conversation);
            }
            Ok(())
        }
        Due::Idempotency { fleet, agent, key } => {
            idempotency::delete(apply.txn, *fleet, *agent, key);
            Ok(())
        }
        Due::Violation {
            fleet,
            agent,
            at_ms,
            seq,
        } => {
            rate::delete_violation(apply.txn, *fleet, *agent, *at_ms, *seq);
            apply.count(*fleet, Counter::RateViolations, -1)
        }
        Due::Session { token_hash } => {
            if let Some(over) = session::get(apply.txn, token_hash)? {
                session::delete(apply.txn, token_hash, &over);
            }
            Ok(())
        }
        Due::Approval { fleet, approval } => action::approval_due(apply, *fleet, *approval),
        Due::License => license::ended(apply, due_ms),
        Due::Events { fleet } => audit::events_due(apply, *fleet),
        Due::Login(source) => {
            login::delete(apply.txn, source);
            Ok(())
        }
        Due::EnrollmentToken { token_hash } => {
            token::delete(apply.txn, token_hash);
            Ok(())
        }
        Due::DeadLetter { fleet, seq } => {
            if dead_letter::get(apply.txn, *fleet, *seq)?.is_some() {
                dead_letter::delete(apply.txn, *fleet, *seq);
                apply.count(*fleet, Counter::DeadLetters, -1)?;
            }
            Ok(())
        }
        Due::PairRate {
            fleet,
            policy,
            sender,
            recipient,
        } => {
            let pair = rate::Pair {
                fleet: *fleet,
                policy,
                sender: *sender,
                recipient: *recipient,
            };
            // A later window that was begun has an entry of its own.
            if rate::pair(apply.txn, &pair)?.start_ms < due_ms {
                rate::delete_pair(apply.txn, &pair);
            }
            Ok(())
        }
        Due::Task { fleet, task } => task::due(apply, due_ms, *fleet, *task),
        Due::Attachment { fleet, attachment } => {
            attachment::expired(apply, due_ms, *fleet, *attachment)
        }
        Due::Notice {
            fleet,
            agent,
            conversation,
        } => {
            notice::delete(apply.txn, *fleet, *agent, conversation);
            Ok(())
        }
    }
}

fn delivery_due(apply: &mut Apply<'_>, slot: &mut Slot) -> Result<(), StorageError> {
    if slot.delivery.state.ended() {
        return Ok(());
    }
    if slot.delivery.deadline_ms <= apply.now() {
        return slot.expire(apply);
    }
    match slot.delivery.state {
        DeliveryState::Delivered => slot.put_back(apply, "timeout", None),
        DeliveryState::Waiting => slot.make_ready(apply),
        _ => Ok(()),
    }
}

/// Removes a message whose retention is over, with everything that hangs on it.
fn remove_message(
    apply: &mut Apply<'_>,
    due_ms: u64,
    fleet: FleetNo,
    uuid: u128,
) -> Result<(), StorageError> {
    let Some(stored) = message::get(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    match stored.single {
        Some((agent, seq)) => delivery::delete(apply.txn, fleet, agent, seq),
        None => {
            let places = delivery::fan_out_list(apply.txn, fleet, uuid, 0, REMOVED_AT_ONCE)?;
            for (agent, seq) in &places {
                delivery::delete(apply.txn, fleet, *agent, *seq);
                delivery::delete_fan_out(apply.txn, fleet, uuid, *agent);
            }
            if places.len() == REMOVED_AT_ONCE {
                go_on_later(apply, due_ms, fleet, uuid);
                return Ok(());
            }
        }
    }
    let conversation = &stored.conversation_id;
    let newest = conversation::messages_rev(apply.txn, fleet, conversation, u64::MAX, 2)?;
    if newest.iter().all(|(seq, _)| *seq == stored.seq) {
        let removed =
            conversation::delete_participants(apply.txn, fleet, conversation, REMOVED_AT_ONCE)?;
        if removed == REMOVED_AT_ONCE {
            go_on_later(apply, due_ms, fleet, uuid);
            return Ok(());
        }
    }
    attachment::unbind(apply, fleet, uuid)?;
    message::delete(apply.txn, fleet, uuid);
    conversation::delete_message(apply.txn, fleet, conversation, stored.seq);
    Ok(())
}

/// Leaves the rest of a message's removal to a step of its own.
fn go_on_later(apply: &mut Apply<'_>, due_ms: u64, fleet: FleetNo, message: u128) {
    let rest = Due::Retention { fleet, message };
    due::put(apply.txn, due_ms.max(apply.now()) + 1, &rest);
}

/// Drops nonce buckets nobody can need any more, as whole ranges.
fn drop_nonces(apply: &mut Apply<'_>) -> Result<(), StorageError> {
    let skew_ms = apply.settings.timestamp_skew_ms;
    let mut memory_ms = apply.system.nonce_memory_ms(skew_ms);
    if edge::is_used(apply.txn)? {
        // What comes from the edge was signed as long ago as it may have waited there.
        memory_ms += longest_wait_ms(apply.settings);
    }
    let needed_since_ms = apply.now().saturating_sub(memory_ms);
    let floor = nonce::bucket(needed_since_ms);
    if floor > apply.system.nonce_floor_bucket {
        nonce::drop_buckets(apply.txn, apply.system.nonce_floor_bucket, floor);
        apply.system.nonce_floor_bucket = floor;
    }
    Ok(())
}
