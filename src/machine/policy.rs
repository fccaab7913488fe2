//! Policies: which message is denied, and the changes operators make to them.
//!
//! Enabled policies of the fleet, and those scoped to the sender or the recipient, are looked at in
//! order: those that deny before those that allow, lower priorities first, then the older one. The
//! first match decides; where none matches, the message is allowed.

use std::sync::Arc;

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{Message, Priority, Recipient};
use ekho_storage::tables::policy::{self, Action, Draft, POLICIES_MAX, Policy};
use ekho_storage::tables::{AgentNo, FleetNo};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::NewMessage;
use super::outcome::{Outcome, Refusal};

/// A message as policies see it.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Public id of the sender.
    pub sender: &'a str,
    /// Public id of one recipient; none where there is none.
    pub recipient: Option<&'a str>,
    /// Its type.
    pub message_type: &'a str,
    /// Its priority.
    pub priority: Priority,
}

/// What policies say of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The policy that decides; none matched where there is none.
    pub decided_by: Option<&'a Policy>,
    /// The first that would have denied it, were it not a dry run.
    pub would_deny: Option<&'a Policy>,
}

impl Verdict<'_> {
    /// Whether the message is denied.
    pub fn denied(&self) -> bool {
        self.decided_by
            .is_some_and(|policy| policy.draft.action == Action::Deny)
    }
}

/// Why a policy does not match, or that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It is switched off.
    Disabled,
    /// It concerns another agent.
    Scope,
    /// The condition on this field does not hold.
    Condition(&'static str),
}

/// Puts policies in the order in which they are looked at.
pub fn sort(policies: &mut [Policy]) {
    policies.sort_by(|a, b| {
        let place = |policy: &Policy| (policy.draft.action, policy.draft.priority);
        place(a).cmp(&place(b)).then_with(|| a.id.cmp(&b.id))
    });
}

/// Whether a policy matches, and what keeps it from it.
pub fn matches(policy: &Policy, asked: &Question<'_>) -> Match {
    let draft = &policy.draft;
    if !draft.enabled {
        return Match::Disabled;
    }
    if let Some(agent) = &draft.scope_agent
        && agent != asked.sender
        && Some(agent.as_str()) != asked.recipient
    {
        return Match::Scope;
    }
    let has = |allowed: &Option<Vec<String>>, value: Option<&str>| {
        allowed
            .as_ref()
            .is_none_or(|allowed| value.is_some_and(|value| allowed.iter().any(|one| one == value)))
    };
    let conditions = &draft.conditions;
    if !has(&conditions.sender_agent_id, Some(asked.sender)) {
        return Match::Condition("sender_agent_id");
    }
    if !has(&conditions.recipient_agent_id, asked.recipient) {
        return Match::Condition("recipient_agent_id");
    }
    if !has(&conditions.message_type, Some(asked.message_type)) {
        return Match::Condition("message_type");
    }
    let priority = conditions.priority.as_ref();
    if priority.is_some_and(|allowed| !allowed.contains(&asked.priority)) {
        return Match::Condition("priority");
    }
    Match::Yes
}

/// What these policies, in their order, say of a message.
pub fn judge<'a>(policies: &'a [Policy], asked: &Question<'_>) -> Verdict<'a> {
    let mut verdict = Verdict::default();
    for policy in policies {
        if matches(policy, asked) != Match::Yes {
            continue;
        }
        if !policy.draft.dry_run {
            verdict.decided_by = Some(policy);
            break;
        }
        if policy.draft.action == Action::Deny {
            verdict.would_deny.get_or_insert(policy);
        }
    }
    verdict
}

impl Apply<'_> {
    /// The fleet's policies in their order. Read once a batch.
    pub fn policies(&mut self, fleet: FleetNo) -> Result<Arc<[Policy]>, StorageError> {
        if let Some((of, policies)) = &self.effects.policies
            && *of == fleet
        {
            return Ok(policies.clone());
        }
        let mut policies = match policy::any(self.txn, fleet)? {
            true => policy::list(self.txn, fleet)?,
            false => Vec::new(),
        };
        sort(&mut policies);
        let policies: Arc<[Policy]> = policies.into();
        self.effects.policies = Some((fleet, policies.clone()));
        Ok(policies)
    }
}

/// Leaves out the recipients whom a policy keeps the message from; where that is all of them, the
/// message is refused. A message to many is asked about once for each, so that it gets nowhere a
/// message of its own would not.
pub(crate) fn permitted(
    apply: &mut Apply<'_>,
    sender: &Agent,
    new: &NewMessage,
    recipients: Vec<AgentNo>,
) -> Result<Result<Vec<AgentNo>, Refusal>, StorageError> {
    let policies = apply.policies(sender.fleet)?;
    if policies.is_empty() {
        return Ok(Ok(recipients));
    }
    // Who is named counts as well as who receives in their place.
    let named = match &new.recipient {
        Recipient::Agent(id) => Some(id.as_str()),
        Recipient::Group(_) | Recipient::Broadcast => None,
    };
    let mut denied = None;
    let mut would_deny = None;
    let mut allows = |recipient: Option<&str>| {
        let asked = Question {
            sender: &sender.id,
            recipient,
            message_type: &new.message_type,
            priority: new.priority,
        };
        let verdict = judge(&policies, &asked);
        would_deny = would_deny.or(verdict.would_deny);
        if verdict.denied() {
            denied = denied.or(verdict.decided_by);
        }
        !verdict.denied()
    };
    let mut left = Vec::with_capacity(recipients.len());
    // With nobody to receive it, the message itself is asked about.
    let as_named = (named.is_none() && !recipients.is_empty()) || allows(named);
    for no in recipients {
        let Some(agent) = agent::get(apply.txn, sender.fleet, no)? else {
            continue;
        };
        if as_named && (named == Some(&agent.id) || allows(Some(&agent.id))) {
            left.push(no);
        }
    }
    if let Some(policy) = would_deny {
        note(
            apply,
            sender,
            new,
            policy,
            EventKind::MessagePolicyWouldDeny,
        )?;
    }
    let Some(policy) = denied else {
        return Ok(Ok(left));
    };
    note(apply, sender, new, policy, EventKind::MessagePolicyDenied)?;
    Ok(match left.is_empty() {
        true => Err(Refusal::PolicyDenied(policy.draft.name.clone())),
        false => Ok(left),
    })
}

/// Whether a policy keeps an accepted message from one more recipient.
pub(crate) fn denies(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    message: &Message,
    recipient_id: &str,
) -> Result<bool, StorageError> {
    // Operators send what they like.
    if message.sender == 0 {
        return Ok(false);
    }
    let policies = apply.policies(fleet)?;
    let asked = Question {
        sender: &message.sender_id,
        recipient: Some(recipient_id),
        message_type: &message.message_type,
        priority: message.priority,
    };
    Ok(judge(&policies, &asked).denied())
}

fn note(
    apply: &mut Apply<'_>,
    sender: &Agent,
    new: &NewMessage,
    policy: &Policy,
    kind: EventKind,
) -> Result<(), StorageError> {
    let recipient = match &new.recipient {
        Recipient::Agent(id) | Recipient::Group(id) => id.as_str(),
        Recipient::Broadcast => "broadcast",
    };
    apply.record_with(
        sender.fleet,
        kind,
        Actor::Agent(sender.no),
        Resource::Other("policy".into(), policy.id.clone()),
        Some(new.conversation_id.clone()),
        payload(&[
            ("policy", &policy.draft.name),
            ("recipient", recipient),
            ("message_type", &new.message_type),
        ]),
    )
}

/// Makes a policy, or a new version of one.
pub(crate) fn put(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: String,
    draft: Draft,
    is_new: bool,
) -> Result<Outcome, StorageError> {
    let before = policy::get(apply.txn, by.fleet, &id)?;
    if before.is_none() && !is_new {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    if is_new && policy::list(apply.txn, by.fleet)?.len() >= POLICIES_MAX {
        return Ok(Outcome::Refused(Refusal::LimitReached {
            limit: POLICIES_MAX as u64,
        }));
    }
    let now = apply.now();
    let after = Policy {
        id,
        version: before.as_ref().map_or(1, |before| before.version + 1),
        draft,
        created_ms: before.as_ref().map_or(now, |before| before.created_ms),
        updated_ms: now,
        updated_by: by.operator.id.clone(),
    };
    policy::put(apply.txn, by.fleet, &after)?;
    let kind = match before {
        Some(_) => EventKind::PolicyUpdated,
        None => EventKind::PolicyCreated,
    };
    changed(apply, by, kind, before.as_ref(), Some(&after))?;
    Ok(Outcome::Done)
}

/// Removes a policy.
pub(crate) fn delete(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: &str,
) -> Result<Outcome, StorageError> {
    let Some(before) = policy::get(apply.txn, by.fleet, id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    policy::delete(apply.txn, by.fleet, id)?;
    changed(apply, by, EventKind::PolicyDeleted, Some(&before), None)?;
    Ok(Outcome::Done)
}

/// Makes an old version of a policy the newest one.
pub(crate) fn roll_back(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: String,
    version: u32,
) -> Result<Outcome, StorageError> {
    let versions = policy::versions(apply.txn, by.fleet, &id)?;
    match versions.into_iter().find(|old| old.version == version) {
        Some(old) => put(apply, by, id, old.draft, false),
        None => Ok(Outcome::Refused(Refusal::NotFound)),
    }
}

fn changed(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    before: Option<&Policy>,
    after: Option<&Policy>,
) -> Result<(), StorageError> {
    // What this batch decides from here on is decided by the new ones.
    apply.effects.policies = None;
    let id = after.or(before).map(|policy| policy.id.clone());
    let resource = Resource::Other("policy".into(), id.unwrap_or_default());
    let payload = serde_json::json!({ "before": before.map(shown), "after": after.map(shown) });
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record_with(by.fleet, kind, actor, resource, None, payload.to_string())
}

/// A policy as JSON, the same in the audit log and in answers.
pub fn shown(policy: &Policy) -> serde_json::Value {
    let draft = &policy.draft;
    let conditions = &draft.conditions;
    let mut given = serde_json::Map::new();
    for (name, values) in [
        ("sender_agent_id", &conditions.sender_agent_id),
        ("recipient_agent_id", &conditions.recipient_agent_id),
        ("message_type", &conditions.message_type),
    ] {
        if let Some(values) = values {
            given.insert(name.into(), values.clone().into());
        }
    }
    if let Some(values) = &conditions.priority {
        let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
        given.insert("priority".into(), values.into());
    }
    serde_json::json!({
        "id": policy.id,
        "name": draft.name,
        "scope_kind": if draft.scope_agent.is_some() { "agent" } else { "fleet" },
        "scope_id": draft.scope_agent,
        "rule": { "action": draft.action.as_str(), "conditions": given },
        "enabled": draft.enabled,
        "dry_run": draft.dry_run,
        "priority": draft.priority,
        "version": policy.version,
    })
}
