//! Accepted messages that are taken back, or sent on to somebody else.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::approval::ApprovalStatus;
use ekho_storage::tables::delivery::{self, DeliveryState};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, Message, MessageState};
use ekho_storage::tables::{AgentNo, FleetNo, conversation};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::delivery::{Slot, close_approval, make};
use super::outcome::{Outcome, Refusal};
use super::policy;
use super::task;

/// Deliveries sent on by one command.
pub const REDIRECTED_AT_ONCE: usize = 100;

/// Its sender takes a message back.
pub(crate) fn cancel(
    apply: &mut Apply<'_>,
    agent: &Agent,
    uuid: u128,
) -> Result<Outcome, StorageError> {
    let stored = message::get(apply.txn, agent.fleet, uuid)?;
    match stored.filter(|message| message.sender == agent.no) {
        Some(message) => take_back(apply, agent.fleet, message, Actor::Agent(agent.no)),
        None => Ok(Outcome::Refused(Refusal::NotFound)),
    }
}

/// An operator takes a message back.
pub(crate) fn cancel_for_operator(
    apply: &mut Apply<'_>,
    by: &Principal,
    uuid: u128,
) -> Result<Outcome, StorageError> {
    match message::get(apply.txn, by.fleet, uuid)? {
        Some(message) => {
            let actor = Actor::Operator(by.operator.id.clone());
            take_back(apply, by.fleet, message, actor)
        }
        None => Ok(Outcome::Refused(Refusal::NotFound)),
    }
}

/// Where a message went: recipients and places in their inboxes.
fn places(
    apply: &Apply<'_>,
    fleet: FleetNo,
    message: &Message,
) -> Result<Vec<(AgentNo, u64)>, StorageError> {
    match message.single {
        Some(place) => Ok(vec![place]),
        None => {
            let most = message.delivery_count as usize;
            delivery::fan_out_list(apply.txn, fleet, message.uuid, 0, most)
        }
    }
}

/// Takes a message back where it has not been handed out yet. What was handed out stays.
fn take_back(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    mut stored: Message,
    actor: Actor,
) -> Result<Outcome, StorageError> {
    let mut slots = Vec::new();
    for (recipient, seq) in places(apply, fleet, &stored)? {
        if let Some(slot) = Slot::get(apply, fleet, recipient, seq)?
            && is_queued(&slot)
            && slot.delivery.attempts == 0
        {
            slots.push(slot);
        }
    }
    if slots.is_empty() {
        let why = "the message was handed out already or has ended";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    if stored.state == MessageState::PendingApproval {
        close_approval(apply, fleet, &stored, ApprovalStatus::Cancelled)?;
    }
    stored.state = MessageState::Cancelled;
    message::put(apply.txn, fleet, &stored);
    let cancelled = slots.len() as u64;
    for mut slot in slots {
        slot.cancel(apply, actor.clone())?;
    }
    Ok(Outcome::Updated(cancelled))
}

fn is_queued(slot: &Slot) -> bool {
    matches!(
        slot.delivery.state,
        DeliveryState::Ready | DeliveryState::Waiting
    )
}

/// Sends what waits for one agent on to another; counts the deliveries that were. Those that a
/// policy keeps from the other agent, or that it sent itself, stay where they are.
pub(crate) fn redirect(
    apply: &mut Apply<'_>,
    by: &Principal,
    from_id: &str,
    to_id: &str,
    seqs: &[u64],
    reason: &str,
) -> Result<Outcome, StorageError> {
    let fleet = by.fleet;
    let found = ekho_storage::tables::agent::by_id(apply.txn, from_id)?;
    let Some(from) = found.filter(|agent| agent.fleet == fleet) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let to = apply.live_agent(fleet, to_id)?;
    let Some(to) = to.filter(|to| to.no != from.no) else {
        return Ok(Outcome::Refused(Refusal::UnknownRecipient));
    };
    let mut redirected = 0;
    for seq in seqs.iter().take(REDIRECTED_AT_ONCE) {
        if let Some(slot) = Slot::get(apply, fleet, from.no, *seq)?
            && redirect_one(apply, by, slot, &to, reason)?
        {
            redirected += 1;
        }
    }
    Ok(Outcome::Updated(redirected))
}

fn redirect_one(
    apply: &mut Apply<'_>,
    by: &Principal,
    mut slot: Slot,
    to: &Agent,
    reason: &str,
) -> Result<bool, StorageError> {
    let (fleet, from, uuid) = (slot.fleet, slot.agent, slot.delivery.message);
    let Some(mut stored) = message::get(apply.txn, fleet, uuid)? else {
        return Ok(false);
    };
    let denied = policy::denies(apply, fleet, &stored, to)?;
    if !is_queued(&slot) || stored.sender == to.no || denied {
        return Ok(false);
    }
    let actor = Actor::Operator(by.operator.id.clone());
    let has_it =
        stored.single.is_none() && delivery::fan_out(apply.txn, fleet, uuid, to.no)?.is_some();
    if has_it {
        slot.cancel(apply, actor.clone())?;
    } else {
        slot.remove(apply)?;
        let held = stored.state == MessageState::PendingApproval;
        let place = make(apply, fleet, to.no, &stored, held)?;
        if stored.single.is_some() {
            stored.single = Some((to.no, place));
            message::put(apply.txn, fleet, &stored);
        } else {
            delivery::delete_fan_out(apply.txn, fleet, uuid, from);
            delivery::put_fan_out(apply.txn, fleet, uuid, to.no, place);
        }
        conversation::put_participant(apply.txn, fleet, &stored.conversation_id, to.no)?;
    }
    if stored.message_type == task::MESSAGE_TYPE {
        task::redirected(apply, fleet, uuid, to.no)?;
    }
    let from_id = ekho_storage::tables::agent::get(apply.txn, fleet, from)?
        .map(|agent| agent.id)
        .unwrap_or_default();
    apply.record_with(
        fleet,
        EventKind::MessageRedirected,
        actor,
        Resource::Delivery(uuid, to.no),
        None,
        payload(&[("from", &from_id), ("to", &to.id), ("reason", reason)]),
    )?;
    Ok(true)
}
