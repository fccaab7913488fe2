//! What has to be true once a fault is over.

use std::io;

use super::{Faults, RECOVERY, sleep_ms};
use crate::awake::Stopwatch;

impl Faults {
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
            let began = Stopwatch::start();
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

    /// Waits until a member is a voter. One that comes closer to the end of the log is waited for:
    /// how long that takes is a matter of how much there is, and of the machine.
    pub async fn wait_voter(&mut self, target: usize) -> bool {
        let address = self.cluster.node_address(target);
        let mut began = Stopwatch::start();
        let mut least_lag = u64::MAX;
        while began.elapsed() < RECOVERY {
            let status = self.status().await;
            if let Some(node) = status.as_ref().and_then(|status| status.at(&address)) {
                if node.voter {
                    return true;
                }
                if node.lag < least_lag {
                    least_lag = node.lag;
                    began = Stopwatch::start();
                }
            }
            sleep_ms(100).await;
        }
        false
    }
}
