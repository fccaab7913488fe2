//! A message on its way to an agent: checked, addressed, and written as the agent's inbox gets it.

use std::collections::HashMap;

use a2a::{Message, Role, SendMessageRequest, error_code};
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::agent_card;
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::task::Task as Stored;
use serde_json::{Value, json};

use super::ask::Ask;
use super::failure::Failure;
use super::methods::{asked, check_asked, read_task_id};
use super::{card, push, render, v03};
use crate::id;
use crate::ingress::signing::hash;
use crate::machine::command::{Judged, NewMessage, Schedule, SendTask, TaskRequest};
use crate::machine::outcome::Refusal;
use crate::machine::task::MESSAGE_TYPE;
use crate::service::ServiceError;

/// Ids that clients choose, in bytes: they become parts of keys.
const ID_MAX_BYTES: usize = 200;
/// Parts of a message or artifact.
pub const PARTS_MAX: usize = 100;
/// How long a message waits for its agent.
const TTL_MS: u64 = 3600 * 1000;

/// What comes beside a message.
type Metadata = HashMap<String, Value>;

/// Sends a message to a new task or to one of the caller's; the task.
pub async fn accept(ask: &Ask, request: SendMessageRequest) -> Result<u128, Failure> {
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

/// Whom a new task is for: whom the address or the tenant names, or the message itself, as clients
/// of version 0.3 say it.
fn named(ask: &Ask, message: &Message, metadata: Option<&Metadata>) -> Result<String, Failure> {
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
    let modes = card::input_modes(&own.card);
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
    metadata: Option<Metadata>,
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
