//! Every call reaches the relay signed, in the right shape, and its answer is read.

use ekho_client::{
    AckItem, ActionReport, ActionResult, ActionStatus, CreateRoom, Decision, DeliveryStatus,
    EkhoAgentClient, EkhoError, EnrollRequest, Heartbeat, InboxQuery, LeaseItem, MessageType,
    NackItem, Notice, ProposeAction, Recipient, RiskLevel, SendMessage,
};
use serde_json::json;

use crate::relay::{AGENT, Relay};
use crate::{client, in_time};

fn message() -> SendMessage {
    let body = json!({"text": "Zürich — 東京"});
    SendMessage::new(
        Recipient::agent("agent_2"),
        MessageType::Direct,
        "conv-1",
        body,
    )
}

fn action(risk_level: RiskLevel) -> ProposeAction {
    ProposeAction {
        conversation_id: "conv-1".to_owned(),
        action_type: "deploy".to_owned(),
        summary: "deploy it".to_owned(),
        risk_level,
        payload: json!({"to": "production"}),
    }
}

#[tokio::test]
async fn messages_and_their_state() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();

    let sent = client.send_message(&message()).await.unwrap();
    assert_eq!(
        (sent.message_id.as_str(), sent.status.as_str()),
        ("msg_1", "queued")
    );
    assert_eq!(relay.book().stored[0]["body"]["text"], "Zürich — 東京");

    let mut scheduled = message();
    scheduled.deliver_at = Some("2026-11-24T00:00:00.000Z".to_owned());
    let sent = client.send_message(&scheduled).await.unwrap();
    assert_eq!(
        relay.book().stored[1]["deliver_at"],
        "2026-11-24T00:00:00.000Z"
    );
    let cancelled = client.cancel_message(&sent.message_id).await.unwrap();
    assert_eq!(cancelled.status.as_deref(), Some("cancelled"));

    let state = client.get_message("msg_1").await.unwrap();
    assert_eq!(state.deliveries[0].status, DeliveryStatus::Queued);
    assert!(relay.book().refused_signatures.is_empty());
}

#[tokio::test]
async fn a_batch_reports_each_outcome() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let mut to_nobody = message();
    to_nobody.recipient = Recipient::agent("agent_unknown");
    let answer = client
        .send_batch(&[message(), to_nobody, message()])
        .await
        .unwrap();
    let outcomes: Vec<_> = answer
        .results
        .into_iter()
        .map(|item| item.into_result())
        .collect();
    assert_eq!(outcomes[0].as_ref().unwrap().message_id, "msg_1");
    assert_eq!(outcomes[1].as_ref().unwrap_err().status_code(), Some(404));
    assert_eq!(outcomes[2].as_ref().unwrap().message_id, "msg_2");

    for size in [0, 101] {
        let refused = client.send_batch(&vec![message(); size]).await;
        assert!(
            matches!(refused, Err(EkhoError::InvalidArgument(_))),
            "{size} messages"
        );
    }
}

#[tokio::test]
async fn inbox_acks_nacks_and_leases() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    relay.deliver("msg_a", "conv-1", json!({"n": 1}));
    relay.deliver_type("msg_b", "conv-1", "a2a.message", json!({"n": 2}));
    relay.control("ctl_1", "pause");

    let inbox = client.get_inbox(&InboxQuery::default()).await.unwrap();
    assert_eq!(inbox.messages[0].message_id, "msg_a");
    assert_eq!(
        inbox.messages[0].sender_agent_id.as_deref(),
        Some("agent_2")
    );
    assert_eq!(inbox.messages[1].message_type, MessageType::A2a);
    assert_eq!(inbox.controls[0].control_id, "ctl_1");
    assert_eq!(relay.seen("/v1/inbox")[0].query, "");

    let acks = vec![AckItem::now("msg_a")];
    assert_eq!(client.ack_messages(acks).await.unwrap().updated, 1);
    let ack = &relay.seen("/v1/acks")[0].body["acks"][0];
    assert_eq!(ack["status"], "received");
    assert!(ack["received_at"].as_str().unwrap().ends_with('Z'));

    let lease = LeaseItem {
        message_id: "msg_b".to_owned(),
        extend_seconds: 60,
    };
    let granted = client.extend_leases(vec![lease]).await.unwrap();
    assert_eq!(
        (granted.updated, granted.leases[0].message_id.as_str()),
        (1, "msg_b")
    );

    let nack = NackItem {
        message_id: "msg_b".to_owned(),
        delay_seconds: Some(5),
        reason: Some("busy".to_owned()),
    };
    assert_eq!(client.nack_messages(vec![nack]).await.unwrap().updated, 1);
    let expected = json!({"message_id": "msg_b", "delay_seconds": 5, "reason": "busy"});
    assert_eq!(relay.book().nacked[0], expected);
}

#[tokio::test]
async fn a_long_poll_ends_when_something_comes() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let query = InboxQuery {
        limit: Some(5),
        wait_seconds: Some(60),
        types: vec![MessageType::Direct, MessageType::from("a,b")],
    };
    let waiting = tokio::spawn(async move { client.get_inbox(&query).await });
    crate::eventually("the poll arrives", || !relay.seen("/v1/inbox").is_empty()).await;
    assert_eq!(
        relay.seen("/v1/inbox")[0].query,
        "limit=5&wait=60&types=direct,a%2Cb"
    );
    relay.deliver("msg_a", "conv-1", json!({}));
    let inbox = in_time("the poll ends", waiting).await.unwrap().unwrap();
    assert_eq!(inbox.messages.len(), 1);
}

#[tokio::test]
async fn the_agent_itself() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let beat = client.heartbeat(&Heartbeat::default()).await.unwrap();
    assert_eq!(beat.next_heartbeat_due_seconds, Some(30));
    assert_eq!(
        relay.seen("/v1/heartbeats")[0].body,
        json!({"status": "healthy"})
    );
    assert_eq!(
        client.register_identity_key("base64").await.unwrap().key_id,
        "key_1"
    );

    let rotated = client.rotate_credentials(Some(60)).await.unwrap();
    assert_eq!(rotated.secret, "secret_rotated");
    assert_eq!(
        relay.seen("/v1/credentials/rotate")[0].body,
        json!({"overlap_seconds": 60})
    );
    // The small relay forgot the old secret: this is accepted only if signed with the new one.
    client
        .clone()
        .heartbeat(&Heartbeat::default())
        .await
        .unwrap();
    assert!(relay.book().refused_signatures.is_empty());
}

#[tokio::test]
async fn actions() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let allowed = client
        .propose_action(&action(RiskLevel::Low))
        .await
        .unwrap();
    assert_eq!(
        (allowed.decision, allowed.approval_id),
        (Decision::Allow, None)
    );
    let pending = client
        .propose_action(&action(RiskLevel::High))
        .await
        .unwrap();
    assert_eq!(pending.approval_id.as_deref(), Some("apr_1"));
    let state = client.get_action("apr_1").await.unwrap();
    assert_eq!(state.status, ActionStatus::Pending);
    relay.book().approval_status = "approved".to_owned();
    let report = ActionReport::now("apr_1", ActionResult::Executed);
    assert!(client.action_result(&report).await.unwrap().ok);
    assert_eq!(
        relay.seen("/v1/actions/result")[0].body["result"],
        "executed"
    );
}

#[tokio::test]
async fn conversations() {
    let relay = Relay::start().await;
    let client = client(&relay).build().unwrap();
    let room = CreateRoom {
        name: "team".to_owned(),
        member_agent_ids: vec![AGENT.to_owned(), "agent_2".to_owned()],
    };
    assert_eq!(
        client.create_room(&room).await.unwrap().member_agent_ids,
        [AGENT, "agent_2"]
    );
    let notice = Notice {
        conversation_id: "conv-1".to_owned(),
        reason: "stalled".to_owned(),
        pending_count: 3,
        budget: None,
    };
    assert!(client.raise_notice(&notice).await.unwrap().recorded);

    // The signed path is the escaped one, as it goes over the wire.
    let id = "team/red one";
    let floor = client.acquire_floor(id, Some(30)).await.unwrap();
    assert!(floor.granted);
    assert_eq!(floor.conversation_tail.len(), 1);
    assert!(client.release_floor(id).await.unwrap().released);
    let seen = relay.seen("/v1/conversations/team%2Fred%20one/floor");
    assert_eq!(
        (seen[0].method.as_str(), seen[1].method.as_str()),
        ("POST", "DELETE")
    );
    assert!(matches!(
        client.acquire_floor("..", None).await,
        Err(EkhoError::InvalidArgument(_))
    ));
    assert!(relay.book().refused_signatures.is_empty());
}

#[tokio::test]
async fn enrolment_gives_working_credentials() {
    let relay = Relay::start().await;
    let request = EnrollRequest::new("flt_1", "good-token", "writer");
    let agent = EkhoAgentClient::enroll(relay.url(), &request)
        .await
        .unwrap();
    assert!(
        relay.seen("/v1/enroll")[0]
            .headers
            .get("x-ekho-signature")
            .is_none()
    );
    let builder = EkhoAgentClient::builder(agent.agent_id, agent.secret).relay(relay.url());
    builder
        .build()
        .unwrap()
        .heartbeat(&Heartbeat::default())
        .await
        .unwrap();

    let request = EnrollRequest::new("flt_1", "used-token", "writer");
    let refused = EkhoAgentClient::enroll(relay.url(), &request)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.status_code(), refused.code()),
        (Some(400), Some("invalid_token"))
    );
}
