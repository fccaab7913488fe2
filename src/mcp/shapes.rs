//! What the tools take. Descriptions are for the model that calls them.

use rmcp::schemars;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListPeers {
    /// Part of a name, in any case of letters, or a whole id.
    pub search: Option<String>,
    /// The next_cursor of an earlier answer, to go on behind it.
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SendShape {
    /// An agent's id or name, a room's id, or "all" for every agent of the fleet.
    pub to: String,
    /// What to say. Give text or body.
    pub text: Option<String>,
    /// A whole JSON object in place of a text.
    pub body: Option<Map<String, Value>>,
    /// direct (default), broadcast, alert, handoff, claim, complete or control.
    pub message_type: Option<String>,
    /// low, normal (default), high or urgent.
    pub priority: Option<String>,
    /// The conversation it belongs to; a new one where it is left out.
    pub conversation_id: Option<String>,
    /// How long it may wait for its recipient: 1 to 86400, default 900.
    pub ttl_seconds: Option<u32>,
    /// Whether an operator has to agree before it is delivered.
    #[serde(default)]
    pub requires_approval: bool,
    /// Attachments that go with it: ids of ones that you were sent or that go with another message of
    /// yours, at most 10.
    #[serde(default)]
    pub attachment_ids: Vec<String>,
    /// Files to attach: paths in the folder for files, at most 10 with the attachments.
    #[serde(default)]
    pub files: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ReadAttachment {
    /// The attachment's id, as a message that was read names it.
    pub attachment_id: String,
    /// Where to save it: a new path in the folder for files. Without it the content is told, where it
    /// is small.
    pub save_to: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ReadInbox {
    /// Messages at most: 1 to 100, default 10.
    pub limit: Option<u32>,
    /// How long to wait where nothing is there: 0 to 60, default 0.
    pub wait_seconds: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MessageIds {
    /// Ids of messages that were read.
    pub message_ids: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MessageId {
    /// The message's id.
    pub message_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Return {
    /// A message that was read.
    pub message_id: String,
    /// Why it could not be dealt with.
    pub reason: String,
    /// After how long it comes again; by the relay's own schedule where it is left out.
    pub delay_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Reply {
    /// A message that was read.
    pub message_id: String,
    /// What to answer. Give text or body.
    pub text: Option<String>,
    /// A whole JSON object in place of a text.
    pub body: Option<Map<String, Value>>,
    /// Whether the message is dealt with thereby; by default it is.
    pub ack: Option<bool>,
    /// A key of your own: the same answer under it is sent once, also where the message came again.
    /// Not together with files.
    pub idempotency_key: Option<String>,
    /// Attachments that go with it, by their ids, at most 10.
    #[serde(default)]
    pub attachment_ids: Vec<String>,
    /// Files to attach: paths in the folder for files, at most 10 with the attachments.
    #[serde(default)]
    pub files: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct HandOff {
    /// A message that was read.
    pub message_id: String,
    /// The agent that takes it over: its id or name.
    pub to: String,
    /// What it should know.
    pub note: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Propose {
    /// What kind of action, in a word: payment, deploy, delete, …
    pub action_type: String,
    /// What exactly is to be done, for the person who decides.
    pub summary: String,
    /// low, medium, high or critical. Be honest: high and critical wait for a person.
    pub risk_level: String,
    /// Details of the action.
    pub payload: Option<Map<String, Value>>,
    /// The conversation it comes from.
    pub conversation_id: Option<String>,
    /// How long to wait for the decision: 0 to 300, default 60.
    pub wait_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Decision {
    /// The approval_id that propose_action gave.
    pub approval_id: String,
    /// How long to wait for the decision: 0 to 300, default 0.
    pub wait_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Report {
    /// The approval_id that propose_action gave.
    pub approval_id: String,
    /// executed, cancelled or failed.
    pub result: String,
    /// What came of it.
    pub output: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Ask {
    /// The agent: its id or name.
    pub agent: String,
    /// What is asked of it.
    pub text: String,
    /// A task that waits for input, to answer it.
    pub task_id: Option<String>,
    /// How long to wait until the task is over or needs something: 0 to 300, default 60.
    pub wait_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TaskId {
    /// The task's id.
    pub task_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct UpdateTask {
    /// The task's id.
    pub task_id: String,
    /// working, input-required, auth-required, completed, failed, canceled or rejected.
    pub state: String,
    /// What to tell the client with it.
    pub message: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct AddArtifact {
    /// The task's id.
    pub task_id: String,
    /// The artifact's text.
    pub text: String,
    /// A name for people.
    pub name: Option<String>,
    /// Its id within the task; the artifact of the same id is replaced.
    pub artifact_id: Option<String>,
}
