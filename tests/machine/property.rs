//! Random histories: after each step, machine and model agree on everything there is.
//!
//! `PROPTEST_CASES=20000` runs for longer than the default.

use ekho_storage::{State, StateOptions};
use proptest::prelude::*;

use crate::model::run::Run;
use crate::model::steps::{Step, history};

/// The default number of cases, unless the environment says another.
pub fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        config
    } else {
        ProptestConfig { cases, ..config }
    }
}

fn check(state: &State, steps: Vec<Step>) {
    let mut run = Run::new(state);
    for step in steps {
        run.step(step);
    }
}

#[test]
fn promises_hold_in_any_history() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    proptest!(config(300), |(steps in history(1..100))| check(&state, steps));
}
