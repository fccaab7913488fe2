//! A2A tasks: what a client asked this agent for, and how the agent answers.
//!
//! A message of type [`MessageType::A2a`] in the inbox belongs to a task. Acking it sets the task
//! to work; what is said here the client sees at once, wherever it follows the task.

use reqwest::Method;
use serde_json::Value;

use super::{EkhoAgentClient, path_segment};
use crate::error::EkhoError;
use crate::retry::Repeat;
use crate::types::{
    AgentCard, Artifact, InboxMessage, MessageType, OkAnswer, TaskMessage, TaskStanding, TaskState,
    wire,
};

/// A task of this agent; cheap to clone.
#[derive(Debug, Clone)]
pub struct Task {
    client: EkhoAgentClient,
    id: String,
}

impl EkhoAgentClient {
    /// The task that a message of the inbox belongs to; None where it belongs to none.
    pub fn task_of(&self, message: &InboxMessage) -> Option<Task> {
        if message.message_type != MessageType::A2a {
            return None;
        }
        let id = message.metadata["a2a_task_id"].as_str()?;
        Some(self.task(id))
    }

    /// The task with this id.
    pub fn task(&self, task_id: impl Into<String>) -> Task {
        Task {
            client: self.clone(),
            id: task_id.into(),
        }
    }

    /// Sets what the agent's A2A card says (PUT /v1/agent-card), in place of what it said before.
    pub async fn put_card(&self, card: &AgentCard) -> Result<OkAnswer, EkhoError> {
        let mut call = self.post("/v1/agent-card", card)?;
        call.method = Method::PUT;
        self.inner.transport.json(&call).await
    }
}

impl Task {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The task as the relay has it (GET /v1/tasks/{id}): a `Task` of A2A 1.0 with its history and
    /// its artifacts.
    pub async fn get(&self) -> Result<Value, EkhoError> {
        let target = self.target("")?;
        self.client.call(Method::GET, target).await
    }

    /// The agent works on it.
    pub async fn working(&self) -> Result<TaskStanding, EkhoError> {
        let nothing = TaskMessage::none();
        self.set(TaskState::Working, nothing).await
    }

    /// The agent needs something from the client, who answers with a further message in the inbox.
    pub async fn require_input(
        &self,
        message: impl Into<TaskMessage>,
    ) -> Result<TaskStanding, EkhoError> {
        self.set(TaskState::InputRequired, message).await
    }

    /// The task is done.
    pub async fn complete(
        &self,
        message: impl Into<TaskMessage>,
    ) -> Result<TaskStanding, EkhoError> {
        self.set(TaskState::Completed, message).await
    }

    /// The task could not be done.
    pub async fn fail(&self, message: impl Into<TaskMessage>) -> Result<TaskStanding, EkhoError> {
        self.set(TaskState::Failed, message).await
    }

    /// The agent does not do such a thing.
    pub async fn reject(&self, message: impl Into<TaskMessage>) -> Result<TaskStanding, EkhoError> {
        self.set(TaskState::Rejected, message).await
    }

    /// Says how far the task is (POST /v1/tasks/{id}/status). To end it again as it ended before is
    /// a success, so that a try whose answer was lost can be repeated; where that happens to
    /// another state, the client may be told of it twice.
    pub async fn set(
        &self,
        state: TaskState,
        message: impl Into<TaskMessage>,
    ) -> Result<TaskStanding, EkhoError> {
        let request = wire::StatusRequest::new(state.clone(), message.into());
        let call = self.client.post(self.target("/status")?, &request)?;
        match self.client.inner.transport.json(&call).await {
            Err(EkhoError::Request(refused))
                if refused.status_code == 409 && refused.body["state"] == state.as_str() =>
            {
                let task_id = self.id.clone();
                Ok(TaskStanding { task_id, state })
            }
            other => other,
        }
    }

    /// Adds an artifact (POST /v1/tasks/{id}/artifacts), or puts it in the place of the one with
    /// its id.
    pub async fn artifact(&self, artifact: &Artifact) -> Result<TaskStanding, EkhoError> {
        self.add(artifact, false, true).await
    }

    /// Adds parts to the artifact with this id, which is there already; `is_last` says that nothing
    /// follows. Not repeated where it may have arrived: the parts would be there twice.
    pub async fn append(
        &self,
        artifact: &Artifact,
        is_last: bool,
    ) -> Result<TaskStanding, EkhoError> {
        self.add(artifact, true, is_last).await
    }

    /// Begins an artifact that [`Task::append`] goes on with.
    pub async fn begin(&self, artifact: &Artifact) -> Result<TaskStanding, EkhoError> {
        self.add(artifact, false, false).await
    }

    async fn add(
        &self,
        artifact: &Artifact,
        append: bool,
        last_chunk: bool,
    ) -> Result<TaskStanding, EkhoError> {
        let request = wire::ArtifactRequest {
            artifact,
            append,
            last_chunk,
        };
        let mut call = self.client.post(self.target("/artifacts")?, &request)?;
        if append {
            call.repeat = Repeat::OnlyIfUndone;
        }
        self.client.inner.transport.json(&call).await
    }

    fn target(&self, what: &str) -> Result<String, EkhoError> {
        Ok(format!("/v1/tasks/{}{what}", path_segment(&self.id)?))
    }
}
