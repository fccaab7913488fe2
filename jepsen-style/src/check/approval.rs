//! An approval is decided once, by one operator through one node, and stays decided so.

use std::collections::BTreeMap;

use super::{Found, Violation};
use crate::record::{ApprovalAct, Done, Record, Subject};

/// Judges all approvals.
pub fn judge_approvals(records: &[Record<ApprovalAct>]) -> Vec<Violation> {
    let mut approvals: BTreeMap<Subject, Vec<&Record<ApprovalAct>>> = BTreeMap::new();
    for record in records {
        approvals.entry(record.subject).or_default().push(record);
    }
    let mut found = Found::default();
    for (subject, records) in approvals {
        judge_approval(subject, &records, &mut found);
    }
    found.0
}

fn judge_approval(subject: Subject, records: &[&Record<ApprovalAct>], found: &mut Found) {
    let decided = |done: Done| {
        let records = records.iter().copied();
        records.filter_map(move |record| match record.act {
            ApprovalAct::Decide(yes) if record.done == done => Some((record, yes)),
            _ => None,
        })
    };
    let wins: Vec<_> = decided(Done::Yes).collect();
    let open: Vec<_> = decided(Done::Perhaps).collect();
    if wins.len() > 1 {
        let detail = format!(
            "approval {subject} was decided {} times: through nodes {:?}",
            wins.len(),
            wins.iter()
                .map(|(record, yes)| (record.node, yes))
                .collect::<Vec<_>>()
        );
        found.add("decided twice", detail);
        return;
    }
    if wins.is_empty() && open.is_empty() && decided(Done::No).next().is_some() {
        let detail = format!("approval {subject} was refused to everybody as decided, by nobody");
        found.add("decided by nobody", detail);
    }
    for look in records {
        let ApprovalAct::Look(status) = &look.act else {
            continue;
        };
        if look.done != Done::Yes {
            continue;
        }
        let may_be = |(record, yes): &(&Record<ApprovalAct>, bool)| {
            word(*yes) == status && record.span.began < look.span.ended
        };
        let allowed = match wins.first() {
            Some((win, yes)) if win.span.ended < look.span.began => status == word(*yes),
            // Who won did not overlap with this; who is not known did not win.
            Some(win) => status == "pending" || may_be(win),
            None => status == "pending" || open.iter().any(may_be),
        };
        if !allowed {
            let detail = format!(
                "approval {subject} is {status} through node {} at {} us, decided {:?}",
                look.node,
                look.span.began,
                wins.iter().map(|(_, yes)| word(*yes)).collect::<Vec<_>>()
            );
            found.add("decision not seen", detail);
        }
    }
}

fn word(yes: bool) -> &'static str {
    if yes { "approved" } else { "rejected" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Span;

    fn record(began: u64, act: ApprovalAct, done: Done) -> Record<ApprovalAct> {
        let span = Span {
            began,
            ended: began + 5,
        };
        Record {
            subject: 3,
            node: 0,
            span,
            act,
            done,
        }
    }

    fn look(began: u64, status: &str) -> Record<ApprovalAct> {
        record(began, ApprovalAct::Look(status.into()), Done::Yes)
    }

    fn honest() -> Vec<Record<ApprovalAct>> {
        vec![
            look(0, "pending"),
            record(10, ApprovalAct::Decide(true), Done::No),
            record(10, ApprovalAct::Decide(false), Done::Yes),
            look(12, "rejected"),
            record(20, ApprovalAct::Decide(true), Done::No),
            look(30, "rejected"),
        ]
    }

    fn broken(tamper: impl FnOnce(&mut Vec<Record<ApprovalAct>>)) -> Vec<&'static str> {
        let mut records = honest();
        tamper(&mut records);
        let found = judge_approvals(&records);
        found.into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn an_honest_approval_passes() {
        assert_eq!(judge_approvals(&honest()), vec![]);
        // Whose answer was lost may have decided.
        assert_eq!(
            broken(|records| records[2].done = Done::Perhaps),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn two_decisions_and_none_are_found() {
        assert_eq!(
            broken(|records| records[1].done = Done::Yes),
            ["decided twice"]
        );
        let rules = broken(|records| records[2].done = Done::No);
        assert!(rules.contains(&"decided by nobody"), "{rules:?}");
    }

    #[test]
    fn a_decision_that_is_not_seen_is_found() {
        for status in ["pending", "approved"] {
            let rules = broken(|records| records[5] = look(30, status));
            assert_eq!(rules, ["decision not seen"]);
        }
        let rules = broken(|records| records[0] = look(0, "rejected"));
        assert_eq!(rules, ["decision not seen"]);
    }
}
