//! The adapter while all is well: handlers, acks, order, controls, heartbeats, actions, stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ekho_client::{
    AdapterBuilder, AgentHandle, AgentHooks, EkhoAgentAdapter, EkhoError, HandlerError,
    InboxControl, InboxMessage, MessageType, ProposeAction, RiskLevel, SendMessage,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::relay::Relay;
use crate::{DEADLINE, client, eventually, in_time};

/// Does what the body of a message says, and writes down what it was told.
pub struct Recorder {
    pub started: Mutex<Vec<String>>,
    pub controls: Mutex<Vec<String>>,
    approvals: Mutex<Vec<String>>,
    pub running: AtomicUsize,
    most_running: AtomicUsize,
    /// Handlers of messages with {"do": "wait"} pass one for each permit.
    pub gate: Semaphore,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            started: Mutex::default(),
            controls: Mutex::default(),
            approvals: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        }
    }
}

/// Counts a handler out again, however it ends.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AgentHooks for Recorder {
    async fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> Result<(), HandlerError> {
        self.started
            .lock()
            .unwrap()
            .push(message.message_id.clone());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let _ends = Running(&self.running);
        match message.body["do"].as_str() {
            Some("wait") => {
                self.gate.acquire().await?.forget();
                Ok(())
            }
            Some("fail") => Err("no such file".into()),
            Some("panic") => panic!("asked for"),
            Some("reply") => {
                let reply = SendMessage::reply_to(&message, MessageType::Direct, json!({}))?;
                agent.send(&reply).await.map(drop).map_err(Into::into)
            }
            _ => Ok(()),
        }
    }

    async fn before_action(&self, action: &ProposeAction) -> Result<(), HandlerError> {
        if action.action_type == "forbidden" {
            return Err("not with me".into());
        }
        Ok(())
    }

    async fn on_control(&self, control: &InboxControl) {
        self.controls
            .lock()
            .unwrap()
            .push(control.control_id.clone());
    }

    async fn on_approval_pending(&self, approval_id: &str, _action: &ProposeAction) {
        self.approvals.lock().unwrap().push(approval_id.to_owned());
    }
}

pub fn adapter(relay: &Relay) -> AdapterBuilder<Recorder> {
    EkhoAgentAdapter::builder(client(relay).build().unwrap(), Recorder::default())
        .approval_poll_interval(Duration::from_millis(5))
}

pub fn started(adapter: &EkhoAgentAdapter<Recorder>) -> Vec<String> {
    adapter.hooks().started.lock().unwrap().clone()
}

fn action(action_type: &str, risk_level: RiskLevel) -> ProposeAction {
    ProposeAction {
        conversation_id: "conv-1".to_owned(),
        action_type: action_type.to_owned(),
        summary: "do it".to_owned(),
        risk_level,
        payload: json!({}),
    }
}

#[tokio::test]
async fn a_handled_message_is_acked_and_answered() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.deliver("msg_a", "conv-1", json!({"do": "reply"}));
    eventually("the ack", || relay.book().acked == ["msg_a"]).await;
    let first_poll = &relay.seen("/v1/inbox")[0].query;
    assert_eq!(
        first_poll, "limit=8&wait=0",
        "what was decided before is known at once"
    );
    let long_poll = || {
        relay
            .seen("/v1/inbox")
            .iter()
            .any(|seen| seen.query.ends_with("&wait=25"))
    };
    eventually("a long poll", long_poll).await;
    assert_eq!(relay.book().stored[0]["recipient"]["id"], "agent_2");
    let report = in_time("stop", adapter.stop(DEADLINE)).await;
    assert!(report.abandoned_message_ids.is_empty());
    assert!(relay.book().nacked.is_empty());
}

#[tokio::test]
async fn one_conversation_is_worked_on_in_order() {
    let relay = Relay::start().await;
    let ids: Vec<String> = (0..20).map(|number| format!("msg_{number}")).collect();
    for id in &ids {
        relay.deliver(id, "conv-1", json!({"do": "wait"}));
    }
    let adapter = adapter(&relay).concurrency(4).start();
    adapter.hooks().gate.add_permits(ids.len());
    eventually("all acks", || relay.book().acked.len() == ids.len()).await;
    assert_eq!(started(&adapter), ids);
    assert_eq!(relay.book().acked, ids);
    assert_eq!(adapter.hooks().most_running.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn conversations_run_side_by_side_up_to_the_limit() {
    let relay = Relay::start().await;
    for number in 0..10 {
        relay.deliver(
            &format!("msg_{number}"),
            &format!("conv-{number}"),
            json!({"do": "wait"}),
        );
    }
    let adapter = adapter(&relay).concurrency(3).start();
    eventually("three at once", || started(&adapter).len() == 3).await;
    assert_eq!(adapter.status().messages_in_work, 3);
    assert_eq!(
        relay.book().inbox.len(),
        7,
        "no more are taken than can be worked on"
    );
    adapter.hooks().gate.add_permits(10);
    eventually("all acks", || relay.book().acked.len() == 10).await;
    assert_eq!(adapter.hooks().most_running.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_paused_agent_works_on_controls_only() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    relay.control("ctl_1", "pause");
    eventually("the pause", || adapter.is_paused()).await;
    relay.deliver("msg_work", "conv-1", json!({}));
    relay.deliver_type("msg_control", "conv-1", "control", json!({}));
    eventually("the control message", || {
        relay.book().acked == ["msg_control"]
    })
    .await;
    assert_eq!(started(&adapter), ["msg_control"]);

    relay.control("ctl_2", "resume");
    eventually("the work", || {
        relay.book().acked == ["msg_control", "msg_work"]
    })
    .await;
    assert!(!adapter.is_paused());
    relay.control("ctl_3", "quarantine");
    eventually("the quarantine", || adapter.is_paused()).await;
    eventually("each control told once", || {
        *adapter.hooks().controls.lock().unwrap() == ["ctl_1", "ctl_2", "ctl_3"]
    })
    .await;
}

#[tokio::test]
async fn work_that_came_with_its_pause_is_handed_back() {
    let relay = Relay::start().await;
    relay.control("ctl_1", "pause");
    relay.deliver("msg_a", "conv-1", json!({}));
    let adapter = adapter(&relay).start();
    eventually("the nack", || relay.book().nacked.len() == 1).await;
    assert_eq!(relay.book().nacked[0]["reason"], "the agent is paused");
    assert!(started(&adapter).is_empty());
}

#[tokio::test]
async fn heartbeats_name_active_conversations() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).concurrency(1).start();
    relay.deliver("msg_a", "conv-7", json!({"do": "wait"}));
    let beat = |status: &str, active: serde_json::Value| {
        let seen = relay.seen("/v1/heartbeats");
        seen.iter().any(|seen| {
            seen.body["status"] == status && seen.body["active_conversation_ids"] == active
        })
    };
    eventually("a busy heartbeat", || beat("busy", json!(["conv-7"]))).await;
    eventually("a lease", || {
        relay.book().leased.contains(&"msg_a".to_owned())
    })
    .await;
    adapter.hooks().gate.add_permits(1);
    eventually("an idle heartbeat", || beat("healthy", json!(null))).await;
}

#[tokio::test]
async fn actions_wait_for_their_decision() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    let low = adapter
        .propose_action(&action("read", RiskLevel::Low))
        .await
        .unwrap();
    assert_eq!((low.approved, low.approval_id), (true, None));
    let denied = adapter
        .propose_action(&action("read", RiskLevel::Medium))
        .await
        .unwrap();
    assert_eq!(
        (denied.approved, denied.reason.as_deref()),
        (false, Some("policy"))
    );

    for (decision, approved) in [("approved", true), ("rejected", false), ("expired", false)] {
        relay.book().approval_status = "pending".to_owned();
        let handle = adapter.handle();
        let waiting = tokio::spawn(async move {
            handle
                .propose_action(&action("deploy", RiskLevel::High))
                .await
        });
        let before = relay.seen("/v1/actions/apr_1").len();
        eventually("two looks", || {
            relay.seen("/v1/actions/apr_1").len() > before + 1
        })
        .await;
        relay.book().approval_status = decision.to_owned();
        let outcome = in_time("the decision", waiting).await.unwrap().unwrap();
        assert_eq!(outcome.approved, approved, "{decision}");
        assert_eq!(outcome.approval_id.as_deref(), Some("apr_1"));
    }
    assert_eq!(adapter.hooks().approvals.lock().unwrap().len(), 3);

    let proposals = relay.seen("/v1/actions/propose").len();
    let refused = adapter
        .propose_action(&action("forbidden", RiskLevel::Low))
        .await;
    assert!(matches!(refused, Err(EkhoError::RefusedByHook(_))));
    assert_eq!(relay.seen("/v1/actions/propose").len(), proposals);
}

#[tokio::test]
async fn stop_lets_handlers_finish() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    let handle = adapter.handle();
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    eventually("the handler", || started(&adapter) == ["msg_a"]).await;
    let stopping = tokio::spawn(adapter.stop(DEADLINE));
    relay.deliver("msg_late", "conv-1", json!({}));
    handle.hooks().gate.add_permits(1);
    let report = in_time("stop", stopping).await.unwrap();
    assert!(report.abandoned_message_ids.is_empty());
    assert!(relay.book().acked.contains(&"msg_a".to_owned()));
}

#[tokio::test]
async fn stop_hands_back_what_does_not_finish() {
    let relay = Relay::start().await;
    let adapter = adapter(&relay).start();
    let handle = adapter.handle();
    relay.deliver("msg_a", "conv-1", json!({"do": "wait"}));
    relay.deliver("msg_b", "conv-1", json!({}));
    eventually("both taken", || handle.status().messages_in_work == 2).await;
    eventually("the handler", || started(&adapter) == ["msg_a"]).await;
    let report = in_time("stop", adapter.stop(Duration::from_millis(20))).await;
    assert_eq!(report.abandoned_message_ids, ["msg_a", "msg_b"]);
    let book = relay.book();
    assert!(book.acked.is_empty());
    assert_eq!(book.nacked.len(), 2);
    assert_eq!(book.nacked[0]["reason"], "the agent stopped");
}
