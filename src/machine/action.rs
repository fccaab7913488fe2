//! Actions an agent proposes, and what operators and the agent make of them.

use ekho_storage::StorageError;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus, Risk};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, MessageState};

use super::agent::put_control;
use super::apply::{Apply, payload};
use super::command::{ActionResult, Propose};
use super::delivery::Slot;
use super::outcome::{Decision, HeldStatus, Outcome, Refusal};

/// Decides a proposal at once, or leaves it to an operator.
pub(crate) fn propose(
    apply: &mut Apply<'_>,
    agent: &Agent,
    propose: Propose,
) -> Result<Outcome, StorageError> {
    if HeldStatus::of(apply.status(agent)?).is_some() {
        return Ok(Outcome::Proposed(Decision::Deny));
    }
    if propose.risk < Risk::High {
        return Ok(Outcome::Proposed(Decision::Allow));
    }
    let resource = Resource::Approval(propose.uuid);
    let conversation = Some(propose.conversation_id.clone());
    let approval = Approval {
        uuid: propose.uuid,
        agent: agent.no,
        conversation_id: propose.conversation_id,
        action_type: propose.action_type,
        summary: propose.summary,
        risk: propose.risk,
        payload: propose.payload,
        status: ApprovalStatus::Pending,
        message: None,
        requested_ms: apply.now(),
        resolved_ms: None,
        resolved_by: None,
        output: None,
    };
    approval::put(apply.txn, agent.fleet, &approval);
    apply.count(agent.fleet, Counter::ApprovalsPending, 1)?;
    let actor = Actor::Agent(agent.no);
    apply.record_with(
        agent.fleet,
        EventKind::ApprovalRequested,
        actor,
        resource,
        conversation,
        String::new(),
    )?;
    Ok(Outcome::Proposed(Decision::PendingApproval))
}

/// The agent reports what came of an approved action.
pub(crate) fn result(
    apply: &mut Apply<'_>,
    agent: &Agent,
    uuid: u128,
    result: ActionResult,
    output: Option<String>,
) -> Result<Outcome, StorageError> {
    let stored = approval::get(apply.txn, agent.fleet, uuid)?;
    let Some(mut approval) =
        stored.filter(|approval| approval.agent == agent.no && approval.message.is_none())
    else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    // An agent may give up an action nobody decided yet; it may not have done it.
    let allowed = match approval.status {
        ApprovalStatus::Approved => true,
        ApprovalStatus::Pending => result == ActionResult::Cancelled,
        _ => false,
    };
    if !allowed {
        let why = format!("the action is {}", approval.status.as_str());
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    if approval.status == ApprovalStatus::Pending {
        apply.count(agent.fleet, Counter::ApprovalsPending, -1)?;
    }
    approval.status = match result {
        ActionResult::Executed => ApprovalStatus::Executed,
        ActionResult::Cancelled => ApprovalStatus::Cancelled,
        ActionResult::Failed => ApprovalStatus::Failed,
    };
    approval.resolved_ms.get_or_insert(apply.now());
    approval.output = output;
    approval::put(apply.txn, agent.fleet, &approval);
    apply.record_with(
        agent.fleet,
        EventKind::ApprovalResult,
        Actor::Agent(agent.no),
        Resource::Approval(uuid),
        Some(approval.conversation_id.clone()),
        payload(&[("result", approval.status.as_str())]),
    )?;
    Ok(Outcome::Done)
}

/// An operator decides. A message that waited is released or taken back in the same step.
pub(crate) fn decide(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    uuid: u128,
    approve: bool,
    reason: Option<String>,
) -> Result<Outcome, StorageError> {
    let Some(mut approval) = approval::get(apply.txn, fleet, uuid)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if approval.status != ApprovalStatus::Pending {
        let why = format!("the approval is {}", approval.status.as_str());
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    let (status, event, action) = if approve {
        (
            ApprovalStatus::Approved,
            EventKind::ApprovalApproved,
            "approval.approved",
        )
    } else {
        (
            ApprovalStatus::Rejected,
            EventKind::ApprovalRejected,
            "approval.rejected",
        )
    };
    approval.status = status;
    approval.resolved_ms = Some(apply.now());
    approval.resolved_by = Some(operator_id.into());
    approval::put(apply.txn, fleet, &approval);
    apply.count(fleet, Counter::ApprovalsPending, -1)?;
    let reason = reason.unwrap_or_default();
    apply.record_with(
        fleet,
        event,
        Actor::Operator(operator_id.into()),
        Resource::Approval(uuid),
        Some(approval.conversation_id.clone()),
        payload(&[("reason", &reason)]),
    )?;
    if let Some(uuid) = approval.message {
        release(apply, fleet, operator_id, uuid, approve)?;
    } else {
        put_control(apply, fleet, approval.agent, action, &reason, None)?;
    }
    Ok(Outcome::Done)
}

/// Releases or takes back a message that waited for a decision.
fn release(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    uuid: u128,
    approve: bool,
) -> Result<(), StorageError> {
    let Some(mut stored) = message::get(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    stored.state = if approve {
        MessageState::Open
    } else {
        MessageState::Rejected
    };
    message::put(apply.txn, fleet, &stored);
    let places = match stored.single {
        Some(place) => vec![place],
        None => delivery::fan_out_list(apply.txn, fleet, uuid, 0, stored.delivery_count as usize)?,
    };
    for (agent, seq) in places {
        let Some(mut slot) = Slot::get(apply, fleet, agent, seq)? else {
            continue;
        };
        if slot.delivery.state.ended() {
            continue;
        }
        if !approve {
            slot.cancel(apply, Actor::Operator(operator_id.into()))?;
        } else if stored.deliver_at_ms > apply.now() {
            slot.wait_until(apply, stored.deliver_at_ms);
        } else {
            slot.make_ready(apply)?;
        }
    }
    Ok(())
}
