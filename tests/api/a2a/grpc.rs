//! gRPC (10): the same as over the other bindings, in its own words.

use a2a_pb::pbconv as convert;
use a2a_pb::proto::a2a_service_client::A2aServiceClient;
use a2a_pb::proto::{
    CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
    ListTasksRequest, SendMessageRequest, StreamResponse, SubscribeToTaskRequest, Task,
    TaskPushNotificationConfig, TaskState, part, send_message_response::Payload, stream_response,
};
use futures::StreamExt;
use serde_json::{Value, json};
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::push::open_relay;
use super::{at, pair, quick};
use crate::support::{A2aClient, Agent, Event, HookServer, Relay, a2a_message, shared};

/// Puts the same metadata into every call.
#[derive(Clone)]
struct Marks(Vec<(String, String)>);

impl tonic::service::Interceptor for Marks {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            let name = MetadataKey::from_bytes(name.as_bytes()).unwrap();
            let value = MetadataValue::try_from(value).unwrap();
            request.metadata_mut().insert(name, value);
        }
        Ok(request)
    }
}

type Grpc = A2aServiceClient<InterceptedService<Channel, Marks>>;

/// A client of the binding that sends this metadata.
fn marked(relay: &Relay, marks: &[(&str, &str)]) -> Grpc {
    let channel = Endpoint::from_shared(relay.url()).unwrap().connect_lazy();
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    A2aServiceClient::with_interceptor(channel, Marks(marks.iter().map(owned).collect()))
}

/// The same for a client of the protocol.
fn grpc(relay: &Relay, client: &A2aClient) -> Grpc {
    let token = format!("Bearer {}", client.token);
    marked(relay, &[("authorization", &token), ("a2a-version", "1.0")])
}

/// A request out of the parameters of JSON-RPC.
fn request(agent: &Agent, params: Value) -> SendMessageRequest {
    let given: a2a::SendMessageRequest = serde_json::from_value(params).unwrap();
    SendMessageRequest {
        tenant: agent.id.clone(),
        ..convert::to_proto_send_message_request(&given)
    }
}

async fn send(grpc: &mut Grpc, request: SendMessageRequest) -> Task {
    let answer = grpc.send_message(request).await.unwrap().into_inner();
    match answer.payload {
        Some(Payload::Task(task)) => task,
        other => panic!("{other:?}"),
    }
}

fn state(task: &Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

fn get(id: &str) -> GetTaskRequest {
    GetTaskRequest {
        id: id.into(),
        ..Default::default()
    }
}

fn cancel(id: &str) -> CancelTaskRequest {
    CancelTaskRequest {
        id: id.into(),
        ..Default::default()
    }
}

fn subscribe(id: &str) -> SubscribeToTaskRequest {
    SubscribeToTaskRequest {
        id: id.into(),
        ..Default::default()
    }
}

/// Everything that a stream tells, to its end.
async fn all(stream: Streaming<StreamResponse>) -> Vec<StreamResponse> {
    stream.map(Result::unwrap).collect().await
}

/// Why a call was refused: its code, the reason and the domain.
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, String, Status) {
    let status = answer.unwrap_err();
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("{status:?}"));
    (status.code(), info.reason, info.domain, status)
}

#[tokio::test]
async fn a_message_is_sent_and_its_answer_waited_for() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut grpc = grpc(&relay, &client);
    let answering = async {
        let received = agent.take().await;
        let task = json!({ "id": received["correlation_id"] });
        let artifact = json!({ "artifact": { "artifactId": "a", "parts": [{ "text": "42" }] } });
        agent.add_artifact(&task, &artifact).await.ok();
        agent
            .set_status(&task, &json!({ "state": "completed" }))
            .await
            .ok();
        received
    };
    let mut params = json!({ "message": a2a_message("what is it?") });
    params["message"]["parts"] = json!([
        { "data": { "whole": 3, "half": 0.5 }, "metadata": { "n": -1 } },
        { "raw": "AAEC", "mediaType": "application/octet-stream", "filename": "f" },
        { "url": "https://example.com/x" },
    ]);
    let sending = send(&mut grpc, request(&agent, params.clone()));
    let (task, received) = tokio::join!(sending, answering);
    assert_eq!(state(&task), TaskState::Completed);
    let text = &task.artifacts[0].parts[0].content;
    assert_eq!(text, &Some(part::Content::Text("42".into())));
    // What the agent reads is what it would read over JSON, whole numbers as well.
    let read = &received["body"]["message"]["parts"];
    assert_eq!(read, &params["message"]["parts"]);
    // The same message again is the same task.
    let again = send(&mut grpc, request(&agent, params)).await;
    assert_eq!(again.id, task.id);
}

#[tokio::test]
async fn a_task_is_got_listed_and_cancelled() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut grpc = grpc(&relay, &client);
    let mut made = Vec::new();
    for number in 0..5 {
        let task = send(&mut grpc, request(&agent, quick(&format!("{number}")))).await;
        assert_eq!(state(&task), TaskState::Submitted);
        made.push(task.id);
    }
    let got = grpc.get_task(get(&made[0])).await.unwrap().into_inner();
    assert_eq!((got.id.as_str(), got.history.len()), (made[0].as_str(), 1));
    let bare = GetTaskRequest {
        history_length: Some(0),
        ..get(&made[0])
    };
    let got = grpc.get_task(bare).await.unwrap().into_inner();
    assert!(got.history.is_empty());
    let over_json = client.task(&json!({ "id": made[0] })).await;
    assert_eq!(over_json["contextId"], got.context_id.as_str());

    let gone = grpc.cancel_task(cancel(&made[0])).await.unwrap();
    assert_eq!(state(&gone.into_inner()), TaskState::Canceled);
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let wanted = ListTasksRequest {
            tenant: agent.id.clone(),
            page_size: Some(2),
            page_token,
            ..Default::default()
        };
        let page = grpc.list_tasks(wanted).await.unwrap().into_inner();
        assert_eq!((page.page_size, page.total_size), (2, 5));
        listed.extend(page.tasks.into_iter().map(|task| task.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed[0], made[0], "what moved last comes first");
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    let waiting = ListTasksRequest {
        status: TaskState::Canceled.into(),
        ..Default::default()
    };
    let page = grpc.list_tasks(waiting).await.unwrap().into_inner();
    assert_eq!(page.total_size, 1);
}

#[tokio::test]
async fn a_stream_tells_the_same_as_over_http() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut grpc = grpc(&relay, &client);
    let params = json!({ "message": a2a_message("a long one") });
    let sent = grpc.send_streaming_message(request(&agent, params)).await;
    let mut sent = sent.unwrap().into_inner();
    let first = sent.next().await.unwrap().unwrap();
    let Some(stream_response::Payload::Task(task)) = first.payload else {
        panic!("{first:?}");
    };
    let id = json!({ "id": task.id });
    let subscribed = grpc.subscribe_to_task(subscribe(&task.id)).await.unwrap();
    let mut events = client.stream("/a2a", "SubscribeToTask", &id).await;
    let answering = async {
        agent.take().await;
        for (text, append) in [("a", false), ("b", true)] {
            let artifact = json!({
                "artifact": { "artifactId": "doc", "parts": [{ "text": text }] },
                "append": append,
                "last_chunk": append,
            });
            agent.add_artifact(&id, &artifact).await.ok();
        }
        let end = json!({ "state": "completed", "message": "there it is" });
        agent.set_status(&id, &end).await.ok();
    };
    let over_http = async {
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            told.push(read(&event));
        }
        told
    };
    let (rest, subscribed, over_http, ()) = tokio::join!(
        all(sent),
        all(subscribed.into_inner()),
        over_http,
        answering
    );
    assert_eq!(subscribed.len(), 5, "{subscribed:?}");
    assert_eq!(subscribed, over_http);
    assert_eq!(rest, subscribed[1..]);
    // What is over tells nothing more.
    let answer = grpc.subscribe_to_task(subscribe(&task.id)).await;
    let (code, reason, ..) = refused(answer);
    assert_eq!(code, Code::FailedPrecondition);
    assert_eq!(reason, "UNSUPPORTED_OPERATION");
}

/// An event of a stream of JSON-RPC as gRPC would tell it.
fn read(event: &Event) -> StreamResponse {
    let told: a2a::StreamResponse = serde_json::from_value(event.json()["result"].clone()).unwrap();
    convert::to_proto_stream_response(&told)
}

#[tokio::test]
async fn errors_have_their_status_and_details() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut grpc = grpc(&relay, &client);
    let protocol = "a2a-protocol.org";
    let none = "task_00000000000000000000000000000000";
    let (code, reason, domain, status) = refused(grpc.get_task(get(none)).await);
    assert_eq!(code, Code::NotFound);
    assert_eq!(
        (reason.as_str(), domain.as_str()),
        ("TASK_NOT_FOUND", protocol)
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["taskId"], none);

    // What the client sent comes back in a header, and must not break that.
    let (code, ..) = refused(grpc.get_task(get(&"é".repeat(50_000))).await);
    assert_eq!(code, Code::NotFound);

    let task = send(&mut grpc, request(&agent, quick("x"))).await;
    grpc.cancel_task(cancel(&task.id)).await.unwrap();
    let (code, reason, ..) = refused(grpc.cancel_task(cancel(&task.id)).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert_eq!(reason, "TASK_NOT_CANCELABLE");

    let whole = || request(&agent, quick("x"));
    let with = |change: &dyn Fn(&mut SendMessageRequest)| {
        let mut request = whole();
        change(&mut request);
        request
    };
    for (request, field) in [
        (with(&|it| it.message = None), "message"),
        (
            with(&|it| it.message.as_mut().unwrap().parts.clear()),
            "message.parts",
        ),
        (
            with(&|it| it.message.as_mut().unwrap().parts[0].content = None),
            "message.parts[0]",
        ),
        (
            with(&|it| it.message.as_mut().unwrap().message_id.clear()),
            "message.messageId",
        ),
        (
            with(&|it| it.message.as_mut().unwrap().role = 9),
            "message.role",
        ),
        (with(&|it| it.tenant.clear()), "tenant"),
    ] {
        let (code, reason, domain, status) = refused(grpc.send_message(request).await);
        assert_eq!(code, Code::InvalidArgument, "{field}");
        assert_eq!(
            (reason.as_str(), domain.as_str()),
            ("INVALID_PARAMS", protocol)
        );
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, field);
    }
    let ask = |change: &dyn Fn(&mut ListTasksRequest)| {
        let mut request = ListTasksRequest::default();
        change(&mut request);
        request
    };
    for (request, field) in [
        (ask(&|it| it.page_size = Some(0)), "pageSize"),
        (ask(&|it| it.page_size = Some(-1)), "pageSize"),
        (ask(&|it| it.status = 77), "status"),
        (ask(&|it| it.page_token = "x".into()), "pageToken"),
    ] {
        let (_, _, _, status) = refused(grpc.list_tasks(request).await);
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, field);
    }
    assert!(agent.inbox().await.is_empty());

    let unknown = SendMessageRequest {
        tenant: "agent_none".into(),
        ..whole()
    };
    let (code, reason, domain, _) = refused(grpc.send_message(unknown).await);
    assert_eq!(code, Code::NotFound);
    assert_eq!(reason, "UNKNOWN_RECIPIENT");
    assert_eq!(domain, "ekho");
}

#[tokio::test]
async fn push_configurations_are_made_looked_at_and_removed() {
    let relay = open_relay().await;
    let (client, agent) = pair(&relay).await;
    let (stranger, _) = pair(&relay).await;
    let receiver = HookServer::start().await;
    let mut grpc = grpc(&relay, &client);
    let task = send(&mut grpc, request(&agent, quick("x"))).await;
    let config = TaskPushNotificationConfig {
        task_id: task.id.clone(),
        id: "mine".into(),
        url: receiver.url.clone(),
        token: "t".into(),
        ..Default::default()
    };
    let made = grpc
        .create_task_push_notification_config(config.clone())
        .await;
    assert_eq!(made.unwrap().into_inner(), config);
    let get = GetTaskPushNotificationConfigRequest {
        task_id: task.id.clone(),
        id: "mine".into(),
        ..Default::default()
    };
    let got = grpc.get_task_push_notification_config(get.clone()).await;
    assert_eq!(got.unwrap().into_inner(), config);
    let list = ListTaskPushNotificationConfigsRequest {
        task_id: task.id.clone(),
        ..Default::default()
    };
    let all = grpc.list_task_push_notification_configs(list.clone()).await;
    assert_eq!(
        all.unwrap().into_inner().configs,
        std::slice::from_ref(&config)
    );

    let mut other = self::grpc(&relay, &stranger);
    let answer = other
        .list_task_push_notification_configs(list.clone())
        .await;
    let (code, reason, ..) = refused(answer);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    let nowhere = TaskPushNotificationConfig {
        url: "ftp://receiver.test".into(),
        ..config.clone()
    };
    let answer = grpc.create_task_push_notification_config(nowhere).await;
    let (code, _, _, status) = refused(answer);
    assert_eq!(code, Code::InvalidArgument);
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "url");

    // The receiver is told, in JSON.
    agent.take().await;
    let heard = receiver.heard_at_least(1).await;
    let last = &heard.last().unwrap().json;
    assert_eq!(last["statusUpdate"]["taskId"], task.id.as_str());

    let delete = DeleteTaskPushNotificationConfigRequest {
        task_id: task.id,
        id: "mine".into(),
        ..Default::default()
    };
    let gone = grpc.delete_task_push_notification_config(delete).await;
    gone.unwrap();
    let (code, ..) = refused(grpc.get_task_push_notification_config(get).await);
    assert_eq!(code, Code::NotFound);
    let all = grpc.list_task_push_notification_configs(list).await;
    assert!(all.unwrap().into_inner().configs.is_empty());
}

#[tokio::test]
async fn who_asks_says_so_and_in_which_version() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let token = format!("Bearer {}", client.token);
    let token = ("authorization", token.as_str());
    let version = ("a2a-version", "1.0");
    let list = async |marks: &[(&str, &str)]| {
        let mut grpc = marked(&relay, marks);
        grpc.list_tasks(ListTasksRequest::default()).await
    };
    list(&[token, version]).await.unwrap();
    for marks in [
        &[token][..],
        &[token, ("a2a-version", "0.3")],
        &[token, ("a2a-version", "2.0")],
    ] {
        let (code, reason, ..) = refused(list(marks).await);
        assert_eq!(code, Code::FailedPrecondition, "{marks:?}");
        assert_eq!(reason, "VERSION_NOT_SUPPORTED");
    }
    let (code, _, _, status) = refused(list(&[version]).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(status.message().contains("authorization"));
    let (code, reason, ..) = refused(list(&[("authorization", "Bearer no"), version]).await);
    assert_eq!(code, Code::Unauthenticated);
    assert_eq!(reason, "INVALID_CREDENTIALS");
    let signed = [
        ("x-ekho-agent-id", agent.id.as_str()),
        ("x-ekho-signature", "00"),
        version,
    ];
    let (code, _, _, status) = refused(list(&signed).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(status.message().contains("not signed"), "{status:?}");
}

#[tokio::test]
async fn what_is_refused_over_http_is_refused_here() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("busy").await;
    let limited = json!({ "name": "slow", "rate_max_messages": 1 });
    let client = operator.a2a_client_as(&limited).await;
    let mut grpc = grpc(&relay, &client);
    send(&mut grpc, request(&agent, quick("within"))).await;
    let (code, reason, _, status) =
        refused(grpc.send_message(request(&agent, quick("beyond"))).await);
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(reason, "RATE_LIMITED");
    let retry = status.get_details_retry_info().unwrap();
    assert!(retry.retry_delay.unwrap().as_secs() > 0);
    let pause = format!("/v1/operator/agents/{}/pause", client.id);
    operator
        .post(&pause, &json!({ "reason": "wait" }))
        .await
        .ok();
    let (code, reason, ..) = refused(grpc.send_message(request(&agent, quick("paused"))).await);
    assert_eq!(code, Code::PermissionDenied);
    assert_eq!(reason, "AGENT_PAUSED");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let mut grpc = grpc(&relay, &client);
    let large = request(&agent, quick(&"x".repeat(3 << 20)));
    let (code, reason, ..) = refused(grpc.send_message(large).await);
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(reason, "PAYLOAD_TOO_LARGE");
    // The connection goes on, and so does what is within.
    let within = request(&agent, quick(&"x".repeat(500 << 10)));
    assert_eq!(state(&send(&mut grpc, within).await), TaskState::Submitted);
}

#[tokio::test]
async fn a_card_says_where_it_is_and_whom_to_name() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let path = format!("/agents/{}/.well-known/agent-card.json", agent.id);
    let target = format!("127.0.0.1:{}", relay.port);
    for (path, tenant) in [
        (path.as_str(), json!(agent.id)),
        ("/.well-known/agent-card.json", Value::Null),
    ] {
        let card = relay.get(path).await.ok();
        let interfaces = card["supportedInterfaces"].as_array().unwrap();
        let mut interfaces = interfaces.iter();
        let found = interfaces.find(|one| one["protocolBinding"] == "GRPC");
        let found = found.unwrap();
        assert_eq!(found["url"], target.as_str());
        assert_eq!(found["tenant"], tenant);
    }
    let mut grpc = grpc(&relay, &client);
    let whom = GetExtendedAgentCardRequest {
        tenant: agent.id.clone(),
    };
    let extended = grpc
        .get_extended_agent_card(whom)
        .await
        .unwrap()
        .into_inner();
    let over_json = client
        .result(&at(&agent), "GetExtendedAgentCard", &json!({}))
        .await;
    let over_json: a2a::AgentCard = serde_json::from_value(over_json).unwrap();
    assert_eq!(extended, convert::to_proto_agent_card(&over_json));
    assert!(!extended.signatures.is_empty());
}
