//! Messages: senders, receivers and a replayer that go on while nodes come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::actor::{Actor, Address, Copies, Draft, Nodes, judge};
use crate::book::{Book, Recorded};
use crate::history::{Call, NodeNo, Op, Outcome};
use crate::rng::Rng;
use crate::wire::Line;

/// Records sent again after a start: that many of the newest, and that many of all ages.
const REPLAYS_AFTER_START: usize = 100;
/// Among so many of the newest the replayer chooses while the relay runs.
const REPLAYED_AMONG: usize = 300;
/// Connections on which everything is replayed at the end.
const REPLAY_LINES: usize = 4;
/// How often in a hundred somebody turns to another node without need.
const WANDER_PERCENT: u64 = 20;
/// Ids a sender remembers, to look at later.
const REMEMBERED: usize = 50;

/// Who takes part.
pub struct Cast {
    /// Agents that send, with whom they write to; the last of these is a room with all receivers.
    pub senders: Vec<(Actor, Vec<Address>)>,
    /// Agents that receive.
    pub receivers: Vec<Actor>,
    /// Longest pause of a sender between two messages.
    pub think_ms: u64,
}

/// Everybody who sends, receives and replays.
pub struct Load {
    /// What was asked and answered.
    pub book: Arc<Book>,
    nodes: Nodes,
    flags: Arc<Flags>,
    senders: JoinSet<()>,
    receivers: JoinSet<Actor>,
    replayer: JoinSet<()>,
}

#[derive(Default)]
struct Flags {
    /// Senders finish what they began.
    senders_stop: AtomicBool,
    /// Nor do they ask again about that.
    given_up: AtomicBool,
    /// Receivers ack whatever they get.
    draining: AtomicBool,
    /// Receivers and replayer end.
    all_stop: AtomicBool,
}

impl Flags {
    fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Begins.
    pub fn begin(cast: Cast, nodes: Nodes, book: Arc<Book>, rng: &mut Rng) -> Self {
        let mut load = Load {
            book: Arc::clone(&book),
            nodes: nodes.clone(),
            flags: Arc::default(),
            senders: JoinSet::new(),
            receivers: JoinSet::new(),
            replayer: JoinSet::new(),
        };
        for (actor, addresses) in cast.senders {
            load.senders.spawn(send_on(
                actor,
                addresses,
                cast.think_ms,
                rng.fork(),
                Arc::clone(&load.flags),
            ));
        }
        for actor in cast.receivers {
            load.receivers
                .spawn(receive_on(actor, rng.fork(), Arc::clone(&load.flags)));
        }
        load.replayer
            .spawn(replay_on(book, nodes, rng.fork(), Arc::clone(&load.flags)));
        load
    }

    /// Ends the senders, once each knows what became of what it sent.
    pub async fn stop_senders(&mut self) {
        self.flags.senders_stop.store(true, Ordering::Relaxed);
        finish(&mut self.senders).await;
        self.flags.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the senders with the answer to what they asked last, on nodes that do not recover.
    pub async fn give_up(&mut self) {
        self.flags.senders_stop.store(true, Ordering::Relaxed);
        self.flags.given_up.store(true, Ordering::Relaxed);
        finish(&mut self.senders).await;
    }

    /// Ends everybody; returns the receivers.
    pub async fn stop(&mut self) -> Vec<Actor> {
        self.flags.all_stop.store(true, Ordering::Relaxed);
        finish(&mut self.replayer).await;
        finish(&mut self.receivers).await
    }

    /// Sends again, once, everything that was ever answered 2xx.
    pub async fn replay_everything(&self) {
        let recorded: Arc<[Recorded]> = self.book.all_recorded().into();
        let mut lines = JoinSet::new();
        for first in 0..REPLAY_LINES {
            let (book, recorded) = (Arc::clone(&self.book), Arc::clone(&recorded));
            let mut replayer = Replayer::new(&self.nodes, book);
            lines.spawn(async move {
                for record in recorded.iter().skip(first).step_by(REPLAY_LINES) {
                    // What did not reach the relay proves nothing.
                    loop {
                        let outcome = replayer.replay(record).await;
                        if !outcome.is_unknown() && !matches!(outcome, Outcome::NotSent) {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            });
        }
        finish(&mut lines).await;
    }
}

async fn finish<T: Send + 'static>(tasks: &mut JoinSet<T>) -> Vec<T> {
    let mut ended = Vec::new();
    while let Some(task) = tasks.join_next().await {
        ended.push(task.expect("a task that does not panic"));
    }
    ended
}

async fn send_on(
    mut actor: Actor,
    addresses: Vec<Address>,
    think_ms: u64,
    mut rng: Rng,
    flags: Arc<Flags>,
) {
    let mut remembered: Vec<String> = Vec::new();
    while !Flags::is(&flags.senders_stop) {
        pause(&mut rng, think_ms).await;
        if rng.chance(WANDER_PERCENT) {
            actor.wander(&mut rng);
        }
        let body_bytes = if rng.chance(4) {
            rng.between(10_000, 50_000)
        } else {
            rng.between(0, 2_000)
        };
        // A fan-out costs its number of recipients.
        let to = if rng.chance(4) {
            addresses.last()
        } else {
            Some(&addresses[rng.index(addresses.len() - 1)])
        };
        let Some(to) = to else { return };
        let (keyed, delayed) = (rng.chance(80), rng.chance(4));
        let draft = actor.draft(&mut rng, to, body_bytes as usize, keyed, i64::from(delayed));
        let copies = if rng.chance(4) {
            Copies::Two
        } else {
            Copies::One
        };
        let outcome = send_until_known(&mut actor, &draft, copies, &mut rng, &flags).await;
        let Outcome::Queued { id, .. } = outcome else {
            continue;
        };
        if keyed && rng.chance(4) {
            actor.send(&draft, Copies::One).await;
        }
        remembered.push(id);
        if remembered.len() > REMEMBERED {
            remembered.remove(0);
        }
        if rng.chance(10) {
            let id = rng.pick(&remembered).clone();
            actor.look(&id).await;
        }
    }
}

/// Sends a draft until it is known what became of it. Without a key a request in doubt may only be
/// repeated with the same nonce, or left.
async fn send_until_known(
    actor: &mut Actor,
    draft: &Draft,
    copies: Copies,
    rng: &mut Rng,
    flags: &Flags,
) -> Outcome {
    let asks_again = draft.keyed || rng.chance(50);
    let mut outcome = actor.send(draft, copies).await;
    let mut doubt = outcome.is_unknown();
    while !outcome.is_success() && !is_final(&outcome) && (asks_again || !doubt) {
        pause(rng, 40).await;
        if Flags::is(&flags.given_up) {
            break;
        }
        let same_bytes = doubt && (!draft.keyed || rng.chance(20));
        outcome = if same_bytes {
            actor.again().await
        } else {
            actor.send(draft, Copies::One).await
        };
        doubt |= outcome.is_unknown();
        if same_bytes && !draft.keyed && is_replayed(&outcome) {
            // It was accepted, and nobody is told under which id.
            break;
        }
    }
    outcome
}

/// Whether trying again is pointless: an answer that the contract does not have here.
fn is_final(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { status, .. } if ![401, 429, 503].contains(status))
        || matches!(outcome, Outcome::Refused { code, .. } if code == "invalid_signature")
}

fn is_replayed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { code, .. } if code == "replayed_nonce")
}

async fn receive_on(mut actor: Actor, mut rng: Rng, flags: Arc<Flags>) -> Actor {
    while !Flags::is(&flags.all_stop) {
        if rng.chance(WANDER_PERCENT) {
            actor.wander(&mut rng);
        }
        let copies = if rng.chance(4) {
            Copies::Two
        } else {
            Copies::One
        };
        let (limit, wait_seconds) = (rng.between(1, 40), rng.between(0, 1));
        let outcome = actor.poll(limit, wait_seconds, copies).await;
        let Outcome::Handed(messages) = outcome else {
            pause(&mut rng, 40).await;
            continue;
        };
        if messages.is_empty() {
            pause(&mut rng, 10).await;
        }
        let (mut acked, mut given_back) = (Vec::new(), Vec::new());
        let draining = Flags::is(&flags.draining);
        for handed in messages {
            match rng.between(1, 100) {
                _ if draining => acked.push(handed.id),
                // Forgotten: it comes again after the delivery timeout.
                1..=2 => {}
                3..=4 => given_back.push(handed.id),
                _ => acked.push(handed.id),
            }
        }
        while !acked.is_empty() {
            let part: Vec<String> = acked
                .drain(..rng.between(1, acked.len() as u64) as usize)
                .collect();
            let copies = if rng.chance(4) {
                Copies::Two
            } else {
                Copies::One
            };
            let mut outcome = actor.ack(&part, copies).await;
            while !matches!(outcome, Outcome::Updated(_)) && !is_final(&outcome) && rng.chance(70) {
                pause(&mut rng, 40).await;
                outcome = actor.ack(&part, Copies::One).await;
            }
        }
        if !given_back.is_empty() {
            actor.nack(&given_back).await;
        }
    }
    actor
}

/// Sends recorded bytes.
struct Replayer {
    lines: Vec<Line>,
    /// Whose turn it is; most requests were answered by another node.
    node: usize,
    book: Arc<Book>,
}

impl Replayer {
    fn new(nodes: &Nodes, book: Arc<Book>) -> Self {
        Replayer {
            lines: nodes.lines(),
            node: 0,
            book,
        }
    }

    async fn replay(&mut self, recorded: &Recorded) -> Outcome {
        self.node = (self.node + 1) % self.lines.len();
        let began = self.book.now();
        let exchange = self.lines[self.node].exchange(&recorded.bytes).await;
        let outcome = judge(&Call::Replay, exchange);
        self.book.note(Op {
            agent: recorded.agent,
            node: self.node as NodeNo,
            nonce: recorded.nonce.clone(),
            began,
            ended: self.book.now(),
            call: Call::Replay,
            outcome: outcome.clone(),
        });
        outcome
    }
}

/// Replays something of late now and then, and more of it after each start.
async fn replay_on(book: Arc<Book>, nodes: Nodes, mut rng: Rng, flags: Arc<Flags>) {
    let mut replayer = Replayer::new(&nodes, Arc::clone(&book));
    let mut starts = 0;
    while !Flags::is(&flags.all_stop) {
        pause(&mut rng, 10).await;
        if starts != book.starts() {
            starts = book.starts();
            for record in book.after_start(&mut rng, REPLAYS_AFTER_START) {
                while matches!(replayer.replay(&record).await, Outcome::NotSent)
                    && !Flags::is(&flags.all_stop)
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if starts != book.starts() || Flags::is(&flags.all_stop) {
                    break;
                }
            }
        } else if let Some(record) = book.recent(&mut rng, REPLAYED_AMONG) {
            replayer.replay(&record).await;
        }
    }
}

/// Think time. Random, so that requests of different agents meet in every way.
async fn pause(rng: &mut Rng, longest_ms: u64) {
    tokio::time::sleep(Duration::from_micros(rng.between(0, longest_ms * 1000))).await;
}
