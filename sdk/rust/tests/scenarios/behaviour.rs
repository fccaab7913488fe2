//! What the adapter of a scenario's agent does with messages, and what it saw.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ekho_client::{
    AgentHandle, AgentHooks, Artifact, HandlerError, InboxControl, InboxMessage, MessageType,
    ProposeAction, SendMessage,
};
use serde_json::{Value, json};

/// What was seen, as the scenario asks for it.
#[derive(Default)]
pub struct Log {
    pub seen: Vec<Value>,
    pub controls: Vec<Value>,
    pub pending: Vec<Value>,
    pub outcome: Value,
    pub events: Vec<Value>,
}

pub type SharedLog = Arc<Mutex<Log>>;

pub struct Behaviour {
    pub does: String,
    pub log: SharedLog,
}

impl AgentHooks for Behaviour {
    async fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> Result<(), HandlerError> {
        self.log
            .lock()
            .unwrap()
            .seen
            .push(serde_json::to_value(&message)?);
        match self.does.as_str() {
            "reply" => {
                let echo = json!({"echo": message.body});
                agent
                    .send(&SendMessage::reply_to(&message, MessageType::Direct, echo)?)
                    .await?;
            }
            "fail_once" if message.attempt == 1 => return Err("failed on purpose".into()),
            "hang" => tokio::time::sleep(Duration::from_secs(60)).await,
            "complete_task" => {
                let task = agent.client().task_of(&message).ok_or("no task")?;
                task.artifact(&Artifact::text("result", "done")).await?;
                task.complete("done").await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn on_control(&self, control: &InboxControl) {
        let action = json!(control.action.as_str());
        self.log.lock().unwrap().controls.push(action);
    }

    async fn on_approval_pending(&self, approval_id: &str, _: &ProposeAction) {
        self.log.lock().unwrap().pending.push(json!(approval_id));
    }
}
