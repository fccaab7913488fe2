//! The heartbeat loop: says that the agent lives, and keeps the leases of messages whose handlers
//! take longer than the delivery timeout.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hooks::AgentHooks;
use super::shared::{Phase, Shared};
use crate::types::{Heartbeat, HeartbeatStatus, LeaseItem};

/// The least to extend a lease by: the relay's default delivery timeout.
const LEAST_LEASE_SECONDS: u64 = 120;

pub(super) async fn run<H: AgentHooks>(shared: Arc<Shared<H>>) {
    let interval = shared.client.heartbeat_interval();
    let mut leases_known = true;
    loop {
        tokio::select! {
            () = beat(&shared) => {}
            () = shared.until(Phase::Draining) => return,
        }
        if leases_known {
            leases_known = tokio::select! {
                known = keep_leases(&shared, interval) => known,
                () = shared.until(Phase::Draining) => return,
            };
        }
        // A tenth of spread keeps a fleet that was started at once from beating at once.
        let spread = interval.mul_f64(rand::random_range(0.9..=1.0));
        if !shared.pause_unless(Phase::Draining, spread).await {
            return;
        }
    }
}

async fn beat<H: AgentHooks>(shared: &Shared<H>) {
    let (active_conversation_ids, in_work) = {
        let mut lanes = shared.lanes();
        (lanes.active_conversations(), lanes.in_work_count())
    };
    let status = if in_work >= shared.options.concurrency {
        HeartbeatStatus::Busy
    } else {
        HeartbeatStatus::Healthy
    };
    let heartbeat = Heartbeat {
        status,
        active_conversation_ids,
        metrics: None,
    };
    if let Err(error) = shared.client.heartbeat(&heartbeat).await {
        tracing::warn!(%error, "a heartbeat did not get through");
    }
}

/// Extends what has been in work for at least one interval. False if the relay knows no leases.
async fn keep_leases<H: AgentHooks>(shared: &Shared<H>, interval: Duration) -> bool {
    let Some(an_interval_ago) = Instant::now().checked_sub(interval) else {
        return true;
    };
    let message_ids = shared.lanes().taken_before(an_interval_ago);
    if message_ids.is_empty() {
        return true;
    }
    // Long enough that two lost calls in a row do no harm.
    let extend_seconds = interval
        .as_secs()
        .saturating_mul(4)
        .max(LEAST_LEASE_SECONDS);
    let leases = message_ids
        .into_iter()
        .map(|message_id| LeaseItem {
            message_id,
            extend_seconds,
        })
        .collect();
    match shared.client.extend_leases(leases).await {
        Ok(_) => true,
        Err(error) if matches!(error.status_code(), Some(404 | 405)) => {
            tracing::info!("the relay has no leases: long work may be delivered again");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "leases were not extended");
            true
        }
    }
}
