//! The outbox of an edge node.

use std::thread;

use ekho_storage::tables::outbox::OutboxEntry;
use ekho_storage::{Kept, Outbox, OutboxLimits};
use tempfile::TempDir;

const NOW_MS: u64 = 1_795_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn open(dir: &TempDir, limits: OutboxLimits) -> Outbox {
    Outbox::open(&dir.path().join("outbox"), limits, 7).unwrap()
}

fn roomy() -> OutboxLimits {
    OutboxLimits {
        entries: 1000,
        bytes: 1 << 20,
    }
}

fn entry(agent: u32, number: u64) -> OutboxEntry {
    OutboxEntry {
        fleet: 1,
        agent,
        credential: 1,
        nonce: format!("nonce-{agent}-{number}"),
        timestamp_ms: NOW_MS,
        stored_ms: NOW_MS + number,
        key: format!("key-{number}"),
        request_hash: [1; 32],
        message: u128::from(number),
        content: vec![7; 100],
    }
}

fn put(outbox: &Outbox, entry: &OutboxEntry) -> Kept {
    outbox.put(entry, NOW_MS - HOUR_MS).unwrap()
}

/// Numbers and keys of what would be forwarded next.
fn next(outbox: &Outbox, entries: usize) -> Vec<(u64, String)> {
    let next = outbox.next(entries, 1 << 20, |_, _| false).unwrap();
    next.into_iter()
        .map(|(seq, entry)| (seq, entry.key))
        .collect()
}

#[test]
fn what_was_put_comes_out_in_order_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    for number in 1..=3 {
        assert_eq!(put(&outbox, &entry(1, number)), Kept::Stored);
    }
    let id = outbox.id();
    drop(outbox);
    let outbox = Outbox::open(&dir.path().join("outbox"), roomy(), 8).unwrap();
    assert_eq!(outbox.id(), id);
    let keys = |from: u64| -> Vec<(u64, String)> {
        (from..=3)
            .map(|number| (number, format!("key-{number}")))
            .collect()
    };
    assert_eq!(next(&outbox, 10), keys(1));
    outbox.remove(&[1]).unwrap();
    assert_eq!(next(&outbox, 10), keys(2));
    assert_eq!(next(&outbox, 1).len(), 1);
    let waiting = outbox.waiting();
    assert_eq!((waiting.entries, waiting.oldest_ms), (2, Some(NOW_MS + 2)));
}

#[test]
fn a_number_is_never_given_again() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    put(&outbox, &entry(1, 1));
    put(&outbox, &entry(1, 2));
    outbox.remove(&[1, 2]).unwrap();
    drop(outbox);
    let outbox = open(&dir, roomy());
    put(&outbox, &entry(1, 3));
    assert_eq!(next(&outbox, 10), [(3, "key-3".to_string())]);
}

#[test]
fn a_key_stands_for_one_request_while_it_waits() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    put(&outbox, &entry(1, 1));
    let mut again = entry(1, 1);
    (again.nonce, again.message) = ("another".into(), 99);
    let repeated = Kept::Repeated {
        message: 1,
        stored_ms: NOW_MS + 1,
    };
    assert_eq!(put(&outbox, &again), repeated);
    // Its nonce is used up all the same.
    assert_eq!(put(&outbox, &again), Kept::Replayed);
    (again.nonce, again.request_hash) = ("third".into(), [2; 32]);
    assert_eq!(put(&outbox, &again), Kept::Conflict);
    // Another sender's key is another key.
    assert_eq!(put(&outbox, &entry(2, 1)), Kept::Stored);
    outbox.remove(&[1]).unwrap();
    again.nonce = "fourth".into();
    assert_eq!(put(&outbox, &again), Kept::Stored);
}

#[test]
fn a_nonce_is_used_once_also_after_a_restart_and_until_it_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    put(&outbox, &entry(1, 1));
    let take = |outbox: &Outbox, nonce: &str| {
        let since_ms = NOW_MS - HOUR_MS;
        outbox.take_nonce(1, 1, nonce, since_ms, NOW_MS).unwrap()
    };
    assert!(take(&outbox, "read"));
    drop(outbox);
    let outbox = open(&dir, roomy());
    assert!(!take(&outbox, "read"));
    assert!(!take(&outbox, "nonce-1-1"));
    let mut replay = entry(1, 1);
    replay.key = "another".into();
    assert_eq!(put(&outbox, &replay), Kept::Replayed);
    outbox.forget_nonces(NOW_MS).unwrap();
    assert!(!take(&outbox, "read"));
    outbox.forget_nonces(NOW_MS + HOUR_MS).unwrap();
    assert!(take(&outbox, "read"));
    // Entries stay.
    assert_eq!(outbox.waiting().entries, 1);
}

#[test]
fn there_is_an_end_to_entries_and_bytes() {
    let dir = TempDir::new().unwrap();
    let outbox = open(
        &dir,
        OutboxLimits {
            entries: 2,
            bytes: 1 << 20,
        },
    );
    assert_eq!(put(&outbox, &entry(1, 1)), Kept::Stored);
    assert_eq!(put(&outbox, &entry(1, 2)), Kept::Stored);
    assert_eq!(put(&outbox, &entry(1, 3)), Kept::Full);
    outbox.remove(&[1]).unwrap();
    // What was refused for want of room used nothing up.
    assert_eq!(put(&outbox, &entry(1, 3)), Kept::Stored);
    drop(outbox);
    let outbox = open(
        &dir,
        OutboxLimits {
            entries: 9,
            bytes: 400,
        },
    );
    assert_eq!(put(&outbox, &entry(1, 4)), Kept::Full);
}

#[test]
fn a_sender_that_is_held_up_holds_up_nobody_else() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    for (agent, number) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
        put(&outbox, &entry(agent, number));
    }
    let mut of_another_fleet = entry(3, 5);
    of_another_fleet.fleet = 2;
    put(&outbox, &of_another_fleet);
    let seqs = |held: u32| -> Vec<u64> {
        let next = outbox.next(10, 1 << 20, |_, agent| agent == held).unwrap();
        next.into_iter().map(|(seq, _)| seq).collect()
    };
    // One fleet at a time.
    assert_eq!(seqs(0), [1, 2, 3, 4]);
    assert_eq!(seqs(1), [2, 4]);
    assert!(outbox.waits(1, 1) && outbox.waits(2, 3) && !outbox.waits(2, 1));
    assert_eq!(outbox.accepted_since(1, 1, NOW_MS + 2), 1);
    // A single large one goes alone.
    assert_eq!(outbox.next(10, 1, |_, _| false).unwrap().len(), 1);
}

#[test]
fn many_at_a_time_get_numbers_of_their_own() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    thread::scope(|scope| {
        for agent in 1..=4 {
            let outbox = &outbox;
            scope.spawn(move || {
                for number in 1..=50 {
                    assert_eq!(put(outbox, &entry(agent, number)), Kept::Stored);
                }
            });
        }
    });
    let all = outbox.next(1000, 1 << 20, |_, _| false).unwrap();
    let seqs: Vec<u64> = all.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=200).collect::<Vec<u64>>());
    for agent in 1..=4 {
        let of_agent = all.iter().filter(|(_, entry)| entry.agent == agent);
        let numbers: Vec<u128> = of_agent.map(|(_, entry)| entry.message).collect();
        assert_eq!(numbers, (1..=50).collect::<Vec<u128>>());
    }
}

#[test]
fn the_same_request_many_times_at_once_is_taken_once() {
    let dir = TempDir::new().unwrap();
    let outbox = open(&dir, roomy());
    let kept = thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| put(&outbox, &entry(1, 1))))
            .collect();
        tries
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    let stored = kept.iter().filter(|one| **one == Kept::Stored);
    assert_eq!(stored.count(), 1, "{kept:?}");
    let others = kept.iter().filter(|one| **one == Kept::Replayed);
    assert_eq!(others.count(), 7, "{kept:?}");
}
