//! SIGKILL at random moments, under load, over and over on the same directory: whatever was answered
//! holds.
//!
//! `EKHO_FAULT_ROUNDS` sets the rounds, `EKHO_FAULT_SEED` repeats a run's choices.

use std::time::{Duration, Instant};

use ekho_jepsen::actor::{Actor, Copies};
use ekho_jepsen::check::Violation;
use ekho_jepsen::history::{Call, Counters, History, Outcome};
use ekho_jepsen::load::Load;
use ekho_jepsen::rng::Rng;

use crate::load::{self, Size};
use crate::process::{Place, alone, assert_kept, counters, judge, quick, ready, seed};
use crate::support::{DEADLINE, Relay, poll_until};

const ROUNDS: u64 = 50;
const SIZE: Size = Size {
    senders: 8,
    receivers: 4,
};
/// So many starts in a hundred are killed before they can be ready.
const EARLY_PERCENT: u64 = 15;

fn rounds() -> u64 {
    std::env::var("EKHO_FAULT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_or_done_twice() {
    let _turn = alone().await;
    let (rounds, seed) = (rounds(), seed());
    eprintln!("kill -9: {rounds} rounds, EKHO_FAULT_SEED={seed}");
    let began = Instant::now();
    let mut rng = Rng::new(seed);
    let place = Place::new();
    let mut relay = quick(place.path()).start().await;
    let mut load = load::begin(&relay, SIZE, &mut rng).await;
    let mut times_to_ready = Vec::new();
    for round in 1..=rounds {
        // The load goes on by itself; this is when the blow falls.
        tokio::time::sleep(Duration::from_millis(rng.between(20, 1_500))).await;
        relay.kill();
        relay.spawn();
        let mut starts = 1;
        while rng.chance(EARLY_PERCENT) {
            tokio::time::sleep(Duration::from_millis(rng.between(0, 120))).await;
            relay.kill();
            relay.spawn();
            starts += 1;
        }
        times_to_ready.push(ready(&relay).await);
        load.book.restarted();
        if round.is_multiple_of(50) && round < rounds {
            let ops = load.book.ops();
            eprintln!("kill -9: round {round}, {ops} requests, last start took {starts} tries");
        }
    }
    let (violations, counted) = end(&mut relay, &mut load).await;
    let verdict = if violations.is_empty() {
        "kept"
    } else {
        "BROKEN"
    };
    times_to_ready.sort();
    let ms = |place: usize| times_to_ready[place].as_millis();
    let last = times_to_ready.len() - 1;
    let Tally {
        requests,
        unknown,
        messages,
        acks,
        replays,
    } = load.book.read(Tally::of);
    eprintln!(
        "summary: kill -9, {rounds} rounds, seed {seed}, {secs:.0} s: {requests} requests ({unknown} \
         without an answer), {messages} messages accepted, {acks} acks counted, {replays} replays \
         refused; ready after {min}/{median}/{max} ms (min/median/max); every promise {verdict}",
        secs = began.elapsed().as_secs_f64(),
        min = ms(0),
        median = ms(last / 2),
        max = ms(last),
    );
    assert!(counted > 0, "nothing was accepted, so nothing was tested");
    assert_kept(&violations, &format!("EKHO_FAULT_SEED={seed}"));
}

/// Lets the load finish, drains the relay, kills it once more and looks again.
pub async fn end(relay: &mut Relay, load: &mut Load) -> (Vec<Violation>, u64) {
    load.stop_senders().await;
    let drained = drained(relay).await;
    let mut receivers = load.stop().await;
    let (mut violations, counted) = settle(load, &drained);
    // Everything is acked now; what comes after one more kill must not be there.
    relay.kill();
    relay.spawn();
    ready(relay).await;
    load.book.restarted();
    for receiver in &mut receivers {
        look_once_more(receiver).await;
    }
    load.replay_everything().await;
    let after = counters(relay).await.expect("metrics");
    violations = if violations.is_empty() {
        settle(load, &after).0
    } else {
        violations
    };
    (violations, counted)
}

/// The counters once no delivery is open.
pub async fn drained(relay: &Relay) -> Counters {
    poll_until(DEADLINE, "every message is acked", async || {
        let counters = counters(relay).await?;
        (counters.open_deliveries() == Some(0)).then_some(counters)
    })
    .await
}

fn settle(load: &Load, counters: &Counters) -> (Vec<Violation>, u64) {
    let accepted = counters.get("ekho_messages_accepted_total").unwrap_or(0);
    (judge(&load.book, counters), accepted)
}

/// Polls until there is an answer. The book notes what is in it; an acked message would be found.
async fn look_once_more(receiver: &mut Actor) {
    poll_until(DEADLINE, "a poll after the last start", async || {
        let outcome = receiver.poll(100, 0, Copies::One).await;
        matches!(outcome, Outcome::Handed(_)).then_some(())
    })
    .await;
}

/// Figures of a history.
struct Tally {
    requests: usize,
    unknown: usize,
    messages: usize,
    acks: u64,
    replays: usize,
}

impl Tally {
    fn of(history: &History) -> Self {
        let ops = &history.ops;
        let count = |test: fn(&Outcome) -> bool| ops.iter().filter(|op| test(&op.outcome)).count();
        let acked = ops.iter().filter_map(|op| match (&op.call, &op.outcome) {
            (Call::Ack(_), Outcome::Updated(count)) => Some(*count),
            _ => None,
        });
        let replays = ops.iter().filter(|op| {
            matches!(op.call, Call::Replay)
                && matches!(op.outcome, Outcome::Refused { status: 401, .. })
        });
        Tally {
            requests: count(|outcome| !matches!(outcome, Outcome::NotSent)),
            unknown: count(Outcome::is_unknown),
            messages: count(|outcome| {
                matches!(
                    outcome,
                    Outcome::Queued {
                        repeated: false,
                        ..
                    }
                )
            }),
            acks: acked.sum(),
            replays: replays.count(),
        }
    }
}
