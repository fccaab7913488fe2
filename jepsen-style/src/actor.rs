//! An agent that makes requests of one node or another and writes each into the book, with what came
//! of it. Where a node does not serve, the next request goes to the next node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::book::Book;
use crate::history::{
    AgentNo, Call, Content, Fingerprint, Handed, Message, MessageNo, Micros, NodeNo, Op, Outcome,
};
use crate::rng::Rng;
use crate::sign::{Agent, Request, now_iso};
use crate::wire::{Exchange, Line, Reply, render};

const TYPES: [&str; 5] = ["direct", "alert", "handoff", "claim", "complete"];
const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];

/// See the module.
pub struct Actor {
    /// Its place in the run.
    pub no: AgentNo,
    agent: Agent,
    book: Arc<Book>,
    lines: Vec<Line>,
    /// For the second copy of a request.
    other_lines: Vec<Line>,
    /// Whose turn it is.
    node: usize,
    last: Option<Last>,
}

/// Where the nodes are, and how long to wait for one.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// Client API of each.
    pub addresses: Vec<SocketAddr>,
    /// For an answer.
    pub patience: Duration,
}

impl Nodes {
    /// A line to each.
    pub fn lines(&self) -> Vec<Line> {
        let lines = self.addresses.iter();
        lines.map(|to| Line::new(*to, self.patience)).collect()
    }
}

/// The request made last.
#[derive(Clone)]
struct Last {
    call: Call,
    nonce: String,
    bytes: Arc<[u8]>,
    signed: Instant,
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub struct Address {
    /// `recipient` of the request.
    pub json: String,
    /// Whom that means.
    pub agents: Vec<AgentNo>,
}

impl Address {
    /// One agent.
    pub fn of_agent(no: AgentNo, id: &str) -> Self {
        Address {
            json: format!(r#"{{"kind":"agent","id":"{id}"}}"#),
            agents: vec![no],
        }
    }

    /// The other members of a room.
    pub fn of_room(room_id: &str, others: Vec<AgentNo>) -> Self {
        Address {
            json: format!(r#"{{"kind":"group","id":"{room_id}"}}"#),
            agents: others,
        }
    }
}

/// A message that is written and can be sent, again and again if need be.
pub struct Draft {
    /// Which one.
    pub no: MessageNo,
    /// Whether it carries an idempotency key.
    pub keyed: bool,
    body: String,
}

/// Whether bytes go out once or on two connections at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Once.
    One,
    /// Twice at once; the relay may accept one of them.
    Two,
}

impl Actor {
    /// An enrolled agent, to talk to these nodes.
    pub fn new(no: AgentNo, agent: Agent, nodes: &Nodes, book: Arc<Book>) -> Self {
        Actor {
            no,
            agent,
            book,
            lines: nodes.lines(),
            other_lines: nodes.lines(),
            node: usize::from(no) % nodes.addresses.len(),
            last: None,
        }
    }

    /// Turns to another node for a change.
    pub fn wander(&mut self, rng: &mut Rng) {
        self.node = rng.index(self.lines.len());
    }

    /// Its public id.
    pub fn id(&self) -> &str {
        &self.agent.id
    }

    /// Writes a message of this size and notes that it is meant to be sent. The JSON is laid out
    /// unusually on purpose: recipients must get these bytes and not just this value.
    pub fn draft(
        &self,
        rng: &mut Rng,
        to: &Address,
        body_bytes: usize,
        keyed: bool,
        delay_seconds: i64,
    ) -> Draft {
        let (message_type, priority) = (*rng.pick(&TYPES), *rng.pick(&PRIORITIES));
        let ttl_seconds = rng.between(40_000, 80_000) as i64;
        let filler = rng.hex(body_bytes);
        let mut request = String::new();
        let no = self.book.plan(|no| {
            let conversation_id = format!("talk-{}", no % 7);
            let body = format!(
                "{{ \"no\" : {no},\"half\":1.50, \"text\":\"d\\u00e9j\\u00e0 vu \u{2615}\",\"filler\":\"{filler}\" }}"
            );
            let metadata = format!("{{\"no\":{no}.0,  \"tags\":[ \"a\", null ]}}");
            request = format!(
                r#"{{"recipient":{to},"message_type":"{message_type}","priority":"{priority}","ttl_seconds":{ttl_seconds},"conversation_id":"{conversation_id}","correlation_id":"{correlation}","body":{body},"metadata":{metadata}{delay}}}"#,
                to = to.json,
                correlation = correlation(no),
                delay = if delay_seconds > 0 { format!(r#","delay_seconds":{delay_seconds}"#) } else { String::new() },
            );
            Message {
                recipients: to.agents.clone(),
                content: Content {
                    body: Fingerprint::of(body.as_bytes()),
                    metadata: Fingerprint::of(metadata.as_bytes()),
                    conversation_id,
                    sender_id: self.agent.id.clone(),
                    message_type: message_type.into(),
                    priority: priority.into(),
                    ttl_ms: (ttl_seconds + delay_seconds) * 1000,
                },
                keyed,
                delay_ms: delay_seconds * 1000,
            }
        });
        Draft {
            no,
            keyed,
            body: request,
        }
    }

    /// Sends a draft with a fresh signature.
    pub async fn send(&mut self, draft: &Draft, copies: Copies) -> Outcome {
        let request = self.send_request(draft);
        self.perform(Call::Send(draft.no), request, copies).await
    }

    /// The signed request of a draft, for whoever sends the bytes in another way.
    pub fn send_request(&self, draft: &Draft) -> Request {
        let request = self
            .agent
            .request("POST", "/v1/messages", draft.body.clone());
        if draft.keyed {
            request.header("idempotency-key", &format!("key-{}", draft.no))
        } else {
            request
        }
    }

    /// Polls; returns what was handed out.
    pub async fn poll(&mut self, limit: u64, wait_seconds: u64, copies: Copies) -> Outcome {
        let target = format!("/v1/inbox?limit={limit}&wait={wait_seconds}");
        let request = self.agent.request("GET", &target, "");
        self.perform(Call::Poll, request, copies).await
    }

    /// Acks messages.
    pub async fn ack(&mut self, ids: &[String], copies: Copies) -> Outcome {
        let at = now_iso();
        let acks: Vec<String> = ids
            .iter()
            .map(|id| {
                format!(r#"{{"message_id":"{id}","status":"received","received_at":"{at}"}}"#)
            })
            .collect();
        let body = format!(r#"{{"acks":[{}]}}"#, acks.join(","));
        let request = self.agent.request("POST", "/v1/acks", body);
        self.perform(Call::Ack(ids.to_vec()), request, copies).await
    }

    /// Gives messages back, to have them again at once.
    pub async fn nack(&mut self, ids: &[String]) -> Outcome {
        let nacks: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"message_id":"{id}","delay_seconds":0}}"#))
            .collect();
        let body = format!(r#"{{"nacks":[{}]}}"#, nacks.join(","));
        let request = self.agent.request("POST", "/v1/nacks", body);
        self.perform(Call::Nack(ids.to_vec()), request, Copies::One)
            .await
    }

    /// Asks what became of a message this agent sent.
    pub async fn look(&mut self, id: &str) -> Outcome {
        let target = format!("/v1/messages/{id}");
        let request = self.agent.request("GET", &target, "");
        self.perform(Call::Look(id.to_string()), request, Copies::One)
            .await
    }

    /// Sends the bytes of the last request once more: the same signature, the same nonce.
    pub async fn again(&mut self) -> Outcome {
        match self.last.clone() {
            Some(last) => self.transmit(last, Copies::One).await,
            None => Outcome::NotSent,
        }
    }

    async fn perform(&mut self, call: Call, request: Request, copies: Copies) -> Outcome {
        let bytes = render(&request).into();
        let last = Last {
            call,
            nonce: request.nonce,
            bytes,
            signed: Instant::now(),
        };
        self.last = Some(last.clone());
        self.transmit(last, copies).await
    }

    /// Sends a request, once or twice at once, and notes what came of each copy. Returns the better
    /// of two outcomes: a success, else one that may be one.
    async fn transmit(&mut self, request: Last, copies: Copies) -> Outcome {
        let Last {
            call,
            nonce,
            bytes,
            signed,
        } = request;
        let began = self.book.now();
        let here = self.node;
        let there = (here + 1) % self.lines.len();
        let (first, second) = match copies {
            Copies::One => (self.lines[here].exchange(&bytes).await, None),
            Copies::Two => {
                let (line, other) = (&mut self.lines[here], &mut self.other_lines[there]);
                let (first, second) = tokio::join!(line.exchange(&bytes), other.exchange(&bytes));
                (first, Some(second))
            }
        };
        let first = self.note(&call, here as NodeNo, &nonce, began, first);
        let second = second.map(|second| self.note(&call, there as NodeNo, &nonce, began, second));
        if !is_served(&first) {
            self.node = there;
        }
        let outcome = match second {
            Some(second) if second.is_success() || first.is_refusal() => second,
            _ => first,
        };
        if outcome.is_success() {
            self.book.keep(self.no, nonce, bytes, signed);
        }
        outcome
    }

    /// Notes an exchange that was made in another way.
    pub fn note(
        &self,
        call: &Call,
        node: NodeNo,
        nonce: &str,
        began: Micros,
        exchange: Exchange,
    ) -> Outcome {
        let outcome = judge(call, exchange);
        self.book.note(Op {
            agent: self.no,
            node,
            nonce: nonce.into(),
            began,
            ended: self.book.now(),
            call: call.clone(),
            outcome: outcome.clone(),
        });
        outcome
    }
}

/// Whether this node is worth asking again.
fn is_served(outcome: &Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::NotSent | Outcome::Unknown | Outcome::Cut | Outcome::Refused { status: 503, .. }
    )
}

/// The correlation id by which a message is recognised.
fn correlation(no: MessageNo) -> String {
    format!("m-{no}")
}

/// What an exchange means for what was asked.
pub fn judge(call: &Call, exchange: Exchange) -> Outcome {
    let reply = match exchange {
        Exchange::Answered(reply) => reply,
        Exchange::NotSent => return Outcome::NotSent,
        Exchange::Unanswered => return Outcome::Unknown,
        Exchange::CutShort => return Outcome::Cut,
    };
    if !(200..300).contains(&reply.status) {
        return refusal(&reply);
    }
    let read = match call {
        Call::Send(_) => read_sent(&reply.body),
        Call::Poll => read_inbox(&reply.body),
        Call::Ack(_) | Call::Nack(_) => number(&reply.body, "updated").map(Outcome::Updated),
        Call::Look(_) => text(&reply.body, "status").map(Outcome::Seen),
        Call::Replay => Some(Outcome::Accepted),
    };
    read.unwrap_or_else(|| {
        let shown = String::from_utf8_lossy(&reply.body[..reply.body.len().min(500)]).into_owned();
        Outcome::Garbled(format!("{} {shown}", reply.status))
    })
}

fn refusal(reply: &Reply) -> Outcome {
    let code = text(&reply.body, "code").unwrap_or_default();
    // The one answer that says that nobody knows.
    if code == "outcome_unknown" {
        return Outcome::Unknown;
    }
    Outcome::Refused {
        status: reply.status,
        code,
    }
}

pub(crate) fn field(body: &[u8], name: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    Some(value.get_mut(name)?.take())
}

pub(crate) fn text(body: &[u8], name: &str) -> Option<String> {
    Some(field(body, name)?.as_str()?.to_string())
}

fn number(body: &[u8], name: &str) -> Option<u64> {
    field(body, name)?.as_u64()
}

fn read_sent(body: &[u8]) -> Option<Outcome> {
    let repeated = field(body, "idempotent_replay")
        .and_then(|value| value.as_bool())
        .unwrap_or(false);
    let (id, queued_at) = (text(body, "message_id")?, time(&text(body, "queued_at")?)?);
    let status = text(body, "status")?;
    matches!(status.as_str(), "queued" | "scheduled").then_some(Outcome::Queued {
        id,
        queued_at,
        repeated,
    })
}

/// A message as the wire has it, its JSON left as it is.
#[derive(Deserialize)]
struct Wire<'a> {
    message_id: String,
    conversation_id: String,
    correlation_id: String,
    sender_agent_id: String,
    message_type: String,
    priority: String,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    created_at: String,
    deadline_at: String,
    attempt: u32,
}

#[derive(Deserialize)]
struct Inbox<'a> {
    #[serde(borrow)]
    messages: Vec<Wire<'a>>,
}

fn read_inbox(body: &[u8]) -> Option<Outcome> {
    let inbox: Inbox<'_> = serde_json::from_slice(body).ok()?;
    let handed = inbox.messages.into_iter().map(|wire| {
        let (created_at, deadline_at) = (time(&wire.created_at)?, time(&wire.deadline_at)?);
        Some(Handed {
            message: wire
                .correlation_id
                .strip_prefix("m-")
                .and_then(|no| no.parse().ok()),
            id: wire.message_id,
            content: Content {
                body: Fingerprint::of(wire.body.get().as_bytes()),
                metadata: Fingerprint::of(wire.metadata.get().as_bytes()),
                conversation_id: wire.conversation_id,
                sender_id: wire.sender_agent_id,
                message_type: wire.message_type,
                priority: wire.priority,
                ttl_ms: deadline_at - created_at,
            },
            created_at,
            attempt: wire.attempt,
        })
    });
    handed.collect::<Option<Vec<_>>>().map(Outcome::Handed)
}

fn time(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(|at| at.as_millisecond())
}
