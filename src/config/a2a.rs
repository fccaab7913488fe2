//! How this node answers A2A.

use std::time::Duration;

use super::loader::Loader;
use super::node::node;
use super::seeds;

/// How this node answers A2A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct A2a {
    /// How long a blocking request waits for its task.
    pub blocking_timeout: Duration,
}

/// Reads it.
pub(super) fn load(loader: &mut Loader) -> A2a {
    let spec = node(
        "EKHO_A2A_BLOCKING_TIMEOUT_SECONDS",
        "how long a blocking A2A request waits for its task, before it answers with it as it is",
    );
    A2a {
        blocking_timeout: Duration::from_secs(seeds::number(loader, spec, 60, 1..=600)),
    }
}
