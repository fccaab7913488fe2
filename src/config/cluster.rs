//! How a node is one of a cluster: where others reach it, and how it joins.

use zeroize::Zeroizing;

use super::entry::Source;
use super::loader::Loader;
use super::node::node;
use super::seeds;
use crate::machine::FEATURE_LEVEL;
use crate::service::cluster::join::check_address;
use crate::tailnet;
use ekho_storage::OutboxLimits;
use ekho_storage::tables::cluster::{NODES_MAX, Part};

/// What a node is told of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where other nodes reach it, `host:port`; without one it takes no other nodes.
    pub address: Option<String>,
    /// Where it listens for them.
    pub listen: String,
    /// Nodes to join by, tried in order. Only looked at while the data directory is empty.
    pub join: Vec<String>,
    /// The token to join with.
    pub token: Option<Zeroizing<String>>,
    /// The nodes that form a cluster on their own, of which the first begins it.
    pub peers: Vec<String>,
    /// What it wants to be, where no token says it.
    pub part: Part,
    /// How much may wait in its outbox, where it is an edge.
    pub outbox: OutboxLimits,
    /// The newest feature level it takes part in.
    pub feature_level: u32,
}

/// `host` is where the relay listens for everybody else.
pub(super) fn load(loader: &mut Loader, host: &str) -> Cluster {
    let spec = node(
        "EKHO_NODE_ADDRESS",
        "where other nodes reach this one, host:port; without it the node stays alone",
    );
    let address = loader.optional(spec, address, String::clone);
    let spec = node(
        "EKHO_NODE_LISTEN",
        "where this node listens for others; all addresses, or with EKHO_HOST=tailscale that of the \
         tailnet, at the port of EKHO_NODE_ADDRESS",
    );
    let listen = loader.optional(spec, |text| Ok(text.to_string()), String::clone);
    let listen = listen.unwrap_or_else(|| {
        let port = address
            .as_deref()
            .and_then(|address| address.rsplit_once(':'));
        // Who keeps to the tailnet does so for other nodes as well.
        let all = match host {
            tailnet::HOST => tailnet::HOST,
            _ => "0.0.0.0",
        };
        let listen = format!("{all}:{}", port.map_or("0", |(_, port)| port));
        if address.is_some() {
            let source = Source::Derived("EKHO_NODE_ADDRESS");
            loader.fill("EKHO_NODE_LISTEN", listen.clone(), source);
        }
        listen
    });
    let spec = node(
        "EKHO_JOIN",
        "nodes of a cluster to join, host:port with commas between, while there is no data",
    );
    let join = loader.value(spec, Vec::new(), addresses, |all| all.join(","));
    let token = loader.secret(node(
        "EKHO_JOIN_TOKEN",
        "the token to join with; not needed where EKHO_MASTER_SECRET is the cluster's",
    ));
    let spec = node(
        "EKHO_NODE_PEERS",
        "all nodes that form a cluster by themselves, this one included; the first begins it",
    );
    let peers = loader.value(spec, Vec::new(), addresses, |all| all.join(","));
    let spec = node(
        "EKHO_NODE_PART",
        "what the node becomes where no token says it: voter, learner or edge",
    );
    let part = loader.value(spec, Part::Voter, part, |part| part.as_str().into());
    let mut size = |variable, default, range, about| {
        seeds::number(loader, node(variable, about), default, range)
    };
    let outbox = OutboxLimits {
        entries: size(
            "EKHO_EDGE_OUTBOX_ENTRIES",
            10_000,
            1..=100_000,
            "sends that may wait at an edge node while it is cut off",
        ) as usize,
        bytes: size(
            "EKHO_EDGE_OUTBOX_BYTES",
            64 << 20,
            1 << 16..=1 << 34,
            "bytes of the sends that may wait at an edge node while it is cut off",
        ) as usize,
    };
    let feature_level = size(
        "EKHO_FEATURE_LEVEL_MAX",
        u64::from(FEATURE_LEVEL),
        1..=u64::from(FEATURE_LEVEL),
        "newest feature level this node takes part in; a lower one keeps the way back open",
    ) as u32;
    let cluster = Cluster {
        address,
        listen,
        join,
        token,
        peers,
        part,
        outbox,
        feature_level,
    };
    if let Err(problem) = cluster.check() {
        loader.problems.push(problem.into());
    }
    cluster
}

impl Cluster {
    /// The port, where it listens for other nodes at the machine's address in a tailnet.
    pub fn listens_in_tailnet(&self) -> Option<&str> {
        let (host, port) = self.listen.rsplit_once(':')?;
        (self.address.is_some() && host == tailnet::HOST).then_some(port)
    }

    fn check(&self) -> Result<(), &'static str> {
        let Some(address) = &self.address else {
            return match self.join.is_empty() && self.peers.is_empty() {
                true => Ok(()),
                false => Err(
                    "EKHO_JOIN or EKHO_NODE_PEERS is set and EKHO_NODE_ADDRESS is not: \
                     other nodes have to reach this one",
                ),
            };
        };
        if !self.join.is_empty() && !self.peers.is_empty() {
            return Err("EKHO_JOIN and EKHO_NODE_PEERS are both set: one or the other");
        }
        if !self.peers.is_empty() && !self.peers.contains(address) {
            return Err("EKHO_NODE_PEERS does not contain EKHO_NODE_ADDRESS");
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map(|()| text.to_string())
}

fn addresses(text: &str) -> Result<Vec<String>, String> {
    let all: Result<Vec<String>, String> = text
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(address)
        .collect();
    match all? {
        all if all.len() > NODES_MAX => Err(format!("at most {NODES_MAX} nodes are allowed")),
        all => Ok(all),
    }
}

fn part(text: &str) -> Result<Part, String> {
    Part::JOINABLE
        .into_iter()
        .find(|part| part.as_str() == text)
        .ok_or_else(|| "voter, learner or edge is allowed".into())
}
