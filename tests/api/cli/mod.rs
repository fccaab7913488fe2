//! The command line: beside a relay, and over the operator API.
//!
//! - `node`: setup, doctor, config, audit export, bench
//! - `sign_in`: as whom commands act
//! - `unattended`: a relay that begins with nobody at hand
//! - the others: one file a command, each with a table, with JSON, and with what goes wrong

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{Operator, Relay};

mod a2a;
mod agent;
mod agents;
mod approvals;
mod audit;
mod dead_letters;
mod fleets;
mod hooks;
mod keys;
mod messages;
mod node;
mod operations;
mod people;
mod policies;
mod sign_in;
mod unattended;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn all(output: &Output) -> String {
    format!("{}{}", out(output), String::from_utf8_lossy(&output.stderr))
}

fn done(output: Output) -> Output {
    assert!(output.status.success(), "{}", all(&output));
    output
}

/// A relay, and somebody whose token the commands use.
struct Shell<'a> {
    relay: &'a Relay,
    token: String,
}

impl<'a> Shell<'a> {
    fn new(relay: &'a Relay, operator: &Operator) -> Self {
        Shell {
            relay,
            token: operator.token.clone(),
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.relay.command(args);
        command.env("EKHO_TOKEN", &self.token);
        command.output().expect("ekho can be started")
    }

    /// With a text on standard input.
    fn run_with(&self, args: &[&str], input: &str) -> Output {
        use std::io::Write;
        let mut command = self.relay.command(args);
        command.env("EKHO_TOKEN", &self.token);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// What a command prints that must succeed.
    fn says(&self, args: &[&str]) -> String {
        out(&done(self.run(args)))
    }

    /// What it prints as JSON.
    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let text = self.says(&args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// The one sentence of a command that must fail in this way, and prints nothing else.
    fn fails(&self, args: &[&str], code: i32) -> String {
        refused(&self.run(args), code)
    }
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", all(output));
    assert_eq!(out(output), "", "a failure prints no result");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("ekho: ") && said.trim_end().lines().count() == 1,
        "not one sentence: {said}"
    );
    said
}

/// The ids in the first column of a table.
fn first_column(table: &str) -> Vec<&str> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| row.split_whitespace().next())
        .collect()
}
