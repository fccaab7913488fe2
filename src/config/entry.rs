//! What is kept of a setting beside its value: where the value comes from and how to show it.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// One setting as `ekho config` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The environment variable.
    pub variable: &'static str,
    /// The effective value; none where nothing is set and there is no default. Secrets are masked.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// What reads it, and when.
    pub scope: Scope,
    /// What it is for, in a line.
    pub about: &'static str,
}

/// Where a value comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Environment,
    /// A TOML file.
    File(PathBuf),
    /// Follows from another setting.
    Derived(&'static str),
    /// Built in.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => f.write_str(flag),
            Source::Environment => f.write_str("environment"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Derived(from) => f.write_str(from),
            Source::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This node, read at each start.
    Node,
    /// The cluster: replicated, and only given its first value here, by `ekho setup`.
    Setup,
}
