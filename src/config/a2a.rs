//! How this node answers A2A, and where it may send what A2A makes it send.

use std::time::Duration;

use ipnet::IpNet;

use super::loader::Loader;
use super::node::node;
use super::parse;
use super::seeds;

/// How this node answers A2A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct A2a {
    /// How long a blocking request waits for its task.
    pub blocking_timeout: Duration,
}

/// Reads it, and the networks of the inside that requests to addresses that others chose may reach.
pub(super) fn load(loader: &mut Loader) -> (A2a, Vec<IpNet>) {
    let spec = node(
        "EKHO_A2A_BLOCKING_TIMEOUT_SECONDS",
        "how long a blocking A2A request waits for its task, before it answers with it as it is",
    );
    let a2a = A2a {
        blocking_timeout: Duration::from_secs(seeds::number(loader, spec, 60, 1..=600)),
    };
    let networks = loader.value(
        node(
            "EKHO_OUTBOUND_ALLOWED_NETWORKS",
            "private networks, such as a tailnet's 100.64.0.0/10, that webhooks of A2A clients and \
             agents elsewhere may be in; there http is allowed as well",
        ),
        Vec::new(),
        parse::networks,
        |networks| {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            networks.join(",")
        },
    );
    (a2a, networks)
}
