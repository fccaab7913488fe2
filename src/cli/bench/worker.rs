//! One generator connection: what all kinds share, and the sender. Receivers and idle pollers are
//! in `receive`. Uses `client`, `sign`, `payload`; counts into its thread's tally.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc, watch};

use super::args::{Plan, Recipients};
use super::client::Client;
use super::enrol::Agent;
use super::error::BenchError;
use super::http::Target;
use super::pace::Run;
use super::payload::{Dice, Messages};
use super::record::{Failure, InFlight, Operation, Tally, Times};
use super::sign::{Call, Signer};

/// Pause after a refused, lost or silent connection.
const CONNECTION_PAUSE: Duration = Duration::from_millis(50);
/// Pause after a refusal.
const REFUSAL_PAUSE: Duration = Duration::from_millis(10);

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends, one request at a time.
    Sender,
    /// Polls without waiting and acknowledges until its inboxes are empty.
    Drainer,
    /// Long-polls one agent's inbox and acknowledges.
    Receiver,
    /// Long-polls one agent's inbox and expects nothing.
    Idler,
}

/// What a worker works with; one clone a worker, all parts shared.
#[derive(Debug, Clone)]
pub struct Context {
    /// Turns, times and the end.
    pub run: Arc<Run>,
    /// What was asked for.
    pub plan: Arc<Plan>,
    /// The relay.
    pub target: Arc<Target>,
    /// Everyone enrolled.
    pub agents: Arc<[Agent]>,
    /// The messages of this run.
    pub messages: Arc<Messages>,
    /// Where this thread counts.
    pub tally: Arc<Mutex<Tally>>,
    /// Connections being opened at once are limited: a burst would overflow the listen queue.
    pub opening: Arc<Semaphore>,
    /// Told once that this worker is ready, or why it is not.
    pub ready: mpsc::Sender<Result<(), BenchError>>,
    /// Becomes true when the run begins.
    pub started: watch::Receiver<bool>,
}

/// A worker's own connection and identities.
#[derive(Debug)]
pub struct Worker {
    /// What it shares.
    pub context: Context,
    /// Its connection.
    pub client: Client,
    /// One for each agent it acts for, at least one.
    pub signers: Vec<Signer>,
    /// The request being made.
    pub request: Vec<u8>,
}

impl Worker {
    /// A connected worker that acts for every `stride`th agent from `index` on (for one agent
    /// where there are fewer agents than that).
    pub async fn connect(
        context: Context,
        index: usize,
        stride: usize,
    ) -> Result<Self, BenchError> {
        let agents = &context.agents;
        let mine: Vec<&Agent> = if index < agents.len() {
            agents.iter().skip(index).step_by(stride.max(1)).collect()
        } else {
            agents
                .get(index.checked_rem(agents.len()).unwrap_or(0))
                .into_iter()
                .collect()
        };
        let signers = mine
            .into_iter()
            .map(Signer::new)
            .collect::<Result<Vec<_>, _>>()?;
        if signers.is_empty() {
            return Err(BenchError::usage("no agents to act for"));
        }
        let mut client = Client::new(Arc::clone(&context.target), context.plan.timeout);
        {
            let _permit = context.opening.acquire().await;
            client.connect().await.map_err(|_| BenchError::Setup {
                call: "connect".into(),
                why: format!("{} does not accept connection {index}", context.target.url),
            })?;
        }
        Ok(Self {
            context,
            client,
            signers,
            request: Vec::with_capacity(1024),
        })
    }

    /// Reports that this worker is ready and waits for the beginning of the run.
    pub async fn wait_for_start(&mut self) {
        // Both fail only when the run has been given up.
        let _ = self.context.ready.send(Ok(())).await;
        let _ = self.context.started.wait_for(|&started| started).await;
        let run = &self.context.run;
        if let Some(begin) = run.begins_at() {
            tokio::time::sleep_until(begin.into()).await;
        }
    }

    /// Signs a call as one of this worker's agents and makes it. The body of the answer, also of a
    /// refusal, is in the client afterwards. May be dropped half way; the connection goes with it.
    pub async fn call(
        &mut self,
        who: usize,
        method: &str,
        target: &str,
        body: &[u8],
        wait: Duration,
    ) -> Result<(), Failure> {
        let call = Call {
            host: &self.context.target.host,
            method,
            target,
            body,
        };
        let signer = self.signers.get_mut(who).ok_or(Failure::Unanswered)?;
        signer.write_request(&mut self.request, &call, self.context.run.clock.now_us());
        match self.client.call_held(&self.request, wait).await? {
            200..300 => Ok(()),
            status => Err(Failure::Status(status)),
        }
    }

    /// Counts a failure and pauses, so that a relay that refuses is not hammered.
    pub async fn failed(&self, failure: Failure, count: InFlight<'_>) {
        count.failed(failure, self.client.answer());
        let pause = match failure {
            Failure::Connect | Failure::Closed | Failure::Timeout => CONNECTION_PAUSE,
            _ => REFUSAL_PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Sends until there are no more turns. `number` tells this sender's messages from the others'.
pub async fn send(mut worker: Worker, number: usize) {
    let _done = SenderDone(Arc::clone(&worker.context.run));
    worker.wait_for_start().await;
    let run = Arc::clone(&worker.context.run);
    let tally = Arc::clone(&worker.context.tally);
    let mut recipients = Chooser::new(&worker.context);
    let conversations: Vec<String> = (0..worker.signers.len())
        .map(|at| format!("{}{number}.{at}", worker.context.messages.run_prefix))
        .collect();
    let mut body = Vec::with_capacity(worker.context.plan.payload_bytes + 512);
    let batched = worker.context.plan.batch > 1;
    let path = if batched {
        "/v1/messages/batch"
    } else {
        "/v1/messages"
    };
    let mut message_number = (number as u64) << 40;
    let mut who = 0;
    while let Some(turn) = run.turn().await {
        who = (who + 1) % worker.signers.len();
        let started_us = run.clock.now_us();
        body.clear();
        if batched {
            body.extend_from_slice(b"{\"messages\":[");
        }
        for item in 0..turn.items {
            if item > 0 {
                body.push(b',');
            }
            message_number += 1;
            let random = recipients.dice.next();
            let sender = worker
                .signers
                .get(who)
                .map(Signer::agent_id)
                .unwrap_or_default();
            let recipient = recipients.choose(&worker.context.agents, sender);
            let conversation = conversations
                .get(who)
                .map(String::as_str)
                .unwrap_or_default();
            worker.context.messages.write(
                &mut body,
                recipient,
                conversation,
                message_number,
                random,
                started_us,
            );
        }
        if batched {
            body.extend_from_slice(b"]}");
        }
        let count = InFlight::begin(&tally, Operation::Send, turn.items as u64, turn.measured);
        if let Err(failure) = worker.call(who, "POST", path, &body, Duration::ZERO).await {
            worker.failed(failure, count).await;
            continue;
        }
        let times = Times {
            intended_us: turn.intended_us,
            started_us,
            done_us: run.clock.now_us(),
        };
        let answer = worker.client.answer();
        if !batched {
            count.succeeded(times, 0, b"");
        } else {
            match accepted_of_batch(answer) {
                Some((accepted, error)) => {
                    count.succeeded(
                        times,
                        (turn.items as u64).saturating_sub(accepted),
                        error.as_bytes(),
                    );
                }
                None => count.failed(Failure::Protocol, answer),
            }
        }
    }
}

/// Tells the run, however a sender ends, that it has ended.
struct SenderDone(Arc<Run>);

impl Drop for SenderDone {
    fn drop(&mut self) {
        self.0.senders.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answer of the batch call: one outcome a message.
#[derive(Deserialize)]
struct BatchAnswer<'a> {
    #[serde(borrow)]
    results: Vec<BatchOutcome<'a>>,
}

#[derive(Deserialize)]
struct BatchOutcome<'a> {
    message_id: Option<IgnoredAny>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Messages of a batch that were accepted, and the first error of those that were not; none if the
/// answer does not say.
fn accepted_of_batch(answer: &[u8]) -> Option<(u64, &str)> {
    let BatchAnswer { results } = serde_json::from_slice(answer).ok()?;
    let accepted = results
        .iter()
        .filter(|outcome| outcome.message_id.is_some() && outcome.error.is_none())
        .count();
    let error = results
        .iter()
        .find_map(|outcome| outcome.error)
        .map(RawValue::get)
        .unwrap_or_default();
    Some((accepted as u64, error))
}

/// Picks whom to write to.
#[derive(Debug)]
struct Chooser {
    how: Recipients,
    /// Only the first this many agents are written to: the others do not poll.
    among: usize,
    next: usize,
    dice: Dice,
}

impl Chooser {
    fn new(context: &Context) -> Self {
        let plan = &context.plan;
        // A round trip has one receiver, the second agent.
        let how = if plan.receivers == 1 {
            Recipients::One
        } else {
            plan.recipients
        };
        let among = if plan.receivers == 1 {
            2.min(context.agents.len())
        } else {
            context.agents.len()
        };
        let mut dice = Dice::new();
        Self {
            how,
            among,
            next: dice.below(among),
            dice,
        }
    }

    /// Another agent than the sender, unless there is no other.
    fn choose<'a>(&mut self, agents: &'a [Agent], sender: &str) -> &'a str {
        let mut at = match self.how {
            Recipients::Random => self.dice.below(self.among),
            Recipients::Spread => {
                self.next = (self.next + 1) % self.among.max(1);
                self.next
            }
            Recipients::One => self.among.saturating_sub(1),
        };
        if agents.get(at).is_some_and(|agent| agent.agent_id == sender) {
            at = (at + 1) % self.among.max(1);
        }
        agents
            .get(at)
            .map(|agent| agent.agent_id.as_str())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn chooser(how: Recipients, among: usize) -> Chooser {
        Chooser {
            how,
            among,
            next: 0,
            dice: Dice::new(),
        }
    }

    fn agents(count: usize) -> Vec<Agent> {
        (0..count)
            .map(|n| Agent {
                agent_id: format!("agent_{n}"),
                secret: "s".into(),
            })
            .collect()
    }

    #[test]
    fn nobody_writes_to_themselves_and_everyone_else_is_reached() {
        let agents = agents(4);
        for how in [Recipients::Random, Recipients::Spread] {
            let mut chooser = chooser(how, 4);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..500 {
                seen.insert(chooser.choose(&agents, "agent_2").to_owned());
            }
            let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
            assert_eq!(seen, ["agent_0", "agent_1", "agent_3"], "{how:?}");
        }
    }

    #[test]
    fn one_recipient_is_the_last_agent() {
        let agents = agents(3);
        let mut chooser = chooser(Recipients::One, 3);
        assert_eq!(chooser.choose(&agents, "agent_0"), "agent_2");
        assert_eq!(chooser.choose(&agents, "agent_2"), "agent_0");
    }

    #[test]
    fn a_batch_counts_only_what_was_accepted() {
        let answer = br#"{"results":[{"message_id":"msg_1","status":"queued"},
            {"error":"blocked by policy","code":"policy"},{"message_id":null,"error":"x"}]}"#;
        assert_eq!(
            accepted_of_batch(answer),
            Some((1, r#""blocked by policy""#))
        );
        assert_eq!(accepted_of_batch(br#"{"results":[]}"#), Some((0, "")));
        assert_eq!(accepted_of_batch(br#"{"ok":true}"#), None);
        assert_eq!(accepted_of_batch(b"not json"), None);
    }
}
