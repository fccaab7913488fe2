//! What policies say of a message.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use ekho_storage::tables::message::Priority;
use ekho_storage::tables::policy::{Action, BodyRule, BodyTest, PairRate, Policy};
use ekho_storage::tables::{FleetNo, TimeMs};
use ekho_storage::{Read, StorageError};
use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::clock;

/// Memory one regular expression may take once it is compiled.
const PATTERN_SIZE_MAX_BYTES: usize = 256 << 10;

/// An agent as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Public id.
    pub id: &'a str,
    /// What operators call it.
    pub labels: &'a [String],
    /// What it said it can do.
    pub capabilities: &'a [String],
}

/// A message's body, read as JSON where a policy asks for that.
pub struct Body<'a> {
    raw: &'a [u8],
    parsed: OnceCell<Option<Value>>,
}

impl<'a> Body<'a> {
    /// A body as received.
    pub fn new(raw: &'a [u8]) -> Self {
        Body {
            raw,
            parsed: OnceCell::new(),
        }
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        let parsed = self
            .parsed
            .get_or_init(|| serde_json::from_slice(self.raw).ok());
        parsed.as_ref()?.pointer(pointer)
    }
}

/// How much was sent from one agent to another, as one policy counts it; by the policy's id.
pub type Sent<'a> = dyn Fn(&str, &PairRate) -> Result<u64, StorageError> + 'a;

/// A message as policies see it.
pub struct Question<'a> {
    /// Who sends it.
    pub sender: Party<'a>,
    /// One recipient; none where there is none.
    pub recipient: Option<Party<'a>>,
    /// Its type.
    pub message_type: &'a str,
    /// Its priority.
    pub priority: Priority,
    /// Its conversation.
    pub conversation_id: &'a str,
    /// Its body.
    pub body: &'a Body<'a>,
    /// The time.
    pub now_ms: TimeMs,
    /// What was sent before.
    pub sent: &'a Sent<'a>,
}

/// What policies say of a message.
#[derive(Clone, Debug, Default)]
pub struct Verdict<'a> {
    /// The policy that decides; none matched where there is none.
    pub decided_by: Option<&'a Policy>,
    /// The first that would have decided otherwise, were it not a dry run.
    pub dry_run: Option<&'a Policy>,
    /// Tags the message gets.
    pub tags: Vec<&'a str>,
    /// Policies for which the message counts, with how they count.
    pub counted: Vec<(&'a Policy, PairRate)>,
}

impl Verdict<'_> {
    /// Whether the message is refused.
    pub fn refused(&self) -> bool {
        self.decided_by
            .is_some_and(|policy| policy.draft.action.refuses())
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

/// A policy, ready to be asked.
pub struct Rule {
    /// The policy.
    pub policy: Policy,
    /// One for each test of the body that has a pattern.
    patterns: Vec<Option<Regex>>,
}

/// Reads a regular expression. It takes time linear in the text it is searched in.
pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_SIZE_MAX_BYTES)
        .dfa_size_limit(PATTERN_SIZE_MAX_BYTES)
        .build()
}

impl Rule {
    fn new(policy: Policy) -> Self {
        let tests = policy.draft.conditions.body.iter();
        let patterns = tests
            .map(|one| match &one.test {
                BodyRule::Matches(text) => pattern(text).ok(),
                BodyRule::Equals(_) | BodyRule::Exists(_) => None,
            })
            .collect();
        Rule { policy, patterns }
    }

    /// Whether it matches, and what keeps it from it.
    pub fn matches(&self, asked: &Question<'_>) -> Result<Match, StorageError> {
        match self.matches_but_for_rate(asked) {
            Match::Yes => self.rate_matches(asked),
            other => Ok(other),
        }
    }

    fn rate_matches(&self, asked: &Question<'_>) -> Result<Match, StorageError> {
        Ok(match &self.policy.draft.conditions.rate {
            Some(rate) if (asked.sent)(&self.policy.id, rate)? < rate.max_messages => {
                Match::Condition("rate")
            }
            _ => Match::Yes,
        })
    }

    fn matches_but_for_rate(&self, asked: &Question<'_>) -> Match {
        let draft = &self.policy.draft;
        let recipient_id = asked.recipient.map(|recipient| recipient.id);
        if !draft.enabled {
            return Match::Disabled;
        }
        if let Some(agent) = &draft.scope_agent
            && agent != asked.sender.id
            && Some(agent.as_str()) != recipient_id
        {
            return Match::Scope;
        }
        let conditions = &draft.conditions;
        let sender_id = Some(asked.sender.id);
        let recipient = asked.recipient;
        let labels = recipient.map_or(&[][..], |recipient| recipient.labels);
        let capabilities = recipient.map_or(&[][..], |recipient| recipient.capabilities);
        for (name, wanted, has) in [
            (
                "sender_agent_id",
                &conditions.sender_agent_id,
                One(sender_id),
            ),
            (
                "recipient_agent_id",
                &conditions.recipient_agent_id,
                One(recipient_id),
            ),
            (
                "message_type",
                &conditions.message_type,
                One(Some(asked.message_type)),
            ),
            (
                "conversation_id",
                &conditions.conversation_id,
                One(Some(asked.conversation_id)),
            ),
            (
                "sender_labels",
                &conditions.sender_labels,
                Any(asked.sender.labels),
            ),
            (
                "sender_capabilities",
                &conditions.sender_capabilities,
                Any(asked.sender.capabilities),
            ),
            (
                "recipient_labels",
                &conditions.recipient_labels,
                Any(labels),
            ),
            (
                "recipient_capabilities",
                &conditions.recipient_capabilities,
                Any(capabilities),
            ),
        ] {
            if wanted.as_ref().is_some_and(|wanted| !has.one_of(wanted)) {
                return Match::Condition(name);
            }
        }
        let priority = conditions.priority.as_ref();
        if priority.is_some_and(|wanted| !wanted.contains(&asked.priority)) {
            return Match::Condition("priority");
        }
        let time = conditions.time.as_ref();
        if time.is_some_and(|time| !clock::holds(time, asked.now_ms)) {
            return Match::Condition("time");
        }
        let mut tests = conditions.body.iter().zip(&self.patterns);
        if !tests.all(|(test, pattern)| body_is(test, pattern.as_ref(), asked.body)) {
            return Match::Condition("body");
        }
        Match::Yes
    }
}

/// What a message has of a kind.
enum Has<'a> {
    One(Option<&'a str>),
    Any(&'a [String]),
}
use Has::{Any, One};

impl Has<'_> {
    fn one_of(&self, wanted: &[String]) -> bool {
        match self {
            One(value) => value.is_some_and(|value| wanted.iter().any(|one| one == value)),
            Any(values) => values.iter().any(|value| wanted.contains(value)),
        }
    }
}

fn body_is(test: &BodyTest, pattern: Option<&Regex>, body: &Body<'_>) -> bool {
    match &test.test {
        BodyRule::Exists(wanted) => body.at(&test.pointer).is_some() == *wanted,
        BodyRule::Equals(wanted) => {
            let wanted: Option<Value> = serde_json::from_str(wanted).ok();
            let found = body.at(&test.pointer);
            found.zip(wanted.as_ref()).is_some_and(|(a, b)| equal(a, b))
        }
        BodyRule::Matches(_) => {
            let text = match test.pointer.is_empty() {
                true => std::str::from_utf8(body.raw).ok(),
                false => body.at(&test.pointer).and_then(Value::as_str),
            };
            // A pattern was read when the policy was written; should that not be possible any
            // more, it counts as found rather than let through what it was made for.
            text.is_some_and(|text| pattern.is_none_or(|pattern| pattern.is_match(text)))
        }
    }
}

/// Whether two JSON values say the same: numbers by their value, objects in any order.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, a)| b.get(name).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

/// The policies of a fleet in the order in which they are looked at.
#[derive(Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Puts policies in order and makes them ready.
    pub fn new(mut policies: Vec<Policy>) -> Self {
        let place = |policy: &Policy| {
            let group = match &policy.draft.action {
                Action::Deny | Action::Quarantine => 0,
                Action::Tag(_) => 1,
                Action::RequireApproval | Action::Redirect(_) | Action::Allow => 2,
            };
            (group, policy.draft.priority)
        };
        policies.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.id.cmp(&b.id)));
        Rules(policies.into_iter().map(Rule::new).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// What they say of a message.
    pub fn judge(&self, asked: &Question<'_>) -> Result<Verdict<'_>, StorageError> {
        let mut verdict = Verdict::default();
        for rule in &self.0 {
            let policy = &rule.policy;
            let draft = &policy.draft;
            if rule.matches_but_for_rate(asked) != Match::Yes {
                continue;
            }
            verdict
                .counted
                .extend(draft.conditions.rate.map(|rate| (policy, rate)));
            if rule.rate_matches(asked)? != Match::Yes {
                continue;
            }
            match &draft.action {
                action if draft.dry_run => {
                    if *action != Action::Allow {
                        verdict.dry_run.get_or_insert(policy);
                    }
                }
                Action::Tag(tags) => verdict.tags.extend(tags.iter().map(String::as_str)),
                _ => {
                    verdict.decided_by = Some(policy);
                    break;
                }
            }
        }
        Ok(verdict)
    }
}

/// Rules that were made ready before, each with the number of changes it holds for.
#[derive(Default)]
pub struct RuleCache(Mutex<HashMap<FleetNo, (u64, Arc<Rules>)>>);

impl RuleCache {
    /// The rules of a fleet as the state has them.
    pub fn get(&self, read: &impl Read, fleet: FleetNo) -> Result<Arc<Rules>, StorageError> {
        use ekho_storage::tables::policy::{changes, list};
        let changes = changes(read, fleet)?;
        if changes == 0 {
            return Ok(Arc::default());
        }
        let mut known = self.0.lock();
        if let Some((at, rules)) = known.get(&fleet)
            && *at == changes
        {
            return Ok(Arc::clone(rules));
        }
        let rules = Arc::new(Rules::new(list(read, fleet)?));
        known.insert(fleet, (changes, Arc::clone(&rules)));
        Ok(rules)
    }
}
