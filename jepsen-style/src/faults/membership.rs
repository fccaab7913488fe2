//! What an operator changes about the cluster while it is used: who leads, and who is a member.

use std::io;
use std::time::Duration;

use super::{Faults, RECOVERY, sleep_ms};
use crate::awake::Stopwatch;
use crate::cluster_api;
use crate::record::Done;

impl Faults {
    pub(super) async fn transfer(&mut self, target: usize) -> io::Result<()> {
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
    pub(super) async fn membership(&mut self, target: usize, lasts_ms: u64) -> io::Result<()> {
        let event = self.begin(&[target], "removed, then joins with nothing");
        self.remove(target).await?;
        sleep_ms(lasts_ms).await;
        self.rejoin(target).await?;
        self.timeline.end(event);
        Ok(())
    }

    pub(super) async fn remove(&mut self, target: usize) -> io::Result<()> {
        let address = self.cluster.node_address(target);
        let began = Stopwatch::start();
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

    pub(super) async fn rejoin(&mut self, target: usize) -> io::Result<()> {
        let other = (target + 1) % self.cluster.size();
        let began = Stopwatch::start();
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
}
