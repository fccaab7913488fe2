//! Judges a history against the promises. Pure: a history in, what is wrong with it out.
//!
//! - `delivery`: what recipients got
//! - `request`: what was answered to whom, how often
//! - `counters`: what the relay says it counted
//! - `gate`, `approval`, `rate`, `register`: the same for what is asked beside messages
//!
//! Nothing here knows how a relay works, only what its answers mean. What is not known (no whole
//! answer came) is held against nobody; what was answered is believed to the letter.

mod approval;
mod counters;
mod delivery;
mod gate;
mod rate;
mod register;
mod request;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

pub use approval::judge_approvals;
pub use gate::judge_gates;
pub use rate::judge_rates;
pub use register::judge_registers;

use crate::history::{AgentNo, Call, Counters, Handed, History, MessageNo, Micros, Op, Outcome};

/// A promise that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise; stable, for tests of the checker.
    pub rule: &'static str,
    /// What happened.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// Where violations are collected.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: &'static str, detail: impl Into<String>) {
        self.0.push(Violation {
            rule,
            detail: detail.into(),
        });
    }
}

/// How a history ends.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// Anywhere; nothing counts as lost.
    Anywhere,
    /// Everything that was accepted was drained.
    Drained,
    /// The same, and these are the counters of a relay that served nobody else.
    Counted(&'a Counters),
}

/// Refusals beside those of [`request::answers_are_in_order`] that faults bring about: status and
/// code.
pub type Allowed<'a> = &'a [(u16, &'a str)];

/// Everything that is wrong with a history.
pub fn judge(history: &History, end: End<'_>, allowed: Allowed<'_>) -> Vec<Violation> {
    let facts = Facts::of(history);
    let mut found = Found::default();
    request::answers_are_in_order(history, allowed, &mut found);
    request::nonces_are_accepted_once(history, &mut found);
    request::one_message_for_one_key(&facts, &mut found);
    request::writes_are_seen(&facts, &mut found);
    delivery::as_sent(&facts, &mut found);
    delivery::refused_is_not_done(&facts, &mut found);
    delivery::hand_outs_are_counted(&facts, &mut found);
    delivery::in_accepted_order(&facts, &mut found);
    delivery::acked_stays_acked(&facts, &mut found);
    delivery::acks_are_counted(&facts, &mut found);
    if !matches!(end, End::Anywhere) {
        delivery::none_is_lost(&facts, &mut found);
    }
    if let End::Counted(counters) = end {
        counters::match_the_history(&facts, counters, &mut found);
    }
    found.0
}

/// A 2xx to a send.
struct Accepted<'a> {
    id: &'a str,
    queued_at: i64,
    repeated: bool,
    ended: Micros,
}

/// A message in the hands of a recipient.
struct Receipt<'a> {
    op: &'a Op,
    handed: &'a Handed,
}

/// An ack or nack that names a message.
struct Mention<'a> {
    op: &'a Op,
    messages: &'a [String],
}

/// A history, sorted by what the rules ask for.
struct Facts<'a> {
    history: &'a History,
    /// Requests for each message, in the order in which they began.
    sends: Vec<Vec<&'a Op>>,
    /// 2xx answers for each message, in the order in which they came.
    accepted: Vec<Vec<Accepted<'a>>>,
    /// What each recipient got, in order.
    receipts: HashMap<AgentNo, Vec<Receipt<'a>>>,
    /// Acks by recipient and message id, in the order in which they began.
    acks: HashMap<(AgentNo, &'a str), Vec<Mention<'a>>>,
    /// Every id under which a message is known, and which message that is.
    ids: HashMap<&'a str, MessageNo>,
}

impl<'a> Facts<'a> {
    fn of(history: &'a History) -> Self {
        let count = history.messages.len();
        let mut facts = Facts {
            history,
            sends: (0..count).map(|_| Vec::new()).collect(),
            accepted: (0..count).map(|_| Vec::new()).collect(),
            receipts: HashMap::new(),
            acks: HashMap::new(),
            ids: HashMap::new(),
        };
        let mut ops: Vec<&Op> = history.ops.iter().collect();
        ops.sort_by_key(|op| op.began);
        for op in &ops {
            match &op.call {
                Call::Send(message) => facts.sends[*message].push(op),
                Call::Ack(messages) => {
                    for id in messages {
                        let mentions = facts.acks.entry((op.agent, id.as_str())).or_default();
                        mentions.push(Mention { op, messages });
                    }
                }
                _ => {}
            }
        }
        // Two copies of one poll may overlap; the one that was answered first handed out first.
        ops.sort_by_key(|op| op.ended);
        for op in ops {
            match (&op.call, &op.outcome) {
                (
                    Call::Send(message),
                    Outcome::Queued {
                        id,
                        queued_at,
                        repeated,
                    },
                ) => {
                    facts.ids.insert(id, *message);
                    facts.accepted[*message].push(Accepted {
                        id,
                        queued_at: *queued_at,
                        repeated: *repeated,
                        ended: op.ended,
                    });
                }
                (_, Outcome::Handed(messages)) => {
                    for handed in messages {
                        if let Some(message) = facts.message_of(handed) {
                            facts.ids.entry(&handed.id).or_insert(message);
                        }
                        facts
                            .receipts
                            .entry(op.agent)
                            .or_default()
                            .push(Receipt { op, handed });
                    }
                }
                _ => {}
            }
        }
        facts
    }

    /// Which message this is, where it is one of the run.
    fn message_of(&self, handed: &Handed) -> Option<MessageNo> {
        handed
            .message
            .filter(|no| *no < self.history.messages.len())
    }

    /// Before the first request for a message went out.
    fn first_began(&self, message: MessageNo) -> Micros {
        self.sends[message]
            .first()
            .map_or(Micros::MAX, |op| op.began)
    }

    /// When it was known that a message is accepted.
    fn known_since(&self, message: MessageNo) -> Option<Micros> {
        self.accepted[message]
            .first()
            .map(|accepted| accepted.ended)
    }

    /// When a 2xx to an ack of a message was known.
    fn acked_since(&self, recipient: AgentNo, id: &str) -> Option<Micros> {
        let mentions = self.acks.get(&(recipient, id))?;
        let acked = mentions
            .iter()
            .filter(|mention| mention.op.outcome.is_success());
        acked.map(|mention| mention.op.ended).min()
    }

    /// Receipts of each recipient, recipients in order.
    fn inboxes(&self) -> Vec<(AgentNo, &[Receipt<'a>])> {
        let mut inboxes: Vec<_> = self
            .receipts
            .iter()
            .map(|(agent, receipts)| (*agent, receipts.as_slice()))
            .collect();
        inboxes.sort_by_key(|(agent, _)| *agent);
        inboxes
    }
}
