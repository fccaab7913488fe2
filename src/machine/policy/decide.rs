//! Policies asked about a message that is to be accepted.

use std::sync::Arc;

use ekho_storage::tables::agent::{self, Agent, AutoHold};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, Message, Recipient};
use ekho_storage::tables::policy::{Action, PairRate, Policy};
use ekho_storage::tables::rate::{self, Pair, RateWindow};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use ekho_storage::{Read, StorageError};

use super::rules::{Body, Party, Question, Rules};
use crate::machine::agent::auto_quarantine;
use crate::machine::apply::{Apply, payload};
use crate::machine::command::NewMessage;
use crate::machine::outcome::Refusal;

/// What policies leave of a message.
pub(crate) struct Permitted {
    /// Who receives it.
    pub recipients: Vec<AgentNo>,
    /// The name of a policy because of which it waits for an operator.
    pub approval_for: Option<String>,
    /// Tags it gets, each once.
    pub tags: Vec<String>,
    /// Policies that put others in the place of recipients, as audit payloads, and those others.
    pub redirected: Vec<(String, AgentNo)>,
    /// Policies for which it counts once it is accepted, by id, with the recipient.
    pub counted: Vec<(String, PairRate, AgentNo)>,
}

impl Permitted {
    /// A message that no policy has anything to say about.
    pub fn all(recipients: Vec<AgentNo>) -> Self {
        Permitted {
            recipients,
            approval_for: None,
            tags: Vec::new(),
            redirected: Vec::new(),
            counted: Vec::new(),
        }
    }
}

/// How much one agent sent another in the present window of a policy.
pub fn sent_in_window(
    read: &impl Read,
    pair: &Pair<'_>,
    rate: &PairRate,
    now_ms: TimeMs,
) -> Result<RateWindow, StorageError> {
    let start_ms = now_ms - now_ms % rate.window_ms.max(1);
    let window = rate::pair(read, pair)?;
    Ok(match window.start_ms == start_ms {
        true => window,
        false => RateWindow { start_ms, count: 0 },
    })
}

fn party(agent: &Agent) -> Party<'_> {
    Party {
        id: &agent.id,
        labels: &agent.labels,
        capabilities: &agent.capabilities,
    }
}

/// What was found out about a message while it was asked about for one recipient after the other.
#[derive(Default)]
struct Findings<'a> {
    refused_by: Option<&'a Policy>,
    quarantined_by: Option<&'a Policy>,
    approval_for: Option<&'a Policy>,
    dry_run: Option<&'a Policy>,
    redirected: Vec<(&'a Policy, AgentNo)>,
    tags: Vec<String>,
    counted: Vec<(&'a Policy, PairRate, AgentNo)>,
}

/// A message on its way through the policies.
struct Asking<'a, 'b> {
    rules: &'a Rules,
    sender: &'b Agent,
    new: &'b NewMessage,
    body: Body<'b>,
    found: Findings<'a>,
}

impl<'a> Asking<'a, '_> {
    /// Who receives the message in this one's place: itself, another, or nobody. The message
    /// itself, asked about without a recipient, has the number 0.
    fn ask(
        &mut self,
        apply: &Apply<'_>,
        recipient: Option<&Agent>,
        may_redirect: bool,
    ) -> Result<Option<AgentNo>, StorageError> {
        let now_ms = apply.now();
        let no = recipient.map_or(0, |recipient| recipient.no);
        let sent = |policy: &str, rate: &PairRate| {
            let pair = Pair {
                fleet: self.sender.fleet,
                policy,
                sender: self.sender.no,
                recipient: no,
            };
            Ok(sent_in_window(apply.txn, &pair, rate, now_ms)?.count)
        };
        let asked = Question {
            sender: party(self.sender),
            recipient: recipient.map(party),
            message_type: &self.new.message_type,
            priority: self.new.priority,
            conversation_id: &self.new.conversation_id,
            body: &self.body,
            now_ms,
            sent: &sent,
        };
        let verdict = self.rules.judge(&asked)?;
        self.found.dry_run = self.found.dry_run.or(verdict.dry_run);
        let decided = verdict.decided_by;
        let action = decided.map(|policy| &policy.draft.action);
        if verdict.refused() {
            self.found.refused_by = self.found.refused_by.or(decided);
            if action == Some(&Action::Quarantine) {
                self.found.quarantined_by = self.found.quarantined_by.or(decided);
            }
            return Ok(None);
        }
        let mut receives = no;
        if let (Some(Action::Redirect(to)), true, Some(_)) = (action, may_redirect, recipient) {
            let to = apply.live_agent(self.sender.fleet, to)?;
            // Where it cannot go it stays, as with an operator's redirect.
            if let Some(to) = to.filter(|to| to.no != self.sender.no && to.no != no) {
                // Before anything is noted: what leads to nobody leaves no trace on the message.
                let Some(other) = self.ask(apply, Some(&to), false)? else {
                    return Ok(None);
                };
                receives = other;
                let redirected = decided.map(|policy| (policy, receives));
                self.found.redirected.extend(redirected);
            }
        }
        let found = &mut self.found;
        let counted = verdict.counted.iter();
        found
            .counted
            .extend(counted.map(|(policy, rate)| (*policy, *rate, no)));
        for tag in verdict.tags {
            if !found.tags.iter().any(|known| known == tag) {
                found.tags.push(tag.to_string());
            }
        }
        if action == Some(&Action::RequireApproval) {
            found.approval_for = found.approval_for.or(decided);
        }
        Ok(Some(receives))
    }
}

/// Leaves out the recipients whom a policy keeps the message from, and puts others in the place of
/// those for whom a policy says so; where nobody is left, the message is refused. A message to many
/// is asked about once for each, so that it gets nowhere a message of its own would not.
pub(crate) fn permitted(
    apply: &mut Apply<'_>,
    sender: &mut Agent,
    new: &NewMessage,
    recipients: Vec<AgentNo>,
) -> Result<Result<Permitted, Refusal>, StorageError> {
    let rules = apply.rules(sender.fleet)?;
    if rules.is_empty() {
        return Ok(Ok(Permitted::all(recipients)));
    }
    let mut asking = Asking {
        rules: &rules,
        sender,
        new,
        body: Body::new(&new.body),
        found: Findings::default(),
    };
    // Who is named counts as well as who receives in their place.
    let named = match &new.recipient {
        Recipient::Agent(id) => apply.live_agent(asking.sender.fleet, id)?,
        Recipient::Group(_) | Recipient::Broadcast => None,
    };
    let mut left = Vec::with_capacity(recipients.len());
    // With nobody to receive it, the message itself is asked about.
    let as_named = match named.is_some() || recipients.is_empty() {
        true => asking.ask(apply, named.as_ref(), true)?,
        false => Some(0),
    };
    if let Some(in_place) = as_named {
        for no in recipients {
            let receives = match &named {
                Some(named) if named.no == no || in_place != named.no => Some(in_place),
                _ => match agent::get(apply.txn, asking.sender.fleet, no)? {
                    Some(agent) => asking.ask(apply, Some(&agent), true)?,
                    None => None,
                },
            };
            left.extend(receives);
        }
    }
    if named.is_none() {
        // Others may have been put in the place of several.
        left.sort_unstable();
        left.dedup();
    }
    let found = asking.found;
    if let Some(policy) = found.dry_run {
        note(apply, sender, new, policy, EventKind::MessagePolicyDryRun)?;
    }
    if let Some(policy) = found.quarantined_by {
        note(apply, sender, new, policy, EventKind::MessagePolicyDenied)?;
        auto_quarantine(apply, sender, AutoHold::PolicyViolation)?;
        return Ok(Err(Refusal::PolicyDenied(policy.draft.name.clone())));
    }
    if let Some(policy) = found.refused_by {
        note(apply, sender, new, policy, EventKind::MessagePolicyDenied)?;
        if left.is_empty() {
            return Ok(Err(Refusal::PolicyDenied(policy.draft.name.clone())));
        }
    }
    Ok(Ok(Permitted {
        recipients: left,
        approval_for: found.approval_for.map(|policy| policy.draft.name.clone()),
        tags: found.tags,
        counted: found
            .counted
            .into_iter()
            .map(|(policy, rate, recipient)| (policy.id.clone(), rate, recipient))
            .collect(),
        redirected: found
            .redirected
            .into_iter()
            .map(|(policy, to)| {
                let fields = [
                    ("policy", policy.draft.name.as_str()),
                    ("policy_id", &policy.id),
                ];
                (payload(&fields), to)
            })
            .collect(),
    }))
}

/// Counts an accepted message for policies that look at how many there are between two agents.
pub(crate) fn count(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    sender: AgentNo,
    counted: Vec<(String, PairRate, AgentNo)>,
) -> Result<(), StorageError> {
    for (policy, rate, recipient) in counted {
        let pair = Pair {
            fleet,
            policy: &policy,
            sender,
            recipient,
        };
        count_one(apply, &pair, &rate)?;
    }
    Ok(())
}

fn count_one(apply: &mut Apply<'_>, pair: &Pair<'_>, rate: &PairRate) -> Result<(), StorageError> {
    let mut window = sent_in_window(apply.txn, pair, rate, apply.now())?;
    if window.count == 0 {
        let forget = Due::PairRate {
            fleet: pair.fleet,
            policy: pair.policy.into(),
            sender: pair.sender,
            recipient: pair.recipient,
        };
        due::put(apply.txn, window.start_ms + rate.window_ms.max(1), &forget);
    }
    window.count += 1;
    rate::put_pair(apply.txn, pair, &window);
    Ok(())
}

/// Whether a policy keeps an accepted message from one more recipient.
pub(crate) fn denies(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    accepted: &Message,
    recipient: &Agent,
) -> Result<bool, StorageError> {
    // Operators send what they like.
    if accepted.sender == 0 {
        return Ok(false);
    }
    let rules = apply.rules(fleet)?;
    if rules.is_empty() {
        return Ok(false);
    }
    let sender = agent::get(apply.txn, fleet, accepted.sender)?;
    let body = message::body(apply.txn, fleet, accepted.uuid)?.unwrap_or_default();
    let now_ms = apply.now();
    let sent = |policy: &str, rate: &PairRate| {
        let pair = Pair {
            fleet,
            policy,
            sender: accepted.sender,
            recipient: recipient.no,
        };
        Ok(sent_in_window(apply.txn, &pair, rate, now_ms)?.count)
    };
    let asked = Question {
        sender: Party {
            id: &accepted.sender_id,
            labels: sender.as_ref().map_or(&[], |sender| &sender.labels),
            capabilities: sender.as_ref().map_or(&[], |sender| &sender.capabilities),
        },
        recipient: Some(party(recipient)),
        message_type: &accepted.message_type,
        priority: accepted.priority,
        conversation_id: &accepted.conversation_id,
        body: &Body::new(&body),
        now_ms,
        sent: &sent,
    };
    Ok(rules.judge(&asked)?.refused())
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
            ("action", policy.draft.action.as_str()),
            ("recipient", recipient),
            ("message_type", &new.message_type),
        ]),
    )
}

impl Apply<'_> {
    /// The fleet's policies in their order. Looked up once a batch.
    pub fn rules(&mut self, fleet: FleetNo) -> Result<Arc<Rules>, StorageError> {
        if let Some((of, rules)) = &self.effects.rules
            && *of == fleet
        {
            return Ok(rules.clone());
        }
        let rules = self.effects.rule_cache.get(self.txn, fleet)?;
        self.effects.rules = Some((fleet, rules.clone()));
        Ok(rules)
    }
}
