//! What came of a run, as text and as JSON: seed, operations, faults, verdict.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::check::Violation;
use crate::history::{Call, History, Micros, Outcome};
use crate::record::{ApprovalAct, Done, GateAct, Records, RegisterAct};
use crate::timeline::{Event, Kind};

/// Violations shown; one cause often breaks many promises.
const SHOWN: usize = 30;

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Repeats the schedule.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// From the first request to the verdict.
    pub seconds: u64,
    /// How many requests of which kind.
    pub operations: BTreeMap<&'static str, usize>,
    /// How many faults of which kind.
    pub faults: BTreeMap<String, usize>,
    /// From the beginning of a fault to the first send that was asked after it and accepted: least,
    /// median and most milliseconds, by kind of fault.
    pub first_write_ms: BTreeMap<String, [u64; 3]>,
    /// Longest time without an accepted send.
    pub longest_without_write_ms: u64,
    /// `kept` or `BROKEN`.
    pub verdict: &'static str,
    /// What was broken: rule and detail.
    pub violations: Vec<(String, String)>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// What a report is made of.
pub struct Material<'a> {
    /// See [`Report::seed`].
    pub seed: u64,
    /// See [`Report::nodes`].
    pub nodes: usize,
    /// Messages.
    pub history: &'a History,
    /// Everything else.
    pub records: &'a Records,
    /// What was done and seen.
    pub events: &'a [Event],
    /// When the faults were over.
    pub faults_ended: Micros,
    /// When everything was.
    pub ended: Micros,
    /// What was broken.
    pub violations: &'a [Violation],
    /// What else there is to know.
    pub notes: &'a [String],
}

impl Report {
    /// Puts it together.
    pub fn of(material: &Material<'_>) -> Self {
        let faults: Vec<&Event> = material
            .events
            .iter()
            .filter(|event| event.kind == Kind::Fault)
            .collect();
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for fault in &faults {
            *kinds.entry(kind_of(fault)).or_default() += 1;
        }
        let verdict = if material.violations.is_empty() {
            "kept"
        } else {
            "BROKEN"
        };
        let violations = material.violations.iter();
        Report {
            seed: material.seed,
            nodes: material.nodes,
            seconds: material.ended / 1_000_000,
            operations: operations(material.history, material.records),
            faults: kinds,
            first_write_ms: first_writes(material.history, &faults),
            longest_without_write_ms: longest_gap(material.history, material.faults_ended) / 1000,
            verdict,
            violations: violations
                .map(|violation| (violation.rule.to_string(), violation.detail.clone()))
                .collect(),
            notes: material.notes.to_vec(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let list = |counts: Vec<(String, usize)>| -> String {
            let parts = counts
                .into_iter()
                .map(|(name, count)| format!("{count} {name}"));
            parts.collect::<Vec<_>>().join(", ")
        };
        let operations = self.operations.iter();
        let operations = list(
            operations
                .map(|(name, count)| (name.to_string(), *count))
                .collect(),
        );
        let faults = list(self.faults.clone().into_iter().collect());
        let _ = writeln!(text, "seed        {}", self.seed);
        let _ = writeln!(text, "run         {} nodes, {} s", self.nodes, self.seconds);
        let _ = writeln!(text, "operations  {operations}");
        let _ = writeln!(
            text,
            "faults      {}",
            if faults.is_empty() { "none" } else { &faults }
        );
        for (fault, [least, median, most]) in &self.first_write_ms {
            let _ = writeln!(
                text,
                "            {fault}: first write accepted after {least}/{median}/{most} ms (min/median/max)"
            );
        }
        let _ = writeln!(
            text,
            "longest     {} ms without an accepted send",
            self.longest_without_write_ms
        );
        for note in &self.notes {
            let _ = writeln!(text, "note        {note}");
        }
        for (rule, detail) in self.violations.iter().take(SHOWN) {
            let _ = writeln!(text, "broken      {rule}: {detail}");
        }
        if self.violations.len() > SHOWN {
            let _ = writeln!(
                text,
                "            and {} more",
                self.violations.len() - SHOWN
            );
        }
        let _ = writeln!(text, "verdict     every promise {}", self.verdict);
        text
    }
}

/// The first words of what a fault is, without its figures.
fn kind_of(event: &Event) -> String {
    let what = event.what.split(", ").next().unwrap_or_default();
    let words = what
        .split(' ')
        .filter(|word| !word.starts_with(['+', '-']) || *word == "-9");
    words
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches(" s")
        .to_string()
}

fn operations(history: &History, records: &Records) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut add = |name: &'static str, count: usize| {
        *counts.entry(name).or_default() += count;
    };
    for op in &history.ops {
        let name = match op.call {
            Call::Send(_) => "sends",
            Call::Poll => "polls",
            Call::Ack(_) | Call::Nack(_) => "acks",
            Call::Look(_) => "looks",
            Call::Replay => "replays",
        };
        add(name, usize::from(!matches!(op.outcome, Outcome::NotSent)));
        add("in doubt", usize::from(op.outcome.is_unknown()));
        let made = matches!(
            op.outcome,
            Outcome::Queued {
                repeated: false,
                ..
            }
        );
        add("messages accepted", usize::from(made));
    }
    for record in &records.gates {
        let send = matches!(record.act, GateAct::Send(_));
        add(
            if send {
                "sends at gates"
            } else {
                "flips of gates"
            },
            1,
        );
        add("in doubt", usize::from(record.done == Done::Perhaps));
    }
    for record in &records.approvals {
        let decision = matches!(record.act, ApprovalAct::Decide(_));
        add(
            if decision {
                "decisions"
            } else {
                "looks at approvals"
            },
            1,
        );
        add("in doubt", usize::from(record.done == Done::Perhaps));
    }
    for record in &records.registers {
        let read = matches!(record.act, RegisterAct::Read(_));
        add(
            if read {
                "register reads"
            } else {
                "register writes"
            },
            1,
        );
        add("in doubt", usize::from(record.done == Done::Perhaps));
    }
    add("messages counted against a rate", records.counted.len());
    counts
}

/// Sends that were accepted: when they began and ended, in the order in which they ended.
fn accepted(history: &History) -> Vec<(Micros, Micros)> {
    let sends = history.ops.iter();
    let sends = sends.filter(|op| matches!(op.outcome, Outcome::Queued { .. }));
    let mut sends: Vec<_> = sends.map(|op| (op.began, op.ended)).collect();
    sends.sort_by_key(|(_, ended)| *ended);
    sends
}

fn first_writes(history: &History, faults: &[&Event]) -> BTreeMap<String, [u64; 3]> {
    let sends = accepted(history);
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for fault in faults {
        let from = sends.partition_point(|(_, ended)| *ended < fault.began);
        let first = sends[from..]
            .iter()
            .find(|(began, _)| *began >= fault.began);
        if let Some((_, ended)) = first {
            let after_ms = (ended - fault.began) / 1000;
            times.entry(kind_of(fault)).or_default().push(after_ms);
        }
    }
    let figures = times.into_iter().map(|(kind, mut times)| {
        times.sort_unstable();
        (
            kind,
            [times[0], times[times.len() / 2], times[times.len() - 1]],
        )
    });
    figures.collect()
}

fn longest_gap(history: &History, until: Micros) -> u64 {
    let sends = accepted(history);
    let ends = sends
        .iter()
        .map(|(_, ended)| *ended)
        .filter(|ended| *ended <= until);
    let mut longest = 0;
    let mut last = sends.first().map_or(0, |(_, ended)| *ended);
    for ended in ends.chain([until]) {
        longest = longest.max(ended.saturating_sub(last));
        last = ended;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_faults_are_put_together() {
        let event = |what: &str| Event {
            kind: Kind::Fault,
            nodes: vec![0],
            what: what.into(),
            began: 0,
            ended: None,
        };
        assert_eq!(kind_of(&event("kill -9")), "kill -9");
        assert_eq!(kind_of(&event("clock -17 s")), "clock");
        assert_eq!(kind_of(&event("power cut, Nothing survives")), "power cut");
    }
}
