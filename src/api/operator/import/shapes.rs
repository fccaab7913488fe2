//! How rows of another relay are described. What is read of them is in `read.rs`.
#![allow(dead_code, reason = "describes what is read")]

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::read::{APPROVAL_STATUSES, AUTO_HOLDS, HOLDS, RECIPIENTS};
use super::task::STATES;
use crate::api::operator::operators::role;
use crate::api::operator::policies::PolicyDraft;
use crate::api::words;

fn hold_kind() -> Object {
    words::choice(&HOLDS)
}

fn auto_hold() -> Object {
    words::choice(&AUTO_HOLDS)
}

fn approval_status() -> Object {
    words::choice(&APPROVAL_STATUSES)
}

fn task_state() -> Object {
    words::choice(&STATES)
}

fn recipient_kind() -> Object {
    words::choice(&RECIPIENTS)
}

/// Rows of another relay.
#[derive(ToSchema)]
pub struct Rows {
    /// Out of what, for the audit log.
    #[schema(min_length = 1, max_length = 255)]
    source: Option<String>,
    /// Only say which are here already.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// In the order in which they are taken over.
    #[schema(min_items = 1, max_items = 100)]
    rows: Vec<Row>,
}

/// One thing that another relay held.
#[derive(ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Row {
    Operator(ImportedOperator),
    Agent(ImportedAgent),
    Room(ImportedRoom),
    Policy(ImportedPolicy),
    Approval(ImportedApproval),
    Message(ImportedMessage),
    EnrollmentToken(ImportedToken),
    Task(ImportedTask),
}

/// An operator.
#[derive(ToSchema)]
struct ImportedOperator {
    #[schema(min_length = 1, max_length = 255)]
    id: String,
    #[schema(min_length = 1, max_length = 255)]
    email: String,
    #[schema(schema_with = role)]
    role: String,
    /// SHA-256 of the password, in hex. Without it the operator needs a new one.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    password_sha256: Option<String>,
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// An agent.
#[derive(ToSchema)]
struct ImportedAgent {
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._-]+$")]
    id: String,
    #[schema(min_length = 1, max_length = 200)]
    display_name: String,
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9._-]+$")]
    runtime: String,
    #[schema(min_length = 1, max_length = 255)]
    hostname: Option<String>,
    #[schema(max_items = 64)]
    capabilities: Option<Vec<String>>,
    #[schema(min_length = 1, max_length = 128)]
    identity_public_key: Option<String>,
    /// Secrets that it may show once; see `secret_not_shown`.
    #[schema(max_items = 2)]
    secrets: Option<Vec<ImportedSecret>>,
    hold: Option<ImportedHold>,
    /// A quarantine that the relay set by itself.
    #[schema(schema_with = auto_hold, required = false)]
    auto_quarantine: String,
    #[schema(default = false)]
    revoked: Option<bool>,
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[schema(format = DateTime)]
    last_seen_at: Option<String>,
}

/// A secret of which only the hash is known.
#[derive(ToSchema)]
struct ImportedSecret {
    /// SHA-256 of the secret, in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// When it stops working.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// What an operator decided about an agent.
#[derive(ToSchema)]
struct ImportedHold {
    #[schema(schema_with = hold_kind)]
    kind: String,
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A room.
#[derive(ToSchema)]
struct ImportedRoom {
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._-]+$")]
    id: String,
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    #[schema(min_length = 1, max_length = 255)]
    created_by_agent_id: Option<String>,
    /// Those that are here become members.
    #[schema(max_items = 1000)]
    member_agent_ids: Vec<String>,
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// A policy.
#[derive(ToSchema)]
struct ImportedPolicy {
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._-]+$")]
    id: String,
    #[schema(inline)]
    #[serde(flatten)]
    policy: PolicyDraft,
}

/// What an agent asked to be allowed.
#[derive(ToSchema)]
struct ImportedApproval {
    #[schema(pattern = "^apr_[0-9a-f]{32}$")]
    id: String,
    #[schema(min_length = 1, max_length = 255)]
    agent_id: String,
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    action_type: String,
    #[schema(min_length = 1, max_length = 2000)]
    summary: String,
    #[schema(schema_with = words::risk)]
    risk_level: String,
    /// Up to 256 KiB.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    #[schema(schema_with = approval_status)]
    status: String,
    #[schema(format = DateTime)]
    requested_at: Option<String>,
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    resolved_by: Option<String>,
}

/// A message that waits for agents, or was given up.
#[derive(ToSchema)]
struct ImportedMessage {
    #[schema(pattern = "^msg_[0-9a-f]{32}$")]
    id: String,
    #[schema(min_length = 1, max_length = 255)]
    sender_agent_id: String,
    recipient: ImportedRecipient,
    #[schema(min_length = 1, max_length = 64)]
    message_type: String,
    #[schema(schema_with = words::priority, required = false)]
    priority: String,
    /// How long it had at first.
    #[schema(minimum = 1, maximum = 86_400, default = 900)]
    ttl_seconds: Option<u64>,
    /// An operator has to agree, here again.
    #[schema(default = false)]
    requires_approval: Option<bool>,
    #[schema(value_type = Object)]
    body: Value,
    /// Up to 64 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: String,
    #[schema(min_length = 1, max_length = 255)]
    correlation_id: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// To whom it is on its way.
    #[schema(min_items = 1, max_items = 10_000)]
    deliveries: Vec<ImportedDelivery>,
}

/// To whom a message was addressed.
#[derive(ToSchema)]
struct ImportedRecipient {
    #[schema(schema_with = recipient_kind)]
    kind: String,
    /// Of the agent or the room.
    #[schema(min_length = 1, max_length = 255)]
    id: Option<String>,
}

/// A message on its way to one agent.
#[derive(ToSchema)]
struct ImportedDelivery {
    #[schema(min_length = 1, max_length = 255)]
    agent_id: String,
    given_up: Option<GivenUp>,
}

/// Why a message was given up.
#[derive(ToSchema)]
struct GivenUp {
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    #[schema(minimum = 0, maximum = 1000, default = 0)]
    retries: Option<u32>,
}

/// An enrolment token that nobody used. It is good for one agent, until it ends.
#[derive(ToSchema)]
struct ImportedToken {
    /// SHA-256 of the token, in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    token_sha256: String,
    /// A day from now at most.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// An A2A task. Messages and artifacts are in the form of A2A 0.3.
#[derive(ToSchema)]
struct ImportedTask {
    #[schema(pattern = "^task_[0-9a-f]{32}$")]
    id: String,
    #[schema(min_length = 1, max_length = 255)]
    context_id: String,
    /// Who asked.
    #[schema(min_length = 1, max_length = 255)]
    client_agent_id: String,
    /// Who works on it.
    #[schema(min_length = 1, max_length = 255)]
    agent_id: String,
    #[schema(schema_with = task_state)]
    state: String,
    /// A message, or a text of the other relay of at most 1000 bytes.
    status_message: Option<Value>,
    /// The newest message by which its agent was asked.
    #[schema(pattern = "^msg_[0-9a-f]{32}$")]
    message_id: Option<String>,
    /// Up to 64 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Oldest first.
    #[schema(value_type = Option<Vec<Object>>, max_items = 1000)]
    history: Option<Vec<Value>>,
    #[schema(value_type = Option<Vec<Object>>, max_items = 1000)]
    artifacts: Option<Vec<Value>>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Since when it stands where it stands.
    #[schema(format = DateTime)]
    updated_at: String,
}
