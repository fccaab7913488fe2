//! The leader's timer: lets time act on the state when something is due.

use std::sync::Arc;
use std::time::Duration;

use ekho_raft::Leadership;
use ekho_storage::tables::{due, system};
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::machine::command::Command;
use crate::machine::outcome::Outcome;
use crate::service::{Service, ServiceError};

/// How often the leader looks at the head of the due index: one seek.
const LOOK: Duration = Duration::from_millis(100);
/// Due entries handled by one command; bounds how long others wait behind it.
const TICK_LIMIT: u32 = 500;
/// How often heartbeats are passed on, in looks.
const HEARTBEAT_LOOKS: u32 = 50;

/// Runs until the node drains. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    loop {
        let leads = leadership.wait_for(|leadership| leadership.is_self);
        let began = tokio::select! {
            began = leads => match began {
                Ok(leadership) => leadership.clone(),
                Err(_) => return,
            },
            () = service.stopping.cancelled() => return,
        };
        match begin(&service, &began).await {
            Ok(()) => {
                lead(&service, began.term, &mut leadership).await;
                service.guard.leadership_ended();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot begin to lead yet");
                tokio::time::sleep(LOOK).await;
            }
        }
        if service.stopping.is_cancelled() {
            return;
        }
    }
}

async fn begin(service: &Service, began: &Leadership) -> Result<(), ServiceError> {
    service.propose(&Command::LeadershipBegan).await?;
    service.pass_on_license().await?;
    // An earlier leader's clock may have been ahead of ours: by what it stamped, which is in the
    // state, and by what it last said of it.
    let stamped_ms = system::get(&service.view())?.now_ms;
    let told_ms = service.node.latest_clock_ms();
    let floor_ms = began.began_ms.max(stamped_ms).max(told_ms);
    service.guard.leadership_began(began.term, floor_ms);
    Ok(())
}

/// Until this leadership is over. Another one of this node may follow unseen in between.
async fn lead(service: &Service, term: u64, leadership: &mut watch::Receiver<Leadership>) {
    let is_over = |now: &Leadership| !now.is_self || now.term != term;
    let mut looks = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = leadership.wait_for(is_over) => return,
            () = service.stopping.cancelled() => return,
        }
        looks += 1;
        let result = async {
            if looks % HEARTBEAT_LOOKS == 0 {
                pass_on_heartbeats(service).await?;
            }
            tick(service).await
        };
        match result.await {
            Ok(()) | Err(ServiceError::DiskFull) => {}
            Err(error) => tracing::warn!(%error, "timer"),
        }
    }
}

async fn pass_on_heartbeats(service: &Service) -> Result<(), ServiceError> {
    let seen = service.heartbeats.take();
    if !seen.is_empty() {
        service.propose(&Command::HeartbeatsSeen { seen }).await?;
    }
    Ok(())
}

/// Handles everything that is due now.
async fn tick(service: &Service) -> Result<(), ServiceError> {
    loop {
        let view = service.view();
        let low_ms = system::get(&view)?.due_low_ms;
        if due::list(&view, low_ms, now_ms(), 1)?.is_empty() {
            return Ok(());
        }
        // Silence is judged in a tick: what was heard must be known by then.
        pass_on_heartbeats(service).await?;
        match service
            .propose(&Command::Tick { limit: TICK_LIMIT })
            .await?
        {
            Outcome::Ticked { more: true, .. } => {}
            _ => return Ok(()),
        }
    }
}
