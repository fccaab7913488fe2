//! Agents: enrolment, heartbeats, holds, keys.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{
    self, Agent, AgentLive, AutoHold, Credential, Hold, HoldKind, IdentityKey,
};
use ekho_storage::tables::control::{self, Control};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, fleet, imported_secret, token};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::Enroll;
use super::keys;
use super::outcome::{Outcome, Refusal};

/// Admits an agent for a token, which is used up in the same step.
pub(crate) fn enroll(apply: &mut Apply<'_>, enroll: Enroll) -> Result<Outcome, StorageError> {
    let invalid = Ok(Outcome::Refused(Refusal::InvalidToken));
    let Some(found) = token::get(apply.txn, &enroll.token_hash)? else {
        return invalid;
    };
    let Some(fleet) = fleet::by_id(apply.txn, &enroll.fleet_id)? else {
        return invalid;
    };
    if fleet.archived_ms.is_some() || found.fleet != fleet.no || found.expires_ms <= apply.now() {
        return invalid;
    }
    let limit = apply.settings.max_agents;
    if sequence::last(apply.txn, fleet.no, Sequence::Agent)? >= limit {
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    if let Some((key_id, _)) = &enroll.identity_key
        && let Some(refusal) = keys::unusable(apply, fleet.no, key_id)?
    {
        return Ok(Outcome::Refused(refusal));
    }
    token::delete(apply.txn, &enroll.token_hash);
    let token_due = Due::EnrollmentToken {
        token_hash: enroll.token_hash,
    };
    due::delete(apply.txn, found.expires_ms, &token_due);
    let no = sequence::next(apply.txn, fleet.no, Sequence::Agent)? as AgentNo;
    let agent = Agent {
        fleet: fleet.no,
        no,
        id: enroll.agent_id,
        display_name: enroll.display_name,
        runtime: enroll.runtime,
        hostname: enroll.hostname,
        capabilities: enroll.capabilities,
        labels: Vec::new(),
        created_ms: apply.now(),
        credentials: vec![Credential {
            id: 1,
            sealed_secret: enroll.sealed_secret,
            valid_until_ms: None,
        }],
        identity_key: enroll
            .identity_key
            .map(|(key_id, public_key)| IdentityKey { key_id, public_key }),
        hold: None,
        auto_hold: None,
        revoked: false,
    };
    apply.put_agent(&agent, &AgentLive::default())?;
    if let Some(key) = &agent.identity_key {
        keys::remember(apply, fleet.no, no, key)?;
    }
    apply.record(
        fleet.no,
        EventKind::AgentEnrolled,
        Actor::Operator(found.created_by),
        Resource::Agent(no),
    )?;
    Ok(Outcome::Enrolled {
        heartbeat_interval_ms: apply.settings.heartbeat_interval_ms,
        poll_interval_ms: apply.settings.poll_interval_ms,
    })
}

/// A heartbeat that changes what the fleet sees of an agent.
pub(crate) fn heartbeat(
    apply: &mut Apply<'_>,
    agent: Agent,
    status: String,
) -> Result<Outcome, StorageError> {
    let live = agent::live(apply.txn, agent.fleet, agent.no)?;
    let changed = live.reported != status;
    seen(apply, agent, live, apply.now(), Some(status.clone())).and_then(|(fleet, no)| {
        if changed {
            let payload = payload(&[("status", &status)]);
            apply.record_with(
                fleet,
                EventKind::AgentHeartbeat,
                Actor::Agent(no),
                Resource::Agent(no),
                None,
                payload,
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Heartbeat)
}

/// Heartbeats that changed nothing but the time, collected by the leader.
pub(crate) fn heartbeats_seen(
    apply: &mut Apply<'_>,
    list: &[(FleetNo, AgentNo, TimeMs)],
) -> Result<Outcome, StorageError> {
    for (fleet, no, at_ms) in list {
        if let Some(agent) = agent::get(apply.txn, *fleet, *no)?.filter(|agent| !agent.revoked) {
            let live = agent::live(apply.txn, *fleet, *no)?;
            seen(apply, agent, live, *at_ms, None)?;
        }
    }
    Ok(Outcome::Done)
}

fn seen(
    apply: &mut Apply<'_>,
    mut agent: Agent,
    mut live: AgentLive,
    at_ms: TimeMs,
    status: Option<String>,
) -> Result<(FleetNo, AgentNo), StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    live.last_seen_ms = live.last_seen_ms.max(at_ms.min(apply.now()));
    if let Some(status) = status {
        live.degraded = status == "degraded";
        live.reported = status;
    }
    if agent.auto_hold == Some(AutoHold::HeartbeatTimeout) {
        agent.auto_hold = None;
        apply.record(
            fleet,
            EventKind::AgentAutoUnquarantined,
            Actor::System,
            Resource::Agent(no),
        )?;
    }
    if live.due_ms == 0 {
        watch(apply, fleet, no, &mut live);
    }
    apply.put_agent(&agent, &live)?;
    Ok((fleet, no))
}

/// Sets the time at which an agent's silence is judged, a full timeout from now.
fn watch(apply: &mut Apply<'_>, fleet: FleetNo, no: AgentNo, live: &mut AgentLive) {
    live.due_ms = apply.now() + silence_ms(apply);
    due::put(apply.txn, live.due_ms, &Due::Heartbeat { fleet, agent: no });
}

fn silence_ms(apply: &Apply<'_>) -> u64 {
    apply
        .settings
        .heartbeat_timeout_ms
        .saturating_mul(apply.settings.heartbeat_threshold)
        .max(1)
}

/// Judges an agent's silence when its time has come.
pub(crate) fn judge_silence(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    no: AgentNo,
) -> Result<(), StorageError> {
    let Some(mut agent) = agent::get(apply.txn, fleet, no)? else {
        return Ok(());
    };
    let mut live = agent::live(apply.txn, fleet, no)?;
    live.due_ms = 0;
    // A new leader has not heard what the old one had not passed on yet.
    let heard_ms = live.last_seen_ms.max(apply.system.leader_since_ms);
    let deadline_ms = heard_ms + silence_ms(apply);
    if agent.revoked || agent.auto_hold.is_some() {
        return apply.put_agent(&agent, &live);
    }
    if deadline_ms > apply.now() {
        live.due_ms = deadline_ms;
        due::put(apply.txn, deadline_ms, &Due::Heartbeat { fleet, agent: no });
        return apply.put_agent(&agent, &live);
    }
    apply.put_agent(&agent, &live)?;
    auto_quarantine(apply, &mut agent, AutoHold::HeartbeatTimeout)
}

/// Quarantines an agent without an operator.
pub(crate) fn auto_quarantine(
    apply: &mut Apply<'_>,
    agent: &mut Agent,
    why: AutoHold,
) -> Result<(), StorageError> {
    let live = agent::live(apply.txn, agent.fleet, agent.no)?;
    agent.auto_hold = Some(why);
    apply.put_agent(agent, &live)?;
    apply.record_with(
        agent.fleet,
        EventKind::AgentAutoQuarantined,
        Actor::System,
        Resource::Agent(agent.no),
        None,
        payload(&[("reason", why.as_str())]),
    )
}

/// Sets what operators call an agent, in place of what they called it before.
pub(crate) fn label(
    apply: &mut Apply<'_>,
    by: &Principal,
    agent_id: &str,
    mut labels: Vec<String>,
) -> Result<Outcome, StorageError> {
    let Some(mut agent) = apply.live_agent(by.fleet, agent_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    labels.sort_unstable();
    labels.dedup();
    if agent.labels == labels {
        return Ok(Outcome::Done);
    }
    let payload = serde_json::json!({ "before": agent.labels, "after": labels }).to_string();
    agent.labels = labels;
    let live = agent::live(apply.txn, agent.fleet, agent.no)?;
    apply.put_agent(&agent, &live)?;
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Agent(agent.no);
    apply.record_with(
        by.fleet,
        EventKind::AgentLabelled,
        actor,
        resource,
        None,
        payload,
    )?;
    Ok(Outcome::Done)
}

/// What an operator decided about an agent.
pub(crate) struct HoldOrder {
    pub kind: HoldKind,
    pub reason: String,
    pub expires_ms: Option<TimeMs>,
    pub redirect_agent_id: Option<String>,
}

/// Pauses or quarantines an agent.
pub(crate) fn hold(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    agent_id: &str,
    order: HoldOrder,
) -> Result<Outcome, StorageError> {
    let Some(mut agent) = apply.live_agent(fleet, agent_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let redirect_to = match &order.redirect_agent_id {
        Some(id) => match apply.live_agent(fleet, id)? {
            Some(target) if target.no != agent.no => Some(target.no),
            _ => return Ok(Outcome::Refused(Refusal::UnknownRecipient)),
        },
        None => None,
    };
    let live = agent::live(apply.txn, fleet, agent.no)?;
    forget_hold(apply, &agent);
    // Nothing may become due before now; see the tick.
    let expires_ms = order.expires_ms.map(|at| at.max(apply.now()));
    if let Some(expires_ms) = expires_ms {
        due::put(
            apply.txn,
            expires_ms,
            &Due::Hold {
                fleet,
                agent: agent.no,
            },
        );
    }
    let (kind, action, event) = match order.kind {
        HoldKind::Pause => (HoldKind::Pause, "pause", EventKind::AgentPause),
        HoldKind::Quarantine => (
            HoldKind::Quarantine,
            "quarantine",
            EventKind::AgentQuarantine,
        ),
    };
    let reason = order.reason;
    agent.hold = Some(Hold {
        kind,
        reason: reason.clone(),
        expires_ms,
        redirect_to,
    });
    apply.put_agent(&agent, &live)?;
    let control = Control::new(action, &reason, expires_ms);
    put_control(apply, fleet, agent.no, control)?;
    let actor = Actor::Operator(operator_id.into());
    let payload = payload(&[("reason", &reason)]);
    apply.record_with(
        fleet,
        event,
        actor,
        Resource::Agent(agent.no),
        None,
        payload,
    )?;
    Ok(Outcome::Done)
}

/// Lifts every hold, the relay's own included.
pub(crate) fn resume(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    agent_id: &str,
    reason: &str,
    expires_ms: Option<TimeMs>,
) -> Result<Outcome, StorageError> {
    let Some(agent) = apply.live_agent(fleet, agent_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    lift(
        apply,
        agent,
        Actor::Operator(operator_id.into()),
        reason,
        expires_ms,
    )?;
    Ok(Outcome::Done)
}

/// A hold whose time is over lifts by itself.
pub(crate) fn hold_expired(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    no: AgentNo,
) -> Result<(), StorageError> {
    let Some(mut agent) = agent::get(apply.txn, fleet, no)? else {
        return Ok(());
    };
    let over = agent
        .hold
        .as_ref()
        .and_then(|hold| hold.expires_ms)
        .is_some_and(|at| at <= apply.now());
    if !over {
        return Ok(());
    }
    let live = agent::live(apply.txn, fleet, no)?;
    agent.hold = None;
    apply.put_agent(&agent, &live)?;
    let control = Control::new("resume", "hold expired", None);
    put_control(apply, fleet, no, control)?;
    apply.record_with(
        fleet,
        EventKind::AgentResume,
        Actor::System,
        Resource::Agent(no),
        None,
        payload(&[("reason", "hold expired")]),
    )
}

fn lift(
    apply: &mut Apply<'_>,
    mut agent: Agent,
    actor: Actor,
    reason: &str,
    expires_ms: Option<TimeMs>,
) -> Result<(), StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    let mut live = agent::live(apply.txn, fleet, no)?;
    forget_hold(apply, &agent);
    agent.hold = None;
    agent.auto_hold = None;
    if live.due_ms == 0 && live.last_seen_ms > 0 {
        // It reported once, so its silence counts again, from now on.
        watch(apply, fleet, no, &mut live);
    }
    apply.put_agent(&agent, &live)?;
    let control = Control::new("resume", reason, expires_ms);
    put_control(apply, fleet, no, control)?;
    let payload = payload(&[("reason", reason)]);
    apply.record_with(
        fleet,
        EventKind::AgentResume,
        actor,
        Resource::Agent(no),
        None,
        payload,
    )
}

fn forget_hold(apply: &mut Apply<'_>, agent: &Agent) {
    if let Some(expires_ms) = agent.hold.as_ref().and_then(|hold| hold.expires_ms) {
        due::delete(
            apply.txn,
            expires_ms,
            &Due::Hold {
                fleet: agent.fleet,
                agent: agent.no,
            },
        );
    }
}

/// Puts a control in an agent's inbox and wakes whoever waits there.
///
/// The oldest make room, but not the one that says how the agent is held: what others have the
/// relay tell it, a client that calls tasks off, must not hide what an operator decided.
pub(crate) fn put_control(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    agent: AgentNo,
    mut control: Control,
) -> Result<(), StorageError> {
    /// Controls kept for an agent, beside its newest hold.
    const KEPT: usize = 50;
    let seq = sequence::next(apply.txn, fleet, Sequence::Control)?;
    control.created_ms = apply.now();
    control.expires_ms = control.expires_ms.map(|at| at.max(apply.now()));
    control::put(apply.txn, fleet, agent, seq, &control);
    if let Some(expires_ms) = control.expires_ms {
        due::put(apply.txn, expires_ms, &Due::Control { fleet, agent, seq });
    }
    let mut holds = 0;
    for (at, (old, control)) in control::list_rev(apply.txn, fleet, agent, KEPT + 8)?
        .into_iter()
        .enumerate()
    {
        holds += usize::from(control.is_hold());
        if at < KEPT || (control.is_hold() && holds == 1) {
            continue;
        }
        if let Some(expires_ms) = control.expires_ms {
            due::delete(
                apply.txn,
                expires_ms,
                &Due::Control {
                    fleet,
                    agent,
                    seq: old,
                },
            );
        }
        control::delete(apply.txn, fleet, agent, old);
    }
    apply.wake(fleet, agent);
    Ok(())
}

/// Revokes an agent for good. What waits in its inbox expires there.
pub(crate) fn revoke(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    operator_id: &str,
    agent_id: &str,
    reason: &str,
) -> Result<Outcome, StorageError> {
    let Some(mut agent) = apply.live_agent(fleet, agent_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let live = agent::live(apply.txn, fleet, agent.no)?;
    forget_hold(apply, &agent);
    agent.hold = None;
    agent.auto_hold = None;
    agent.revoked = true;
    agent.credentials.clear();
    imported_secret::delete(apply.txn, fleet, agent.no);
    apply.put_agent(&agent, &live)?;
    apply.wake(fleet, agent.no);
    let actor = Actor::Operator(operator_id.into());
    let payload = payload(&[("reason", reason)]);
    apply.record_with(
        fleet,
        EventKind::AgentRevoked,
        actor,
        Resource::Agent(agent.no),
        None,
        payload,
    )?;
    Ok(Outcome::Done)
}

/// Replaces the secret; the old one keeps working for a while, any older one stops.
pub(crate) fn rotate(
    apply: &mut Apply<'_>,
    mut agent: Agent,
    sealed_secret: Vec<u8>,
    overlap_ms: u64,
) -> Result<Outcome, StorageError> {
    let previous_valid_until_ms = apply.now() + overlap_ms;
    let newest = agent
        .credentials
        .iter()
        .map(|credential| credential.id)
        .max()
        .unwrap_or(0);
    agent
        .credentials
        .retain(|credential| credential.id == newest);
    for credential in &mut agent.credentials {
        credential.valid_until_ms = Some(previous_valid_until_ms);
    }
    let credential = newest + 1;
    agent.credentials.insert(
        0,
        Credential {
            id: credential,
            sealed_secret,
            valid_until_ms: None,
        },
    );
    agent::put(apply.txn, &agent);
    imported_secret::delete(apply.txn, agent.fleet, agent.no);
    apply.record(
        agent.fleet,
        EventKind::AgentCredentialRotated,
        Actor::Agent(agent.no),
        Resource::Agent(agent.no),
    )?;
    Ok(Outcome::Rotated {
        credential,
        previous_valid_until_ms,
    })
}

/// Gives an agent a new secret in the place of all that it had: they were lost, or are in wrong
/// hands.
pub(crate) fn issue_secret(
    apply: &mut Apply<'_>,
    by: &Principal,
    agent_id: &str,
    sealed_secret: Vec<u8>,
) -> Result<Outcome, StorageError> {
    let found = apply.live_agent(by.fleet, agent_id)?;
    // Those do not sign, and have no secret.
    let Some(mut agent) = found.filter(|agent| !agent.is_client() && !agent.is_remote()) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let credential = next_credential(&agent);
    agent.credentials = vec![Credential {
        id: credential,
        sealed_secret,
        valid_until_ms: None,
    }];
    agent::put(apply.txn, &agent);
    imported_secret::delete(apply.txn, agent.fleet, agent.no);
    // Whoever waits with an old secret waits no longer.
    apply.wake(agent.fleet, agent.no);
    apply.record(
        agent.fleet,
        EventKind::AgentSecretIssued,
        Actor::Operator(by.operator.id.clone()),
        Resource::Agent(agent.no),
    )?;
    Ok(Outcome::SecretIssued { credential })
}

/// The number of an agent's next credential.
pub(crate) fn next_credential(agent: &Agent) -> u32 {
    let ids = agent.credentials.iter().map(|credential| credential.id);
    ids.max().unwrap_or(0) + 1
}
