//! The JSON-RPC binding (9), of version 1.0 and of 0.3, at one address.

use std::convert::Infallible;
use std::time::Duration;

use a2a::error_code;
use axum::extract::{Path, Request, State};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::post;
use axum::{Json, Router};
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ask::{Ask, Version, identify};
use super::failure::Failure;
use super::methods::{self, Updates};
use super::{card, push, v03};
use crate::api::App;

/// How often a stream says that it is still there. The HTTP client of the official SDK for Python
/// gives up, unless told otherwise, when it reads nothing for five seconds.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);

pub fn router() -> Router<App> {
    Router::new()
        .route("/a2a", post(fleet))
        .route("/a2a/", post(fleet))
        .route("/agents/{id}/a2a", post(agent))
        .route("/agents/{id}/a2a/", post(agent))
}

async fn fleet(State(app): State<App>, request: Request) -> Response {
    answer(app, String::new(), request).await
}

async fn agent(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response {
    answer(app, id, request).await
}

/// What a method answers.
enum Answer {
    One(Value),
    /// As they come; the last one says so.
    Many(Updates),
}

async fn answer(app: App, tenant: String, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (by, body) = match identify(&app, &parts, body).await {
        Ok(known) => known,
        Err(failure) => return refuse(Value::Null, &failure),
    };
    let call: Value = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => {
            let text = format!("invalid JSON: {error}");
            let failure = Failure::new(error_code::PARSE_ERROR, text);
            return refuse(Value::Null, &failure);
        }
    };
    let (id, method, params) = match read_call(call) {
        Ok(call) => call,
        Err((id, failure)) => return refuse(id, &failure),
    };
    let ask = Ask { app, by, tenant };
    let version = match Version::of(&parts.headers, &parts.uri) {
        Ok(version) => version,
        Err(failure) => return refuse(id, &failure),
    };
    let answered = match version {
        Version::V1 => call_v1(&ask, &method, params).await,
        Version::V03 => call_v03(&ask, &method, params).await,
    };
    match answered {
        Ok(Answer::One(result)) => {
            Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
        }
        Ok(Answer::Many(updates)) => stream(id, version, updates).into_response(),
        Err(failure) => refuse(id, &failure),
    }
}

/// Takes a request apart: its id, its method and its parameters.
fn read_call(call: Value) -> Result<(Value, String, Value), (Value, Failure)> {
    let refuse = |id, why: &str| Err((id, Failure::new(error_code::INVALID_REQUEST, why)));
    let Value::Object(mut call) = call else {
        // Batches are none of the protocol.
        return refuse(Value::Null, "expected one request object");
    };
    let id = match call.remove("id") {
        Some(id @ (Value::String(_) | Value::Number(_) | Value::Null)) => id,
        Some(_) => return refuse(Value::Null, "id: expected a text, a number or null"),
        None => return refuse(Value::Null, "id is missing"),
    };
    if call.get("jsonrpc") != Some(&json!("2.0")) {
        return refuse(id, "jsonrpc: expected \"2.0\"");
    }
    let Some(Value::String(method)) = call.remove("method") else {
        return refuse(id, "method: expected a text");
    };
    let params = match call.remove("params") {
        None | Some(Value::Null) => json!({}),
        Some(params @ Value::Object(_)) => params,
        Some(_) => {
            let failure = Failure::invalid("params", "expected an object");
            return Err((id, failure));
        }
    };
    Ok((id, method, params))
}

fn refuse(id: Value, failure: &Failure) -> Response {
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": failure.to_jsonrpc() });
    let mut response = (failure.jsonrpc_status(), Json(body)).into_response();
    failure.mark(&mut response);
    response
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Failure> {
    serde_json::from_value(params).map_err(|error| Failure::invalid("params", error.to_string()))
}

fn write(value: impl serde::Serialize) -> Result<Answer, Failure> {
    let written = serde_json::to_value(value);
    let written = written.map_err(|error| {
        Failure::from(crate::service::ServiceError::Internal(error.to_string()))
    })?;
    Ok(Answer::One(written))
}

fn no_method(method: &str) -> Failure {
    let text = format!("there is no method {method:?} in this version");
    Failure::new(error_code::METHOD_NOT_FOUND, text)
}

async fn call_v1(ask: &Ask, method: &str, params: Value) -> Result<Answer, Failure> {
    match method {
        "SendMessage" => {
            let task = methods::send_message(ask, read(params)?).await?;
            write(a2a::SendMessageResponse::Task(task))
        }
        "SendStreamingMessage" => {
            let updates = methods::send_streaming_message(ask, read(params)?).await?;
            Ok(Answer::Many(updates))
        }
        "GetTask" => write(methods::get_task(ask, read(params)?).await?),
        "ListTasks" => write(methods::list_tasks(ask, read(params)?).await?),
        "CancelTask" => write(methods::cancel_task(ask, read(params)?).await?),
        "SubscribeToTask" => {
            let request: a2a::SubscribeToTaskRequest = read(params)?;
            let tenant = request.tenant.as_deref();
            let updates = methods::subscribe(ask, &request.id, tenant).await?;
            Ok(Answer::Many(updates))
        }
        "GetExtendedAgentCard" => {
            let request: a2a::GetExtendedAgentCardRequest = read(params)?;
            write(card::extended(ask, request.tenant.as_deref()).await?)
        }
        "CreateTaskPushNotificationConfig" => write(push::create(ask, read(params)?).await?),
        "GetTaskPushNotificationConfig" => write(push::get(ask, read(params)?).await?),
        "ListTaskPushNotificationConfigs" => write(push::list(ask, read(params)?).await?),
        "DeleteTaskPushNotificationConfig" => {
            push::delete(ask, read(params)?).await?;
            Ok(Answer::One(json!({})))
        }
        _ => Err(no_method(method)),
    }
}

async fn call_v03(ask: &Ask, method: &str, params: Value) -> Result<Answer, Failure> {
    match method {
        "message/send" => {
            let task = methods::send_message(ask, v03::read_send(params)?).await?;
            Ok(Answer::One(v03::task(&task)))
        }
        "message/stream" => {
            let request = v03::read_send(params)?;
            let updates = methods::send_streaming_message(ask, request).await?;
            Ok(Answer::Many(updates))
        }
        "tasks/get" => {
            let task = methods::get_task(ask, read(params)?).await?;
            Ok(Answer::One(v03::task(&task)))
        }
        "tasks/list" => {
            let page = methods::list_tasks(ask, v03::read_list(params)?).await?;
            Ok(Answer::One(json!({
                "tasks": page.tasks.iter().map(v03::task).collect::<Vec<_>>(),
                "nextPageToken": page.next_page_token,
                "pageSize": page.page_size,
                "totalSize": page.total_size,
            })))
        }
        "tasks/cancel" => {
            let task = methods::cancel_task(ask, read(params)?).await?;
            Ok(Answer::One(v03::task(&task)))
        }
        "tasks/resubscribe" => {
            let request: a2a::SubscribeToTaskRequest = read(params)?;
            let updates = methods::subscribe(ask, &request.id, None).await?;
            Ok(Answer::Many(updates))
        }
        "agent/getAuthenticatedExtendedCard" => {
            let card = card::extended(ask, None).await?;
            Ok(Answer::One(v03::card(&card)))
        }
        "tasks/pushNotificationConfig/set" => {
            let config = push::create(ask, v03::read_push(params)?).await?;
            Ok(Answer::One(v03::push(&config)))
        }
        "tasks/pushNotificationConfig/get" => {
            let (task_id, id) = v03::read_push_id(params)?;
            let all = push::list(ask, v03::list_pushes(task_id)).await?.configs;
            let mut found = all.iter().filter(|config| id.is_none() || config.id == id);
            match found.next() {
                Some(config) => Ok(Answer::One(v03::push(config))),
                None => Err(push::unknown(id.unwrap_or_default())),
            }
        }
        "tasks/pushNotificationConfig/list" => {
            let (task_id, _) = v03::read_push_id(params)?;
            let all = push::list(ask, v03::list_pushes(task_id)).await?.configs;
            Ok(Answer::One(all.iter().map(v03::push).collect()))
        }
        "tasks/pushNotificationConfig/delete" => {
            let (task_id, id) = v03::read_push_id(params)?;
            let id = id.ok_or_else(|| Failure::invalid("pushNotificationConfigId", "required"))?;
            push::delete(ask, v03::delete_push(task_id, id)).await?;
            Ok(Answer::One(Value::Null))
        }
        _ => Err(no_method(method)),
    }
}

/// A stream of answers (9.4.2), each of them a whole answer of JSON-RPC.
fn stream(
    id: Value,
    version: Version,
    mut updates: Updates,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = async_stream::stream! {
        while let Some(update) = updates.next().await {
            let (body, is_last) = match (update, version) {
                (Ok(update), Version::V1) => {
                    (json!({ "jsonrpc": "2.0", "id": id, "result": update }), false)
                }
                (Ok(update), Version::V03) => {
                    let (event, is_last) = v03::event(&update);
                    (json!({ "jsonrpc": "2.0", "id": id, "result": event }), is_last)
                }
                (Err(failure), _) => {
                    let error = failure.to_jsonrpc();
                    (json!({ "jsonrpc": "2.0", "id": id, "error": error }), true)
                }
            };
            yield Ok(Event::default().data(body.to_string()));
            if is_last {
                return;
            }
        }
    };
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
