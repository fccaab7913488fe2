//! Does to the cluster what the schedule says, takes it back, and waits until every node is well
//! again. What does not become well is a violation of its own.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::check::Violation;
use crate::cluster::Cluster;
use crate::cluster_api::{self, Status};
use crate::nemesis::{Fault, Step, Target};
use crate::operator::Operator;
use crate::powercut::{Room, Survives};
use crate::record::Done;
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

    async fn partition(&mut self, step: &Step, rng: &mut Rng) -> io::Result<()> {
        let size = self.cluster.size();
        let leader = self.leader().await;
        let others: Vec<usize> = (0..size).filter(|no| *no != leader).collect();
        let minority = (size - 1) / 2;
        let first = rng.index(others.len());
        let some = |count: usize| -> Vec<usize> {
            (0..count)
                .map(|step| others[(first + step) % others.len()])
                .collect()
        };
        // Pairs (from, to) of which packets are lost.
        let both = |here: &[usize]| -> Vec<(usize, usize)> {
            let there: Vec<usize> = (0..size).filter(|no| !here.contains(no)).collect();
            let pairs = here
                .iter()
                .flat_map(|a| there.iter().map(move |b| (*a, *b)));
            pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
        };
        let (cuts, apart, what) = match step.fault {
            Fault::Minority => {
                let here = some(minority);
                (both(&here), here, "cut off, without the leader".to_string())
            }
            Fault::Majority => {
                let mut here = some(minority.saturating_sub(1));
                here.push(leader);
                (both(&here), here, "cut off, with the leader".to_string())
            }
            Fault::Bridge => {
                let bridge = rng.index(size);
                let rest: Vec<usize> = (0..size).filter(|no| *no != bridge).collect();
                let half = &rest[..rest.len() / 2];
                let mut cuts = both(half);
                cuts.retain(|(a, b)| *a != bridge && *b != bridge);
                (cuts, rest, format!("halves, node {bridge} reaches both"))
            }
            _ => {
                let here = if rng.chance(50) {
                    leader
                } else {
                    others[first]
                };
                let outward = rng.chance(50);
                let rest = (0..size).filter(|no| *no != here);
                let cuts = rest.map(|no| if outward { (here, no) } else { (no, here) });
                let what = if outward {
                    "not heard"
                } else {
                    "does not hear"
                };
                (cuts.collect(), vec![here], what.to_string())
            }
        };
        let event = self.begin(&apart, what);
        for (from, to) in cuts {
            self.cluster.net.cut(from, to)?;
        }
        sleep_ms(step.lasts_ms).await;
        self.cluster.net.heal()?;
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

    async fn transfer(&mut self, target: usize) -> io::Result<()> {
        let address = self.cluster.node_address(target);
        let status = self.status().await.unwrap_or_default();
        let Some(member) = status.at(&address) else {
            return Ok(());
        };
        let event = self.begin(&[target], "is to lead");
        let answer = cluster_api::transfer(&mut self.operator, member.id).await;
        if answer.done() == Done::No && !answer.is_trouble() && status.leader != Some(member.id) {
            let (status, code) = (answer.status, answer.code().to_string());
            self.notes
                .push(format!("node {target}: transfer: {status} {code}"));
        }
        sleep_ms(500).await;
        self.timeline.end(event);
        Ok(())
    }

    /// Removes a node, wipes its disk, and lets it join anew.
    async fn membership(&mut self, target: usize, lasts_ms: u64) -> io::Result<()> {
        let event = self.begin(&[target], "removed, then joins with nothing");
        self.remove(target).await?;
        sleep_ms(lasts_ms).await;
        self.rejoin(target).await?;
        self.timeline.end(event);
        Ok(())
    }

    async fn remove(&mut self, target: usize) -> io::Result<()> {
        let address = self.cluster.node_address(target);
        let began = Instant::now();
        loop {
            // Of those that stay: who is removed need not know it.
            if let Some(status) = self.status_from(target + 1).await {
                let Some(member) = status.at(&address) else {
                    break;
                };
                let answer = cluster_api::remove(&mut self.operator, member.id).await;
                if answer.done() == Done::Yes {
                    break;
                }
            }
            if began.elapsed() > RECOVERY {
                self.violation(
                    "does not recover",
                    format!("node {target} cannot be removed"),
                );
                break;
            }
            sleep_ms(200).await;
        }
        let _ = self.cluster.stop(target, Duration::from_secs(5)).await?;
        self.cluster.wipe(target)
    }

    async fn rejoin(&mut self, target: usize) -> io::Result<()> {
        let other = (target + 1) % self.cluster.size();
        let began = Instant::now();
        let token = loop {
            match cluster_api::token(&self.cluster, other, &self.operator) {
                Ok(token) => break token,
                Err(error) if began.elapsed() > RECOVERY => {
                    self.violation("does not recover", error);
                    return Ok(());
                }
                Err(_) => sleep_ms(300).await,
            }
        };
        let address = self.cluster.node_address(other);
        self.cluster.start(target, Some((&address, &token)))
    }

    /// Waits until a member is a voter that has everything.
    pub async fn wait_voter(&mut self, target: usize) -> bool {
        let address = self.cluster.node_address(target);
        let began = Instant::now();
        while began.elapsed() < RECOVERY {
            let status = self.status().await;
            if status.is_some_and(|status| status.at(&address).is_some_and(|node| node.voter)) {
                return true;
            }
            sleep_ms(100).await;
        }
        false
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

    /// Flips a bit of a node that does not run, lets it run as far as it does, and rebuilds it: damage
    /// that is not noticed yet must not meet that of another node.
    async fn bit_flip(&mut self, target: usize, lasts_ms: u64, rng: &mut Rng) -> io::Result<()> {
        let event = self.begin(&[target], "bit flipped");
        self.cluster.kill(target)?;
        self.cluster.disk(target).detach()?;
        let files = self.cluster.disk(target).files();
        let what = flip_one(&files, rng)?;
        self.cluster.disk(target).attach()?;
        self.cluster.start(target, None)?;
        let ready = self.cluster.wait_ready(target, RECOVERY / 3).await?;
        // What is noticed late is noticed while it serves.
        sleep_ms(lasts_ms).await;
        let well = ready && self.cluster.ended(target)?.is_none() && self.cluster.runs(target);
        let verdict = if well { "not noticed" } else { "noticed" };
        self.notes.push(format!("node {target}: {what}: {verdict}"));
        self.cluster.kill(target)?;
        self.remove(target).await?;
        self.rejoin(target).await?;
        self.timeline.end(event);
        Ok(())
    }

    /// Notes who ended without having been ended, and starts them again.
    pub fn look_for_the_dead(&mut self) -> io::Result<()> {
        for no in 0..self.cluster.size() {
            if let Some(status) = self.cluster.ended(no)? {
                let words = self.cluster.last_words(no).join("\n    ");
                self.violation(
                    "ended by itself",
                    format!("node {no}, {status}:\n    {words}"),
                );
                self.cluster.start(no, None)?;
            }
        }
        Ok(())
    }

    /// Waits until every node is ready and a voter.
    pub async fn recover(&mut self) -> io::Result<()> {
        for no in 0..self.cluster.size() {
            let began = Instant::now();
            while !self.cluster.wait_ready(no, RECOVERY).await? && began.elapsed() < RECOVERY {
                // It ended: say so, start it, and wait for it again.
                self.look_for_the_dead()?;
                if !self.cluster.runs(no) {
                    self.cluster.start(no, None)?;
                }
            }
            if began.elapsed() >= RECOVERY {
                let words = self.cluster.last_words(no).join("\n    ");
                let detail = format!("node {no} is not ready after {RECOVERY:?}:\n    {words}");
                self.violation("does not recover", detail);
            } else if self.cluster.size() > 1 && !self.wait_voter(no).await {
                self.violation("does not recover", format!("node {no} is no voter"));
            }
        }
        Ok(())
    }
}

/// Flips one bit of one file of a node's log, state or snapshots; which.
fn flip_one(dir: &Path, rng: &mut Rng) -> io::Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.retain(|(path, size)| *size > 0 && is_data(path));
    files.sort();
    if files.is_empty() {
        return Ok("no file to flip a bit in".into());
    }
    let (path, size) = rng.pick(&files).clone();
    let (offset, bit) = (rng.between(0, size - 1), rng.index(8));
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset)?;
    let path = path
        .strip_prefix(dir)
        .unwrap_or(&path)
        .display()
        .to_string();
    Ok(format!(
        "bit {bit} of byte {offset} of {size} flipped in {path}"
    ))
}

/// What holds data; not lock files, and not RocksDB's own log lines.
fn is_data(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let databases = ["log", "state", "snapshot", "snapshots"];
    let within = path
        .components()
        .any(|part| databases.contains(&part.as_os_str().to_string_lossy().as_ref()));
    within && name != "LOCK" && !name.starts_with("LOG")
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            collect(&entry.path(), files)?;
        } else if meta.is_file() {
            files.push((entry.path(), meta.len()));
        }
    }
    Ok(())
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
