//! Actions an agent proposes, and what operators and the agent make of them.

use ekho_storage::StorageError;
use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus};
use ekho_storage::tables::control::Control;
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::delivery;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, MessageState};

use super::agent::put_control;
use super::apply::{Apply, payload};
use super::command::{ActionResult, Propose};
use super::delivery::Slot;
use super::outcome::{Decision, HeldStatus, Outcome, Refusal};

/// Proposed actions of a fleet that wait at the same time.
pub(crate) const PENDING_MAX: u64 = 10_000;

/// Decides a proposal at once, or leaves it to an operator.
pub(crate) fn propose(
    apply: &mut Apply<'_>,
    agent: &Agent,
    propose: Propose,
) -> Result<Outcome, StorageError> {
    if HeldStatus::of(apply.status(agent)?).is_some() {
        return Ok(Outcome::Proposed(Decision::Deny));
    }
    if !apply.settings.approval_risks.contains(&propose.risk) {
        return Ok(Outcome::Proposed(Decision::Allow));
    }
    if counter::get(apply.txn, agent.fleet, Counter::ApprovalsPending)? >= PENDING_MAX {
        return Ok(Outcome::Refused(Refusal::LimitReached {
            limit: PENDING_MAX,
        }));
    }
    let resource = Resource::Approval(propose.uuid);
    let expires_ms = apply.now() + apply.settings.approval_ttl_ms;
    due::put(
        apply.txn,
        expires_ms,
        &Due::Approval {
            fleet: agent.fleet,
            approval: propose.uuid,
        },
    );
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
        reason: None,
        expires_ms: Some(expires_ms),
        first_yes: None,
        removed_ms: 0,
    };
    ask(apply, agent.fleet, &approval)?;
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

/// Writes an approval that waits from now on.
pub(crate) fn ask(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    approval: &Approval,
) -> Result<(), StorageError> {
    if approval::put(apply.txn, fleet, approval)? {
        apply.count(fleet, Counter::Approvals, 1)?;
        apply.count(fleet, Counter::ApprovalsPending, 1)?;
    }
    Ok(())
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
        resolve(apply, agent.fleet, &mut approval)?;
    }
    approval.status = match result {
        ActionResult::Executed => ApprovalStatus::Executed,
        ActionResult::Cancelled => ApprovalStatus::Cancelled,
        ActionResult::Failed => ApprovalStatus::Failed,
    };
    approval.output = output;
    approval::put(apply.txn, agent.fleet, &approval)?;
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

/// Ends the waiting of an approval that is pending, and sets when it is removed: it is kept as
/// long as the events about it. The caller writes it.
pub(crate) fn resolve(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    approval: &mut Approval,
) -> Result<(), StorageError> {
    let due = Due::Approval {
        fleet,
        approval: approval.uuid,
    };
    if let Some(expires_ms) = approval.expires_ms {
        due::delete(apply.txn, expires_ms, &due);
    }
    approval.resolved_ms = Some(apply.now());
    approval.removed_ms = apply.now() + apply.settings.event_retention_ms;
    due::put(apply.txn, approval.removed_ms, &due);
    apply.count(fleet, Counter::ApprovalsPending, -1)
}

/// Nobody decided about an action in time, or a decided one has been kept long enough.
pub(crate) fn approval_due(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    uuid: u128,
) -> Result<(), StorageError> {
    let Some(mut approval) = approval::get(apply.txn, fleet, uuid)? else {
        return Ok(());
    };
    if approval.status != ApprovalStatus::Pending {
        approval::delete(apply.txn, fleet, &approval);
        return apply.count(fleet, Counter::Approvals, -1);
    }
    resolve(apply, fleet, &mut approval)?;
    approval.status = ApprovalStatus::Expired;
    approval::put(apply.txn, fleet, &approval)?;
    apply.record_with(
        fleet,
        EventKind::ApprovalExpired,
        Actor::System,
        Resource::Approval(uuid),
        Some(approval.conversation_id.clone()),
        String::new(),
    )?;
    tell(
        apply,
        fleet,
        &approval,
        "approval.expired",
        "nobody decided in time",
    )
}

/// Tells the agent that asked.
fn tell(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    approval: &Approval,
    action: &str,
    reason: &str,
) -> Result<(), StorageError> {
    let mut control = Control::new(action, reason, None);
    control.approval = Some(approval.uuid);
    put_control(apply, fleet, approval.agent, control)
}

/// An operator decides. Where two must say yes, the first one leaves it pending. A message that waited is released or taken back in the same step.
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
    if is_broken(Break::DecideTwice) && approval.status != ApprovalStatus::Pending {
        return Ok(Outcome::Decided(approval.status));
    }
    if approval.status != ApprovalStatus::Pending || is_broken(Break::DecideNever) {
        let why = format!("the approval is {}", approval.status.as_str());
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    let two_must_agree = apply
        .settings
        .approval_two_person_risks
        .contains(&approval.risk);
    if approve && two_must_agree {
        match &approval.first_yes {
            None => return first_yes(apply, fleet, operator_id, approval, reason),
            Some(first) if first == operator_id => {
                let why = "you approved it already; somebody else must, too";
                return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
            }
            Some(_) => {}
        }
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
    resolve(apply, fleet, &mut approval)?;
    approval.status = status;
    approval.resolved_by = Some(operator_id.into());
    approval.reason = reason.clone();
    approval::put(apply.txn, fleet, &approval)?;
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
        tell(apply, fleet, &approval, action, &reason)?;
    }
    Ok(Outcome::Decided(status))
}

/// Notes the first of two who must say yes.
fn first_yes(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    mut approval: Approval,
    reason: Option<String>,
) -> Result<Outcome, StorageError> {
    approval.first_yes = Some(operator_id.into());
    approval::put(apply.txn, fleet, &approval)?;
    apply.record_with(
        fleet,
        EventKind::ApprovalFirstApproved,
        Actor::Operator(operator_id.into()),
        Resource::Approval(approval.uuid),
        Some(approval.conversation_id.clone()),
        payload(&[("reason", &reason.unwrap_or_default())]),
    )?;
    Ok(Outcome::Decided(ApprovalStatus::Pending))
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
