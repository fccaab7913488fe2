//! What an operator ordered holds from the answer on: no message passes a gate that is closed, and
//! none is kept out by one that is open.

use std::collections::{HashMap, HashSet};

use super::{Found, Violation};
use crate::record::{Done, GateAct, Record, Subject};

/// Judges all gates. They are open at first. `drained`: whatever passed came out by now.
pub fn judge_gates(records: &[Record<GateAct>], passed: &[u64], drained: bool) -> Vec<Violation> {
    let passed: HashSet<u64> = passed.iter().copied().collect();
    let mut gates: HashMap<Subject, Vec<&Record<GateAct>>> = HashMap::new();
    for record in records {
        gates.entry(record.subject).or_default().push(record);
    }
    let mut subjects: Vec<_> = gates.into_iter().collect();
    subjects.sort_by_key(|(subject, _)| *subject);
    let mut found = Found::default();
    for (subject, records) in subjects {
        judge_gate(subject, &records, &passed, &mut found);
        for record in records
            .iter()
            .filter(|record| drained && record.done == Done::Yes)
        {
            if let GateAct::Send(no) = record.act
                && !passed.contains(&no)
            {
                let detail = format!("gate {subject}: message {no} passed and never came out");
                found.add("lost", detail);
            }
        }
    }
    found.0
}

fn judge_gate(
    subject: Subject,
    records: &[&Record<GateAct>],
    passed: &HashSet<u64>,
    found: &mut Found,
) {
    let flips = |act: GateAct| -> Vec<&Record<GateAct>> {
        let flips = records.iter().copied();
        let flips = flips.filter(|record| record.act == act && record.done != Done::No);
        let mut flips: Vec<_> = flips.collect();
        flips.sort_by_key(|record| record.span.began);
        flips
    };
    let (opens, closes) = (flips(GateAct::Open), flips(GateAct::Close));
    for send in records {
        let GateAct::Send(no) = send.act else {
            continue;
        };
        let came_out = passed.contains(&no);
        if send.done == Done::No && came_out {
            let detail = format!("gate {subject}: message {no} was refused and came out");
            found.add("refused and done", detail);
        }
        if (send.done == Done::Yes || came_out)
            && let Some(close) = certain(&closes, &opens, send)
        {
            let detail = format!(
                "gate {subject}: message {no}, sent through node {} at {} us, passed although it was \
                 closed at {} us through node {}",
                send.node, send.span.began, close.span.ended, close.node
            );
            found.add("order not kept", detail);
        }
        if send.done == Done::No {
            let never_closed = !closes
                .iter()
                .any(|close| close.span.began < send.span.ended);
            let open = certain(&opens, &closes, send);
            if never_closed || open.is_some() {
                let since = open.map_or(0, |open| open.span.ended);
                let detail = format!(
                    "gate {subject}: message {no}, sent through node {} at {} us, was kept out although \
                     it is open since {since} us",
                    send.node, send.span.began
                );
                found.add("order not kept", detail);
            }
        }
    }
}

/// A flip after which, all through the send, nothing can have flipped back.
fn certain<'a>(
    flips: &[&'a Record<GateAct>],
    back: &[&Record<GateAct>],
    send: &Record<GateAct>,
) -> Option<&'a Record<GateAct>> {
    let before = flips
        .iter()
        .rev()
        .filter(|flip| flip.done == Done::Yes && flip.span.ended < send.span.began);
    let latest = before.copied().max_by_key(|flip| flip.span.began)?;
    let undone = back
        .iter()
        .any(|back| back.span.began < send.latest() && back.latest() > latest.span.began);
    (!undone).then_some(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Span;

    fn record(began: u64, act: GateAct, done: Done) -> Record<GateAct> {
        let span = Span {
            began,
            ended: began + 5,
        };
        Record {
            subject: 0,
            node: 0,
            span,
            act,
            done,
        }
    }

    fn honest() -> Vec<Record<GateAct>> {
        vec![
            record(0, GateAct::Send(0), Done::Yes),
            record(10, GateAct::Close, Done::Yes),
            record(12, GateAct::Send(1), Done::Yes),
            record(20, GateAct::Send(2), Done::No),
            record(30, GateAct::Open, Done::Perhaps),
            record(40, GateAct::Send(3), Done::No),
            record(50, GateAct::Send(4), Done::Yes),
            record(60, GateAct::Open, Done::Yes),
            record(70, GateAct::Send(5), Done::Yes),
            record(80, GateAct::Close, Done::Perhaps),
            record(90, GateAct::Send(6), Done::Yes),
            record(100, GateAct::Send(7), Done::No),
            record(110, GateAct::Send(8), Done::Perhaps),
        ]
    }

    fn broken(tamper: impl FnOnce(&mut Vec<Record<GateAct>>), passed: &[u64]) -> Vec<&'static str> {
        let mut records = honest();
        tamper(&mut records);
        let found = judge_gates(&records, passed, false);
        found.into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn an_honest_gate_passes() {
        assert_eq!(judge_gates(&honest(), &[0, 1, 4, 5, 6], true), vec![]);
        assert_eq!(judge_gates(&honest(), &[0, 1, 4, 5, 6, 8], true), vec![]);
    }

    #[test]
    fn a_message_through_a_closed_gate_is_found() {
        let rules = broken(|records| records[3].done = Done::Yes, &[]);
        assert_eq!(rules, ["order not kept"]);
        // Also where its answer was lost and it came out.
        let rules = broken(
            |records| {
                records[3].done = Done::Perhaps;
                records.truncate(4);
            },
            &[2],
        );
        assert_eq!(rules, ["order not kept"]);
    }

    #[test]
    fn a_message_kept_out_by_an_open_gate_is_found() {
        assert_eq!(
            broken(|records| records[0].done = Done::No, &[]),
            ["order not kept"]
        );
        let rules = broken(|records| records[8].done = Done::No, &[]);
        assert_eq!(rules, ["order not kept"]);
        // Not where a close in doubt may have happened.
        let rules = broken(|records| records[10].done = Done::No, &[]);
        assert_eq!(rules, Vec::<&str>::new());
    }

    #[test]
    fn a_message_that_never_comes_out_is_found() {
        let found = judge_gates(&honest(), &[0, 1, 4, 6], true);
        assert_eq!(found[0].rule, "lost");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_refused_message_that_came_out_is_found() {
        assert!(broken(|_| {}, &[2]).contains(&"refused and done"));
    }
}
