//! Partitions: which packets between which nodes are lost.

use std::io;

use super::{Faults, sleep_ms};
use crate::nemesis::{Fault, Step};
use crate::rng::Rng;

impl Faults {
    pub(super) async fn partition(&mut self, step: &Step, rng: &mut Rng) -> io::Result<()> {
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
}
