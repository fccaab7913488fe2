//! Backups: taken while the relay works, checked, restored; and what is left of a cluster.
//!
//! - `taking`: what a backup holds, and who may take one
//! - `attachments`: files beside the state
//! - `restoring`: what a restored relay has, and what it refuses
//! - `refusals`: files, directories and secrets that are not right
//! - `recovering`: a node that outlived the majority
//! - `page`: docs/backup.md, written by running it

mod attachments;
mod page;
mod recovering;
mod refusals;
mod restoring;
mod taking;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::{Agent, Relay};

/// Takes a backup as the owner; where it is, and what the command says of it.
fn take(relay: &Relay, name: &str) -> (PathBuf, Value) {
    let file = relay.dir().join(name);
    let output = relay.run(["backup", "create", "--json", "--output", name]);
    (file, json(&output))
}

/// A relay like this one, in a directory that holds nothing but its secrets.
fn empty_like(relay: &Relay) -> Relay {
    let mut empty = Relay::builder().set_up();
    empty.env = relay.env.clone();
    fs::remove_dir_all(empty.data_dir()).unwrap();
    fs::create_dir(empty.data_dir()).unwrap();
    for name in ["secrets.toml", "credentials.json"] {
        fs::copy(relay.data_dir().join(name), empty.data_dir().join(name)).unwrap();
    }
    empty
}

/// Restores a backup into an empty relay; what the command says.
fn restore(empty: &Relay, file: &Path, more: &[&str]) -> Value {
    let file = file.to_str().unwrap();
    let args = ["backup", "restore", file, "--json"];
    json(&empty.run(args.iter().chain(more)))
}

/// The same agent, at another relay.
fn at(agent: &Agent, relay: &Relay) -> Agent {
    Agent {
        relay_url: relay.url(),
        ..agent.clone()
    }
}

fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// The one sentence of a command that must fail.
fn fails(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("ekho: "), "{said}");
    said
}

/// What lies in a directory.
fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
