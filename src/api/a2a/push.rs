//! Where clients want to be told of their tasks (3.1.7 to 3.1.10).

use a2a::{
    AuthenticationInfo, DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest, ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse, TaskPushNotificationConfig, error_code,
};
use axum::http::HeaderValue;
use zeroize::Zeroizing;

use super::ask::Ask;
use super::failure::Failure;
use super::methods::read_task_id;
use super::render::task_id;
use crate::id;
use crate::machine::command::NewPush;
use crate::service::pushes::{PushText, Secrets};

/// Ids that clients choose, in bytes.
const ID_MAX_BYTES: usize = 64;
/// Tokens and credentials, in bytes.
const SECRET_MAX_BYTES: usize = 4096;

/// Says where the client wants to be told of a task.
pub async fn create(
    ask: &Ask,
    config: TaskPushNotificationConfig,
) -> Result<TaskPushNotificationConfig, Failure> {
    let ask = &ask.with_tenant(config.tenant.as_deref())?;
    let uuid = read_task_id(&config.task_id)?;
    let id = id_of(&config);
    let push = new_push(ask, &config, id.clone())?;
    let put = ask.app.service.put_push(&ask.by, uuid, push).await;
    put.map_err(|error| Failure::of_task(error, &config.task_id))?;
    Ok(TaskPushNotificationConfig {
        id: Some(id),
        ..config
    })
}

/// The id of a configuration to be made.
pub fn id_of(config: &TaskPushNotificationConfig) -> String {
    let given = config.id.clone().filter(|id| !id.is_empty());
    given.unwrap_or_else(|| id::new_id("push_"))
}

/// Checks a configuration to be made.
pub fn new_push(
    ask: &Ask,
    config: &TaskPushNotificationConfig,
    id: String,
) -> Result<NewPush, Failure> {
    if id.len() > ID_MAX_BYTES {
        return Err(Failure::invalid(
            "id",
            format!("at most {ID_MAX_BYTES} bytes"),
        ));
    }
    let service = &ask.app.service;
    let checked = service.outward.check(&config.url);
    let url = checked.map_err(|error| Failure::invalid("url", error.to_string()))?;
    let scheme = config.authentication.as_ref().map(|info| &info.scheme);
    let token = config.token.clone().filter(|token| !token.is_empty());
    let credentials = config.authentication.as_ref();
    let credentials = credentials.and_then(|info| info.credentials.clone());
    for (field, text) in [
        ("token", token.as_ref()),
        ("authentication.scheme", scheme),
        ("authentication.credentials", credentials.as_ref()),
    ] {
        let Some(text) = text else { continue };
        // Each of them goes into a header.
        if text.len() > SECRET_MAX_BYTES || HeaderValue::from_str(text).is_err() {
            let why = format!("visible ASCII, at most {SECRET_MAX_BYTES} bytes");
            return Err(Failure::invalid(field, why));
        }
    }
    let secrets = Secrets {
        token: token.map(Zeroizing::new),
        credentials: credentials.map(Zeroizing::new),
    };
    Ok(service.new_push(id, url.to_string(), scheme.cloned(), &secrets)?)
}

/// Where the client wants to be told of a task, by id.
pub async fn get(
    ask: &Ask,
    request: GetTaskPushNotificationConfigRequest,
) -> Result<TaskPushNotificationConfig, Failure> {
    let tenant = request.tenant.as_deref();
    let all = all(ask, &request.task_id, tenant).await?;
    let mut found = all
        .into_iter()
        .filter(|config| config.id.as_ref() == Some(&request.id));
    found.next().ok_or_else(|| unknown(request.id))
}

/// The answer to who asks for a configuration that is not there (3.1.8).
pub fn unknown(id: String) -> Failure {
    let text = "the push notification configuration does not exist";
    Failure::new(error_code::TASK_NOT_FOUND, text).with("configId", id)
}

/// Everywhere that the client wants to be told of a task.
pub async fn list(
    ask: &Ask,
    request: ListTaskPushNotificationConfigsRequest,
) -> Result<ListTaskPushNotificationConfigsResponse, Failure> {
    let tenant = request.tenant.as_deref();
    Ok(ListTaskPushNotificationConfigsResponse {
        configs: all(ask, &request.task_id, tenant).await?,
        next_page_token: Some(String::new()),
    })
}

/// Takes one back; again changes nothing.
pub async fn delete(
    ask: &Ask,
    request: DeleteTaskPushNotificationConfigRequest,
) -> Result<(), Failure> {
    let ask = ask.with_tenant(request.tenant.as_deref())?;
    let uuid = read_task_id(&request.task_id)?;
    let deleted = ask.app.service.delete_push(&ask.by, uuid, request.id).await;
    deleted.map_err(|error| Failure::of_task(error, &request.task_id))
}

async fn all(
    ask: &Ask,
    id: &str,
    tenant: Option<&str>,
) -> Result<Vec<TaskPushNotificationConfig>, Failure> {
    let ask = ask.with_tenant(tenant)?;
    let tenant = tenant.filter(|tenant| !tenant.is_empty());
    let uuid = read_task_id(id)?;
    let service = &ask.app.service;
    let view = service.task_view(&ask.by).await?;
    let found = service.pushes(&view, &ask.by, uuid);
    let found = found.map_err(|error| Failure::of_task(error, id))?;
    let found = found.into_iter();
    Ok(found.map(|text| config(uuid, text, tenant)).collect())
}

/// As it was made, under the tenant that is asked for.
fn config(task: u128, text: PushText, tenant: Option<&str>) -> TaskPushNotificationConfig {
    let PushText { id, push, secrets } = text;
    let plain = |secret: Zeroizing<String>| secret.to_string();
    TaskPushNotificationConfig {
        url: push.url,
        id: Some(id),
        task_id: task_id(task),
        token: secrets.token.map(plain),
        authentication: push.scheme.map(|scheme| AuthenticationInfo {
            scheme,
            credentials: secrets.credentials.map(plain),
        }),
        tenant: tenant.map(String::from),
    }
}
