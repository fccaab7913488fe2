//! Shows that the judge notices: breaks one promise after the other, in a relay that was built so
//! that it can be broken, and looks whether the rule that is to find it does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::cluster::Shape;
use crate::nemesis::Fault;
use crate::report::Report;
use crate::run::{Options, run};

/// Letters of a violation that the table shows.
const SHOWN: usize = 110;

/// One promise to break.
struct Case {
    /// Value of `EKHO_BREAK`.
    breakage: &'static str,
    nodes: usize,
    faults: &'static [Fault],
    seconds: u64,
    /// Rules that have to find it.
    rules: &'static [&'static str],
}

const fn case(breakage: &'static str, rules: &'static [&'static str]) -> Case {
    Case {
        breakage,
        nodes: 1,
        faults: &[],
        seconds: 12,
        rules,
    }
}

/// Every rule that a run is judged by is to be found here at least once.
const CASES: [Case; 19] = [
    case("", &[]),
    Case {
        faults: &[Fault::PowerCut],
        seconds: 25,
        ..case("lose-unsynced", &["lost"])
    },
    Case {
        nodes: 3,
        seconds: 20,
        ..case(
            "stale-read",
            &["not linearizable", "decision not seen", "stale status"],
        )
    },
    case("accept-nonce-twice", &["nonce accepted twice"]),
    case("forget-keys", &["one became two"]),
    case("redeliver-acked", &["acked came back"]),
    case("reorder", &["out of order"]),
    case("skip-policy-in-apply", &["order not kept"]),
    case("uncounted-rate", &["rate exceeded"]),
    case("decide-twice", &["decided twice"]),
    case("decide-never", &["decided by nobody"]),
    case("reserialize", &["altered"]),
    case("misroute", &["wrong recipient"]),
    case("rename", &["never sent"]),
    case("refuse-accepted", &["refused and done", "strange answer"]),
    case("miscount-acks", &["ack miscounted"]),
    case("forget-attempts", &["hand-out undone"]),
    case("poison-entry", &["ended by itself", "does not recover"]),
    Case {
        faults: &[Fault::Rolling],
        ..case("fail-stop", &["stop failed"])
    },
];

/// Breaks everything once and prints what was found. Whether every rule found what it is to find.
pub async fn show_checkers(
    binary: &Path,
    seed: u64,
    interrupted: Arc<AtomicBool>,
    say: fn(&str),
) -> Result<bool, String> {
    say("| `EKHO_BREAK` | nodes, faults | found as | for example |");
    say("| --- | --- | --- | --- |");
    let mut all_found = true;
    for case in &CASES {
        let mut report = break_one(case, 1, binary, seed, &interrupted).await?;
        if !silent(case, &report).is_empty() {
            // A busy machine may have been too slow to get there.
            report = break_one(case, 4, binary, seed, &interrupted).await?;
        }
        // Where nothing is broken, nothing may be found.
        let is_false_alarm = case.rules.is_empty() && !report.violations.is_empty();
        all_found &= silent(case, &report).is_empty() && !is_false_alarm;
        say(&row(case, &report));
    }
    Ok(all_found)
}

/// The rules that should have found something, and did not.
fn silent(case: &Case, report: &Report) -> Vec<&'static str> {
    let found = |rule: &&str| report.violations.iter().any(|(found, _)| found == rule);
    let rules = case.rules.iter().copied();
    rules.filter(|rule| !found(rule)).collect()
}

async fn break_one(
    case: &Case,
    times: u64,
    binary: &Path,
    seed: u64,
    interrupted: &Arc<AtomicBool>,
) -> Result<Report, String> {
    let options = Options {
        seed,
        time: Duration::from_secs(case.seconds * times),
        shape: Shape {
            binary: binary.to_path_buf(),
            nodes: case.nodes,
            clocks: false,
            breakage: Some(case.breakage.to_string()),
        },
        faults: case.faults.to_vec(),
        keep: false,
        say: |_| {},
    };
    let outcomes = run(options, Arc::clone(interrupted))
        .await
        .map_err(|error| format!("{}: {error}", case.breakage))?;
    if let Some(kept) = outcomes.kept {
        std::fs::remove_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    }
    Ok(outcomes.report)
}

fn row(case: &Case, report: &Report) -> String {
    let mut found: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (rule, detail) in &report.violations {
        found.entry(rule).or_insert((0, detail)).0 += 1;
    }
    let breakage = match case.breakage {
        "" => "nothing".to_string(),
        name => format!("`{name}`"),
    };
    let faults: Vec<String> = case.faults.iter().map(Fault::to_string).collect();
    let faults = match faults.is_empty() {
        true => "none".to_string(),
        false => faults.join(", "),
    };
    let mut words: Vec<String> = found
        .iter()
        .map(|(rule, (count, _))| format!("{rule} ({count})"))
        .collect();
    let silent = silent(case, report).into_iter();
    words.extend(silent.map(|rule| format!("NOT FOUND: {rule}")));
    let found_as = match words.is_empty() {
        true => "nothing".to_string(),
        false => words.join(", "),
    };
    let wanted = case.rules.iter().find_map(|rule| found.get(rule));
    let example = wanted.or(found.values().next()).map_or("", |(_, it)| it);
    let example: String = example
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(SHOWN)
        .map(|letter| if letter == '|' { '/' } else { letter })
        .collect();
    format!(
        "| {breakage} | {}, {faults} | {found_as} | {example} |",
        case.nodes
    )
}
