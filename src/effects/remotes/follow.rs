//! What becomes of one task elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use a2a::{Artifact, Message, Task};
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::task::{self, TaskState};
use ekho_storage::tables::{FleetNo, a2a_remote};
use futures::StreamExt;
use tokio::time::Instant;

use super::client::RemoteClient;
use crate::id;
use crate::machine::command::{Judged, NewChange, NewMessage, RemoteRequest, Schedule, TaskUpdate};
use crate::machine::outcome::Refusal;
use crate::machine::task::UPDATE_TYPE;
use crate::service::tasks::Wanted;
use crate::service::{Service, ServiceError, protocol};

/// How often a task is looked at that nothing is heard of: at first, and doubling up to the last.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(30);
/// Between two looks, however much is heard.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// How long what it answers is worth something to who asked.
const TTL_MS: u64 = 24 * 3600 * 1000;

/// Follows a task elsewhere until it is over, here or there.
pub async fn follow(service: &Service, fleet: FleetNo, uuid: u128) -> Result<(), ServiceError> {
    let view = service.view();
    let Some(known) = a2a_remote::task(&view, fleet, uuid)? else {
        return Ok(());
    };
    let remote = service.remote(&view, fleet, known.agent)?;
    let here = task::get(&view, fleet, uuid)?;
    drop(view);
    let (Some((agent, remote)), Some(_)) = (remote, here) else {
        return forget_lost(service, fleet, uuid, known.agent).await;
    };
    // A task that was answered without one is over.
    if known.task_id.is_empty() {
        return forget(service, &agent, uuid).await;
    }
    let client = match RemoteClient::connect(service, &agent, &remote).await {
        Ok(client) => client,
        Err(why) => return Err(ServiceError::Internal(why)),
    };
    let waiter = service.waiters.follow((fleet, uuid));
    let mut stream = match client.streams {
        true => client.subscribe(&known.task_id).await.ok(),
        false => None,
    };
    let mut delay = LOOK_FIRST;
    loop {
        let woken = waiter.woken();
        let Some(here) = task::get(&service.view(), fleet, uuid)? else {
            return forget(service, &agent, uuid).await;
        };
        if here.state.is_terminal() {
            if here.state == TaskState::Canceled
                && let Err(why) = client.cancel(&known.task_id).await
            {
                tracing::debug!(why, agent = agent.id, "a task elsewhere was not called off");
            }
            return forget(service, &agent, uuid).await;
        }
        let there = client.task(&known.task_id).await;
        let there = there.map_err(ServiceError::Internal)?;
        if reconcile_with(service, &agent, uuid, &there).await? {
            delay = LOOK_FIRST;
            continue;
        }
        let until = Instant::now() + delay;
        delay = (delay * 2).min(LOOK_MAX);
        tokio::time::sleep(LOOK_MIN).await;
        let heard = async {
            match &mut stream {
                Some(stream) => stream.next().await.is_some(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep_until(until) => {}
            goes_on = heard => if !goes_on {
                stream = None;
            },
        }
    }
}

async fn forget(service: &Service, agent: &Agent, task: u128) -> Result<(), ServiceError> {
    let request = RemoteRequest::Forget { task };
    service.act_for_remote(agent, request).await.map(|_| ())
}

/// Forgets a task whose agent or task is gone.
async fn forget_lost(
    service: &Service,
    fleet: FleetNo,
    task: u128,
    no: u32,
) -> Result<(), ServiceError> {
    let Some(agent) = agent::get(&service.view(), fleet, no)? else {
        return Ok(());
    };
    match forget(service, &agent, task).await {
        // A revoked agent's tasks are left as they are; they end by themselves.
        Err(ServiceError::Refused(Refusal::InvalidCredentials)) => {
            tokio::time::sleep(LOOK_MAX).await;
            Ok(())
        }
        result => result,
    }
}

/// Tells here what differs there.
pub async fn reconcile(
    service: &Service,
    agent: &Agent,
    uuid: u128,
    there: &Task,
) -> Result<(), ServiceError> {
    reconcile_with(service, agent, uuid, there)
        .await
        .map(|_| ())
}

/// The same; whether anything did.
async fn reconcile_with(
    service: &Service,
    agent: &Agent,
    uuid: u128,
    there: &Task,
) -> Result<bool, ServiceError> {
    let view = service.view();
    let Some(stored) = task::get(&view, agent.fleet, uuid)? else {
        return Ok(false);
    };
    if stored.state.is_terminal() {
        return Ok(false);
    }
    let text = service.task_text(&view, agent.fleet, stored.clone(), Wanted::ALL)?;
    let here = protocol::task(text)?;
    let client = agent::get(&view, agent.fleet, stored.client)?;
    drop(view);
    let Some(client) = client else {
        return Ok(false);
    };
    let to = Answered {
        agent,
        task: &stored,
        client_id: client.id,
    };
    let mut differs = false;
    let known: HashMap<&str, &Artifact> = here
        .artifacts
        .iter()
        .flatten()
        .map(|artifact| (artifact.artifact_id.as_str(), artifact))
        .collect();
    for artifact in there.artifacts.iter().flatten() {
        if known.get(artifact.artifact_id.as_str()) == Some(&artifact) {
            continue;
        }
        let change = NewChange::Artifact {
            artifact_id: artifact.artifact_id.clone(),
            append: false,
            last_chunk: true,
        };
        to.tell(service, change, artifact).await?;
        differs = true;
    }
    let state = protocol::stored_state(&there.status.state).unwrap_or(TaskState::Working);
    let said = there.status.message.as_ref();
    let is_said = match (said, &here.status.message) {
        (None, _) => true,
        (Some(said), Some(known)) => said.message_id == known.message_id,
        (Some(_), None) => false,
    };
    // It has the message; that it is not begun there yet makes no difference to who asked.
    let is_known = state == stored.state
        || state == TaskState::Submitted && stored.state == TaskState::Working;
    if is_known && is_said {
        return Ok(differs);
    }
    let change = NewChange::Status {
        state,
        has_message: said.is_some(),
    };
    match said {
        Some(said) => {
            let said = Message {
                context_id: Some(stored.context_id.clone()),
                task_id: Some(protocol::task_id(uuid)),
                ..said.clone()
            };
            to.tell(service, change, &said).await?;
        }
        None => to.tell(service, change, &serde_json::json!({})).await?,
    }
    Ok(true)
}

/// A task that an agent elsewhere answers.
struct Answered<'a> {
    agent: &'a Agent,
    task: &'a task::Task,
    client_id: String,
}

impl Answered<'_> {
    async fn tell(
        &self,
        service: &Service,
        change: NewChange,
        text: &impl serde::Serialize,
    ) -> Result<(), ServiceError> {
        let body = serde_json::to_vec(text);
        let body = body.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let update = TaskUpdate {
            task: self.task.uuid,
            content: id::new_uuid(),
            carrier: NewMessage {
                uuid: id::new_uuid(),
                recipient: Recipient::Agent(self.client_id.clone()),
                message_type: UPDATE_TYPE.into(),
                priority: Priority::Normal,
                ttl_ms: TTL_MS,
                schedule: Schedule::Now,
                requires_approval: false,
                body,
                metadata: None,
                conversation_id: self.task.context_id.clone(),
                correlation_id: protocol::task_id(self.task.uuid),
                envelope: None,
                idempotency: None,
                approval: 0,
                tags: Vec::new(),
                judged: Judged::default(),
            },
            change,
        };
        let request = RemoteRequest::Update(Box::new(update));
        service
            .act_for_remote(self.agent, request)
            .await
            .map(|_| ())
    }
}
