//! Keys: the order of bytes is the order of what they stand for, and tables read in that order.

use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{self, Actor, Event, EventKind, Resource};
use ekho_storage::tables::message::Message;
use ekho_storage::tables::{control, conversation, delivery, nonce, rate};
use ekho_storage::{Key, KeyReader, Read, State, StorageError, prefix_end};
use proptest::prelude::*;

use crate::{examples, fresh, open};

proptest! {
    #[test]
    fn keys_of_numbers_sort_like_the_numbers(
        a in any::<(u8, u32, u64, u128)>(),
        b in any::<(u8, u32, u64, u128)>(),
    ) {
        let key = |(w, x, y, z): (u8, u32, u64, u128)| Key::new().u8(w).u32(x).u64(y).u128(z);
        prop_assert_eq!(key(a).bytes().cmp(key(b).bytes()), a.cmp(&b));
        // Numbers that differ little, where carries would show.
        let near = (a.0, a.1, a.2, a.3.wrapping_add(1));
        prop_assert_eq!(key(a).bytes().cmp(key(near).bytes()), a.cmp(&near));
    }

    #[test]
    fn a_key_reads_back_what_it_was_built_of(
        numbers in any::<(u8, u32, u64, u128)>(),
        text in ".{0,60}",
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let (w, x, y, z) = numbers;
        let key = Key::table(w).u32(x).text(&text).u64(y).u128(z).raw(&tail);
        let mut reader = KeyReader::new("test", key.bytes());
        prop_assert_eq!(reader.u8().unwrap(), w);
        prop_assert_eq!(reader.u32().unwrap(), x);
        prop_assert_eq!(reader.text().unwrap(), text.as_str());
        prop_assert_eq!(reader.u64().unwrap(), y);
        prop_assert_eq!(reader.u128().unwrap(), z);
        prop_assert_eq!(reader.rest(), tail.as_slice());
    }

    #[test]
    fn a_text_in_a_key_is_never_the_beginning_of_another(a in ".{0,20}", b in ".{0,20}") {
        prop_assume!(a != b);
        let (a, b) = (Key::new().text(&a), Key::new().text(&b));
        prop_assert!(!a.bytes().starts_with(b.bytes()));
    }

    #[test]
    fn the_end_of_a_prefix_lies_right_behind_its_keys(
        prefix in prop::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 1..5),
        tail in prop::collection::vec(any::<u8>(), 0..5),
        other in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let end = prefix_end(&prefix);
        let inside = [prefix.as_slice(), &tail].concat();
        // A prefix of 0xff alone has no end; the byte of a table, which comes first, is small.
        prop_assume!(prefix.iter().any(|byte| *byte != 0xff));
        prop_assert!(inside >= prefix && inside < end);
        prop_assert!(other.starts_with(&prefix) || other < prefix || other >= end);
    }
}

#[test]
fn a_key_that_ends_early_is_corrupt() {
    let key = Key::table(1).u32(7).text("abc");
    for length in 0..key.bytes().len() {
        let mut reader = KeyReader::new("test", &key.bytes()[..length]);
        let read = reader
            .u8()
            .and_then(|_| reader.u32())
            .and_then(|_| reader.text().map(str::len));
        assert!(
            matches!(read, Err(StorageError::Corrupt { table: "test", .. })),
            "{length} bytes"
        );
    }
}

/// A text longer than a key can hold is cut, and what is left can still be read: a key must
/// never be able to stop the state machine.
#[test]
fn a_text_too_long_for_a_key_is_cut_between_characters() {
    let text = "ä".repeat(200);
    let key = Key::new().text(&text).u8(9);
    let mut reader = KeyReader::new("test", key.bytes());
    let read = reader.text().unwrap();
    assert_eq!(read, "ä".repeat(127));
    assert_eq!(reader.u8().unwrap(), 9);
}

fn any_due() -> impl Strategy<Value = Due> {
    let agent = || (1..3u32, prop_oneof![1..4u32, Just(256), Just(u32::MAX)]);
    let seq = || prop_oneof![0..3u64, Just(255), Just(256), Just(u64::MAX)];
    let text = || prop_oneof![Just(String::new()), "[a-c]{1,3}", Just("ä".to_string())];
    let hash = || any::<u8>().prop_map(|byte| [byte; 32]);
    prop_oneof![
        (agent(), seq()).prop_map(|((fleet, agent), seq)| Due::Delivery { fleet, agent, seq }),
        (1..3u32, any::<u128>()).prop_map(|(fleet, message)| Due::Retention { fleet, message }),
        agent().prop_map(|(fleet, agent)| Due::Heartbeat { fleet, agent }),
        agent().prop_map(|(fleet, agent)| Due::Hold { fleet, agent }),
        (agent(), seq()).prop_map(|((fleet, agent), seq)| Due::Control { fleet, agent, seq }),
        (1..9u32, any::<u128>()).prop_map(|(fleet, approval)| Due::Approval { fleet, approval }),
        (1..3u32, text()).prop_map(|(fleet, conversation)| Due::Floor {
            fleet,
            conversation
        }),
        (agent(), text()).prop_map(|((fleet, agent), key)| Due::Idempotency { fleet, agent, key }),
        (agent(), seq(), seq()).prop_map(|((fleet, agent), at_ms, seq)| {
            Due::Violation {
                fleet,
                agent,
                at_ms,
                seq,
            }
        }),
        Just(Due::License),
        (1..3u32, any::<u128>())
            .prop_map(|(fleet, attachment)| Due::Attachment { fleet, attachment }),
        hash().prop_map(|token_hash| Due::Session { token_hash }),
        hash().prop_map(|token_hash| Due::EnrollmentToken { token_hash }),
        (1..3u32, seq()).prop_map(|(fleet, seq)| Due::DeadLetter { fleet, seq }),
        (agent(), text()).prop_map(|((fleet, agent), conversation)| {
            Due::Notice {
                fleet,
                agent,
                conversation,
            }
        }),
    ]
}

#[test]
fn what_is_due_is_read_by_time_whole_and_within_bounds() {
    let (_dir, state) = fresh();
    let time = prop_oneof![1..4u64, Just(255), Just(256), Just(1_795_000_000_000)];
    let entries = prop::collection::vec((time.clone(), any_due()), 0..30);
    proptest!(|(entries in entries, from in time.clone(), now in time, limit in 0..12usize)| {
        let mut txn = state.begin();
        for (at, entry) in &entries {
            due::put(&mut txn, *at, entry);
        }
        let all = due::list(&txn, 0, u64::MAX, usize::MAX).unwrap();
        prop_assert!(all.is_sorted_by_key(|(at, _)| *at), "{all:?}");
        let mut expected = entries.clone();
        expected.sort_by_key(|entry| format!("{entry:?}"));
        expected.dedup();
        let mut found = all.clone();
        found.sort_by_key(|entry| format!("{entry:?}"));
        prop_assert_eq!(found, expected);

        let inside: Vec<_> =
            all.into_iter().filter(|(at, _)| (from..=now).contains(at)).take(limit).collect();
        prop_assert_eq!(due::list(&txn, from, now, limit).unwrap(), inside);

        for (at, entry) in &entries {
            due::delete(&mut txn, *at, entry);
        }
        prop_assert!(due::list(&txn, 0, u64::MAX, 1).unwrap().is_empty());
    });
}

#[test]
fn an_inbox_is_read_in_the_order_of_its_numbers() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    let delivery = &examples::deliveries()[0];
    let seqs = [1u64, 2, 254, 255, 256, 257, 65_535, 65_536, 1 << 40];
    for seq in seqs.iter().rev() {
        delivery::put(&mut txn, 1, 2, *seq, delivery);
        delivery::put_ready(&mut txn, 1, 2, *seq, "direct");
        // Neighbours, which must not be seen.
        delivery::put_ready(&mut txn, 1, 1, *seq, "direct");
        delivery::put_ready(&mut txn, 1, 3, *seq, "direct");
        delivery::put(&mut txn, 2, 2, *seq, delivery);
    }
    let ready = delivery::ready(&txn, 1, 2, 0, 100).unwrap();
    assert_eq!(ready.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), seqs);
    let some = delivery::ready(&txn, 1, 2, 255, 3).unwrap();
    assert_eq!(
        some.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [255, 256, 257]
    );
    let all = delivery::list(&txn, 1, 2, 0, 100).unwrap();
    assert_eq!(all.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), seqs);
}

#[test]
fn recipients_of_a_message_are_read_in_the_order_of_their_numbers() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    for agent in [300u32, 2, 256, 255, 1] {
        delivery::put_fan_out(&mut txn, 1, 7, agent, u64::from(agent) + 1000);
        delivery::put_fan_out(&mut txn, 1, 8, agent, 1);
    }
    let places = delivery::fan_out_list(&txn, 1, 7, 2, 3).unwrap();
    assert_eq!(places, [(2, 1002), (255, 1255), (256, 1256)]);
    assert_eq!(delivery::fan_out(&txn, 1, 7, 300).unwrap(), Some(1300));
    assert_eq!(delivery::fan_out(&txn, 1, 7, 3).unwrap(), None);
}

#[test]
fn lists_for_people_are_read_newest_first() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    for seq in [1u64, 255, 256, 300] {
        conversation::put_message(&mut txn, 1, "c-1", seq, u128::from(seq));
        conversation::put_message(&mut txn, 1, "c-10", seq, 0);
        control::put(
            &mut txn,
            1,
            2,
            seq,
            &control::Control {
                action: "pause".into(),
                reason: seq.to_string(),
                created_ms: seq,
                expires_ms: None,
                approval: None,
            },
        );
    }
    let newest = conversation::messages_rev(&txn, 1, "c-1", 300, 2).unwrap();
    assert_eq!(newest, [(256, 256), (255, 255)]);
    let controls = control::list_rev(&txn, 1, 2, 3).unwrap();
    assert_eq!(
        controls.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [300, 256, 255]
    );
    for _ in 0..3 {
        let event = Event {
            kind: EventKind::MessageQueued,
            actor: Actor::System,
            resource: Resource::Agent(1),
            conversation_id: None,
            payload: String::new(),
            request_id: String::new(),
            at_ms: 1,
        };
        event::append(&mut txn, 1, &event).unwrap();
    }
    let events = event::list_rev(&txn, 1, u64::MAX, 2).unwrap();
    assert_eq!(
        events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [3, 2]
    );
}

/// What is known in memory begins anew with each database that is opened.
#[test]
fn a_nonce_is_found_in_a_database_that_had_it_before() {
    let (dir, state) = fresh();
    let put = |state: &State, text: &str, at| {
        let mut txn = state.begin();
        nonce::put(&mut txn, 1, 2, text, at);
        txn.commit().unwrap();
    };
    let used =
        |state: &State, text: &str, at| nonce::used(&state.view(), 1, 2, text, at, at).unwrap();
    let (old, new) = (5 * nonce::BUCKET_MS, 6 * nonce::BUCKET_MS);
    put(&state, "before", old);
    let copy = dir.path().join("copy");
    state.checkpoint(&copy).unwrap();
    put(&state, "after", old);
    put(&state, "after", new);
    state.replace(&copy).unwrap();
    assert!(used(&state, "before", old));
    assert!(!used(&state, "after", old) && !used(&state, "after", new));
    put(&state, "again", old);
    put(&state, "again", new);
    assert!(used(&state, "again", old) && used(&state, "again", new));
    assert!(!used(&state, "before", new));

    state.flush().unwrap();
    drop(state);
    let state = open(&dir);
    assert!(used(&state, "before", old));
    assert!(used(&state, "again", old) && used(&state, "again", new));

    // One that comes late, into a bucket whose others were dropped.
    let (_dir, state) = fresh();
    put(&state, "before", old);
    let mut txn = state.begin();
    nonce::drop_buckets(&mut txn, 0, nonce::bucket(new));
    nonce::put(&mut txn, 1, 2, "late", old);
    txn.commit().unwrap();
    assert!(used(&state, "late", old) && !used(&state, "before", old));
}

#[test]
fn a_nonce_is_found_across_buckets_and_gone_with_its_bucket() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    let at = 5 * nonce::BUCKET_MS - 1;
    nonce::put(&mut txn, 1, 2, "n", at);
    let used =
        |read: &_, agent, text, since, now| nonce::used(read, 1, agent, text, since, now).unwrap();
    assert!(used(&txn, 2, "n", at, at));
    assert!(used(&txn, 2, "n", at - 700_000, at + 700_000));
    assert!(!used(&txn, 2, "n", at + 1, at + 700_000), "a later bucket");
    assert!(!used(&txn, 3, "n", at, at), "another agent");
    assert!(!used(&txn, 2, "N", at, at), "another nonce");
    txn.commit().unwrap();

    let mut txn = state.begin();
    nonce::drop_buckets(&mut txn, 0, nonce::bucket(at));
    txn.commit().unwrap();
    assert!(
        nonce::used(&state.view(), 1, 2, "n", at, at).unwrap(),
        "its bucket is not among them"
    );
    let mut txn = state.begin();
    nonce::drop_buckets(&mut txn, 0, nonce::bucket(at) + 1);
    txn.commit().unwrap();
    assert!(!nonce::used(&state.view(), 1, 2, "n", at, at).unwrap());
}

#[test]
fn violations_are_counted_from_a_time_on() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    for (seq, at_ms) in [(1, 100), (2, 200), (3, 200), (4, 300)] {
        rate::put_violation(&mut txn, 1, 2, at_ms, seq);
        rate::put_violation(&mut txn, 1, 3, at_ms, seq);
    }
    let since = |since_ms, limit| rate::violations_since(&txn, 1, 2, since_ms, limit).unwrap();
    assert_eq!(
        (since(0, 10), since(200, 10), since(201, 10), since(301, 10)),
        (4, 3, 1, 0)
    );
    assert_eq!(since(0, 2), 2, "counted no further than asked");
}

#[test]
fn a_damaged_record_is_reported_with_its_table() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    let message: Message = examples::messages().remove(0);
    ekho_storage::tables::message::put(&mut txn, 1, &message);
    let (key, mut bytes) = crate::rows(&txn, ekho_storage::Cf::Message).remove(0);
    bytes.pop();
    txn.put(ekho_storage::Cf::Message, key.clone(), bytes);
    let read = txn.record::<Message>(ekho_storage::Cf::Message, &key);
    assert!(
        matches!(
            read,
            Err(StorageError::Corrupt {
                table: "message",
                ..
            })
        ),
        "{read:?}"
    );
}
