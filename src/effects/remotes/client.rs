//! The relay as an A2A client of an agent elsewhere: its card, and the official client on top of
//! requests that go outward only.

use std::sync::Arc;

use a2a::{
    A2AError, AgentCard, AgentInterface, CancelTaskRequest, GetTaskRequest, Task, TaskState,
};
use a2a::{Message, SendMessageConfiguration, SendMessageRequest, SendMessageResponse};
use a2a::{StreamResponse, SubscribeToTaskRequest, TRANSPORT_PROTOCOL_HTTP_JSON};
use a2a::{TRANSPORT_PROTOCOL_JSONRPC, TaskStatus};
use a2a_client::auth::AuthInterceptor;
use a2a_client::jsonrpc::JsonRpcTransport;
use a2a_client::rest::RestTransport;
use a2a_client::{A2AClient, Transport};
use ekho_storage::tables::a2a_remote::A2aRemote;
use ekho_storage::tables::agent::Agent;
use futures::stream::BoxStream;
use reqwest::header::{ACCEPT, AUTHORIZATION};

use crate::outward::{self, Outward};
use crate::service::Service;

/// Of a card.
const CARD_MAX_BYTES: usize = 1 << 20;
/// How long an answer that is no stream may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// An agent elsewhere, ready to be asked.
pub struct RemoteClient {
    client: A2AClient<Box<dyn Transport>>,
    /// Whether it tells of its tasks while they change.
    pub streams: bool,
}

/// Why an agent elsewhere could not be asked.
pub type Why = String;

impl RemoteClient {
    /// Fetches its card and chooses how to ask it: as its card prefers, of what is spoken here.
    pub async fn connect(
        service: &Service,
        agent: &Agent,
        remote: &A2aRemote,
    ) -> Result<Self, Why> {
        let authorization = service
            .remote_authorization(agent, remote)
            .map_err(|error| error.to_string())?;
        let authorization = authorization.as_ref().map(|text| text.as_str());
        let card = card(&service.outward, &remote.card_url, authorization).await?;
        let interface = card
            .supported_interfaces
            .iter()
            .find(|one| is_spoken(one))
            .ok_or("its card names no interface of A2A 1.0 over JSON-RPC or HTTP+JSON")?;
        let url = service.outward.check(&interface.url);
        let url = url.map_err(|error| format!("the interface of its card: {error}"))?;
        let http = service.outward.client(&url).clone();
        let transport: Box<dyn Transport> = match is_jsonrpc(interface) {
            true => Box::new(JsonRpcTransport::new(http, interface.url.clone())),
            false => Box::new(RestTransport::new(http, interface.url.clone())),
        };
        let mut client = A2AClient::new(transport);
        if let Some(authorization) = authorization {
            let interceptor = AuthInterceptor::custom(AUTHORIZATION.as_str(), authorization);
            client = client.with_interceptors(vec![Arc::new(interceptor)]);
        }
        if let Some(tenant) = interface
            .tenant
            .as_ref()
            .filter(|tenant| !tenant.is_empty())
        {
            client = client.with_tenant(tenant);
        }
        Ok(RemoteClient {
            client,
            streams: card.capabilities.streaming == Some(true),
        })
    }

    /// Sends a message; the task as it stands. An answer without a task is a task that is done.
    pub async fn send(&self, message: Message) -> Result<Task, Why> {
        let request = SendMessageRequest {
            message,
            configuration: Some(SendMessageConfiguration {
                accepted_output_modes: None,
                task_push_notification_config: None,
                history_length: Some(0),
                return_immediately: Some(true),
            }),
            metadata: None,
            tenant: None,
        };
        match in_time(self.client.send_message(&request)).await? {
            SendMessageResponse::Task(task) => Ok(task),
            SendMessageResponse::Message(said) => Ok(Task {
                id: String::new(),
                context_id: said.context_id.clone().unwrap_or_default(),
                status: TaskStatus {
                    state: TaskState::Completed,
                    message: Some(said),
                    timestamp: None,
                },
                artifacts: None,
                history: None,
                metadata: None,
            }),
        }
    }

    /// The task as it stands.
    pub async fn task(&self, id: &str) -> Result<Task, Why> {
        let request = GetTaskRequest {
            id: id.into(),
            history_length: Some(0),
            tenant: None,
        };
        in_time(self.client.get_task(&request)).await
    }

    /// Calls a task off.
    pub async fn cancel(&self, id: &str) -> Result<Task, Why> {
        let request = CancelTaskRequest {
            id: id.into(),
            metadata: None,
            tenant: None,
        };
        in_time(self.client.cancel_task(&request)).await
    }

    /// What becomes of a task, while it does.
    pub async fn subscribe(
        &self,
        id: &str,
    ) -> Result<BoxStream<'static, Result<StreamResponse, A2AError>>, Why> {
        let request = SubscribeToTaskRequest {
            id: id.into(),
            tenant: None,
        };
        in_time(self.client.subscribe_to_task(&request)).await
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, A2AError>>) -> Result<T, Why> {
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

fn is_jsonrpc(interface: &AgentInterface) -> bool {
    interface
        .protocol_binding
        .eq_ignore_ascii_case(TRANSPORT_PROTOCOL_JSONRPC)
}

fn is_spoken(interface: &AgentInterface) -> bool {
    let is_http = interface
        .protocol_binding
        .eq_ignore_ascii_case(TRANSPORT_PROTOCOL_HTTP_JSON);
    (is_jsonrpc(interface) || is_http) && interface.protocol_version == a2a::VERSION
}

/// Fetches a card of bounded size.
async fn card(outward: &Outward, url: &str, authorization: Option<&str>) -> Result<AgentCard, Why> {
    let url = outward.check(url).map_err(|error| error.to_string())?;
    let mut request = outward
        .client(&url)
        .get(url)
        .timeout(TIMEOUT)
        .header(ACCEPT, "application/json")
        .header("a2a-version", a2a::VERSION);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let because = |error: &reqwest::Error| format!("its card: {}", outward::because(error));
    let mut answer = request.send().await.map_err(|error| because(&error))?;
    if !answer.status().is_success() {
        return Err(format!("its card: answered {}", answer.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| because(&error))? {
        if text.len() + chunk.len() > CARD_MAX_BYTES {
            return Err(format!("its card: more than {CARD_MAX_BYTES} bytes"));
        }
        text.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&text).map_err(|error| format!("its card: {error}"))
}
