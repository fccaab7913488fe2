//! What is asked of the relay beside messages, all of it through all nodes.
//!
//! - `gates`: agents send while an operator holds them, quarantines them, or forbids it by policy
//! - `approvals`: several operators decide the same thing at the same moment
//! - `rates`: agents send as fast as they may
//! - `registers`: a setting and the reason of a hold are written and read
//! - `sink`: receives everything that these send

mod approvals;
mod gates;
mod rates;
mod registers;
mod sink;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use crate::actor::Nodes;
use crate::book::Book;
use crate::client::{Answer, Client};
use crate::operator::Operator;
use crate::record::{Counted, Record, Records, Span, Subject};
use crate::rng::Rng;
use crate::sign::{Agent, Request};

/// What all of them share.
pub(crate) struct Scene {
    nodes: Nodes,
    book: Arc<Book>,
    records: Mutex<Records>,
    /// Ids of messages that were counted against a rate.
    counted: Mutex<HashSet<String>>,
    /// Answers that the API does not have for what was asked.
    strange: Mutex<Vec<String>>,
    /// Numbers for what must be told apart.
    next: AtomicU64,
    stop: AtomicBool,
    stop_sink: AtomicBool,
}

/// See the module.
pub struct Workload {
    scene: Arc<Scene>,
    tasks: JoinSet<()>,
    sink: JoinSet<()>,
}

impl Workload {
    /// Enrols everybody and begins.
    pub async fn begin(
        operator: &mut Operator,
        nodes: &Nodes,
        book: &Arc<Book>,
        rng: &mut Rng,
    ) -> Result<Self, String> {
        let scene = Arc::new(Scene {
            nodes: nodes.clone(),
            book: Arc::clone(book),
            records: Mutex::default(),
            counted: Mutex::default(),
            strange: Mutex::default(),
            next: AtomicU64::new(1),
            stop: AtomicBool::new(false),
            stop_sink: AtomicBool::new(false),
        });
        let (mut tasks, mut sink) = (JoinSet::new(), JoinSet::new());
        let receiver = operator.enrol("sink").await?;
        let to = receiver.id.clone();
        sink.spawn(sink::receive(Arc::clone(&scene), receiver));
        gates::begin(&scene, operator, &to, rng, &mut tasks).await?;
        rates::begin(&scene, operator, &to, rng, &mut tasks).await?;
        approvals::begin(&scene, operator, rng, &mut tasks).await?;
        registers::begin(&scene, operator, rng, &mut tasks).await?;
        Ok(Workload { scene, tasks, sink })
    }

    /// Ends everybody but who receives.
    pub async fn stop(&mut self) {
        self.scene.stop.store(true, Ordering::Relaxed);
        finish(&mut self.tasks).await;
    }

    /// Ends who receives; returns everything that was asked and answered, and strange answers.
    pub async fn end(mut self) -> (Records, Vec<String>) {
        self.scene.stop_sink.store(true, Ordering::Relaxed);
        finish(&mut self.sink).await;
        let records = std::mem::take(&mut *self.scene.records.lock());
        let strange = std::mem::take(&mut *self.scene.strange.lock());
        (records, strange)
    }
}

async fn finish(tasks: &mut JoinSet<()>) {
    while let Some(task) = tasks.join_next().await {
        task.expect("a task that does not panic");
    }
}

impl Scene {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn client(&self, rng: &mut Rng) -> Client {
        Client::new(&self.nodes, rng.index(self.nodes.addresses.len()))
    }

    /// A request that goes to any node; what came of it, and when.
    async fn ask(&self, client: &mut Client, rng: &mut Rng, request: &Request) -> (Answer, Span) {
        if rng.chance(50) {
            client.turn_to(rng.index(self.nodes.addresses.len()));
        }
        let began = self.book.now();
        let answer = client.ask(request).await;
        let ended = self.book.now();
        (answer, Span { began, ended })
    }

    fn strange(&self, request: &Request, answer: &Answer) {
        let Request { method, target, .. } = request;
        let Answer { node, status, body } = answer;
        let text = format!("{method} {target} through node {node}: {status} {body}");
        self.strange.lock().push(text);
    }

    /// Counts a message against the rate of its sender, once.
    fn count(&self, subject: Subject, message_id: &str, time: &str) {
        let Ok(at) = time.parse::<jiff::Timestamp>() else {
            return;
        };
        if self.counted.lock().insert(message_id.to_string()) {
            let queued_at = at.as_millisecond();
            let counted = Counted { subject, queued_at };
            self.records.lock().counted.push(counted);
        }
    }
}

/// A small message to one agent.
fn message(from: &Agent, to: &str, correlation: &str) -> Request {
    let body = json!({
        "recipient": { "kind": "agent", "id": to },
        "message_type": "direct",
        "conversation_id": "beside",
        "correlation_id": correlation,
        "ttl_seconds": 80_000,
        "body": {},
    });
    from.request("POST", "/v1/messages", body.to_string())
}

fn record<A>(subject: Subject, answer: &Answer, span: Span, act: A) -> Record<A> {
    Record {
        subject,
        node: answer.node,
        span,
        act,
        done: answer.done(),
    }
}

async fn pause(rng: &mut Rng, least_ms: u64, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.between(least_ms, most_ms))).await;
}
