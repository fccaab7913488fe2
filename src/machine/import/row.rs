//! What is taken over from another relay, as it stands in the log.

use bincode::{Decode, Encode};
use ekho_storage::tables::agent::{AutoHold, HoldKind};
use ekho_storage::tables::approval::{ApprovalStatus, Risk};
use ekho_storage::tables::imported_secret::ImportedHash;
use ekho_storage::tables::operator::Operator;
use ekho_storage::tables::policy::Draft;
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};

use crate::machine::command::NewMessage;

/// One thing that another relay held.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ImportRow {
    /// An operator. An empty hash is no password: an owner sets one.
    Operator(Operator),
    /// An agent.
    Agent(Box<ImportAgent>),
    /// A room.
    Room(ImportRoom),
    /// A policy.
    Policy {
        /// Public id.
        policy_id: String,
        /// What it says.
        draft: Box<Draft>,
    },
    /// What an agent asked to be allowed.
    Approval(Box<ImportApproval>),
    /// A message with deliveries that have not ended well.
    Message(Box<ImportMessage>),
    /// An enrolment token that nobody used.
    EnrollmentToken {
        /// Keyed hash of what the other relay kept of it.
        token_hash: [u8; 32],
        /// When it stops working.
        expires_ms: TimeMs,
    },
    /// An A2A task.
    Task(Box<ImportTask>),
}

impl ImportRow {
    /// What it is, in the plural.
    pub fn kind(&self) -> &'static str {
        match self {
            ImportRow::Operator(_) => "operators",
            ImportRow::Agent(_) => "agents",
            ImportRow::Room(_) => "rooms",
            ImportRow::Policy { .. } => "policies",
            ImportRow::Approval(_) => "approvals",
            ImportRow::Message(_) => "messages",
            ImportRow::EnrollmentToken { .. } => "enrollment_tokens",
            ImportRow::Task(_) => "tasks",
        }
    }

    /// What in it is sealed.
    pub fn sealed(&self) -> Vec<&[u8]> {
        let hashes = match self {
            ImportRow::Agent(agent) => agent.hashes.as_slice(),
            _ => &[],
        };
        hashes
            .iter()
            .map(|hash| hash.sealed_hash.as_slice())
            .collect()
    }
}

/// An agent that keeps its id.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportAgent {
    /// Its public id.
    pub id: String,
    /// Its name.
    pub display_name: String,
    /// Its runtime.
    pub runtime: String,
    /// Its host.
    pub hostname: Option<String>,
    /// Its capabilities.
    pub capabilities: Vec<String>,
    /// Identity key: id and public key.
    pub identity_key: Option<(String, String)>,
    /// Hashes of its secrets.
    pub hashes: Vec<ImportedHash>,
    /// When it enrolled.
    pub created_ms: TimeMs,
    /// When it was last heard; 0 for never.
    pub last_seen_ms: TimeMs,
    /// What keeps it from sending.
    pub hold: Option<ImportHold>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// What keeps an imported agent from sending.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ImportHold {
    /// What an operator decided.
    Operator {
        /// Pause or quarantine.
        kind: HoldKind,
        /// Why.
        reason: String,
    },
    /// What the relay decided by itself.
    Auto(AutoHold),
}

/// A room that keeps its id.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportRoom {
    /// Its public id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Public id of the agent that made it; none for an operator.
    pub created_by: Option<String>,
    /// Public ids of members.
    pub members: Vec<String>,
    /// When it was made.
    pub created_ms: TimeMs,
}

/// An approval that keeps its id.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportApproval {
    /// Its UUID.
    pub uuid: u128,
    /// Public id of the agent that asked.
    pub agent_id: String,
    /// Conversation.
    pub conversation_id: String,
    /// Kind of action.
    pub action_type: String,
    /// For people.
    pub summary: String,
    /// How risky.
    pub risk: Risk,
    /// Details, JSON.
    pub payload: String,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// When it was asked.
    pub requested_ms: TimeMs,
    /// When it was decided.
    pub resolved_ms: Option<TimeMs>,
    /// Who decided, an operator's public id.
    pub resolved_by: Option<String>,
}

/// A message that keeps its id.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportMessage {
    /// Public id of its sender.
    pub sender_id: String,
    /// The message. Its time to live is what it had at first; idempotency is the import's own.
    pub message: NewMessage,
    /// When the other relay accepted it.
    pub created_ms: TimeMs,
    /// Worth nothing after this time.
    pub deadline_ms: TimeMs,
    /// To whom it is on its way, in their order.
    pub deliveries: Vec<ImportDelivery>,
    /// The A2A task that it says it belongs to.
    pub task: Option<u128>,
}

/// A message on its way to one agent.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportDelivery {
    /// Public id of the recipient.
    pub agent_id: String,
    /// Why it was given up, and after how many retries, where it was.
    pub given_up: Option<(String, u32)>,
}

/// An A2A task that keeps its id. Its texts are as the protocol writes them now.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportTask {
    /// Its UUID.
    pub uuid: u128,
    /// Public id of the agent that asked.
    pub client_id: String,
    /// Public id of the agent that works on it.
    pub agent_id: String,
    /// What it belongs to.
    pub context_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// Since when.
    pub status_ms: TimeMs,
    /// What was said with that.
    pub said: Option<ImportSaid>,
    /// When it was made.
    pub created_ms: TimeMs,
    /// The message by which its agent was asked.
    pub message: Option<u128>,
    /// What came beside that, JSON.
    pub metadata: Option<String>,
    /// Its messages, oldest first.
    pub history: Vec<ImportText>,
    /// Its artifacts, with how the agent calls them.
    pub artifacts: Vec<(String, ImportText)>,
}

/// A text of a task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ImportText {
    /// UUID of the text.
    pub content: u128,
    /// JSON.
    pub text: Vec<u8>,
}

/// What was said with the status of a task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ImportSaid {
    /// A message of the agent.
    Message(ImportText),
    /// Why the other relay ended it.
    Reason(String),
}

/// An imported agent showed a secret; the node that saw it compared it with the hash.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ProveSecret {
    /// Fleet.
    pub fleet: FleetNo,
    /// Agent.
    pub agent: AgentNo,
    /// The hash, as it is stored.
    pub sealed_hash: Vec<u8>,
    /// The secret, sealed.
    pub sealed_secret: Vec<u8>,
}
