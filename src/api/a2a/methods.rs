//! What can be asked for (3.1), in the types of the protocol, for every binding.

use std::pin::Pin;

use a2a::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, SendMessageRequest,
    StreamResponse, Task, error_code,
};
use ekho_storage::View;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::fleet;
use ekho_storage::tables::task::{Place, Task as Stored};
use futures::Stream;

use super::ask::Ask;
use super::failure::Failure;
use super::render;
use super::sending;
use crate::machine::command::TaskRequest;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;
use crate::service::task_lists::Filter;
use crate::service::tasks::Wanted;

/// Tasks of a page.
const PAGE: i32 = 50;
const PAGE_MAX: i32 = 100;

/// What a stream tells.
pub type Updates = Pin<Box<dyn Stream<Item = Result<StreamResponse, Failure>> + Send>>;

/// Sends a message (3.1.1): the task as it stands when it is over, when it waits for its client, or
/// when the time for that is up; with `returnImmediately`, at once.
pub async fn send_message(ask: &Ask, request: SendMessageRequest) -> Result<Task, Failure> {
    let configuration = request
        .configuration
        .clone()
        .unwrap_or_else(no_configuration);
    let returns_at_once = configuration.return_immediately.unwrap_or(false);
    let history = history_length(configuration.history_length)?;
    let uuid = sending::accept(ask, request).await?;
    if !returns_at_once {
        let patience = ask.app.a2a.blocking_timeout;
        let _waiting = ask.app.service.metrics.a2a_waiting();
        ask.app.service.settled(&ask.by, uuid, patience).await?;
    }
    let view = ask.app.service.view();
    let wanted = Wanted {
        history,
        ..Wanted::ALL
    };
    shown(ask, &view, uuid, wanted)
}

/// Sends a message and follows its task (3.1.2).
pub async fn send_streaming_message(
    ask: &Ask,
    request: SendMessageRequest,
) -> Result<Updates, Failure> {
    let configuration = request
        .configuration
        .clone()
        .unwrap_or_else(no_configuration);
    let history = history_length(configuration.history_length)?;
    let uuid = sending::accept(ask, request).await?;
    follow(ask.clone(), uuid, history, false)
}

/// The task (3.1.3).
pub async fn get_task(ask: &Ask, request: GetTaskRequest) -> Result<Task, Failure> {
    let ask = &ask.with_tenant(request.tenant.as_deref())?;
    let history = history_length(request.history_length)?;
    let uuid = read_task_id(&request.id)?;
    let view = ask.app.service.task_view(&ask.by).await?;
    let wanted = Wanted {
        history,
        ..Wanted::ALL
    };
    shown(ask, &view, uuid, wanted)
}

/// The caller's tasks, the latest status first (3.1.4).
pub async fn list_tasks(
    ask: &Ask,
    request: ListTasksRequest,
) -> Result<ListTasksResponse, Failure> {
    let ask = &ask.with_tenant(request.tenant.as_deref())?;
    let page_size = request.page_size.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&page_size) {
        return Err(Failure::invalid(
            "pageSize",
            format!("from 1 to {PAGE_MAX}"),
        ));
    }
    // Lists are for looking over: what was said is left out where it is not asked for.
    let history = history_length(request.history_length)?.or(Some(0));
    let after = match request.page_token.as_deref() {
        None | Some("") => None,
        Some(token) => Some(read_token(token)?),
    };
    let state = match &request.status {
        None => None,
        Some(state) => render::stored_state(state),
    };
    let after_ms = request
        .status_timestamp_after
        .map(|time| u64::try_from(time.timestamp_millis()).unwrap_or(0));
    let service = &ask.app.service;
    let view = service.task_view(&ask.by).await?;
    let filter = Filter {
        context_id: request.context_id.filter(|id| !id.is_empty()),
        state,
        after_ms,
        asked: match ask.tenant.as_str() {
            "" => None,
            tenant => Some(asked(ask, tenant).await?.no),
        },
    };
    let page = service.tasks_of(&view, &ask.by, &filter, after, page_size as usize)?;
    let wanted = Wanted {
        history,
        artifacts: request.include_artifacts.unwrap_or(false),
    };
    let mut tasks = Vec::with_capacity(page.tasks.len());
    for task in page.tasks {
        let text = service.task_text(&view, ask.by.agent().fleet, task, wanted)?;
        tasks.push(render::task(text)?);
    }
    Ok(ListTasksResponse {
        tasks,
        next_page_token: page.next.map(token).unwrap_or_default(),
        page_size,
        total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
    })
}

/// Calls a task off (3.1.5).
pub async fn cancel_task(ask: &Ask, request: CancelTaskRequest) -> Result<Task, Failure> {
    let ask = &ask.with_tenant(request.tenant.as_deref())?;
    let uuid = read_task_id(&request.id)?;
    check_tenant(ask, uuid).await?;
    let cancelled = ask
        .app
        .service
        .change_task(&ask.by, TaskRequest::Cancel { task: uuid });
    match cancelled.await {
        Ok(_) => {}
        Err(ServiceError::Refused(Refusal::TaskOver(state))) => {
            let text = format!("the task is {}, and stays so", state.as_str());
            let failure = Failure::new(error_code::TASK_NOT_CANCELABLE, text);
            return Err(failure
                .with("taskId", request.id)
                .with("state", state.as_str()));
        }
        Err(error) => return Err(Failure::of_task(error, &request.id)),
    }
    let view = ask.app.service.view();
    shown(ask, &view, uuid, Wanted::ALL)
}

/// Follows a task that is not over (3.1.6).
pub async fn subscribe(ask: &Ask, task_id: &str, tenant: Option<&str>) -> Result<Updates, Failure> {
    let ask = ask.with_tenant(tenant)?;
    let uuid = read_task_id(task_id)?;
    let view = ask.app.service.task_view(&ask.by).await?;
    let task = task_of(&ask, &view, uuid)?;
    if task.state.is_terminal() {
        let text = format!("the task is {}: nothing follows", task.state.as_str());
        return Err(Failure::unsupported(text).with("taskId", task_id));
    }
    follow(ask, uuid, None, true)
}

fn no_configuration() -> a2a::SendMessageConfiguration {
    a2a::SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: None,
    }
}

fn history_length(given: Option<i32>) -> Result<Option<usize>, Failure> {
    match given.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(length)) => Ok(Some(length)),
        Some(Err(_)) => Err(Failure::invalid("historyLength", "not below 0")),
    }
}

/// The agent that a tenant names: an agent's id, or a fleet and an agent's id.
pub async fn asked(ask: &Ask, tenant: &str) -> Result<Agent, Failure> {
    let agent_id = match tenant.split_once('/') {
        None => tenant,
        Some((fleet_id, agent_id)) => {
            let own = fleet::get(&ask.app.service.view(), ask.by.agent().fleet)
                .map_err(ServiceError::from)?;
            match own.is_some_and(|own| own.id == fleet_id || own.name == fleet_id) {
                true => agent_id,
                false => return Err(ServiceError::from(Refusal::UnknownRecipient).into()),
            }
        }
    };
    Ok(ask.app.service.asked(&ask.by, agent_id).await?)
}

/// The UUID behind a task's id; another text names no task.
pub fn read_task_id(task_id: &str) -> Result<u128, Failure> {
    render::read_task_id(task_id).ok_or_else(|| Failure::no_task(task_id))
}

fn task_of(ask: &Ask, view: &View, uuid: u128) -> Result<Stored, Failure> {
    let found = ask.app.service.task_of(view, &ask.by, uuid);
    let task = found.map_err(|error| Failure::of_task(error, &render::task_id(uuid)))?;
    check_asked(ask, view, &task)?;
    Ok(task)
}

/// At the address of one agent there are only its tasks.
pub fn check_asked(ask: &Ask, view: &View, task: &Stored) -> Result<(), Failure> {
    if ask.tenant.is_empty() {
        return Ok(());
    }
    let agent_id = ask.tenant.rsplit('/').next().unwrap_or_default();
    let asked = agent::get(view, ask.by.agent().fleet, task.asked).map_err(ServiceError::from)?;
    match asked.is_some_and(|agent| agent.id == agent_id) {
        true => Ok(()),
        false => Err(Failure::no_task(&render::task_id(task.uuid))),
    }
}

async fn check_tenant(ask: &Ask, uuid: u128) -> Result<(), Failure> {
    if ask.tenant.is_empty() {
        return Ok(());
    }
    let task = ask.app.service.task_to_send_to(&ask.by, uuid).await;
    let task = task.map_err(|error| Failure::of_task(error, &render::task_id(uuid)))?;
    check_asked(ask, &ask.app.service.view(), &task)
}

fn shown(ask: &Ask, view: &View, uuid: u128, wanted: Wanted) -> Result<Task, Failure> {
    let task = task_of(ask, view, uuid)?;
    let fleet = ask.by.agent().fleet;
    let text = ask.app.service.task_text(view, fleet, task, wanted)?;
    Ok(render::task(text)?)
}

/// The task as it stands, then what becomes of it, in the order of its updates, until it is over.
fn follow(ask: Ask, uuid: u128, history: Option<usize>, is_bare: bool) -> Result<Updates, Failure> {
    let place = ask.app.service.task_streams.enter(&ask.by)?;
    let fleet = ask.by.agent().fleet;
    Ok(Box::pin(async_stream::try_stream! {
        let _place = place;
        let service = &ask.app.service;
        let waiter = service.follow(&ask.by, uuid);
        let view = service.view();
        let mut task = task_of(&ask, &view, uuid)?;
        let mut told = task.updates;
        let wanted = Wanted {
            history: if is_bare { None } else { history },
            artifacts: true,
        };
        let text = service.task_text(&view, fleet, task.clone(), wanted)?;
        drop(view);
        yield StreamResponse::Task(render::task(text)?);
        loop {
            // Before the look, so that what is committed after it wakes us.
            let woken = waiter.woken();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let updates = service.updates(&service.view(), fleet, uuid, told)?;
            if updates.is_empty() {
                if task.state.is_terminal() {
                    return;
                }
                task = service.task_of(&service.view(), &ask.by, uuid)?;
                if task.updates > told {
                    continue;
                }
                if task.state.is_terminal() {
                    return;
                }
                tokio::select! {
                    () = woken => {}
                    () = service.draining.cancelled() => return,
                }
                service.still_admits(&ask.by)?;
                continue;
            }
            for (number, update) in updates {
                told = number;
                yield render::update(&task, number, update)?;
            }
        }
    }))
}

fn token((status_ms, uuid): Place) -> String {
    format!("{status_ms}-{uuid:032x}")
}

fn read_token(token: &str) -> Result<Place, Failure> {
    let read = || {
        let (status_ms, uuid) = token.split_once('-')?;
        let uuid = u128::from_str_radix(uuid, 16).ok()?;
        Some((status_ms.parse().ok()?, uuid))
    };
    read().ok_or_else(|| Failure::invalid("pageToken", "it is none that was given out here"))
}

impl Ask {
    /// The same at the address that a request names in its own field.
    pub fn with_tenant(&self, tenant: Option<&str>) -> Result<Ask, Failure> {
        let tenant = tenant.unwrap_or_default();
        if tenant.is_empty() || tenant == self.tenant {
            return Ok(self.clone());
        }
        if !self.tenant.is_empty() {
            return Err(Failure::invalid("tenant", "the address names another one"));
        }
        Ok(Ask {
            tenant: tenant.into(),
            ..self.clone()
        })
    }
}
