//! SIGTERM under load: the relay ends by itself with exit code 0, every request it had begun is
//! answered, no answer is cut, nothing answered is lost, and it starts again.

use std::time::{Duration, Instant};

use ekho_jepsen::actor::{Actor, Address, Copies};
use ekho_jepsen::book::Book;
use ekho_jepsen::history::{Call, Outcome};
use ekho_jepsen::rng::Rng;
use ekho_jepsen::wire::{Exchange, Line, PATIENCE, render};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::kill::{drained, end};
use crate::load::{self, Size};
use crate::process::{
    Place, actor, address, alone, assert_kept, counters, judge, quick, ready, seed,
};
use crate::support::{DEADLINE, Relay, poll_until};

const ROUNDS: u64 = 6;
const SIZE: Size = Size {
    senders: 8,
    receivers: 3,
};
/// Long polls, and sends of which the relay has the head and waits for the body.
const WITNESSES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_finishes_what_was_accepted() {
    let _turn = alone().await;
    let seed = seed();
    let mut rng = Rng::new(seed);
    let place = Place::new();
    let mut relay = quick(place.path()).start().await;
    let mut load = load::begin(&relay, SIZE, &mut rng).await;
    let mut stop_ms = Vec::new();
    for _ in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(rng.between(50, 1_200))).await;
        let began = Instant::now();
        // Fails unless the process ends by itself with code 0.
        relay.stop().await;
        stop_ms.push(began.elapsed().as_millis());
        relay.spawn();
        ready(&relay).await;
        load.book.restarted();
    }
    let cut = load.book.read(|history| {
        history
            .ops
            .iter()
            .filter(|op| matches!(op.outcome, Outcome::Cut))
            .count()
    });
    let (violations, accepted) = end(&mut relay, &mut load).await;
    stop_ms.sort_unstable();
    eprintln!(
        "summary: SIGTERM under load, {ROUNDS} rounds, seed {seed}: {accepted} messages accepted, {cut} \
         answers cut; ended after {}/{}/{} ms (min/median/max)",
        stop_ms[0],
        stop_ms[stop_ms.len() / 2],
        stop_ms[stop_ms.len() - 1],
    );
    assert!(accepted > 0, "nothing was accepted, so nothing was tested");
    assert_eq!(cut, 0, "answers that ended before their end");
    assert_kept(&violations, &format!("EKHO_FAULT_SEED={seed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_begun_before_a_stop_are_answered() {
    let _turn = alone().await;
    let place = Place::new();
    let mut relay = quick(place.path()).start().await;
    let book = Book::new();
    let operator = relay.operator().await;
    let reader = operator.enrol("reader").await;
    let mut reader = actor(0, &reader, &relay, &book);
    let to = Address::of_agent(0, reader.id());
    let mut rng = Rng::new(1);
    book.restarted();
    leads_long_enough(&mut reader).await;

    // Polls that have nothing to wait for but the end; the relay counts those it holds.
    let mut polls = Vec::new();
    for place in 0..WITNESSES {
        let idle = operator.enrol(&format!("idle {place}")).await;
        let mut idle = actor(place as u16 + 1, &idle, &relay, &book);
        polls.push(tokio::spawn(
            async move { idle.poll(10, 60, Copies::One).await },
        ));
    }
    poll_until(DEADLINE, "every long poll waits", async || {
        let waiting = counters(&relay).await?.get("ekho_waiting_requests")?;
        (waiting == WITNESSES as u64).then_some(())
    })
    .await;

    // Sends whose body the relay has asked for, which proves that it works on them.
    let sender = actor(100, &operator.enrol("sender").await, &relay, &book);
    let mut sends = Vec::new();
    for _ in 0..WITNESSES {
        let draft = sender.draft(&mut rng, &to, 500, true, 0);
        let request = sender.send_request(&draft).header("expect", "100-continue");
        let began = book.now();
        let (mut line, bytes) = (Line::new(address(&relay), PATIENCE), render(&request));
        let head_bytes = bytes.len() - request.body.len();
        assert!(line.connect().await, "no connection");
        line.write(&bytes[..head_bytes]).await.unwrap();
        assert!(
            line.wait_for_continue().await,
            "the relay did not ask for the body"
        );
        sends.push((line, draft.no, request, began));
    }

    relay.signal(Signal::TERM);
    poll_until(DEADLINE, "the relay accepts no connections", async || {
        TcpStream::connect(address(&relay))
            .await
            .is_err()
            .then_some(())
    })
    .await;
    let mut accepted = 0;
    for (mut line, no, request, began) in sends {
        line.write(&request.body).await.unwrap();
        let answer = line.read().await;
        assert!(
            matches!(answer, Exchange::Answered(_)),
            "a send begun before the stop: {answer:?}"
        );
        let outcome = sender.note(&Call::Send(no), 0, &request.nonce, began, answer);
        accepted += usize::from(outcome.is_success());
    }
    for poll in polls {
        let outcome = poll.await.unwrap();
        assert!(
            matches!(outcome, Outcome::Handed(_)),
            "a long poll begun before the stop: {outcome:?}"
        );
    }
    let status = relay.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{}", relay.log());

    relay.spawn();
    ready(&relay).await;
    let draining = tokio::spawn(async move { drain_inbox(&mut reader).await });
    let counted = drained(&relay).await;
    draining.abort();
    eprintln!(
        "summary: SIGTERM with requests in flight: {accepted} of {WITNESSES} sends accepted, all answered"
    );
    assert_kept(&judge(&book, &counted), "after the stop");
}

/// Acks whatever comes, until it is stopped.
pub async fn drain_inbox(reader: &mut Actor) {
    loop {
        if let Outcome::Handed(messages) = reader.poll(100, 1, Copies::One).await
            && !messages.is_empty()
        {
            let ids: Vec<String> = messages.into_iter().map(|handed| handed.id).collect();
            reader.ack(&ids, Copies::One).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until reads are accepted: shortly after a start they are refused.
pub async fn leads_long_enough(reader: &mut Actor) {
    poll_until(DEADLINE, "reads are accepted", async || {
        matches!(reader.poll(1, 0, Copies::One).await, Outcome::Handed(_)).then_some(())
    })
    .await;
}

/// Starts a relay again and waits until it is ready.
pub async fn start_again(relay: &mut Relay) {
    relay.spawn();
    ready(relay).await;
}
