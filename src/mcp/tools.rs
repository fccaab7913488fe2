//! The tools. Whatever the relay refuses comes back as a result that the model can read: the words,
//! the stable code, the request id.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ekho_client::{
    AckItem, ActionReport, ActionResult, Artifact, Decision as Decided, EkhoError, InboxMessage,
    InboxQuery, MessageType, NackItem, PageQuery, Priority, ProposeAction, Recipient, RiskLevel,
    SendMessage, TaskMessage, TaskState,
};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::{tool, tool_router};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::shapes::{
    AddArtifact, Ask, Decision, HandOff, ListPeers, MessageId, MessageIds, Propose, ReadAttachment,
    ReadInbox, Reply, Report, Return, SendShape, TaskId, UpdateTask,
};
use super::{Files, Server};
use crate::id;

/// Attachments of one message, as the relay limits them.
const ATTACHMENTS_MAX: usize = 10;
/// Longest that a tool waits.
const WAIT_MAX_SECONDS: u64 = 300;
const WAIT_SECONDS: u64 = 60;
/// The largest content of an attachment that is told in a result.
const TOLD_MAX_BYTES: usize = 256 << 10;
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(1500);

impl Server {
    pub(super) fn tools() -> ToolRouter<Server> {
        Server::tool_router()
    }
}

#[tool_router]
impl Server {
    /// Says which agent you are.
    #[tool(annotations(read_only_hint = true))]
    async fn whoami(&self) -> CallToolResult {
        CallToolResult::structured(json!({ "agent_id": self.agent.agent_id() }))
    }

    /// Lists the agents of your fleet by name: id, display_name, capabilities and status. Look here
    /// for whom to write to.
    #[tool(annotations(read_only_hint = true))]
    async fn list_peers(&self, Parameters(asked): Parameters<ListPeers>) -> CallToolResult {
        let page = PageQuery {
            limit: Some(50),
            cursor: asked.cursor,
        };
        told(
            self.agent.list_peers(asked.search.as_deref(), &page).await,
            |found| {
                let peers = found.agents.into_iter().map(|peer| {
                    json!({
                        "id": peer.id,
                        "display_name": peer.display_name,
                        "runtime": peer.runtime,
                        "capabilities": peer.capabilities,
                        "status": peer.status,
                    })
                });
                json!({ "agents": peers.collect::<Vec<_>>(), "next_cursor": found.next_cursor })
            },
        )
    }

    /// Sends a message to an agent, a room or all. It waits in the recipient's inbox until it is
    /// read, also where the recipient is asleep. An answer comes into your own inbox.
    #[tool(annotations(destructive_hint = false))]
    async fn send_message(&self, Parameters(asked): Parameters<SendShape>) -> CallToolResult {
        told(self.send(asked).await, |sent| sent)
    }

    /// Takes messages out of your inbox, oldest first, and waits for one where you say so. Each of
    /// them has to be settled by reply, hand_off, ack_messages or return_message, or it comes
    /// again. Where `encryption` says decryption_failed, you cannot read the body. `controls` are
    /// what operators decided about you: while you are paused or quarantined you can send nothing.
    #[tool(annotations(destructive_hint = false, idempotent_hint = false))]
    async fn read_inbox(&self, Parameters(asked): Parameters<ReadInbox>) -> CallToolResult {
        let query = InboxQuery {
            limit: Some(asked.limit.unwrap_or(10).clamp(1, 100)),
            wait_seconds: Some(asked.wait_seconds.unwrap_or(0).min(60)),
            types: Vec::new(),
        };
        told(self.agent.get_inbox(&query).await, |inbox| {
            self.seen.lock().read(&inbox.messages);
            let controls = inbox.controls.iter().map(
                |control| json!({ "action": control.action.as_str(), "reason": control.reason }),
            );
            json!({
                "messages": inbox.messages.iter().map(shown).collect::<Vec<_>>(),
                "controls": controls.collect::<Vec<_>>(),
            })
        })
    }

    /// Says that messages are dealt with, without an answer. They do not come again.
    #[tool(annotations(destructive_hint = false, idempotent_hint = true))]
    async fn ack_messages(&self, Parameters(asked): Parameters<MessageIds>) -> CallToolResult {
        told(
            self.ack(&asked.message_ids).await,
            |acked| json!({ "acked": acked }),
        )
    }

    /// Gives a message back because it could not be dealt with now. It comes again later; after
    /// several times operators see it as a dead letter.
    #[tool(annotations(destructive_hint = false))]
    async fn return_message(&self, Parameters(asked): Parameters<Return>) -> CallToolResult {
        let nack = NackItem {
            message_id: asked.message_id.clone(),
            delay_seconds: asked.delay_seconds,
            reason: Some(asked.reason),
        };
        told(self.agent.nack_messages(vec![nack]).await, |done| {
            self.seen.lock().settled(&asked.message_id);
            json!({ "returned": done.updated })
        })
    }

    /// Answers a message that was read, in its conversation, and settles it.
    #[tool(annotations(destructive_hint = false))]
    async fn reply(&self, Parameters(asked): Parameters<Reply>) -> CallToolResult {
        told(self.answer(asked).await, |sent| sent)
    }

    /// Passes a message that was read on to another agent, with a note, and settles it. The other
    /// agent gets the note and the whole of the message.
    #[tool(annotations(destructive_hint = false))]
    async fn hand_off(&self, Parameters(asked): Parameters<HandOff>) -> CallToolResult {
        told(self.pass_on(asked).await, |sent| sent)
    }

    /// Reads an attachment of a message that was read: its text, its bytes in base64 where it is no
    /// text, or saves it as a file.
    #[tool(annotations(destructive_hint = false))]
    async fn read_attachment(
        &self,
        Parameters(asked): Parameters<ReadAttachment>,
    ) -> CallToolResult {
        told(self.attachment(asked).await, |read| read)
    }

    /// What became of a message that you sent.
    #[tool(annotations(read_only_hint = true))]
    async fn message_status(&self, Parameters(asked): Parameters<MessageId>) -> CallToolResult {
        told(
            self.agent.get_message(&asked.message_id).await,
            |state| json!({ "message_id": state.message_id, "status": state.status }),
        )
    }

    /// Asks whether you may do something, and waits for the decision. Do it only where `allowed` is
    /// true; where `decision` is pending, ask later with get_decision.
    #[tool(annotations(destructive_hint = false))]
    async fn propose_action(&self, Parameters(asked): Parameters<Propose>) -> CallToolResult {
        told(self.propose(asked).await, |decided| decided)
    }

    /// How an action that you proposed was decided.
    #[tool(annotations(read_only_hint = true))]
    async fn get_decision(&self, Parameters(asked): Parameters<Decision>) -> CallToolResult {
        let wait = asked.wait_seconds.unwrap_or(0);
        told(self.decided(&asked.approval_id, wait).await, |decided| {
            decided
        })
    }

    /// Says what came of an action that was approved.
    #[tool(annotations(destructive_hint = false, idempotent_hint = true))]
    async fn report_action(&self, Parameters(asked): Parameters<Report>) -> CallToolResult {
        let result = ActionResult::from(asked.result.as_str());
        let mut report = ActionReport::now(asked.approval_id, result);
        report.output = asked.output.map(Value::Object);
        told(
            self.agent.action_result(&report).await,
            |done| json!({ "ok": done.ok }),
        )
    }

    /// Asks another agent to do something, as an A2A task, and waits until it is over or needs
    /// something of you. With task_id it answers a task that waits for input. A task that goes on
    /// is looked at with get_task.
    #[tool(annotations(destructive_hint = false))]
    async fn ask_agent(&self, Parameters(asked): Parameters<Ask>) -> CallToolResult {
        told(self.ask(asked).await, |task| task)
    }

    /// A task that you asked for or work on, with its history and its artifacts.
    #[tool(annotations(read_only_hint = true))]
    async fn get_task(&self, Parameters(asked): Parameters<TaskId>) -> CallToolResult {
        told(self.agent.task(asked.task_id).get().await, |task| task)
    }

    /// Says how far a task is that you work on.
    #[tool(annotations(destructive_hint = false))]
    async fn update_task(&self, Parameters(asked): Parameters<UpdateTask>) -> CallToolResult {
        let state = TaskState::from(asked.state.as_str());
        let message = asked.message.map_or(TaskMessage::none(), TaskMessage::from);
        let task = self.agent.task(asked.task_id);
        told(
            task.set(state, message).await,
            |standing| json!({ "task_id": standing.task_id, "state": standing.state.as_str() }),
        )
    }

    /// Adds a result, a text, to a task that you work on.
    #[tool(annotations(destructive_hint = false))]
    async fn add_artifact(&self, Parameters(asked): Parameters<AddArtifact>) -> CallToolResult {
        let artifact_id = asked.artifact_id.unwrap_or_else(|| id::new_id("art_"));
        let mut artifact = Artifact::text(&artifact_id, asked.text);
        artifact.name = asked.name;
        let task = self.agent.task(asked.task_id);
        told(task.artifact(&artifact).await, |standing| {
            json!({
                "task_id": standing.task_id,
                "artifact_id": artifact_id,
                "state": standing.state.as_str(),
            })
        })
    }
}

impl Server {
    async fn send(&self, asked: SendShape) -> Result<Value, EkhoError> {
        let body = body(asked.text, asked.body)?;
        let recipient = self.agent.whom(&asked.to).await?;
        let (usual, room) = match &recipient {
            Recipient::Broadcast => (MessageType::Broadcast, None),
            Recipient::Group { id } => (MessageType::Direct, Some(id.clone())),
            Recipient::Agent { .. } => (MessageType::Direct, None),
        };
        let conversation = room.or(asked.conversation_id);
        let conversation = conversation.unwrap_or_else(|| id::new_id("conv_"));
        let message_type = asked
            .message_type
            .as_deref()
            .map_or(usual, MessageType::from);
        let mut message = SendMessage::new(recipient, message_type, &conversation, body);
        message.priority = asked.priority.as_deref().map(Priority::from);
        message.ttl_seconds = asked.ttl_seconds;
        message.requires_approval = asked.requires_approval;
        message.attachment_ids = self.attach(asked.attachment_ids, &asked.files).await?;
        self.sent(&message).await
    }

    /// Uploads files; their ids behind those that were given.
    async fn attach(
        &self,
        mut attachment_ids: Vec<String>,
        paths: &[String],
    ) -> Result<Vec<String>, EkhoError> {
        if attachment_ids.len() + paths.len() > ATTACHMENTS_MAX {
            let why = format!("at most {ATTACHMENTS_MAX} attachments go with a message");
            return Err(EkhoError::InvalidArgument(why));
        }
        for path in paths {
            attachment_ids.push(self.files()?.send(&self.agent, path).await?);
        }
        Ok(attachment_ids)
    }

    fn files(&self) -> Result<&Files, EkhoError> {
        self.files.as_deref().ok_or_else(|| {
            let why = "there is no folder for files here: see ekho mcp --files";
            EkhoError::InvalidArgument(why.into())
        })
    }

    async fn attachment(&self, asked: ReadAttachment) -> Result<Value, EkhoError> {
        let files = asked.save_to.is_some().then(|| self.files()).transpose()?;
        let found = self.agent.download_attachment(&asked.attachment_id).await?;
        let mut read = json!({
            "attachment_id": asked.attachment_id,
            "filename": found.filename,
            "mime": found.mime,
            "size_bytes": found.bytes.len(),
        });
        if let Some((files, path)) = files.zip(asked.save_to) {
            files.save(&path, found.bytes).await?;
            read["saved_to"] = path.into();
        } else if found.bytes.len() > TOLD_MAX_BYTES {
            return Err(EkhoError::InvalidArgument(format!(
                "{} has {} bytes, too many to be read here: give save_to",
                asked.attachment_id,
                found.bytes.len()
            )));
        } else if let Ok(text) = std::str::from_utf8(&found.bytes) {
            read["text"] = text.into();
        } else {
            read["data_base64"] = STANDARD.encode(&found.bytes).into();
        }
        Ok(read)
    }

    async fn sent(&self, message: &SendMessage) -> Result<Value, EkhoError> {
        let sent = self.agent.send_message(message).await?;
        self.seen.lock().took_part(&message.conversation_id);
        Ok(json!({
            "message_id": sent.message_id,
            "status": sent.status,
            "conversation_id": message.conversation_id,
        }))
    }

    async fn ack(&self, message_ids: &[String]) -> Result<u64, EkhoError> {
        let acks = message_ids.iter().map(AckItem::now).collect();
        let done = self.agent.ack_messages(acks).await?;
        let mut seen = self.seen.lock();
        message_ids
            .iter()
            .for_each(|message_id| seen.settled(message_id));
        Ok(done.updated)
    }

    fn read_before(&self, message_id: &str) -> Result<InboxMessage, EkhoError> {
        let known = self.seen.lock().message(message_id);
        known.ok_or_else(|| {
            EkhoError::InvalidArgument(format!(
                "{message_id} was not read here, or is settled already: see read_inbox"
            ))
        })
    }

    async fn answer(&self, asked: Reply) -> Result<Value, EkhoError> {
        let body = body(asked.text, asked.body)?;
        let message = self.read_before(&asked.message_id)?;
        let mut reply = SendMessage::reply_to(&message, MessageType::Direct, body)?;
        if asked.idempotency_key.is_some() && !asked.files.is_empty() {
            let why =
                "a file that is attached again is another attachment: give its attachment_ids";
            return Err(EkhoError::InvalidArgument(why.into()));
        }
        reply.idempotency_key = asked.idempotency_key;
        reply.attachment_ids = self.attach(asked.attachment_ids, &asked.files).await?;
        let sent = self.sent(&reply).await?;
        if asked.ack.unwrap_or(true) {
            self.ack(&[asked.message_id]).await?;
        }
        Ok(sent)
    }

    async fn pass_on(&self, asked: HandOff) -> Result<Value, EkhoError> {
        let message = self.read_before(&asked.message_id)?;
        let to = self.agent.whom(&asked.to).await?;
        let body = json!({ "note": asked.note, "message": shown(&message) });
        let conversation = message.conversation_id.clone();
        let mut passed = SendMessage::new(to, MessageType::Handoff, conversation, body);
        passed.correlation_id.clone_from(&message.correlation_id);
        passed.attachment_ids = message
            .attachments
            .into_iter()
            .map(|file| file.id)
            .collect();
        let sent = self.sent(&passed).await?;
        self.ack(&[asked.message_id]).await?;
        Ok(sent)
    }

    async fn propose(&self, asked: Propose) -> Result<Value, EkhoError> {
        let conversation_id = asked.conversation_id.unwrap_or_else(|| id::new_id("conv_"));
        let action = ProposeAction {
            conversation_id,
            action_type: asked.action_type,
            summary: asked.summary,
            risk_level: RiskLevel::from(asked.risk_level.as_str()),
            payload: Value::Object(asked.payload.unwrap_or_default()),
        };
        let answer = self.agent.propose_action(&action).await?;
        match (answer.decision, answer.approval_id) {
            (Decided::PendingApproval, Some(approval_id)) => {
                let wait = asked.wait_seconds.unwrap_or(WAIT_SECONDS);
                self.decided(&approval_id, wait).await
            }
            (decision, approval_id) => Ok(json!({
                "allowed": decision == Decided::Allow,
                "decision": decision.as_str(),
                "approval_id": approval_id,
                "reason": answer.reason,
            })),
        }
    }

    async fn decided(&self, approval_id: &str, wait_seconds: u64) -> Result<Value, EkhoError> {
        let until = deadline(wait_seconds);
        loop {
            let state = self.agent.get_action(approval_id).await?;
            if state.status.is_pending() && Instant::now() < until {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            return Ok(json!({
                "allowed": state.status.was_approved(),
                "decision": match state.status.is_pending() {
                    true => "pending",
                    false => state.status.as_str(),
                },
                "approval_id": approval_id,
            }));
        }
    }

    async fn ask(&self, asked: Ask) -> Result<Value, EkhoError> {
        let Recipient::Agent { id: agent } = self.agent.whom(&asked.agent).await? else {
            let why = "one agent is asked: give its id or name".to_string();
            return Err(EkhoError::InvalidArgument(why));
        };
        let mut message = json!({
            "messageId": id::new_id("msg_"),
            "role": "ROLE_USER",
            "parts": [{ "text": asked.text }],
        });
        if let Some(task_id) = asked.task_id {
            message["taskId"] = task_id.into();
        }
        let params = json!({
            "message": message,
            "configuration": { "returnImmediately": true },
        });
        let answer = self.agent.a2a(&agent, "SendMessage", &params).await?;
        let Some(task_id) = answer["task"]["id"].as_str() else {
            return Ok(answer);
        };
        let task = self.agent.task(task_id);
        let until = deadline(asked.wait_seconds.unwrap_or(WAIT_SECONDS));
        loop {
            let whole = task.get().await?;
            let goes_on = matches!(
                whole["status"]["state"].as_str(),
                Some("TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING")
            );
            if !goes_on || Instant::now() >= until {
                return Ok(whole);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn deadline(wait_seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(wait_seconds.min(WAIT_MAX_SECONDS))
}

/// A text or a whole body, exactly one of them.
fn body(text: Option<String>, body: Option<Map<String, Value>>) -> Result<Value, EkhoError> {
    match (text, body) {
        (Some(text), None) => Ok(json!({ "text": text })),
        (None, Some(body)) => Ok(Value::Object(body)),
        _ => Err(EkhoError::InvalidArgument("give text or body".into())),
    }
}

/// A message as the model reads it.
fn shown(message: &InboxMessage) -> Value {
    json!({
        "message_id": message.message_id,
        "sender": message.sender_agent_id,
        "message_type": message.message_type.as_str(),
        "conversation_id": message.conversation_id,
        "task_id": message.metadata["a2a_task_id"],
        "body": message.body,
        "encryption": message.encryption,
        "attachments": message.attachments.iter().map(|file| json!({
            "attachment_id": file.id,
            "filename": file.filename,
            "mime": file.mime,
            "size_bytes": file.size_bytes,
        })).collect::<Vec<_>>(),
        "created_at": message.created_at,
    })
}

/// A result for the model, of a success or of what went wrong.
fn told<T>(outcome: Result<T, EkhoError>, show: impl FnOnce(T) -> Value) -> CallToolResult {
    match outcome {
        Ok(value) => CallToolResult::structured(show(value)),
        Err(error) => CallToolResult::structured_error(json!({
            "error": error.request().map_or_else(|| error.to_string(), |refusal| refusal.message()),
            "code": error.code(),
            "request_id": error.request().and_then(|refusal| refusal.request_id.clone()),
            "try_again": error.is_transient(),
        })),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ekho_client::identity::{DecryptionFailure, EncryptionStatus};

    use super::*;

    #[test]
    fn a_message_says_whether_it_could_be_decrypted() {
        let message = json!({ "message_id": "msg_1", "message_type": "direct", "body": {} });
        let mut message: InboxMessage = serde_json::from_value(message).unwrap();
        assert_eq!(shown(&message)["encryption"]["status"], "none");
        message.encryption.status = EncryptionStatus::DecryptionFailed;
        message.encryption.reason = Some(DecryptionFailure::NoKey);
        let told = &shown(&message)["encryption"];
        assert_eq!(told["status"], "decryption_failed");
        assert_eq!(told["reason"], "no_key");
    }
}
