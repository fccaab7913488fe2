//! Does for A2A agents elsewhere what agents of the fleet do for themselves: on the leader only,
//! takes their messages and sends them, and follows their tasks.
//!
//! A message that cannot be sent is given back, so that it is tried again and at last dead-lettered
//! as any other. A task elsewhere is looked at anew again and again, and what differs from what is
//! known here is told; a stream from there only says when to look. So nothing depends on where a
//! leader stopped.
//!
//! - `client`: the relay as an A2A client
//! - `follow`: what becomes of one task

mod client;
mod follow;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ekho_storage::tables::a2a_remote;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::{AgentNo, FleetNo, delivery, fleet, message, task};
use tokio::task::JoinSet;

use crate::machine::a2a_remote::REMOTES_MAX;
use crate::machine::command::{Nack, Poll, RemoteRequest};
use crate::machine::outcome::{HandedOut, Outcome};
use crate::service::{Service, ServiceError};
use client::RemoteClient;

/// A look although nobody woke it, in case a wake was missed.
const LOOK: Duration = Duration::from_secs(1);
/// Before what went wrong is done again.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Messages taken at once.
const TAKEN: u32 = 10;
/// Tasks that are followed at once.
const FOLLOWED: usize = 1_000;

/// What is under way: taking messages of an agent, or following a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Take(FleetNo, AgentNo),
    Follow(FleetNo, u128),
}

/// Runs until the node stops. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    loop {
        tokio::select! {
            began = leadership.wait_for(|leadership| leadership.is_self) => {
                if began.is_err() {
                    return;
                }
            }
            () = service.stopping.cancelled() => return,
        }
        tokio::select! {
            () = lead(&service) => {}
            _ = leadership.wait_for(|leadership| !leadership.is_self) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

async fn lead(service: &Arc<Service>) {
    let mut jobs = JoinSet::new();
    let mut under_way = BTreeSet::new();
    loop {
        let updated = service.waiters.updated_next();
        tokio::pin!(updated);
        updated.as_mut().enable();
        match wanted(service) {
            Ok(wanted) => {
                for job in wanted {
                    if under_way.insert(job.clone()) {
                        let service = Arc::clone(service);
                        jobs.spawn(async move { done(&service, job).await });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "agents elsewhere are not called"),
        }
        tokio::select! {
            Some(done) = jobs.join_next(), if !jobs.is_empty() => match done {
                Ok(job) => {
                    under_way.remove(&job);
                }
                Err(error) => {
                    tracing::error!(%error, "a call of an agent elsewhere failed");
                    jobs.abort_all();
                    under_way.clear();
                }
            },
            () = updated => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is to be done now.
fn wanted(service: &Service) -> Result<Vec<Job>, ServiceError> {
    let view = service.view();
    let mut wanted = Vec::new();
    for fleet in fleet::list(&view, usize::MAX)? {
        if fleet.archived_ms.is_some() {
            continue;
        }
        for (no, _) in a2a_remote::list(&view, fleet.no, 0, REMOTES_MAX)? {
            if delivery::queue(&view, fleet.no, no)?.ready > 0
                && service.remote(&view, fleet.no, no)?.is_some()
            {
                wanted.push(Job::Take(fleet.no, no));
            }
        }
        for (uuid, _) in a2a_remote::tasks(&view, fleet.no, FOLLOWED)? {
            wanted.push(Job::Follow(fleet.no, uuid));
        }
    }
    Ok(wanted)
}

async fn done(service: &Arc<Service>, job: Job) -> Job {
    let result = match &job {
        Job::Take(fleet, agent) => take(service, *fleet, *agent).await,
        Job::Follow(fleet, task) => follow::follow(service, *fleet, *task).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, ?job, "an agent elsewhere");
        tokio::time::sleep(AGAIN).await;
    }
    job
}

/// Takes messages of an agent and sends them, one after the other.
async fn take(service: &Service, fleet: FleetNo, no: AgentNo) -> Result<(), ServiceError> {
    let Some((agent, remote)) = service.remote(&service.view(), fleet, no)? else {
        return Ok(());
    };
    let poll = Poll {
        limit: TAKEN,
        types: Vec::new(),
        resume_after: None,
    };
    let taken = match service
        .act_for_remote(&agent, RemoteRequest::Poll(poll))
        .await?
    {
        Outcome::Polled { messages } => messages,
        outcome => return Err(ServiceError::unexpected(&outcome)),
    };
    if taken.is_empty() {
        return Ok(());
    }
    let client = RemoteClient::connect(service, &agent, &remote).await;
    for one in taken {
        let sent = match &client {
            Ok(client) => send(service, &agent, client, &one).await,
            Err(why) => Err(why.clone()),
        };
        if let Err(why) = sent {
            tracing::debug!(why, agent = agent.id, "a message for elsewhere waits");
            let nack = Nack {
                message: one.message,
                delay_ms: None,
                reason: Some(why),
            };
            service
                .act_for_remote(&agent, RemoteRequest::Nack(nack))
                .await?;
        }
    }
    Ok(())
}

/// Sends one message, and notes what its task is called there.
async fn send(
    service: &Service,
    agent: &Agent,
    client: &RemoteClient,
    one: &HandedOut,
) -> Result<(), String> {
    let text = |error: ServiceError| error.to_string();
    let view = service.view();
    let stored = |error: ekho_storage::StorageError| error.to_string();
    let uuid = task::of_message(&view, agent.fleet, one.message).map_err(stored)?;
    let uuid = uuid.ok_or("the message belongs to no task any more")?;
    let body = message::body(&view, agent.fleet, one.message).map_err(stored)?;
    let body: serde_json::Value =
        serde_json::from_slice(&body.unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut outgoing: a2a::Message =
        serde_json::from_value(body["message"].clone()).map_err(|error| error.to_string())?;
    let known = a2a_remote::task(&view, agent.fleet, uuid).map_err(stored)?;
    drop(view);
    // Ids of tasks and contexts are each server's own.
    outgoing.task_id = known.as_ref().map(|known| known.task_id.clone());
    outgoing.context_id = known.map(|known| known.context_id);
    let there = client.send(outgoing).await?;
    let request = RemoteRequest::Sent {
        message: one.message,
        task: uuid,
        task_id: there.id.clone(),
        context_id: there.context_id.clone(),
    };
    service.act_for_remote(agent, request).await.map_err(text)?;
    follow::reconcile(service, agent, uuid, &there)
        .await
        .map_err(text)
}
