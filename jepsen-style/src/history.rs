//! The history of a run: what was meant to be sent, every request, and what came of it. Plain data;
//! `check` judges it.

use std::collections::HashMap;
use std::fmt;

use sha2::{Digest, Sha256};

/// An agent's place in the run.
pub type AgentNo = u16;
/// A message's place in [`History::messages`]; stands in its correlation id.
pub type MessageNo = usize;
/// Microseconds since the run began, on the test's own monotone clock.
pub type Micros = u64;
/// A node's place in the run.
pub type NodeNo = u16;

/// SHA-256, so that a long run need not keep every body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of exactly these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Fingerprint(Sha256::digest(bytes).into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}

/// Everything of a message that its recipient must see as its sender gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Raw JSON of the body.
    pub body: Fingerprint,
    /// Raw JSON of the metadata.
    pub metadata: Fingerprint,
    /// As sent.
    pub conversation_id: String,
    /// The sender's public id.
    pub sender_id: String,
    /// As sent.
    pub message_type: String,
    /// As sent.
    pub priority: String,
    /// From acceptance to the deadline.
    pub ttl_ms: i64,
}

/// A message that somebody means to send, however many requests it takes.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who must get it.
    pub recipients: Vec<AgentNo>,
    /// What they must get.
    pub content: Content,
    /// Whether every request carries the same idempotency key. Without one there is one request.
    pub keyed: bool,
    /// Handed out not before this much later, and then not in the accepted order. Its time to live
    /// begins then.
    pub delay_ms: i64,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Op {
    /// Who signed it.
    pub agent: AgentNo,
    /// Which node was asked.
    pub node: NodeNo,
    /// Its nonce. The same again means the same bytes again.
    pub nonce: String,
    /// Before the first byte went out.
    pub began: Micros,
    /// When it was known what came of it.
    pub ended: Micros,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub enum Call {
    /// POST /v1/messages
    Send(MessageNo),
    /// GET /v1/inbox
    Poll,
    /// POST /v1/acks, of these message ids
    Ack(Vec<String>),
    /// POST /v1/nacks
    Nack(Vec<String>),
    /// GET /v1/messages/{id}
    Look(String),
    /// The bytes of an earlier request that was answered 2xx, once more
    Replay,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// 2xx to a send.
    Queued {
        /// The message's public id.
        id: String,
        /// `queued_at`, in milliseconds since 1970.
        queued_at: i64,
        /// Whether the relay says that it had done this before.
        repeated: bool,
    },
    /// 2xx to a poll.
    Handed(Vec<Handed>),
    /// 2xx to an ack or nack: how many counted.
    Updated(u64),
    /// 2xx to a look: the message's status.
    Seen(String),
    /// 2xx to a replay.
    Accepted,
    /// A whole answer that says no.
    Refused {
        /// Status code.
        status: u16,
        /// The body's `code`.
        code: String,
    },
    /// A whole answer that is not what the contract says.
    Garbled(String),
    /// The request did not leave.
    NotSent,
    /// Not a byte of an answer, or one that says that nobody knows.
    Unknown,
    /// The connection ended within an answer.
    Cut,
}

impl Outcome {
    /// Whether the relay said that it did it.
    pub fn is_success(&self) -> bool {
        matches!(
            self,
            Outcome::Queued { .. }
                | Outcome::Handed(_)
                | Outcome::Updated(_)
                | Outcome::Seen(_)
                | Outcome::Accepted
        )
    }

    /// Whether it may have been done or not.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Outcome::Unknown | Outcome::Cut)
    }

    /// Whether nothing was done, and both sides know it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Outcome::Refused { .. } | Outcome::NotSent)
    }
}

/// A message as a poll handed it out.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Which one it says it is; none where that is not one of the run.
    pub message: Option<MessageNo>,
    /// Public id.
    pub id: String,
    /// What it holds.
    pub content: Content,
    /// `created_at`, in milliseconds since 1970.
    pub created_at: i64,
    /// How often it was handed out, this time included.
    pub attempt: u32,
}

/// Everything that was asked and answered.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What was meant to be sent.
    pub messages: Vec<Message>,
    /// Every request. Those of one agent stand in the order in which they ended.
    pub ops: Vec<Op>,
}

/// The metrics page: series with their values.
#[derive(Clone, Debug, Default)]
pub struct Counters(pub HashMap<String, u64>);

impl Counters {
    /// Reads the page; series that are not whole numbers are left out.
    pub fn parse(page: &str) -> Self {
        let series = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_string(), value.parse().ok()?))
            });
        Counters(series.collect())
    }

    /// A series, such as `ekho_messages_total{status="accepted"}`.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Deliveries that are still open: waiting to be handed out, or in somebody's hands.
    pub fn open_deliveries(&self) -> Option<u64> {
        let queued = self.get("ekho_deliveries_total{status=\"queued\"}")?;
        Some(queued + self.get("ekho_deliveries_total{status=\"delivered\"}")?)
    }
}
