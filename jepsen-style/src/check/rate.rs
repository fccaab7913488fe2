//! In no window more is accepted of an agent than its limit, on all nodes together.

use std::collections::BTreeMap;

use super::{Found, Violation};
use crate::record::Counted;

/// Judges all agents. Windows begin at whole multiples of their length.
pub fn judge_rates(counted: &[Counted], window_ms: i64, limit: usize) -> Vec<Violation> {
    let mut windows: BTreeMap<(usize, i64), usize> = BTreeMap::new();
    for message in counted {
        let window = message.queued_at.div_euclid(window_ms);
        *windows.entry((message.subject, window)).or_default() += 1;
    }
    let mut found = Found::default();
    for ((agent, window), count) in windows {
        if count > limit {
            let detail = format!(
                "agent {agent} was accepted {count} times in the window from {} on, the limit is {limit}",
                window * window_ms
            );
            found.add("rate exceeded", detail);
        }
    }
    found.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_in_a_window_is_found() {
        let at = |queued_at| Counted {
            subject: 0,
            queued_at,
        };
        let mut counted = vec![
            at(1_000),
            at(1_500),
            at(1_999),
            at(2_000),
            at(2_001),
            at(2_999),
        ];
        assert_eq!(judge_rates(&counted, 1_000, 3), vec![]);
        counted.push(at(2_500));
        let found = judge_rates(&counted, 1_000, 3);
        assert_eq!(found[0].rule, "rate exceeded");
        assert_eq!(found.len(), 1);
        counted[6].subject = 1;
        assert_eq!(judge_rates(&counted, 1_000, 3), vec![]);
    }
}
