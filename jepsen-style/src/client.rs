//! Somebody who asks one node after another and wants to know whether it was done. Shared by the
//! operators and agents of all loads but messages, which have [`crate::actor`].

use serde_json::Value;

use crate::actor::Nodes;
use crate::history::NodeNo;
use crate::record::Done;
use crate::sign::Request;
use crate::wire::{Exchange, Line, render};

/// See the module.
pub struct Client {
    lines: Vec<Line>,
    node: usize,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which node was asked.
    pub node: NodeNo,
    /// Status code; 0 where there was no whole answer.
    pub status: u16,
    /// The body; null where there is none, or none in JSON.
    pub body: Value,
}

impl Answer {
    /// Whether it was done.
    pub fn done(&self) -> Done {
        match self.status {
            0 => Done::Perhaps,
            200..300 => Done::Yes,
            _ if self.code() == "outcome_unknown" => Done::Perhaps,
            _ => Done::No,
        }
    }

    /// The body's `code`.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Refused because of the state of the relay and not of what was asked: trying again may help.
    pub fn is_trouble(&self) -> bool {
        let young = self.status == 401 && self.code() == "timestamp_before_leadership";
        young || self.status == 503
    }
}

impl Client {
    /// Begins with this node.
    pub fn new(nodes: &Nodes, first: usize) -> Self {
        Client {
            lines: nodes.lines(),
            node: first % nodes.addresses.len(),
        }
    }

    /// Asks this node the next time.
    pub fn turn_to(&mut self, node: usize) {
        self.node = node % self.lines.len();
    }

    /// Asks once. The next request goes to another node where this one did not serve.
    pub async fn ask(&mut self, request: &Request) -> Answer {
        let node = self.node as NodeNo;
        let exchange = self.lines[self.node].exchange(&render(request)).await;
        let (status, body) = match exchange {
            Exchange::Answered(reply) => (
                reply.status,
                serde_json::from_slice(&reply.body).unwrap_or_default(),
            ),
            // It did not leave, so nothing was done: as if it were refused.
            Exchange::NotSent => (503, serde_json::json!({ "code": "not_sent" })),
            Exchange::Unanswered | Exchange::CutShort => (0, Value::Null),
        };
        let answer = Answer { node, status, body };
        if answer.status == 0 || answer.is_trouble() {
            self.node = (self.node + 1) % self.lines.len();
        }
        answer
    }
}
