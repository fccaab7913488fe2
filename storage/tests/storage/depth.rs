//! How many deliveries waited when: the most of each span, carried on where nothing happened.

use ekho_storage::State;
use ekho_storage::tables::depth;
use ekho_storage::tables::rollup;

use crate::fresh;

fn note(state: &State, fleet: u32, number: u32, queued: u64) {
    let mut txn = state.begin();
    depth::note(&mut txn, fleet, number, queued).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_span_tells_the_most_and_a_quiet_one_what_still_waited() {
    let (_dir, state) = fresh();
    for (number, queued) in [(10, 3), (10, 7), (10, 2), (13, 1), (14, 0), (14, 5)] {
        note(&state, 1, number, queued);
    }
    note(&state, 2, 12, 99);
    let between = |from, to| depth::between(&state.view(), 1, from, to).unwrap();
    assert_eq!(
        between(8, 16),
        [
            None,
            None,
            Some(7),
            Some(2),
            Some(2),
            // Two waited when it began.
            Some(2),
            Some(5),
            Some(5),
            Some(5)
        ]
    );
    // What was seen before the first one that is asked for counts as well.
    assert_eq!(between(11, 12), [Some(2), Some(2)]);
    assert_eq!(between(16, 16), [Some(5)]);
    assert_eq!(
        depth::between(&state.view(), 3, 8, 9).unwrap(),
        [None, None]
    );
}

#[test]
fn what_was_seen_is_forgotten_with_the_other_counts() {
    let (_dir, state) = fresh();
    let span_ms = depth::SPAN.ms();
    note(&state, 1, 1, 4);
    note(&state, 1, 1000, 6);
    let mut txn = state.begin();
    rollup::forget_spans(&mut txn, 1, 1000 * span_ms);
    txn.commit().unwrap();
    let view = state.view();
    assert_eq!(
        depth::between(&view, 1, 999, 1000).unwrap(),
        [None, Some(6)]
    );
}
