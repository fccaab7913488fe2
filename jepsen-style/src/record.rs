//! What was asked and answered beside messages: gates, approvals, rates, registers. Plain data, as
//! `history` is; `check` judges it.

use crate::history::{Micros, NodeNo};

/// Of whom a record speaks: a gate, an approval, an agent, a register.
pub type Subject = usize;

/// From before a request went out until it was known what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before the first byte went out.
    pub began: Micros,
    /// When it was known, or given up.
    pub ended: Micros,
}

/// Whether a request was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Answered 2xx.
    Yes,
    /// Refused as a whole.
    No,
    /// Nobody knows: now, later, or never.
    Perhaps,
}

/// One request about one subject.
#[derive(Clone, Debug)]
pub struct Record<A> {
    /// About whom.
    pub subject: Subject,
    /// Which node was asked.
    pub node: NodeNo,
    /// When.
    pub span: Span,
    /// What was asked, and what was read.
    pub act: A,
    /// Whether it was done.
    pub done: Done,
}

/// How long after it was given up a request may still be done: it waits in the buffers of a node that
/// is paused, or between two that cannot reach each other, and no fault lasts as long as this.
const IN_DOUBT_US: Micros = 90_000_000;

impl<A> Record<A> {
    /// The last moment at which it can have happened.
    pub fn latest(&self) -> Micros {
        match self.done {
            Done::Perhaps => self.span.ended + IN_DOUBT_US,
            Done::Yes | Done::No => self.span.ended,
        }
    }
}

/// A gate is what an operator opens and closes in front of an agent's messages: a policy, a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateAct {
    /// The agent's messages may pass.
    Open,
    /// None may pass.
    Close,
    /// A message that goes through it, by the number in its correlation id. `Done::No` means that the
    /// gate kept it out.
    Send(u64),
}

/// An approval is decided once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalAct {
    /// An operator says yes or no. `Done::No` means that it was decided before.
    Decide(bool),
    /// The agent asks; the status that it was told.
    Look(String),
}

/// A message counted against a rate, when the relay says that it accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose.
    pub subject: Subject,
    /// `queued_at`, in milliseconds since 1970.
    pub queued_at: i64,
}

/// A register holds one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterAct {
    /// What was read.
    Read(String),
    /// What was written; no value is written twice.
    Write(String),
    /// The second was written where the first was there. `Done::No` means that it was not there.
    Compare(String, String),
}

/// Everything of a run beside messages.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Gates.
    pub gates: Vec<Record<GateAct>>,
    /// Numbers of the messages that came out behind the gates.
    pub passed: Vec<u64>,
    /// Approvals.
    pub approvals: Vec<Record<ApprovalAct>>,
    /// Messages of agents that send as fast as they may.
    pub counted: Vec<Counted>,
    /// Registers.
    pub registers: Vec<Record<RegisterAct>>,
}
