//! The HTTP+JSON binding (11), of version 1.0.

use std::convert::Infallible;

use a2a::{GetTaskRequest, ListTasksRequest, SendMessageRequest, TaskState};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{any, get, post};
use bytes::Bytes;
use chrono::DateTime;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ask::{Ask, Version, identify};
use super::card;
use super::failure::Failure;
use super::jsonrpc::KEEP_ALIVE;
use super::methods::{self, Updates};
use super::push;
use crate::api::code::Code;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::service::ServiceError;

/// The media type of answers (14.1).
pub const MEDIA_TYPE: &str = "application/a2a+json";

/// The paths of 5.3, behind an address of the fleet, of one of its agents, or of either with a
/// tenant.
pub fn router() -> Router<App> {
    let mut router = Router::new();
    for base in ["/a2a/v1", "/a2a/v1/{tenant}", "/agents/{tenant}/a2a/v1"] {
        // An id ends before a colon that a verb follows; whoever reads the path takes it apart.
        let paths = [
            ("/tasks/{task}", any(handle)),
            ("/tasks/{task}/pushNotificationConfigs", any(handle)),
            (
                "/tasks/{task}/pushNotificationConfigs/{config}",
                any(handle),
            ),
            ("/message:send", post(handle)),
            ("/message:stream", post(handle)),
            ("/extendedAgentCard", get(handle)),
            ("/tasks", get(handle)),
        ];
        for (path, handler) in paths {
            router = router.route(&format!("{base}{path}"), handler);
        }
    }
    router
}

async fn handle(
    State(app): State<App>,
    Path(names): Path<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    if Version::of(&parts.headers, &parts.uri)? != Version::V1 {
        return Err(Failure::version("0.3", "1.0"));
    }
    let (by, body) = identify(&app, &parts, body).await?;
    let name = |wanted: &str| {
        let found = names.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    let tenant = name("tenant").unwrap_or_default();
    let ask = Ask { app, by, tenant };
    let path = parts.uri.path();
    let query = parts.uri.query();
    let method = parts.method.clone();
    let last = path.rsplit('/').next().unwrap_or_default();
    match (name("task"), last) {
        (None, "message:send") => {
            let task = methods::send_message(&ask, read::<SendMessageRequest>(&body)?).await?;
            write(&a2a::SendMessageResponse::Task(task))
        }
        (None, "message:stream") => {
            let updates = methods::send_streaming_message(&ask, read(&body)?).await?;
            Ok(stream(updates))
        }
        (None, "extendedAgentCard") => write(&card::extended(&ask, None).await?),
        (None, _) => write(&methods::list_tasks(&ask, read_list(query)?).await?),
        (Some(task), _) if path.contains("/pushNotificationConfigs") => {
            of_pushes(&ask, task, name("config"), &method, &body).await
        }
        (Some(task), _) => of_task(&ask, &task, &method, query, &body).await,
    }
}

/// `/tasks/{id}` and what can follow the id behind a colon.
async fn of_task(
    ask: &Ask,
    task: &str,
    method: &Method,
    query: Option<&str>,
    body: &Bytes,
) -> Result<Response, Failure> {
    match (task.split_once(':'), method) {
        (None, &Method::GET) => {
            let given = pairs(query).map_err(ApiError::from)?;
            let request = GetTaskRequest {
                id: task.into(),
                history_length: number(&given, "historyLength")?,
                tenant: given.get("tenant").cloned(),
            };
            write(&methods::get_task(ask, request).await?)
        }
        (Some((id, "cancel")), &Method::POST) => {
            let mut request: a2a::CancelTaskRequest = match body.is_empty() {
                true => a2a::CancelTaskRequest {
                    id: String::new(),
                    metadata: None,
                    tenant: None,
                },
                // The path names the task; the body need not.
                false => {
                    let mut given: serde_json::Map<_, _> = read(body)?;
                    given.insert("id".into(), id.into());
                    read_value(given.into())?
                }
            };
            request.id = id.into();
            write(&methods::cancel_task(ask, request).await?)
        }
        // The proto says GET (5.3 and 11.3 say POST): clients do either.
        (Some((id, "subscribe")), &Method::GET | &Method::POST) => {
            Ok(stream(methods::subscribe(ask, id, None).await?))
        }
        (None | Some((_, "cancel" | "subscribe")), _) => {
            let error = ApiError::new(Code::MethodNotAllowed, "method not allowed here");
            Err(error.into())
        }
        (Some(_), _) => Err(ApiError::new(Code::NotFound, "no such endpoint").into()),
    }
}

/// `/tasks/{id}/pushNotificationConfigs` and one of them.
async fn of_pushes(
    ask: &Ask,
    task_id: String,
    id: Option<String>,
    method: &Method,
    body: &Bytes,
) -> Result<Response, Failure> {
    let tenant = None;
    match (id, method) {
        (None, &Method::POST) => {
            let mut given: serde_json::Map<_, _> = read(body)?;
            // The path names the task; the body need not.
            given.insert("taskId".into(), task_id.into());
            write(&push::create(ask, read_value(given.into())?).await?)
        }
        (None, &Method::GET) => {
            let request = a2a::ListTaskPushNotificationConfigsRequest {
                task_id,
                page_size: None,
                page_token: None,
                tenant,
            };
            write(&push::list(ask, request).await?)
        }
        (Some(id), &Method::GET) => {
            let request = a2a::GetTaskPushNotificationConfigRequest {
                task_id,
                id,
                tenant,
            };
            write(&push::get(ask, request).await?)
        }
        (Some(id), &Method::DELETE) => {
            let request = a2a::DeleteTaskPushNotificationConfigRequest {
                task_id,
                id,
                tenant,
            };
            push::delete(ask, request).await?;
            write(&serde_json::json!({}))
        }
        _ => {
            let error = ApiError::new(Code::MethodNotAllowed, "method not allowed here");
            Err(error.into())
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::invalid("body", error.to_string()))
}

fn read_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::invalid("body", error.to_string()))
}

type Given = std::collections::HashMap<String, String>;

fn number(given: &Given, name: &str) -> Result<Option<i32>, Failure> {
    let Some(text) = given.get(name) else {
        return Ok(None);
    };
    let number = text.parse().ok();
    number
        .map(Some)
        .ok_or_else(|| Failure::invalid(name, "expected a whole number"))
}

fn read_list(query: Option<&str>) -> Result<ListTasksRequest, Failure> {
    let given = pairs(query).map_err(ApiError::from)?;
    let text = |name: &str| given.get(name).filter(|text| !text.is_empty()).cloned();
    let status = match text("status") {
        None => None,
        Some(status) => Some(
            serde_json::from_value::<TaskState>(status.into())
                .map_err(|error| Failure::invalid("status", error.to_string()))?,
        ),
    };
    let after = match text("statusTimestampAfter") {
        None => None,
        Some(time) => Some(
            DateTime::parse_from_rfc3339(&time)
                .map_err(|_| Failure::invalid("statusTimestampAfter", "expected ISO 8601"))?
                .to_utc(),
        ),
    };
    let include_artifacts = match text("includeArtifacts").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Failure::invalid("includeArtifacts", "true or false")),
    };
    Ok(ListTasksRequest {
        context_id: text("contextId"),
        status,
        page_size: number(&given, "pageSize")?,
        page_token: text("pageToken"),
        history_length: number(&given, "historyLength")?,
        status_timestamp_after: after,
        include_artifacts,
        tenant: text("tenant"),
    })
}

fn write(value: &impl Serialize) -> Result<Response, Failure> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|error| ServiceError::Internal(error.to_string()))?;
    let kind = HeaderValue::from_static(MEDIA_TYPE);
    Ok(([(header::CONTENT_TYPE, kind)], Body::from(text)).into_response())
}

/// A stream (11.7). What fails in its middle is told as its last event, as an answer would be.
fn stream(mut updates: Updates) -> Response {
    let events = async_stream::stream! {
        while let Some(update) = updates.next().await {
            let event = match update {
                Ok(update) => Event::default().json_data(update).ok(),
                Err(failure) => Event::default()
                    .event("error")
                    .json_data(failure.to_rest())
                    .ok(),
            };
            if let Some(event) = event {
                yield Ok::<_, Infallible>(event);
            }
        }
    };
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    events.into_response()
}
