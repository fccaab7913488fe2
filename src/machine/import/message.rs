//! Messages of another relay: what waited there goes on waiting here, what was given up there is a
//! dead letter here.

use ekho_storage::StorageError;
use ekho_storage::tables::agent;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::message;
use ekho_storage::tables::{AgentNo, FleetNo};

use super::row::{ImportDelivery, ImportMessage};
use super::task::adopt;
use super::{may_receive, refused};
use crate::machine::apply::Apply;
use crate::machine::delivery::Slot;
use crate::machine::outcome::RowOutcome;
use crate::machine::policy::Permitted;
use crate::machine::send::{Author, accept, repeated};
use crate::machine::task::message_ended;

/// Why a delivery was given up, and after how many retries.
type GivenUp = Option<(String, u32)>;

pub(super) fn take(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    row: ImportMessage,
) -> Result<RowOutcome, StorageError> {
    let uuid = row.message.uuid;
    if message::get(apply.txn, fleet, uuid)?.is_some() {
        return Ok(RowOutcome::Exists);
    }
    let sender = agent::by_id(apply.txn, &row.sender_id)?.filter(|agent| agent.fleet == fleet);
    let Some(sender) = sender else {
        return refused("its sender is not here");
    };
    let mut new = row.message;
    // It outlives the message where that is removed before its time is over.
    new.idempotency = Some((format!("import:{uuid:032x}"), [0; 32]));
    let author = Author::Agent(&sender);
    if repeated(apply, author, &new)?.is_some() {
        return Ok(RowOutcome::Exists);
    }
    let is_over = row.deadline_ms <= apply.now();
    let places = recipients(apply, fleet, row.deliveries, is_over)?;
    if places.is_empty() {
        let why = match is_over {
            true => {
                message_ended(apply, fleet, uuid, DeliveryState::Expired, None)?;
                "its time is over"
            }
            false => "none of its recipients is here",
        };
        return refused(why);
    }
    if places.len() as u64 > apply.settings.max_fan_out {
        return refused("it goes to more agents than a message may");
    }
    let waits = places.iter().any(|(_, given_up)| given_up.is_none());
    if waits {
        new.ttl_ms = row.deadline_ms.saturating_sub(apply.now());
    } else {
        new.requires_approval = false;
    }
    let numbers: Vec<AgentNo> = places.iter().map(|(no, _)| *no).collect();
    accept(apply, author, new, &[], Permitted::all(numbers.clone()))?;
    if let Some(mut stored) = message::get(apply.txn, fleet, uuid)? {
        stored.created_ms = row.created_ms.min(apply.now());
        message::put(apply.txn, fleet, &stored);
    }
    if let Some(task) = row.task {
        adopt(
            apply,
            fleet,
            task,
            (uuid, row.created_ms),
            (sender.no, &numbers),
        )?;
    }
    for (no, given_up) in places {
        if let Some((why, retries)) = given_up
            && let Some(mut slot) = Slot::of(apply, fleet, uuid, no)?
        {
            slot.delivery.retries = retries;
            slot.dead_letter(apply, &why)?;
        }
    }
    Ok(RowOutcome::Imported)
}

/// Who of the recipients is here, each once, in the order of their numbers. Where the message's
/// time is over, only those who were given up.
fn recipients(
    apply: &Apply<'_>,
    fleet: FleetNo,
    deliveries: Vec<ImportDelivery>,
    is_over: bool,
) -> Result<Vec<(AgentNo, GivenUp)>, StorageError> {
    let mut places = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        if is_over && delivery.given_up.is_none() {
            continue;
        }
        let recipient = apply.live_agent(fleet, &delivery.agent_id)?;
        if let Some(recipient) = recipient.filter(may_receive) {
            places.push((recipient.no, delivery.given_up));
        }
    }
    places.sort_by_key(|(no, _)| *no);
    places.dedup_by_key(|(no, _)| *no);
    Ok(places)
}
