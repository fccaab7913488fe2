//! The schedule of faults: drawn from a seed, the same again for the same seed. Pure; `faults` does
//! what it says.

use std::fmt;

use crate::rng::Rng;

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, then a start.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// A minority without the leader is cut off.
    Minority,
    /// The leader is cut off, with a minority or alone.
    Majority,
    /// Two halves do not reach each other, one node reaches both.
    Bridge,
    /// Packets are lost in one direction only.
    OneWay,
    /// The clock is set forward or back.
    Clock,
    /// An operator gives the lead to another node.
    Transfer,
    /// A node is removed, and joins again with nothing.
    Membership,
    /// Every node is stopped in order and started again, one after the other.
    Rolling,
    /// The disk is full, or says that it nearly is.
    DiskFull,
    /// SIGKILL, and everything that was not synced is lost.
    PowerCut,
    /// A bit is flipped in a file of a node that is then rebuilt.
    BitFlip,
}

/// Every fault with its name, and how many nodes it takes.
pub const FAULTS: [(Fault, &str, usize); 13] = [
    (Fault::Kill, "kill", 1),
    (Fault::Pause, "pause", 1),
    (Fault::Minority, "minority", 3),
    (Fault::Majority, "majority", 3),
    (Fault::Bridge, "bridge", 3),
    (Fault::OneWay, "one-way", 2),
    (Fault::Clock, "clock", 1),
    (Fault::Transfer, "transfer", 2),
    (Fault::Membership, "membership", 3),
    (Fault::Rolling, "rolling", 1),
    (Fault::DiskFull, "disk-full", 1),
    (Fault::PowerCut, "power-cut", 1),
    (Fault::BitFlip, "bit-flip", 3),
];

/// What one name stands for.
pub fn named(name: &str) -> Option<Vec<Fault>> {
    match name {
        "all" => Some(FAULTS.iter().map(|(fault, ..)| *fault).collect()),
        "partition" => Some(vec![
            Fault::Minority,
            Fault::Majority,
            Fault::Bridge,
            Fault::OneWay,
        ]),
        "none" => Some(Vec::new()),
        _ => {
            let found = FAULTS.iter().find(|(_, known, _)| *known == name);
            found.map(|(fault, ..)| vec![*fault])
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = FAULTS.iter().find(|(fault, ..)| fault == self);
        f.write_str(found.map_or("", |(_, name, _)| name))
    }
}

/// Whom a fault is for. Who leads is found out when it is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads.
    Leader,
    /// This node.
    Node(usize),
    /// So many from this node on that the rest has no majority.
    Majority(usize),
    /// Every node.
    All,
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Quiet time before it.
    pub quiet_ms: u64,
    /// Which.
    pub fault: Fault,
    /// For whom.
    pub target: Target,
    /// How long until it is taken back.
    pub lasts_ms: u64,
    /// Seed of what else there is to choose.
    pub draw: u64,
}

/// Faults for so many nodes, one after the other. Every kind comes once before one comes again.
pub struct Nemesis {
    rng: Rng,
    kinds: Vec<Fault>,
    left: Vec<Fault>,
    nodes: usize,
}

impl Nemesis {
    /// The schedule of this seed. Faults that take more nodes than there are stay out.
    pub fn new(seed: u64, nodes: usize, faults: &[Fault]) -> Self {
        let kinds = FAULTS
            .iter()
            .filter(|(fault, _, least)| *least <= nodes && faults.contains(fault))
            .map(|(fault, ..)| *fault)
            .collect();
        Nemesis {
            rng: Rng::new(seed),
            kinds,
            left: Vec::new(),
            nodes,
        }
    }

    /// The kinds that will come.
    pub fn kinds(&self) -> &[Fault] {
        &self.kinds
    }
}

impl Iterator for Nemesis {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.kinds.is_empty() {
            return None;
        }
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
        }
        let rng = &mut self.rng;
        let fault = self.left.swap_remove(rng.index(self.left.len()));
        let node = rng.index(self.nodes);
        // Several at once only where that leaves something to be promised.
        let many = matches!(
            fault,
            Fault::Kill | Fault::Pause | Fault::PowerCut | Fault::DiskFull
        );
        let target = match rng.between(1, 100) {
            _ if self.nodes == 1 => Target::Node(0),
            1..=40 => Target::Leader,
            41..=65 => Target::Node(node),
            66..=80 if many => Target::Majority(node),
            81..=100 if many => Target::All,
            _ => Target::Node(node),
        };
        let (least_ms, most_ms) = match fault {
            Fault::Kill | Fault::PowerCut => (0, 3_000),
            Fault::Pause => (300, 8_000),
            Fault::Clock => (2_000, 6_000),
            _ => (1_000, 8_000),
        };
        Some(Step {
            quiet_ms: rng.between(500, 4_000),
            fault,
            target,
            lasts_ms: rng.between(least_ms, most_ms),
            draw: rng.draw(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Fault> {
        named("all").unwrap()
    }

    #[test]
    fn a_seed_means_the_same_again() {
        let steps = |seed| -> Vec<Step> { Nemesis::new(seed, 3, &all()).take(50).collect() };
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }

    #[test]
    fn every_kind_comes_before_one_comes_again() {
        let mut kinds: Vec<Fault> = Nemesis::new(3, 3, &all())
            .take(FAULTS.len())
            .map(|step| step.fault)
            .collect();
        kinds.sort();
        assert_eq!(kinds, all());
    }

    #[test]
    fn one_node_is_not_partitioned() {
        let nemesis = Nemesis::new(1, 1, &all());
        assert!(!nemesis.kinds().contains(&Fault::Bridge));
        let mut steps = Nemesis::new(1, 1, &all()).take(100);
        assert!(steps.all(|step| step.target == Target::Node(0)));
        assert_eq!(
            Nemesis::new(1, 1, &named("partition").unwrap()).next(),
            None
        );
    }

    #[test]
    fn names_are_understood() {
        for (fault, name, _) in FAULTS {
            assert_eq!(named(name), Some(vec![fault]));
            assert_eq!(fault.to_string(), name);
        }
        assert_eq!(named("partition").unwrap().len(), 4);
        assert_eq!(named("none"), Some(vec![]));
        assert_eq!(named("earthquake"), None);
    }
}
