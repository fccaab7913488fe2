//! Whether what was read of and written to a register is linearizable: there is one order of all
//! requests, which keeps to the order in which they did not overlap, and in which every read returns
//! what was written last.
//!
//! Just-in-time linearization (Lowe, after Wing and Gong): the requests are passed in the order of
//! their beginnings and ends. A configuration is a value and which of the requests under way have
//! happened already. When a request ends, it must have happened: each configuration is brought there
//! by every order of requests under way. Where none is left, there is no such order.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Found, Violation};
use crate::record::{Done, Record, RegisterAct, Subject};

/// Configurations to go on with; more are not judged, which is said.
const CONFIGURATIONS_MAX: usize = 50_000;

/// Judges all registers. What they hold at first is not known.
pub fn judge_registers(records: &[Record<RegisterAct>]) -> Vec<Violation> {
    let mut registers: BTreeMap<Subject, Vec<&Record<RegisterAct>>> = BTreeMap::new();
    for record in records {
        registers.entry(record.subject).or_default().push(record);
    }
    let mut found = Found::default();
    for (subject, records) in registers {
        match judge_register(&records) {
            Verdict::Linearizable => {}
            Verdict::Broken(detail) => {
                found.add("not linearizable", format!("register {subject}: {detail}"));
            }
            Verdict::Undecided => {
                let detail = format!("register {subject}: too many orders are possible");
                found.add("not judged", detail);
            }
        }
    }
    found.0
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Linearizable,
    Broken(String),
    Undecided,
}

/// A value, none while nobody knows, and requests under way that have happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration<'a> {
    value: Option<&'a str>,
    happened: BTreeSet<usize>,
}

fn judge_register(records: &[&Record<RegisterAct>]) -> Verdict {
    let records = relevant(records);
    // Beginnings before ends at the same moment: then they overlap.
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (no, record) in records.iter().enumerate() {
        moments.push((record.span.began, false, no));
        if record.done != Done::Perhaps {
            moments.push((record.span.ended, true, no));
        }
    }
    moments.sort_unstable();
    let mut under_way: BTreeSet<usize> = BTreeSet::new();
    let mut all = HashSet::from([Configuration {
        value: None,
        happened: BTreeSet::new(),
    }]);
    for (_, ends, no) in moments {
        if !ends {
            under_way.insert(no);
            continue;
        }
        let Some(next) = after(&records, &all, &under_way, no) else {
            return Verdict::Undecided;
        };
        if next.is_empty() {
            let values: BTreeSet<_> = all.iter().filter_map(|one| one.value).collect();
            let record = records[no];
            return Verdict::Broken(format!(
                "{:?} through node {} from {} to {} us, with {values:?} possible before",
                record.act, record.node, record.span.began, record.span.ended
            ));
        }
        under_way.remove(&no);
        all = next;
    }
    Verdict::Linearizable
}

/// Leaves out what says nothing: failed writes, reads without an answer, and writes in doubt whose
/// value nobody saw; as values are written once, the rest is in order with them or without.
fn relevant<'a>(records: &[&'a Record<RegisterAct>]) -> Vec<&'a Record<RegisterAct>> {
    let seen: HashSet<&str> = records
        .iter()
        .filter(|record| record.done != Done::Perhaps)
        .filter_map(|record| match &record.act {
            RegisterAct::Read(value) | RegisterAct::Compare(value, _) => Some(value.as_str()),
            RegisterAct::Write(_) => None,
        })
        .collect();
    let says_something = |record: &&&Record<RegisterAct>| match (&record.act, record.done) {
        (RegisterAct::Read(_), done) => done == Done::Yes,
        (RegisterAct::Write(_), Done::No) => false,
        (RegisterAct::Write(value) | RegisterAct::Compare(_, value), Done::Perhaps) => {
            seen.contains(value.as_str())
        }
        _ => true,
    };
    records.iter().filter(says_something).copied().collect()
}

/// All configurations in which `no` has happened, without noting any more that it has.
fn after<'a>(
    records: &[&'a Record<RegisterAct>],
    all: &HashSet<Configuration<'a>>,
    under_way: &BTreeSet<usize>,
    no: usize,
) -> Option<HashSet<Configuration<'a>>> {
    let mut reached = HashSet::new();
    let mut seen: HashSet<Configuration<'a>> = all.clone();
    let mut todo: Vec<Configuration<'a>> = all.iter().cloned().collect();
    while let Some(configuration) = todo.pop() {
        if configuration.happened.contains(&no) {
            let mut done = configuration;
            done.happened.remove(&no);
            reached.insert(done);
            continue;
        }
        for other in under_way {
            if configuration.happened.contains(other) {
                continue;
            }
            for value in results(records[*other], configuration.value) {
                let mut next = configuration.clone();
                next.value = value;
                next.happened.insert(*other);
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        if seen.len() > CONFIGURATIONS_MAX {
            return None;
        }
    }
    Some(reached)
}

/// What the register can hold after a request, where it can happen now.
fn results<'a>(record: &'a Record<RegisterAct>, value: Option<&'a str>) -> Vec<Option<&'a str>> {
    let is = |wanted: &str| value.is_none_or(|value| value == wanted);
    match &record.act {
        RegisterAct::Read(read) if is(read) => vec![Some(read)],
        RegisterAct::Read(_) => vec![],
        RegisterAct::Write(written) => vec![Some(written)],
        RegisterAct::Compare(wanted, written) => {
            let mut results = Vec::new();
            if record.done != Done::No && is(wanted) {
                results.push(Some(written.as_str()));
            }
            if record.done != Done::Yes && value != Some(wanted) {
                results.push(value);
            }
            results
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Span;

    fn at(began: u64, ended: u64, act: RegisterAct, done: Done) -> Record<RegisterAct> {
        Record {
            subject: 0,
            node: 0,
            span: Span { began, ended },
            act,
            done,
        }
    }

    fn read(began: u64, ended: u64, value: &str) -> Record<RegisterAct> {
        at(began, ended, RegisterAct::Read(value.into()), Done::Yes)
    }

    fn write(began: u64, ended: u64, value: &str) -> Record<RegisterAct> {
        at(began, ended, RegisterAct::Write(value.into()), Done::Yes)
    }

    fn rules(records: &[Record<RegisterAct>]) -> Vec<&'static str> {
        let found = judge_registers(records);
        found.into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn honest_registers_pass() {
        assert_eq!(rules(&[]), Vec::<&str>::new());
        let records = [
            read(0, 1, "x"),
            write(2, 10, "a"),
            read(3, 5, "x"),
            read(4, 6, "a"),
            write(7, 20, "b"),
            write(8, 20, "c"),
            read(9, 12, "c"),
            read(13, 15, "b"),
            read(21, 22, "b"),
        ];
        assert_eq!(rules(&records), Vec::<&str>::new());
    }

    #[test]
    fn a_stale_read_is_found() {
        let stale = [write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")];
        assert_eq!(rules(&stale), ["not linearizable"]);
        // Two that do not overlap see the two in different orders.
        let torn = [
            write(0, 1, "x"),
            write(2, 20, "a"),
            read(3, 5, "a"),
            read(6, 8, "x"),
        ];
        assert_eq!(rules(&torn), ["not linearizable"]);
    }

    #[test]
    fn a_write_in_doubt_happens_late_or_never_and_not_twice() {
        let lost = at(2, 3, RegisterAct::Write("b".into()), Done::Perhaps);
        let late = [
            write(0, 1, "a"),
            lost.clone(),
            read(4, 5, "a"),
            read(6, 7, "b"),
        ];
        assert_eq!(rules(&late), Vec::<&str>::new());
        let never = [write(0, 1, "a"), lost.clone(), read(4, 5, "a")];
        assert_eq!(rules(&never), Vec::<&str>::new());
        let twice = [
            write(0, 1, "a"),
            lost,
            read(4, 5, "b"),
            write(6, 7, "c"),
            read(8, 9, "b"),
        ];
        assert_eq!(rules(&twice), ["not linearizable"]);
    }

    #[test]
    fn a_refused_write_that_is_read_is_found() {
        let refused = at(2, 3, RegisterAct::Write("b".into()), Done::No);
        let records = [write(0, 1, "a"), refused, read(4, 5, "b")];
        assert_eq!(rules(&records), ["not linearizable"]);
    }

    #[test]
    fn compare_and_set_is_understood() {
        let compare = |began, from: &str, to: &str, done| {
            let act = RegisterAct::Compare(from.into(), to.into());
            at(began, began + 3, act, done)
        };
        let both = [
            write(0, 1, "a"),
            compare(2, "a", "b", Done::Yes),
            compare(3, "a", "c", Done::Yes),
        ];
        assert_eq!(rules(&both), ["not linearizable"]);
        let one = [
            write(0, 1, "a"),
            compare(2, "a", "b", Done::Yes),
            compare(3, "a", "c", Done::No),
            read(9, 10, "b"),
        ];
        assert_eq!(rules(&one), Vec::<&str>::new());
        let neither = [write(0, 1, "a"), compare(2, "a", "b", Done::No)];
        assert_eq!(rules(&neither), ["not linearizable"]);
    }

    #[test]
    fn many_requests_are_judged_and_too_many_orders_are_owned_up_to() {
        let mut records = Vec::new();
        for no in 0..5_000_u64 {
            records.push(write(no * 10, no * 10 + 14, &no.to_string()));
            records.push(read(no * 10 + 15, no * 10 + 16, &no.to_string()));
        }
        records[5001] = read(25_005, 25_016, "2500");
        assert_eq!(rules(&records), Vec::<&str>::new());
        let mut records: Vec<_> = (0..40).map(|no| write(0, 100, &no.to_string())).collect();
        records.push(read(50, 60, "39"));
        assert_eq!(rules(&records), ["not judged"]);
    }
}
