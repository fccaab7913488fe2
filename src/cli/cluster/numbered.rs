//! `ekho cluster shrink` and `settle`: members follow the number of machines, where those are
//! numbered and come and go by number, as pods of Kubernetes do. Whatever else is a member, such as
//! a node at the edge, is left alone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::{PATH, remove};
use crate::cli::CliError;
use crate::cli::client::ClientError;
use crate::cli::remote::{Relay, Remote};

const PAUSE: Duration = Duration::from_secs(1);
/// What stands for the number in an address.
const NUMBER: &str = "{}";

/// Remove the nodes of machines that are about to go, the last first.
///
/// Refused, and nothing is changed, unless every node that stays votes, is well and has all files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho cluster shrink --nodes 1 --address 'ekho-{}.ekho-headless.default.svc.cluster.local:4001'

Run it before machines with the number 1 and above are taken away.")]
pub(super) struct ShrinkArgs {
    #[command(flatten)]
    numbered: NumberedArgs,
}

/// Wait until the nodes of all machines vote and are well.
///
/// What is left of a node that lost its data is removed, once another is the node of its machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho cluster settle --nodes 3 --address 'ekho-{}.ekho-headless.default.svc.cluster.local:4001'")]
pub(super) struct SettleArgs {
    #[command(flatten)]
    numbered: NumberedArgs,
}

#[derive(Debug, Args)]
struct NumberedArgs {
    /// How many machines there are to be; their numbers begin at 0
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=64))]
    nodes: u64,

    /// Where other nodes reach them, with {} in place of the number
    #[arg(long, value_name = "HOST{}:PORT", value_parser = Addresses::read)]
    address: Addresses,

    /// How long is waited for what is under way
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_seconds: u64,

    #[command(flatten)]
    remote: Remote,
}

/// The addresses of numbered machines: what is before the number, and what is behind it.
#[derive(Debug, Clone)]
struct Addresses {
    before: String,
    behind: String,
}

impl Addresses {
    fn read(text: &str) -> Result<Self, String> {
        match text.split_once(NUMBER) {
            Some((before, behind)) if !behind.contains(NUMBER) => Ok(Addresses {
                before: before.into(),
                behind: behind.into(),
            }),
            _ => Err("an address with {} in it once is expected".into()),
        }
    }

    fn number(&self, address: &str) -> Option<u64> {
        let rest = address.strip_prefix(&self.before)?;
        rest.strip_suffix(&self.behind)?.parse().ok()
    }
}

/// A member that is to go. One that leads hands over by itself before it loses its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Going {
    number: u64,
    node_id: u64,
}

/// The members, held against the machines that are to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Of machines beyond the number wanted, the last first.
    goes: Vec<Going>,
    /// That vote and are well.
    stays: Vec<u64>,
    /// That cannot be reached, where another is the node of their machine.
    lost: Vec<u64>,
    /// What is wrong with those that are to stay.
    ails: Vec<String>,
}

impl Seen {
    fn of(status: &Value, nodes: u64, addresses: &Addresses) -> Self {
        let mut seen = Seen::default();
        let mut well = BTreeSet::new();
        let mut unreachable = Vec::new();
        for node in status["nodes"].as_array().into_iter().flatten() {
            let number = node["address"].as_str().and_then(|at| addresses.number(at));
            let (Some(number), Some(node_id)) = (number, node["node_id"].as_u64()) else {
                continue;
            };
            let text = |name: &str| node[name].as_str().unwrap_or_default();
            let (role, health) = (text("role"), text("health"));
            if number >= nodes {
                seen.goes.push(Going { number, node_id });
            } else if health == "unreachable" {
                unreachable.push((number, node_id));
            } else if node["voter"] != true || health != "ok" {
                seen.ails.push(format!(
                    "node {node_id} of machine {number} is a {role}, {health}"
                ));
            } else if node["missing_files"].as_u64() != Some(0) {
                // Null until it has looked at all that it should have.
                seen.ails.push(format!(
                    "node {node_id} of machine {number} does not have all files of attachments yet"
                ));
            } else {
                seen.stays.push(node_id);
                well.insert(number);
            }
        }
        for (number, node_id) in unreachable {
            match well.contains(&number) {
                true => seen.lost.push(node_id),
                false => seen.ails.push(format!(
                    "node {node_id} of machine {number} cannot be reached"
                )),
            }
        }
        if seen.ails.is_empty() {
            let missing = (0..nodes).filter(|number| !well.contains(number));
            seen.ails
                .extend(missing.map(|number| format!("machine {number} has no node")));
        }
        seen.goes
            .sort_by_key(|going| std::cmp::Reverse(going.number));
        seen
    }

    fn has(&self, node_id: u64) -> bool {
        self.lost.contains(&node_id) || self.goes.iter().any(|going| going.node_id == node_id)
    }
}

pub(super) async fn shrink(args: ShrinkArgs) -> Result<(), CliError> {
    let args = args.numbered;
    let work = async |relay: &Relay| {
        let until = args.until();
        let seen = args.look(relay).await?;
        if seen.goes.is_empty() {
            let answer = json!({ "nodes": seen.stays, "removed": [] });
            return relay.done(&answer, "no node has to go");
        }
        if let Some(why) = why_not_now(&seen) {
            let why = format!("no node can be spared now: {why}");
            return Err(CliError::Members(why));
        }
        let mut removed = Vec::new();
        for going in &seen.goes {
            args.remove(relay, going.node_id, until).await?;
            removed.push(going.node_id);
        }
        told(relay, &seen.stays, &removed)
    };
    args.remote.clone().run(work).await
}

pub(super) async fn settle(args: SettleArgs) -> Result<(), CliError> {
    let args = args.numbered;
    let until = args.until();
    loop {
        let looked = args
            .remote
            .clone()
            .run(async |relay: &Relay| {
                let seen = args.look(relay).await?;
                match seen.ails.is_empty() {
                    true => settled(&args, relay, &seen, until).await,
                    false => Err(CliError::Members(seen.ails.join("; "))),
                }
            })
            .await;
        match looked {
            Ok(()) => return Ok(()),
            Err(error) if !is_passing(&error) => return Err(error),
            Err(error) if Instant::now() >= until => {
                let seconds = args.timeout_seconds;
                let why = format!("not settled after {seconds} s: {error}");
                return Err(CliError::Members(why));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether it may be otherwise a moment later: nodes start, a leader is elected.
fn is_passing(error: &CliError) -> bool {
    match error {
        CliError::Members(_) | CliError::Client(ClientError::NoAnswer { .. }) => true,
        CliError::Client(ClientError::Refused(refused)) => {
            refused.status == 409 || refused.status >= 500
        }
        _ => false,
    }
}

async fn settled(
    args: &NumberedArgs,
    relay: &Relay,
    seen: &Seen,
    until: Instant,
) -> Result<(), CliError> {
    for node_id in &seen.lost {
        args.remove(relay, *node_id, until).await?;
    }
    told(relay, &seen.stays, &seen.lost)
}

/// Why no member may be taken away, where that is so.
fn why_not_now(seen: &Seen) -> Option<String> {
    match (seen.ails.is_empty(), seen.lost.first()) {
        (false, _) => Some(seen.ails.join("; ")),
        (true, Some(node_id)) => Some(format!(
            "node {node_id} is left over of a machine that has another, and has to be removed first"
        )),
        (true, None) => None,
    }
}

fn told(relay: &Relay, stays: &[u64], removed: &[u64]) -> Result<(), CliError> {
    let list = |ids: &[u64]| {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        ids.join(", ")
    };
    let gone = match removed {
        [] => String::new(),
        some => format!("; removed {}", list(some)),
    };
    let answer = json!({ "nodes": stays, "removed": removed });
    let sentence = format!("nodes {} vote and are well{gone}", list(stays));
    relay.done(&answer, &sentence)
}

impl NumberedArgs {
    fn until(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.timeout_seconds)
    }

    async fn look(&self, relay: &Relay) -> Result<Seen, CliError> {
        let status = relay.get(PATH).await?;
        Ok(Seen::of(&status, self.nodes, &self.address))
    }

    /// Removes a node and waits until it is gone and the others are well.
    async fn remove(&self, relay: &Relay, node_id: u64, until: Instant) -> Result<(), CliError> {
        let mut is_asked = false;
        loop {
            let why = match self.look_at_removal(relay, node_id, &mut is_asked).await {
                Ok(seen) if !seen.has(node_id) && seen.ails.is_empty() => return Ok(()),
                Ok(seen) => seen.ails.join("; "),
                // Who votes is changing at this moment, or the node that was asked is the one to go.
                Err(error) if is_passing(&error) => error.to_string(),
                Err(error) => return Err(error),
            };
            if Instant::now() >= until {
                let seconds = self.timeout_seconds;
                let why = format!("node {node_id} is not gone after {seconds} s; {why}");
                return Err(CliError::Members(why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks for a node's removal until that was heard, and looks what became of it.
    async fn look_at_removal(
        &self,
        relay: &Relay,
        node_id: u64,
        is_asked: &mut bool,
    ) -> Result<Seen, CliError> {
        if !*is_asked {
            match remove(relay, node_id).await {
                Ok(_) => {}
                // Asked before, by a request whose answer was lost.
                Err(CliError::Client(ClientError::Refused(refused))) if refused.status == 404 => {}
                Err(error) => return Err(error),
            }
            *is_asked = true;
        }
        self.look(relay).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            before: "relay-".into(),
            behind: ".nodes:4001".into(),
        }
    }

    fn node(node_id: u64, address: &str, role: &str, health: &str) -> Value {
        let voter = role != "learner";
        json!({ "node_id": node_id, "address": address, "role": role, "health": health, "voter": voter, "missing_files": 0 })
    }

    fn seen(nodes: u64, members: &[Value]) -> Seen {
        Seen::of(&json!({ "nodes": members }), nodes, &addresses())
    }

    #[test]
    fn numbers_are_read_from_addresses() {
        let addresses = addresses();
        let read = Addresses::read("relay-{}.nodes:4001");
        let read = read.map(|read| (read.before, read.behind));
        assert_eq!(read, Ok(("relay-".into(), ".nodes:4001".into())));
        assert_eq!(addresses.number("relay-12.nodes:4001"), Some(12));
        for other in [
            "relay-.nodes:4001",
            "relay-x.nodes:4001",
            "edge:4001",
            "relay-1.nodes:4002",
        ] {
            assert_eq!(addresses.number(other), None, "{other}");
        }
        assert!(Addresses::read("relay:4001").is_err());
        assert!(Addresses::read("relay-{}.{}:4001").is_err());
    }

    #[test]
    fn the_last_go_first_and_strangers_stay() {
        let members = [
            node(1, "relay-0.nodes:4001", "follower", "ok"),
            node(9, "relay-2.nodes:4001", "follower", "unreachable"),
            node(3, "relay-1.nodes:4001", "leader", "ok"),
            node(4, "edge.example:4001", "learner", "unreachable"),
        ];
        let seen = seen(1, &members);
        let going = |number, node_id| Going { number, node_id };
        assert_eq!(seen.goes, [going(2, 9), going(1, 3)]);
        assert_eq!((seen.stays, seen.ails), (vec![1], vec![]));
    }

    #[test]
    fn whoever_stays_has_to_be_well() {
        let zero = node(1, "relay-0.nodes:4001", "leader", "ok");
        let mut files = node(2, "relay-1.nodes:4001", "follower", "ok");
        files["missing_files"] = 3.into();
        let mut unknown = files.clone();
        unknown["missing_files"] = Value::Null;
        let cases = [
            (
                node(2, "relay-1.nodes:4001", "follower", "unreachable"),
                "cannot be reached",
            ),
            (
                node(2, "relay-1.nodes:4001", "learner", "ok"),
                "is a learner, ok",
            ),
            (
                node(2, "relay-1.nodes:4001", "follower", "draining"),
                "is a follower, draining",
            ),
            (
                node(2, "relay-2.nodes:4001", "follower", "ok"),
                "machine 1 has no node",
            ),
            (files, "does not have all files"),
            (unknown, "does not have all files"),
        ];
        for (other, why) in cases {
            let seen = seen(2, &[zero.clone(), other]);
            assert!(
                why_not_now(&seen).is_some_and(|said| said.contains(why)),
                "{why}: {seen:?}"
            );
        }
    }

    #[test]
    fn a_node_without_a_machine_is_lost() {
        let members = [
            node(1, "relay-0.nodes:4001", "follower", "unreachable"),
            node(2, "relay-0.nodes:4001", "leader", "ok"),
        ];
        let seen = seen(1, &members);
        assert_eq!((&seen.lost, &seen.stays), (&vec![1], &vec![2]));
        assert!(seen.ails.is_empty());
        assert!(why_not_now(&seen).is_some());
    }
}
