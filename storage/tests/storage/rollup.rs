//! Counts by span: read whole and in order, within bounds, and forgotten in time.

use ekho_storage::tables::rollup::{self, AgentTotals, Pair, Span, Totals};

use crate::fresh;

const DAY_MS: u64 = 24 * 3_600_000;
const NOW_MS: u64 = 20_000 * DAY_MS;

fn messages(messages: u64) -> Pair {
    Pair {
        messages,
        failed: 0,
    }
}

#[test]
fn rows_of_a_range_are_passed_on_whole_however_many() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    let agents = 3000;
    for number in [9, 10, 11, 12] {
        for agent in 0..agents {
            let between = (agent, agent + 1);
            rollup::put_pair(
                &mut txn,
                1,
                Span::Hour,
                number,
                between,
                &messages(number.into()),
            );
        }
    }
    // Neighbours that do not belong to it.
    rollup::put_pair(&mut txn, 2, Span::Hour, 10, (1, 2), &messages(1000));
    rollup::put_pair(&mut txn, 1, Span::Day, 10, (1, 2), &messages(1000));
    let (mut rows, mut sum, mut last) = (0, 0, None);
    let all = rollup::each_pair(
        &txn,
        1,
        Span::Hour,
        (10, 11),
        usize::MAX,
        |number, between, pair| {
            assert!(last < Some((number, between)), "in order, each once");
            last = Some((number, between));
            rows += 1;
            sum += pair.messages;
        },
    );
    assert!(all.unwrap());
    assert_eq!((rows, sum), (2 * agents, 21 * u64::from(agents)));
    for (limit, expected) in [(0, false), (5999, false), (6000, true), (4096, false)] {
        let mut rows = 0;
        let all = rollup::each_pair(&txn, 1, Span::Hour, (10, 11), limit, |_, _, _| rows += 1);
        assert_eq!((all.unwrap(), rows), (expected, limit), "{limit}");
    }
}

#[test]
fn spans_are_forgotten_when_their_time_is_over() {
    let (_dir, state) = fresh();
    let mut txn = state.begin();
    let ages = [DAY_MS, 3 * DAY_MS, 40 * DAY_MS, 399 * DAY_MS, 402 * DAY_MS];
    let totals = Totals {
        accepted: 1,
        ..Totals::default()
    };
    let agent = AgentTotals {
        sent: 1,
        ..AgentTotals::default()
    };
    for age in ages {
        let at = |span: Span| span.of(NOW_MS - age);
        for span in Span::TOTALS {
            rollup::put_totals(&mut txn, 1, span, at(span), &totals);
        }
        for span in Span::PAIRS {
            rollup::put_pair(&mut txn, 1, span, at(span), (1, 2), &messages(1));
        }
        for span in Span::AGENTS {
            rollup::put_agent(&mut txn, 1, span, at(span), 1, &agent);
        }
    }
    rollup::put_totals(&mut txn, 2, Span::Hour, 1, &totals);
    txn.commit().unwrap();
    let mut txn = state.begin();
    rollup::forget_spans(&mut txn, 1, NOW_MS);
    txn.commit().unwrap();
    let view = state.view();
    let kept = |exists: &dyn Fn(u64) -> bool| ages.iter().filter(|age| exists(**age)).count();
    let of = |span: Span, age: u64| span.of(NOW_MS - age);
    for (span, expected) in [(Span::FiveMinutes, 1), (Span::Hour, 4)] {
        let there = |age| rollup::totals(&view, 1, span, of(span, age)).unwrap() == totals;
        assert_eq!(kept(&there), expected, "totals by {span:?}");
    }
    for (span, expected) in [(Span::FiveMinutes, 1), (Span::Hour, 2), (Span::Day, 4)] {
        let there = |age| {
            rollup::pair(&view, 1, span, of(span, age), (1, 2))
                .unwrap()
                .messages
                == 1
        };
        assert_eq!(kept(&there), expected, "pairs by {span:?}");
    }
    for (span, expected) in [(Span::Hour, 2), (Span::Day, 4)] {
        let there = |age| rollup::agent(&view, 1, span, of(span, age), 1).unwrap() == agent;
        assert_eq!(kept(&there), expected, "agents by {span:?}");
    }
    assert_eq!(
        rollup::totals(&view, 2, Span::Hour, 1).unwrap(),
        totals,
        "of another fleet"
    );
}
