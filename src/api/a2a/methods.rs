//! What can be asked for (3.1), in the types of the protocol, for every binding.

use std::pin::Pin;

use a2a::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Message, Role,
    SendMessageRequest, StreamResponse, Task, error_code,
};
use ekho_storage::View;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::task::{Place, Task as Stored};
use ekho_storage::tables::{agent_card, fleet};
use futures::Stream;
use serde_json::{Value, json};

use super::ask::Ask;
use super::failure::Failure;
use super::push;
use super::render::{self, TASK_PREFIX};
use super::v03;
use crate::id;
use crate::ingress::signing::hash;
use crate::machine::command::{Judged, NewMessage, Schedule, SendTask, TaskRequest};
use crate::machine::outcome::Refusal;
use crate::machine::task::MESSAGE_TYPE;
use crate::service::ServiceError;
use crate::service::tasks::{Filter, Wanted};

/// Ids that clients choose, in bytes: they become parts of keys.
const ID_MAX_BYTES: usize = 200;
/// Parts of a message or artifact.
pub const PARTS_MAX: usize = 100;
/// How long a message waits for its agent.
const TTL_MS: u64 = 3600 * 1000;
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
    let uuid = accept(ask, request).await?;
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
    let uuid = accept(ask, request).await?;
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
    let after_ms = match request.status_timestamp_after {
        Some(time) => Some(u64::try_from(time.timestamp_millis()).unwrap_or(0)),
        None => None,
    };
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

/// Sends a message to a new task or to one of the caller's; the task.
async fn accept(ask: &Ask, request: SendMessageRequest) -> Result<u128, Failure> {
    let ask = &ask.with_tenant(request.tenant.as_deref())?;
    check(&request)?;
    let SendMessageRequest {
        message,
        metadata,
        configuration,
        ..
    } = request;
    let push = configuration.and_then(|it| it.task_push_notification_config);
    let push = match push {
        Some(config) => Some(push::new_push(ask, &config, push::id_of(&config))?),
        None => None,
    };
    let service = &ask.app.service;
    let before = match message.task_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => {
            let uuid = read_task_id(id)?;
            let found = service.task_to_send_to(&ask.by, uuid).await;
            let task = found.map_err(|error| Failure::of_task(error, id))?;
            Some(task)
        }
        None => None,
    };
    let recipient = match &before {
        Some(task) => receiver(ask, &message, task).await?,
        None => {
            let named = named(ask, &message, metadata.as_ref())?;
            asked(ask, &named).await?
        }
    };
    check_modes(ask, &recipient, &message)?;
    let given_context = message.context_id.clone().filter(|id| !id.is_empty());
    let context_id = match (&before, given_context) {
        (Some(task), Some(given)) if given != task.context_id => {
            let why = "it is not that of the task";
            return Err(Failure::invalid("message.contextId", why));
        }
        (Some(task), _) => task.context_id.clone(),
        (None, Some(given)) => given,
        (None, None) => id::new_id("ctx_"),
    };
    let mut new = new_message(&recipient, message, context_id, before.as_ref(), metadata)?;
    new.push = push;
    let sent = service.send_to_task(&ask.by, TaskRequest::Send(Box::new(new)));
    match sent.await {
        Ok((task, _, _)) => Ok(task),
        Err(error) => {
            let id = before.map(|task| render::task_id(task.uuid));
            Err(Failure::of_task(error, id.as_deref().unwrap_or_default()))
        }
    }
}

fn no_configuration() -> a2a::SendMessageConfiguration {
    a2a::SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: None,
    }
}

/// Refuses what is malformed, with which field and why.
fn check(request: &SendMessageRequest) -> Result<(), Failure> {
    let message = &request.message;
    let length = |field: &str, text: &str| match text.len() {
        0..=ID_MAX_BYTES => Ok(()),
        _ => Err(Failure::invalid(
            field,
            format!("at most {ID_MAX_BYTES} bytes"),
        )),
    };
    if message.message_id.is_empty() {
        return Err(Failure::invalid("message.messageId", "required"));
    }
    length("message.messageId", &message.message_id)?;
    length(
        "message.contextId",
        message.context_id.as_deref().unwrap_or_default(),
    )?;
    if message.role != Role::User {
        return Err(Failure::invalid("message.role", "expected ROLE_USER"));
    }
    check_parts("message.parts", message.parts.len())?;
    Ok(())
}

/// Refuses too many parts, and none.
pub fn check_parts(field: &str, parts: usize) -> Result<(), Failure> {
    match parts {
        0 => Err(Failure::invalid(field, "at least one part is required")),
        1..=PARTS_MAX => Ok(()),
        _ => Err(Failure::invalid(
            field,
            format!("at most {PARTS_MAX} parts"),
        )),
    }
}

fn history_length(given: Option<i32>) -> Result<Option<usize>, Failure> {
    match given.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(length)) => Ok(Some(length)),
        Some(Err(_)) => Err(Failure::invalid("historyLength", "not below 0")),
    }
}

/// Whom a new task is for: whom the address or the tenant names, or the message itself, as clients
/// of version 0.3 say it.
fn named(
    ask: &Ask,
    message: &Message,
    metadata: Option<&std::collections::HashMap<String, Value>>,
) -> Result<String, Failure> {
    if !ask.tenant.is_empty() {
        return Ok(ask.tenant.clone());
    }
    let in_message = message.metadata.as_ref();
    let found = [metadata, in_message].into_iter().flatten();
    let mut found = found.filter_map(|metadata| metadata.get(v03::RECIPIENT)?.as_str());
    let found = found.next().map(str::to_string);
    found.ok_or_else(|| {
        Failure::invalid(
            "tenant",
            "name the agent: by its own address, as tenant, or as metadata.recipientAgentId",
        )
    })
}

/// The agent that a tenant names: an agent's id, or a fleet and an agent's id.
async fn asked(ask: &Ask, tenant: &str) -> Result<Agent, Failure> {
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

/// Who gets a further message of a task.
async fn receiver(ask: &Ask, message: &Message, task: &Stored) -> Result<Agent, Failure> {
    let task_id = message.task_id.as_deref().unwrap_or_default();
    if task.client != ask.by.agent().no {
        let why = "only the client of a task sends messages to it";
        return Err(Failure::unsupported(why).with("taskId", task_id));
    }
    if task.state.is_terminal() {
        let error = ServiceError::from(Refusal::TaskOver(task.state));
        return Err(Failure::of_task(error, task_id).with("taskId", task_id));
    }
    let view = ask.app.service.view();
    check_asked(ask, &view, task)?;
    let found = agent::get(&view, ask.by.agent().fleet, task.agent).map_err(ServiceError::from)?;
    found.ok_or_else(|| ServiceError::from(Refusal::UnknownRecipient).into())
}

/// Refuses parts of a media type that the agent says it does not take.
fn check_modes(ask: &Ask, agent: &Agent, message: &Message) -> Result<(), Failure> {
    let view = ask.app.service.view();
    let own = agent_card::get(&view, agent.fleet, agent.no).map_err(ServiceError::from)?;
    let Some(own) = own else { return Ok(()) };
    let modes = super::card::input_modes(&own.card);
    if modes.is_empty() {
        return Ok(());
    }
    for part in &message.parts {
        let kind = part.media_type.as_deref();
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
        if let Some(kind) = kind
            && !modes.iter().any(|mode| takes(mode, kind))
        {
            let code = error_code::CONTENT_TYPE_NOT_SUPPORTED;
            let text = format!("the agent does not take {kind}");
            return Err(Failure::new(code, text).with("supported", modes.join(", ")));
        }
    }
    Ok(())
}

fn takes(mode: &str, kind: &str) -> bool {
    match mode.strip_suffix("/*") {
        Some("*") => true,
        Some(family) => kind
            .split_once('/')
            .is_some_and(|(of, _)| of.eq_ignore_ascii_case(family)),
        None => mode.eq_ignore_ascii_case(kind),
    }
}

/// The message as the agent's inbox gets it: as the original wrote it, and beside that as the
/// protocol has it now.
fn new_message(
    recipient: &Agent,
    message: Message,
    context_id: String,
    before: Option<&Stored>,
    metadata: Option<std::collections::HashMap<String, Value>>,
) -> Result<SendTask, Failure> {
    let internal = |error: serde_json::Error| ServiceError::Internal(error.to_string());
    // What the client sent, whoever writes its fields in whichever order.
    let to = match before {
        // Its id stands in the message; who works on it may change.
        Some(_) => "",
        None => recipient.id.as_str(),
    };
    let sent = json!({ "to": to, "message": message, "metadata": metadata });
    let request_hash = hash(sent.to_string().as_bytes());
    let task = before.map_or_else(id::new_uuid, |task| task.uuid);
    let task_id = render::task_id(task);
    let mut message = message;
    message.task_id = Some(task_id.clone());
    message.context_id = Some(context_id.clone());
    let text = serde_json::to_string(&message).map_err(internal)?;
    let mut body = json!({
        "a2a": true,
        "messageId": message.message_id,
        "role": "user",
        "parts": v03::parts(&message.parts),
        "taskId": task_id,
        "contextId": context_id,
        "metadata": message.metadata.clone().unwrap_or_default(),
    })
    .to_string();
    // Its last field is the text, where apply finds it: it need not travel twice.
    body.truncate(body.len() - 1);
    body.push_str(",\"message\":");
    let text_from = body.len() as u32;
    body.push_str(&text);
    body.push('}');
    let metadata = metadata.map(|metadata| json!(metadata).to_string());
    let beside = json!({ "a2a_task_id": task_id, "a2a_context_id": context_id });
    Ok(SendTask {
        message: NewMessage {
            uuid: id::new_uuid(),
            recipient: Recipient::Agent(recipient.id.clone()),
            message_type: MESSAGE_TYPE.into(),
            priority: Priority::Normal,
            ttl_ms: TTL_MS,
            schedule: Schedule::Now,
            requires_approval: false,
            body: body.into_bytes(),
            metadata: Some(beside.to_string()),
            conversation_id: context_id,
            correlation_id: task_id,
            envelope: None,
            idempotency: Some((format!("a2a:{}", message.message_id), request_hash)),
            approval: id::new_uuid(),
            tags: Vec::new(),
            judged: Judged::default(),
        },
        text_from,
        task,
        is_new: before.is_none(),
        content: id::new_uuid(),
        metadata,
        push: None,
    })
}

/// The UUID behind a task's id; another text names no task.
pub fn read_task_id(task_id: &str) -> Result<u128, Failure> {
    id::to_uuid(TASK_PREFIX, task_id).ok_or_else(|| Failure::no_task(task_id))
}

fn task_of(ask: &Ask, view: &View, uuid: u128) -> Result<Stored, Failure> {
    let found = ask.app.service.task_of(view, &ask.by, uuid);
    let task = found.map_err(|error| Failure::of_task(error, &render::task_id(uuid)))?;
    check_asked(ask, view, &task)?;
    Ok(task)
}

/// At the address of one agent there are only its tasks.
fn check_asked(ask: &Ask, view: &View, task: &Stored) -> Result<(), Failure> {
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
