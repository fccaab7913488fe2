//! The other nodes of the cluster: whether this machine reaches each of them, whether they are of
//! the same cluster, and which of them do not reach each other.
//!
//! Nodes are asked where other nodes ask them, as a holder of the cluster's secret: that needs
//! neither a leader nor somebody who signs in.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

use super::Finding;
use crate::config::Config;
use crate::identity::{self, Identity};
use crate::joining::{self, Known};

const CHECK: &str = "nodes";
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let Some(own) = &config.cluster.address else {
        return Vec::new();
    };
    let file = config.data_dir.join(identity::FILE_NAME);
    let identity = match Identity::read(&file) {
        Ok(identity) => identity,
        Err(error) => {
            let mend = "see docs/operating.md";
            return vec![Finding::fail(CHECK, error.to_string(), mend)];
        }
    };
    let mut findings = Vec::new();
    let mut views = Vec::new();
    // By their addresses, with what to call them.
    let mut nodes: BTreeMap<String, String> = BTreeMap::new();
    for address in config.cluster.join.iter().chain(&config.cluster.peers) {
        nodes.insert(address.clone(), address.clone());
    }
    if identity.is_some() {
        match joining::look(config, own, PATIENCE).await {
            Ok(known) => {
                for node in &known.nodes {
                    let name = format!("node {} at {}", node.node_id, node.address);
                    nodes.insert(node.address.clone(), name);
                }
                views.push(known);
            }
            Err(error) => findings.push(Finding::warn(
                CHECK,
                format!(
                    "the relay here does not answer at {own}, so that only nodes which are \
                     configured are looked at: {error}"
                ),
                "start the relay; see EKHO_NODE_ADDRESS and EKHO_NODE_LISTEN",
            )),
        }
    }
    nodes.remove(own);
    for (address, name) in &nodes {
        let (finding, view) = reach(config, identity.as_ref(), address, name).await;
        findings.push(finding);
        views.extend(view);
    }
    findings.extend(compare(&views));
    findings
}

/// Whether nodes reach each other, as they say.
fn compare(views: &[Known]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in views {
        let Some(viewer) = view.node_id else {
            continue;
        };
        for node in view.nodes.iter().filter(|node| !node.is_reachable) {
            let why = node.failure.as_deref().unwrap_or("it was not heard lately");
            findings.push(Finding::fail(
                CHECK,
                format!("node {viewer} does not reach node {}: {why}", node.node_id),
                format!(
                    "see that node {} runs, and that {} is let through from node {viewer}",
                    node.node_id, node.address
                ),
            ));
        }
    }
    if findings.is_empty() && views.len() > 1 {
        let found = format!("{} nodes reach each other", views.len());
        findings.push(Finding::ok(CHECK, found));
    }
    findings
}

/// Whether this machine reaches a node, and what that says of the others.
async fn reach(
    config: &Config,
    own: Option<&Identity>,
    address: &str,
    name: &str,
) -> (Finding, Option<Known>) {
    if let Err((why, mend)) = connect(address).await {
        let found = format!("{name} cannot be reached: {why}");
        return (Finding::fail(CHECK, found, mend), None);
    }
    // Who is of no cluster yet can only know that somebody listens.
    let Some(own) = own else {
        return (Finding::ok(CHECK, format!("{name} can be reached")), None);
    };
    let known = match joining::look(config, address, PATIENCE).await {
        Ok(known) => known,
        Err(error) => {
            let found =
                format!("{name} listens, and does not show that it is of this cluster: {error}");
            let mend = "see that a node of this cluster listens there, with the same secrets";
            return (Finding::fail(CHECK, found, mend), None);
        }
    };
    match &known.cluster_id {
        Some(cluster_id) if *cluster_id == own.cluster_id => {
            let found = format!("{name} can be reached, and is of this cluster");
            (Finding::ok(CHECK, found), Some(known))
        }
        Some(cluster_id) => {
            let found = format!(
                "{name} is of another cluster, {cluster_id}; this is {}",
                own.cluster_id
            );
            let mend = "correct the address, or remove the node that was made anew";
            (Finding::fail(CHECK, found, mend), None)
        }
        None => {
            let found = format!("{name} can be reached, and is of no cluster yet");
            let mend = "let it join: `ekho cluster token create`";
            (Finding::warn(CHECK, found, mend), None)
        }
    }
}

/// Why nothing answers, and what to do.
type Problem = (String, String);

async fn connect(address: &str) -> Result<(), Problem> {
    let port = address.rsplit_once(':').map_or("", |(_, port)| port);
    let found = match tokio::time::timeout(PATIENCE, lookup_host(address)).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(unknown(&error.to_string())),
        Err(_) => return Err(unknown("the name server does not answer")),
    };
    if found.is_empty() {
        return Err(unknown("the name has no address"));
    }
    match tokio::time::timeout(PATIENCE, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(&error, port)),
        Err(_) => Err((
            "nothing comes back".into(),
            format!(
                "let TCP port {port} through: the firewall there, and in a tailnet its access rules; \
                 see that the machine is up"
            ),
        )),
    }
}

fn unknown(why: &str) -> Problem {
    (
        format!("its name is not known here: {why}"),
        "see the name server; in a tailnet, that MagicDNS is on and this machine is connected"
            .into(),
    )
}

fn refused(error: &io::Error, port: &str) -> Problem {
    let mend = match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "start the relay there, and see its EKHO_NODE_ADDRESS and EKHO_NODE_LISTEN (port {port})"
        ),
        _ => "see the routes of this machine; in a tailnet, `tailscale status`".into(),
    };
    (error.to_string(), mend)
}
