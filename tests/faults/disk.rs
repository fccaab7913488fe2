//! A full disk: writes are refused with 503, reads go on, and freeing space heals it without a
//! restart; nothing answered is lost.
//!
//! The data directory is a tmpfs of its own, which takes root to mount. Without it these tests say
//! so and pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ekho_jepsen::actor::{Actor, Address, Copies};
use ekho_jepsen::book::Book;
use ekho_jepsen::history::Outcome;
use ekho_jepsen::rng::Rng;
use ekho_jepsen::wire::Exchange;
use serde_json::Value;

use crate::kill::drained;
use crate::process::{
    Place, actor, alone, assert_kept, counters, get, is_running, judge, quick, ready, refusal, seed,
};
use crate::small_disk::SmallDisk;
use crate::stop::{drain_inbox, leads_long_enough, start_again};
use crate::support::{Agent, DEADLINE, Relay, RelayBuilder, poll_until};

const BODY_BYTES: usize = 100_000;
/// Sends that fill the disk; far more than fit.
const SENDS_MAX: usize = 5_000;
const SENDERS: u16 = 4;
/// The reader's number; the idle agent's is one more.
const READER: u16 = SENDERS;

/// Agents of a relay on a small disk.
struct Cast {
    book: Arc<Book>,
    senders: Vec<Actor>,
    reader: Agent,
    idle: Actor,
    to: Address,
}

impl Cast {
    async fn enrol(relay: &Relay) -> Self {
        let operator = relay.operator().await;
        let book = Book::new();
        let mut senders = Vec::new();
        for no in 0..SENDERS {
            let agent = operator.enrol(&format!("sender {no}")).await;
            senders.push(actor(no, &agent, relay, &book));
        }
        let reader = operator.enrol("reader").await;
        let idle = operator.enrol("idle").await;
        let mut idle = actor(READER + 1, &idle, relay, &book);
        leads_long_enough(&mut idle).await;
        let to = Address::of_agent(READER, &reader.id);
        Cast {
            book,
            senders,
            reader,
            idle,
            to,
        }
    }

    /// Drains the reader's inbox and judges everything so far; then once more after a kill.
    async fn settle(&self, relay: &mut Relay, about: &str) -> u64 {
        let mut accepted = 0;
        for about in [about.to_string(), format!("{about}, after a kill")] {
            let mut reader = actor(READER, &self.reader, relay, &self.book);
            let draining = tokio::spawn(async move { drain_inbox(&mut reader).await });
            let counters = drained(relay).await;
            draining.abort();
            assert_kept(&judge(&self.book, &counters), &about);
            accepted = counters.get("ekho_messages_accepted_total").unwrap_or(0);
            relay.kill();
            start_again(relay).await;
            // The last poll may have been cut off by the abort above; its nonce is used up.
            self.book.restarted();
        }
        accepted
    }
}

async fn page(relay: &Relay, target: &str) -> (u16, Value) {
    match get(relay, target).await {
        Exchange::Answered(reply) => (
            reply.status,
            serde_json::from_slice(&reply.body).unwrap_or_default(),
        ),
        other => panic!("GET {target}: {other:?}"),
    }
}

/// Waits until the relay says that the disk is full.
async fn says_full(relay: &Relay) {
    poll_until(DEADLINE, "/readyz says disk_full", async || {
        let (status, body) = page(relay, "/readyz").await;
        (status == 503 && body["reason"] == "disk_full").then_some(())
    })
    .await;
}

fn refused_as_full(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { status: 503, code } if code == "disk_full")
}

/// What must work on a full disk.
async fn reads_go_on(relay: &Relay, cast: &mut Cast, id: &str) {
    let status = cast.senders[0].look(id).await;
    assert!(
        matches!(status, Outcome::Seen(_)),
        "the status of a message: {status:?}"
    );
    let empty = cast.idle.poll(10, 1, Copies::One).await;
    assert!(
        matches!(&empty, Outcome::Handed(messages) if messages.is_empty()),
        "an empty poll: {empty:?}"
    );
    assert_eq!(page(relay, "/healthz").await.0, 200);
    let metrics = counters(relay).await.expect("metrics");
    assert_eq!(metrics.get("ekho_disk_full"), Some(1));
    assert!(is_running(relay));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_writes_and_heals() {
    let _turn = alone().await;
    let place = Place::new();
    // Full before the first snapshot: that would give some of the room back in the middle of it.
    let Some(disk) = SmallDisk::mount(&place.path().join("data"), "132m") else {
        return;
    };
    // The log's next table and write-ahead file take about 34 MiB at once.
    let mut relay = quick(place.path())
        .env("EKHO_DISK_FREE_MIN_BYTES", 48 << 20)
        .start()
        .await;
    let mut cast = Cast::enrol(&relay).await;
    // More than that is given back later: it may be taken once the disk counts as full.
    disk.take(40 << 20);
    let mut rng = Rng::new(3);
    let (mut last_id, mut sends) = (String::new(), 0);
    loop {
        let draft = cast.senders[0].draft(&mut rng, &cast.to, BODY_BYTES, true, 0);
        match cast.senders[0].send(&draft, Copies::One).await {
            Outcome::Queued { id, .. } => last_id = id,
            outcome if refused_as_full(&outcome) => break,
            outcome => panic!("a send on a disk that fills up: {outcome:?}"),
        }
        sends += 1;
        assert!(
            sends < SENDS_MAX,
            "the disk does not fill up: {} bytes free",
            disk.free_bytes()
        );
    }
    says_full(&relay).await;
    reads_go_on(&relay, &mut cast, &last_id).await;
    // A poll that hands something out is a write, and so is an ack.
    let mut reader = actor(READER, &cast.reader, &relay, &cast.book);
    for outcome in [
        reader.poll(1, 0, Copies::One).await,
        reader.ack(&[last_id.clone()], Copies::One).await,
    ] {
        assert!(
            refused_as_full(&outcome),
            "a write on a full disk: {outcome:?}"
        );
    }

    disk.give_back();
    ready(&relay).await;
    let draft = cast.senders[0].draft(&mut rng, &cast.to, BODY_BYTES, true, 0);
    let outcome = cast.senders[0].send(&draft, Copies::One).await;
    assert!(
        outcome.is_success(),
        "a send once there is room: {outcome:?}"
    );
    let accepted = cast.settle(&mut relay, "a disk that filled up").await;
    eprintln!(
        "summary: full disk, filled by {sends} messages: {accepted} accepted, none lost; healed without a restart"
    );
}

/// Sends until it is told to stop; counts what is accepted.
async fn send_on(
    mut actor: Actor,
    to: Address,
    mut rng: Rng,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
) -> Actor {
    while !stop.load(Ordering::Relaxed) {
        let draft = actor.draft(&mut rng, &to, 20_000, true, 0);
        let mut outcome = actor.send(&draft, Copies::One).await;
        while refused_as_full(&outcome) && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcome = actor.send(&draft, Copies::One).await;
        }
        accepted.fetch_add(u64::from(outcome.is_success()), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(rng.between(1, 10))).await;
    }
    actor
}

/// Which parts of the relay ran out of space, as its log lines say.
fn short_parts(relay: &Relay) -> BTreeSet<String> {
    let log = relay.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let full = lines.filter(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("disk is full"))
    });
    full.filter_map(|line| Some(line["part"].as_str()?.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_a_byte_left_stops_nothing() {
    let _turn = alone().await;
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.path().join("data"), "256m") else {
        return;
    };
    out_of_space(&disk, quick(place.path()), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_on_a_disk_without_a_byte_left_stop_nothing() {
    let _turn = alone().await;
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path(), "256m") else {
        return;
    };
    // Many lines, so that there is no room for them at once.
    out_of_space(&disk, quick(place.path()).env("EKHO_LOG", "debug"), 1).await;
}

/// Takes the last byte away under load, again and again.
async fn out_of_space(disk: &SmallDisk, builder: RelayBuilder, rounds: u64) {
    let seed = seed();
    let mut rng = Rng::new(seed);
    // No margin: the write that finds no room is RocksDB's.
    let mut relay = builder.env("EKHO_DISK_FREE_MIN_BYTES", 0).start().await;
    let mut cast = Cast::enrol(&relay).await;
    let (stop, accepted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut sending = Vec::new();
    for actor in cast.senders.drain(..) {
        let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
        sending.push(tokio::spawn(send_on(
            actor,
            cast.to.clone(),
            rng.fork(),
            stop,
            accepted,
        )));
    }
    let more_than = async |before: u64| {
        poll_until(DEADLINE, "sends are accepted", async || {
            (accepted.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
    };
    let mut refused_to_start = false;
    for round in 1..=rounds {
        more_than(accepted.load(Ordering::Relaxed)).await;
        tokio::time::sleep(Duration::from_millis(rng.between(0, 300))).await;
        disk.take_everything();
        says_full(&relay).await;
        assert_eq!(page(&relay, "/healthz").await.0, 200);
        let empty = cast.idle.poll(10, 0, Copies::One).await;
        assert!(
            matches!(empty, Outcome::Handed(_)),
            "an empty poll: {empty:?}"
        );
        if round == rounds {
            // The hardest case: killed while there is no room, and started while there is none.
            relay.kill();
            relay.spawn();
            let refused = poll_until(DEADLINE, "the relay runs or ends", async || {
                let answers = matches!(get(&relay, "/healthz").await, Exchange::Answered(_));
                (answers || !is_running(&relay)).then_some(!answers)
            })
            .await;
            relay.kill();
            refused_to_start = refused;
            if refused {
                let (code, sentence) = refusal(&relay, &[]).expect("refused once, then not");
                assert_eq!(code, 1, "{sentence}");
                assert!(sentence.contains("No space left on device"), "{sentence}");
            }
            disk.give_back();
            start_again(&mut relay).await;
        } else {
            disk.give_back();
            ready(&relay).await;
        }
    }
    more_than(accepted.load(Ordering::Relaxed)).await;
    stop.store(true, Ordering::Relaxed);
    for task in sending {
        cast.senders.push(task.await.unwrap());
    }
    let counted = cast
        .settle(&mut relay, &format!("EKHO_FAULT_SEED={seed}"))
        .await;
    eprintln!(
        "summary: disk without a byte left, {rounds} times under load, seed {seed}: {counted} messages \
         accepted, none lost; short were {:?}; started without room: {}; healed without a restart",
        short_parts(&relay),
        if refused_to_start { "refused" } else { "ran" },
    );
}
