//! A2A tasks from the side of the agent that works on them: POST /v1/tasks/{id}/status and
//! /artifacts, PUT /v1/agent-card. What has a shape in A2A 1.0 has that shape.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::open_enum;

open_enum! {
    /// Where a task stands.
    TaskState {
        /// It waits for its agent.
        Submitted = "submitted",
        /// Its agent works on it.
        Working = "working",
        /// Its agent needs something from the client.
        InputRequired = "input-required",
        /// Its agent needs an authorization.
        AuthRequired = "auth-required",
        /// Done; nothing follows.
        Completed = "completed",
        /// Not done; nothing follows.
        Failed = "failed",
        /// Called off; nothing follows.
        Canceled = "canceled",
        /// Refused; nothing follows.
        Rejected = "rejected",
    }
}

/// What to tell the client with a state: a text, a `Message` of A2A 1.0, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskMessage(Option<Value>);

impl TaskMessage {
    /// Nothing to tell.
    pub fn none() -> Self {
        Self::default()
    }
}

impl From<&str> for TaskMessage {
    fn from(text: &str) -> Self {
        Self(Some(text.into()))
    }
}

impl From<String> for TaskMessage {
    fn from(text: String) -> Self {
        Self(Some(text.into()))
    }
}

impl From<Value> for TaskMessage {
    fn from(message: Value) -> Self {
        Self(Some(message))
    }
}

/// Something that a task made: an `Artifact` of A2A 1.0. Make it with [`Artifact::text`] or
/// [`Artifact::new`] and set what else it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Artifact {
    /// Its id within the task, the agent's to choose.
    pub artifact_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Part` objects of A2A 1.0, at least one.
    pub parts: Vec<Value>,
    /// Data about it: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

impl Artifact {
    /// An artifact of these parts.
    pub fn new(artifact_id: impl Into<String>, parts: Vec<Value>) -> Self {
        Self {
            artifact_id: artifact_id.into(),
            name: None,
            description: None,
            parts,
            metadata: None,
        }
    }

    /// An artifact of one text.
    pub fn text(artifact_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(artifact_id, vec![json!({ "text": text.into() })])
    }
}

/// Where a task stands after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskStanding {
    /// The task's id.
    pub task_id: String,
    /// Where it stands.
    pub state: TaskState,
}

/// PUT /v1/agent-card: what an agent's A2A card says. What is left out has a sensible default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCard {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the agent is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is documented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Media types that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_input_modes: Option<Vec<String>>,
    /// Media types that it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_output_modes: Option<Vec<String>>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<AgentSkill>,
}

/// One thing that an agent can do: an `AgentSkill` of A2A 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentSkill {
    /// Its id within the card.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What one could ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StatusRequest {
    pub(crate) state: TaskState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<Value>,
}

impl StatusRequest {
    pub(crate) fn new(state: TaskState, message: TaskMessage) -> Self {
        Self {
            state,
            message: message.0,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ArtifactRequest<'a> {
    pub(crate) artifact: &'a Artifact,
    pub(crate) append: bool,
    pub(crate) last_chunk: bool,
}
