//! The gRPC binding (10), of version 1.0: `lf.a2a.v1.A2AService`, on the port of everything else.
//!
//! Every method takes one message, so that its body is read as any other body is, within the same
//! limit, before tonic takes it apart.

use a2a_pb::pbconv as convert;
use a2a_pb::proto;
use a2a_pb::proto::a2a_service_server::{A2aService, A2aServiceServer};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response as HttpResponse;
use axum::routing::post;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use serde_json::Value;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

use super::ask::{Ask, Version, bearer};
use super::card;
use super::failure::Failure;
use super::methods::{self, Updates};
use super::push;
use crate::api::code::Code;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::service::tasks::Party;

pub fn router() -> Router<App> {
    Router::new().route("/lf.a2a.v1.A2AService/{method}", post(handle))
}

async fn handle(State(app): State<App>, request: HttpRequest) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let (by, body) = match admit(&app, &parts, body).await {
        Ok(known) => known,
        Err(failure) => return failure.to_grpc().into_http(),
    };
    let limit_bytes = app.body_limit_bytes;
    let tenant = String::new();
    let methods = Methods(Ask { app, by, tenant });
    let mut server = A2aServiceServer::new(methods).max_decoding_message_size(limit_bytes);
    let request = HttpRequest::from_parts(parts, Body::from(body));
    match server.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Finds out who asks, and reads what.
async fn admit(app: &App, parts: &Parts, body: Body) -> Result<(Party, Bytes), Failure> {
    if Version::of(&parts.headers, &parts.uri)? != Version::V1 {
        return Err(Failure::version("0.3", "1.0"));
    }
    let body = read_body(&parts.headers, body, app.body_limit_bytes).await?;
    let Some(token) = bearer(&parts.headers) else {
        return Err(no_token(&parts.headers).into());
    };
    Ok((app.service.client_of(token).await?, body))
}

/// What is signed is the exact body, which a gRPC library neither shows nor promises: agents that
/// sign ask over JSON-RPC or HTTP+JSON. Cards cannot say that a scheme is one binding's only.
fn no_token(headers: &HeaderMap) -> ApiError {
    let text = match headers.contains_key("x-ekho-signature") {
        true => {
            "requests over gRPC are not signed: send `authorization: Bearer TOKEN`, or ask over \
             JSON-RPC or HTTP+JSON"
        }
        false => "missing metadata: authorization: Bearer TOKEN",
    };
    ApiError::new(Code::MissingAuthHeaders, text)
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.to_grpc()
    }
}

/// The service, for one request.
struct Methods(Ask);

type Stream = BoxStream<'static, Result<proto::StreamResponse, Status>>;

/// A stream (10.7), in the same order as everywhere.
fn stream(updates: Updates) -> Response<Stream> {
    let told = updates.map(|update| Ok(convert::to_proto_stream_response(&update?)));
    Response::new(told.boxed())
}

#[tonic::async_trait]
impl A2aService for Methods {
    type SendStreamingMessageStream = Stream;
    type SubscribeToTaskStream = Stream;

    async fn send_message(
        &self,
        request: Request<proto::SendMessageRequest>,
    ) -> Result<Response<proto::SendMessageResponse>, Status> {
        let task = methods::send_message(&self.0, read_send(request.get_ref())?).await?;
        let answer = a2a::SendMessageResponse::Task(task);
        Ok(Response::new(convert::to_proto_send_message_response(
            &answer,
        )))
    }

    async fn send_streaming_message(
        &self,
        request: Request<proto::SendMessageRequest>,
    ) -> Result<Response<Stream>, Status> {
        let request = read_send(request.get_ref())?;
        let updates = methods::send_streaming_message(&self.0, request).await?;
        Ok(stream(updates))
    }

    async fn get_task(
        &self,
        request: Request<proto::GetTaskRequest>,
    ) -> Result<Response<proto::Task>, Status> {
        let request = convert::from_proto_get_task_request(request.get_ref());
        let task = methods::get_task(&self.0, request).await?;
        Ok(Response::new(convert::to_proto_task(&task)))
    }

    async fn list_tasks(
        &self,
        request: Request<proto::ListTasksRequest>,
    ) -> Result<Response<proto::ListTasksResponse>, Status> {
        let page = methods::list_tasks(&self.0, read_list(request.get_ref())?).await?;
        Ok(Response::new(convert::to_proto_list_tasks_response(&page)))
    }

    async fn cancel_task(
        &self,
        request: Request<proto::CancelTaskRequest>,
    ) -> Result<Response<proto::Task>, Status> {
        let request = convert::from_proto_cancel_task_request(request.get_ref());
        let task = methods::cancel_task(&self.0, request).await?;
        Ok(Response::new(convert::to_proto_task(&task)))
    }

    async fn subscribe_to_task(
        &self,
        request: Request<proto::SubscribeToTaskRequest>,
    ) -> Result<Response<Stream>, Status> {
        let proto::SubscribeToTaskRequest { tenant, id } = request.get_ref();
        let updates = methods::subscribe(&self.0, id, Some(tenant)).await?;
        Ok(stream(updates))
    }

    async fn get_extended_agent_card(
        &self,
        request: Request<proto::GetExtendedAgentCardRequest>,
    ) -> Result<Response<proto::AgentCard>, Status> {
        let tenant = &request.get_ref().tenant;
        let card = card::extended(&self.0, Some(tenant)).await?;
        Ok(Response::new(convert::to_proto_agent_card(&card)))
    }

    async fn create_task_push_notification_config(
        &self,
        request: Request<proto::TaskPushNotificationConfig>,
    ) -> Result<Response<proto::TaskPushNotificationConfig>, Status> {
        let config = convert::from_proto_task_push_notification_config(request.get_ref());
        let config = push::create(&self.0, config).await?;
        Ok(told_where(&config))
    }

    async fn get_task_push_notification_config(
        &self,
        request: Request<proto::GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<proto::TaskPushNotificationConfig>, Status> {
        let request =
            convert::from_proto_get_task_push_notification_config_request(request.get_ref());
        let config = push::get(&self.0, request).await?;
        Ok(told_where(&config))
    }

    async fn list_task_push_notification_configs(
        &self,
        request: Request<proto::ListTaskPushNotificationConfigsRequest>,
    ) -> Result<Response<proto::ListTaskPushNotificationConfigsResponse>, Status> {
        let request =
            convert::from_proto_list_task_push_notification_configs_request(request.get_ref());
        let all = push::list(&self.0, request).await?;
        let all = convert::to_proto_list_task_push_notification_configs_response(&all);
        Ok(Response::new(all))
    }

    async fn delete_task_push_notification_config(
        &self,
        request: Request<proto::DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        let request =
            convert::from_proto_delete_task_push_notification_config_request(request.get_ref());
        push::delete(&self.0, request).await?;
        Ok(Response::new(()))
    }
}

fn told_where(
    config: &a2a::TaskPushNotificationConfig,
) -> Response<proto::TaskPushNotificationConfig> {
    Response::new(convert::to_proto_task_push_notification_config(config))
}

/// Reads what is sent. What has no counterpart in JSON is refused as its absence would be there:
/// the conversion would fill it in.
fn read_send(given: &proto::SendMessageRequest) -> Result<a2a::SendMessageRequest, Failure> {
    let Some(message) = &given.message else {
        return Err(Failure::invalid("message", "required"));
    };
    for (place, part) in message.parts.iter().enumerate() {
        if part.content.is_none() {
            let field = format!("message.parts[{place}]");
            return Err(Failure::invalid(field, "text, raw, url or data is missing"));
        }
    }
    let mut request = convert::from_proto_send_message_request(given);
    let message = &mut request.message;
    for part in &mut message.parts {
        if let a2a::PartContent::Data(data) = &mut part.content {
            whole_numbers(data);
        }
    }
    let parts = message.parts.iter_mut().map(|part| &mut part.metadata);
    let all = [&mut message.metadata, &mut request.metadata];
    for metadata in parts.chain(all).flatten() {
        metadata.values_mut().for_each(whole_numbers);
    }
    Ok(request)
}

/// Protobuf knows floating point only; in JSON a whole number is written as one (ProtoJSON), so
/// that agents read the same by whichever binding it came.
fn whole_numbers(value: &mut Value) {
    /// Up to here every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|number| number.fract() == 0.0 && number.abs() <= EXACT);
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Reads a request for a page. Here as well, what cannot be read must not widen it.
fn read_list(given: &proto::ListTasksRequest) -> Result<a2a::ListTasksRequest, Failure> {
    let mut request = convert::from_proto_list_tasks_request(given);
    request.page_size = given.page_size;
    if proto::TaskState::try_from(given.status).is_err() {
        return Err(Failure::invalid("status", "no state of a task"));
    }
    if given.status_timestamp_after.is_some() && request.status_timestamp_after.is_none() {
        return Err(Failure::invalid("statusTimestampAfter", "no time"));
    }
    Ok(request)
}
