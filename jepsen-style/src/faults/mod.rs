//! Does to the cluster what the schedule says, takes it back, and waits until every node is well
//! again. What does not become well is a violation of its own.

mod flip;
mod membership;
mod partition;
mod recovery;

use std::io;
use std::time::Duration;

use rustix::process::Signal;

use crate::check::Violation;
use crate::cluster::Cluster;
use crate::cluster_api::{self, Status};
use crate::nemesis::{Fault, Step, Target};
use crate::operator::Operator;
use crate::powercut::{Room, Survives};
use crate::rng::Rng;
use crate::timeline::{Kind, Timeline};

/// How long nodes may take until they are well after a fault is taken back.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long a node may take to stop by itself.
const STOPPING: Duration = Duration::from_secs(45);
/// Clocks stay this close to the machine's: five minutes off, requests are refused for their age.
const CLOCK_OFF_MAX_S: u64 = 90;

/// See the module.
pub struct Faults {
    /// The nodes.
    pub cluster: Cluster,
    operator: Operator,
    timeline: Timeline,
    /// What nodes did that no fault explains.
    pub violations: Vec<Violation>,
    /// What is to be known about the run, a line each.
    pub notes: Vec<String>,
}

impl Faults {
    /// Of a cluster that runs.
    pub fn new(cluster: Cluster, operator: Operator, timeline: Timeline) -> Self {
        Faults {
            cluster,
            operator,
            timeline,
            violations: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether there is nothing to be gained from going on.
    pub fn is_lost(&self) -> bool {
        let mut found = self.violations.iter();
        found.any(|violation| violation.rule == "does not recover")
    }

    fn violation(&mut self, rule: &'static str, detail: String) {
        self.violations.push(Violation { rule, detail });
    }

    /// One step: the fault, its time, its end, and recovery.
    pub async fn step(&mut self, step: &Step) -> io::Result<()> {
        self.look_for_the_dead()?;
        let mut rng = Rng::new(step.draw);
        let targets = self.targets(step.target).await;
        match step.fault {
            Fault::Kill => self.kill(&targets, step.lasts_ms).await?,
            Fault::PowerCut => self.power_cut(&targets, step.lasts_ms, &mut rng).await?,
            Fault::Pause => {
                let event = self.begin(&targets, "pause");
                for no in &targets {
                    self.cluster.signal(*no, Signal::STOP)?;
                }
                sleep_ms(step.lasts_ms).await;
                for no in &targets {
                    self.cluster.signal(*no, Signal::CONT)?;
                }
                self.timeline.end(event);
            }
            Fault::Minority | Fault::Majority | Fault::Bridge | Fault::OneWay => {
                self.partition(step, &mut rng).await?;
            }
            Fault::Clock => self.clock(&targets, step.lasts_ms, &mut rng).await?,
            Fault::Transfer => self.transfer(targets[0]).await?,
            Fault::Membership => self.membership(targets[0], step.lasts_ms).await?,
            Fault::Rolling => self.rolling().await?,
            Fault::DiskFull => self.disk_full(&targets, step.lasts_ms, &mut rng).await?,
            Fault::BitFlip => self.bit_flip(targets[0], step.lasts_ms, &mut rng).await?,
        }
        self.recover().await
    }

    fn begin(&self, nodes: &[usize], what: impl Into<String>) -> usize {
        self.timeline.begin(Kind::Fault, nodes, what)
    }

    /// What some node says that knows a leader, asked from this one on; the one before it comes last.
    async fn status_from(&mut self, first: usize) -> Option<Status> {
        let size = self.cluster.size();
        for node in (0..size).map(|step| (first + step) % size) {
            self.operator.turn_to(node);
            if let Some(status) = cluster_api::status(&mut self.operator).await
                && status.leader.is_some()
            {
                return Some(status);
            }
        }
        None
    }

    async fn status(&mut self) -> Option<Status> {
        self.status_from(0).await
    }

    /// Which node leads; the first where nobody knows.
    async fn leader(&mut self) -> usize {
        if self.cluster.size() == 1 {
            return 0;
        }
        let status = self.status().await;
        let address = status.as_ref().and_then(Status::leader_address);
        let found = (0..self.cluster.size())
            .find(|no| Some(self.cluster.node_address(*no).as_str()) == address);
        found.unwrap_or(0)
    }

    async fn targets(&mut self, target: Target) -> Vec<usize> {
        let size = self.cluster.size();
        match target {
            Target::Node(no) => vec![no],
            Target::Leader => vec![self.leader().await],
            Target::Majority(first) => {
                let majority = size / 2 + 1;
                (0..majority).map(|step| (first + step) % size).collect()
            }
            Target::All => (0..size).collect(),
        }
    }

    async fn kill(&mut self, targets: &[usize], lasts_ms: u64) -> io::Result<()> {
        let event = self.begin(targets, "kill -9");
        for no in targets {
            self.cluster.kill(*no)?;
        }
        sleep_ms(lasts_ms).await;
        for no in targets {
            self.cluster.start(*no, None)?;
        }
        self.timeline.end(event);
        Ok(())
    }

    async fn power_cut(
        &mut self,
        targets: &[usize],
        lasts_ms: u64,
        rng: &mut Rng,
    ) -> io::Result<()> {
        let survives = match rng.between(1, 100) {
            1..=50 => Survives::Nothing,
            51..=75 => Survives::Beginning,
            _ => Survives::Pages,
        };
        let event = self.begin(targets, format!("power cut, {survives:?} survives"));
        for no in targets {
            self.cluster.kill(*no)?;
        }
        for no in targets {
            let lost = self.cluster.disk(*no).cut(survives, rng)?;
            self.notes.push(format!(
                "node {no}: power cut, {survives:?} survives: {lost:?}"
            ));
        }
        sleep_ms(lasts_ms).await;
        for no in targets {
            self.cluster.start(*no, None)?;
        }
        self.timeline.end(event);
        Ok(())
    }

    async fn clock(&mut self, targets: &[usize], lasts_ms: u64, rng: &mut Rng) -> io::Result<()> {
        let off = rng.between(1, CLOCK_OFF_MAX_S) as i64;
        let off = if rng.chance(50) { off } else { -off };
        let event = self.begin(targets, format!("clock {off:+} s"));
        for no in targets {
            self.cluster.set_clock(*no, off)?;
        }
        sleep_ms(lasts_ms).await;
        for no in targets {
            self.cluster.set_clock(*no, 0)?;
        }
        self.timeline.end(event);
        Ok(())
    }

    async fn rolling(&mut self) -> io::Result<()> {
        let all: Vec<usize> = (0..self.cluster.size()).collect();
        let event = self.begin(&all, "rolling restart");
        for no in all {
            match self.cluster.stop(no, STOPPING).await? {
                Some(status) if status.success() => {}
                Some(status) => {
                    self.violation("stop failed", format!("node {no} ended with {status}"));
                }
                None => {
                    let detail = format!("node {no} did not stop within {STOPPING:?}");
                    self.violation("stop failed", detail);
                }
            }
            self.cluster.start(no, None)?;
            if !self.cluster.wait_ready(no, RECOVERY).await? {
                break;
            }
        }
        self.timeline.end(event);
        Ok(())
    }

    async fn disk_full(
        &mut self,
        targets: &[usize],
        lasts_ms: u64,
        rng: &mut Rng,
    ) -> io::Result<()> {
        let nearly = rng.chance(50);
        let (room, what) = if nearly {
            (Room::Says(8 << 20), "disk nearly full")
        } else {
            (Room::None, "disk full")
        };
        let event = self.begin(targets, what);
        for no in targets {
            self.cluster.disk(*no).set_room(room);
        }
        sleep_ms(lasts_ms).await;
        for no in targets {
            self.cluster.disk(*no).set_room(Room::Plenty);
        }
        self.timeline.end(event);
        Ok(())
    }
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
